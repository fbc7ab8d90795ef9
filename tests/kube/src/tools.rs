//! The programs of a control plane, and where they are.
//!
//! Owns the one question to the environment: `SPIDERPOOL_KUBE_TOOLS`, the directory that
//! `cargo xtask kube build` fills and prints. `cluster` asks.

use std::path::PathBuf;

use crate::Fault;

/// Name of the variable that says where the programs are.
const VARIABLE: &str = "SPIDERPOOL_KUBE_TOOLS";

/// The directory of the programs.
#[derive(Debug, Clone)]
pub(crate) struct Tools {
    place: PathBuf,
}

impl Tools {
    /// Gives the directory that the environment names.
    ///
    /// # Errors
    /// When it names none.
    pub(crate) fn find() -> Result<Self, Fault> {
        let place = std::env::var_os(VARIABLE).filter(|place| !place.is_empty());
        Ok(Self { place: place.ok_or(Fault::Unset)?.into() })
    }

    /// Gives the path of a program.
    ///
    /// # Errors
    /// When it is not there.
    pub(crate) fn program(&self, program: &'static str) -> Result<PathBuf, Fault> {
        let path = self.place.join(program);
        if path.is_file() {
            return Ok(path);
        }
        Err(Fault::Missing { program, place: self.place.clone() })
    }
}
