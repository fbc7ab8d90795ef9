//! What of two namespaces is to be looked at: a node's own may hold far more than anybody needs.
//!
//! Made by whoever plans, read by [`Stage::observe`](crate::Stage::observe). Links, addresses and rules
//! are always looked at; what is not, cannot be planned with.

use std::collections::BTreeSet;

use spiderpool_core::net::{LinkName, Sysctl};

/// What is to be looked at on each side.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Focus {
    /// In the host's namespace.
    pub host: Wanted,
    /// In the pod's.
    pub pod: Wanted,
}

/// What is to be looked at in one namespace, besides links, addresses and rules.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wanted {
    /// The tables whose routes are wanted.
    pub tables: Tables,
    /// Whether the neighbours are wanted.
    pub neighbours: bool,
    /// The settings that are wanted; those that do not exist are left out.
    pub sysctls: BTreeSet<Sysctl>,
    /// The links whose virtual functions are wanted.
    pub functions: BTreeSet<LinkName>,
    /// Whether the table that marks connections is wanted.
    pub marks: bool,
}

/// The tables whose routes are wanted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Tables {
    /// Every table, the kernel's own included.
    #[default]
    All,
    /// These alone; the kernel is asked for nothing else.
    Only(BTreeSet<u32>),
}

impl Wanted {
    /// Everything but sysctls, which have to be named.
    #[must_use]
    pub fn everything() -> Self {
        Self { neighbours: true, marks: true, ..Self::default() }
    }

    /// The routes of some tables, and nothing more.
    #[must_use]
    pub fn tables(tables: impl IntoIterator<Item = u32>) -> Self {
        Self { tables: Tables::Only(tables.into_iter().collect()), ..Self::default() }
    }
}
