//! Subnets: prefixes that pools are carved from. The data path never allocates from one.

use super::common::{Flaws, Ground, GroundDraft};
use super::{BadDefinition, Route, RouteDraft, lower_set};
use crate::address::{AddressSet, Family};
use crate::name::Name;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// A subnet as it was written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SubnetDraft {
    /// The subnet's name.
    pub name: String,
    /// The address space; empty means `default`.
    pub space: String,
    /// 4 or 6; follows from `prefix` when left out.
    pub version: Option<i64>,
    /// The prefix in network form.
    pub prefix: String,
    /// Addresses that pools may be carved from.
    pub ranges: Vec<String>,
    /// Addresses that no pool may have although `ranges` names them.
    pub excluded: Vec<String>,
    /// What pools inherit when they name no gateway.
    pub gateway: Option<String>,
    /// What pools inherit when they name no routes.
    pub routes: Option<Vec<RouteDraft>>,
}

/// A subnet whose fields have been checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "SubnetDraft", into = "SubnetDraft")]
pub struct Subnet {
    pub(crate) name: Name,
    pub(crate) space: Name,
    pub(crate) prefix: IpNet,
    pub(crate) ranges: AddressSet,
    pub(crate) excluded: AddressSet,
    pub(crate) gateway: Option<IpAddr>,
    pub(crate) routes: Option<Vec<Route>>,
}

impl Subnet {
    /// The subnet's name.
    #[must_use]
    pub const fn name(&self) -> &Name {
        &self.name
    }

    /// The address space that its addresses belong to.
    #[must_use]
    pub const fn space(&self) -> &Name {
        &self.space
    }

    /// The prefix, in network form.
    #[must_use]
    pub const fn prefix(&self) -> IpNet {
        self.prefix
    }

    /// The family of all its addresses.
    #[must_use]
    pub fn family(&self) -> Family {
        Family::of(self.prefix.addr())
    }

    /// The addresses that pools may be carved from.
    #[must_use]
    pub fn usable(&self) -> AddressSet {
        self.ranges.difference(&self.excluded)
    }
}

impl TryFrom<SubnetDraft> for Subnet {
    type Error = BadDefinition;

    fn try_from(draft: SubnetDraft) -> Result<Self, BadDefinition> {
        let mut flaws = Flaws::default();
        let checked = check(&draft, &mut flaws);
        flaws.finish(format!("subnet {}", draft.name), checked)
    }
}

fn check(draft: &SubnetDraft, flaws: &mut Flaws) -> Option<Subnet> {
    let name = flaws.name(&draft.name);
    let space = flaws.space(&draft.space);
    let ground = GroundDraft {
        version: draft.version,
        prefix: &draft.prefix,
        ranges: &draft.ranges,
        excluded: &draft.excluded,
        gateway: draft.gateway.as_deref(),
        routes: draft.routes.as_deref(),
    };
    let Ground { prefix, ranges, excluded, gateway, routes } = ground.check(flaws)?;
    Some(Subnet { name: name?, space: space?, prefix, ranges, excluded, gateway, routes })
}

impl From<Subnet> for SubnetDraft {
    fn from(subnet: Subnet) -> Self {
        Self {
            name: subnet.name.to_string(),
            space: subnet.space.to_string(),
            version: Some(subnet.family().version().into()),
            prefix: subnet.prefix.to_string(),
            ranges: lower_set(&subnet.ranges),
            excluded: lower_set(&subnet.excluded),
            gateway: subnet.gateway.map(|gateway| gateway.to_string()),
            routes: subnet.routes.map(|routes| routes.iter().map(RouteDraft::from).collect()),
        }
    }
}
