//! Pools: addresses with one prefix to allocate from, and who may have them.

use super::common::{Flaws, Ground, GroundDraft};
use super::{BadDefinition, Flaw, Route, RouteDraft, lower_set};
use crate::address::{AddressSet, Family};
use crate::label::Selector;
use crate::name::Name;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// Which free address of a pool is given next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Policy {
    /// The lowest free one; the reference's behaviour.
    #[default]
    Sequential,
    /// One from a block that few other nodes will try at the same time.
    Spread,
    /// The one that has been free for longest.
    Rotate,
}

/// Whom a pool serves; every part that is set has to match.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Scope {
    /// Labels of the pod.
    pub pods: Option<Selector>,
    /// Labels of the pod's namespace; looked at only when `namespace_names` is empty.
    pub namespaces: Option<Selector>,
    /// Exact names of namespaces.
    pub namespace_names: Vec<String>,
    /// Labels of the node; looked at only when `node_names` is empty.
    pub nodes: Option<Selector>,
    /// Exact names of nodes.
    pub node_names: Vec<String>,
    /// The networks (`namespace/name`) whose attachments may use the pool.
    pub networks: Vec<String>,
}

/// A pool as it was written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PoolDraft {
    /// The pool's name.
    pub name: String,
    /// The address space; empty means `default`.
    pub space: String,
    /// 4 or 6; follows from `prefix` when left out.
    pub version: Option<i64>,
    /// The prefix in network form.
    pub prefix: String,
    /// Addresses to give out.
    pub ranges: Vec<String>,
    /// Addresses not to give out although `ranges` names them.
    pub excluded: Vec<String>,
    /// The default gateway of its pods.
    pub gateway: Option<String>,
    /// Further routes of its pods; `None` inherits those of the subnet.
    pub routes: Option<Vec<RouteDraft>>,
    /// Whom it serves.
    pub scope: Scope,
    /// Whether it is used by requests that name no pool.
    pub is_default: bool,
    /// Whether it gives out nothing for the time being.
    pub disabled: bool,
    /// Whether it is to go as soon as it is empty; gives out nothing.
    pub deleting: bool,
    /// Which free address is next.
    pub policy: Policy,
    /// How long a released address rests before it is given again, in milliseconds.
    pub cool_down_ms: u64,
    /// The subnet it was carved from.
    pub subnet: Option<String>,
}

/// A pool whose fields have been checked.
///
/// ```
/// use spiderpool_core::definition::{Pool, PoolDraft};
/// let draft = PoolDraft {
///     name: "blue".into(),
///     prefix: "10.6.0.0/16".into(),
///     ranges: vec!["10.6.0.10-10.6.0.99".into()],
///     gateway: Some("10.6.0.1".into()),
///     ..PoolDraft::default()
/// };
/// assert_eq!(Pool::try_from(draft)?.usable().count(), 90);
/// # Ok::<(), spiderpool_core::definition::BadDefinition>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "PoolDraft", into = "PoolDraft")]
pub struct Pool {
    pub(crate) name: Name,
    pub(crate) space: Name,
    pub(crate) prefix: IpNet,
    pub(crate) ranges: AddressSet,
    pub(crate) excluded: AddressSet,
    pub(crate) gateway: Option<IpAddr>,
    pub(crate) routes: Option<Vec<Route>>,
    pub(crate) scope: Scope,
    pub(crate) is_default: bool,
    pub(crate) disabled: bool,
    pub(crate) deleting: bool,
    pub(crate) policy: Policy,
    pub(crate) cool_down_ms: u64,
    pub(crate) subnet: Option<Name>,
}

impl Pool {
    /// The pool's name.
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

    /// The addresses that it may give out by its own definition; reservations are taken off later.
    #[must_use]
    pub fn usable(&self) -> AddressSet {
        if self.excluded.is_empty() {
            return self.ranges.clone();
        }
        self.ranges.difference(&self.excluded)
    }

    /// The default gateway of its pods.
    #[must_use]
    pub const fn gateway(&self) -> Option<IpAddr> {
        self.gateway
    }

    /// The further routes of its pods.
    #[must_use]
    pub fn routes(&self) -> &[Route] {
        self.routes.as_deref().unwrap_or_default()
    }

    /// Whom it serves.
    #[must_use]
    pub const fn scope(&self) -> &Scope {
        &self.scope
    }

    /// Whether requests that name no pool use it.
    #[must_use]
    pub const fn is_default(&self) -> bool {
        self.is_default
    }

    /// Whether it gives out nothing for the time being.
    #[must_use]
    pub const fn is_disabled(&self) -> bool {
        self.disabled
    }

    /// Whether it goes as soon as it is empty.
    #[must_use]
    pub const fn is_deleting(&self) -> bool {
        self.deleting
    }

    /// Which free address is next.
    #[must_use]
    pub const fn policy(&self) -> Policy {
        self.policy
    }

    /// How long a released address rests, in milliseconds; 0 for not at all.
    #[must_use]
    pub const fn cool_down_ms(&self) -> u64 {
        self.cool_down_ms
    }

    /// The subnet it was carved from.
    #[must_use]
    pub const fn subnet(&self) -> Option<&Name> {
        self.subnet.as_ref()
    }

    /// Whether released addresses are remembered in the order in which they came back.
    pub(crate) fn rests(&self) -> bool {
        self.cool_down_ms > 0 || self.policy == Policy::Rotate
    }
}

impl TryFrom<PoolDraft> for Pool {
    type Error = BadDefinition;

    fn try_from(draft: PoolDraft) -> Result<Self, BadDefinition> {
        let mut flaws = Flaws::default();
        let checked = check(&draft, &mut flaws);
        flaws.finish(format!("pool {}", draft.name), checked)
    }
}

fn check(draft: &PoolDraft, flaws: &mut Flaws) -> Option<Pool> {
    let name = flaws.name(&draft.name);
    let space = flaws.space(&draft.space);
    let subnet = draft.subnet.as_deref().and_then(|s| flaws.keep("subnet owner", Name::new(s)));
    check_scope(&draft.scope, flaws);
    let ground = GroundDraft {
        version: draft.version,
        prefix: &draft.prefix,
        ranges: &draft.ranges,
        excluded: &draft.excluded,
        gateway: draft.gateway.as_deref(),
        routes: draft.routes.as_deref(),
    };
    let Ground { prefix, ranges, excluded, gateway, routes } = ground.check(flaws)?;
    Some(Pool {
        name: name?,
        space: space?,
        prefix,
        ranges,
        excluded,
        gateway,
        routes,
        scope: draft.scope.clone(),
        is_default: draft.is_default,
        disabled: draft.disabled,
        deleting: draft.deleting,
        policy: draft.policy,
        cool_down_ms: draft.cool_down_ms,
        subnet,
    })
}

fn check_scope(scope: &Scope, flaws: &mut Flaws) {
    let selectors = [
        ("podAffinity", &scope.pods),
        ("namespaceAffinity", &scope.namespaces),
        ("nodeAffinity", &scope.nodes),
    ];
    for (field, selector) in selectors {
        if selector.as_ref().is_some_and(Selector::is_empty) {
            flaws.add(field, Flaw::EmptySelector);
        }
    }
}

impl From<Pool> for PoolDraft {
    fn from(pool: Pool) -> Self {
        Self {
            name: pool.name.to_string(),
            space: pool.space.to_string(),
            version: Some(pool.family().version().into()),
            prefix: pool.prefix.to_string(),
            ranges: lower_set(&pool.ranges),
            excluded: lower_set(&pool.excluded),
            gateway: pool.gateway.map(|gateway| gateway.to_string()),
            routes: pool.routes.map(|routes| routes.iter().map(RouteDraft::from).collect()),
            scope: pool.scope,
            is_default: pool.is_default,
            disabled: pool.disabled,
            deleting: pool.deleting,
            policy: pool.policy,
            cool_down_ms: pool.cool_down_ms,
            subnet: pool.subnet.map(String::from),
        }
    }
}
