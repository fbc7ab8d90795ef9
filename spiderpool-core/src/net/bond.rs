//! Bonds: several links as one, and the options that say how.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A bond's options; what is not named is the driver's default, or not observed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Bond {
    /// Each option's value.
    pub options: BTreeMap<BondOption, BondValue>,
}

/// An option of a bond (`IFLA_BOND_*` in `include/uapi/linux/if_link.h`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum BondOption {
    /// How the ports share the work.
    Mode,
    /// How often carriers are looked at, in milliseconds.
    Miimon,
}

/// The value of a bond's option.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum BondValue {
    /// A number, or an enumeration by its number.
    Number(u32),
}
