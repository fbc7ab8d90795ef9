//! What every verb needs: configuration, deadline, log, and names that have been checked.

use crate::conf::Ipam;
use crate::failure;
use crate::ledger::Ledger;
use spiderpool_cni::{Call, CniError, NetConf, code};
use spiderpool_core::moment::Moment;
use spiderpool_core::name::Name;
use spiderpool_host::log::Log;
use spiderpool_store::{JournalLimits, OpenOptions, Patience, Store, StoreError};
use std::path::Path;
use std::time::Instant;

/// The part of a verb's time that detection may use.
const PROBING_SHARE: f32 = 0.8;

/// One verb under way.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) ipam: Ipam,
    /// Who keeps the allocations.
    pub(crate) ledger: Ledger,
    pub(crate) log: Log,
    pub(crate) network: Name,
    pub(crate) patience: Patience,
    /// The verb ends here.
    pub(crate) until: Instant,
    /// Detection ends here, so that time is left to give back what was allocated.
    pub(crate) probe_until: Instant,
}

/// The container and interface of a call.
#[derive(Debug)]
pub(crate) struct Attachment {
    pub(crate) container: Name,
    pub(crate) interface: Name,
}

impl Session {
    pub(crate) fn start(
        verb: &str,
        conf: &NetConf,
        subject: Option<(&str, &str)>,
    ) -> Result<Self, CniError> {
        let started = Instant::now();
        let ipam = if verb == "DEL" { Ipam::lenient(conf) } else { Ipam::of(conf)? };
        let (container, interface) = subject.unwrap_or_default();
        let subject = format!(
            "verb={verb} network={} container={container} interface={interface}",
            conf.name
        );
        let log = Log::open(&ipam.log_file(), subject);
        if ipam.ipam_unix_socket_path.is_some() && ipam.store_path.is_some() {
            log.warn("`ipam_unix_socket_path` goes before `store_path`; leave one of them out");
        }
        let network = name(&conf.name)?;
        let ledger = Ledger::of(&ipam);
        let end = started.checked_add(ipam.timeout());
        let patience = end.map_or(Patience::Each(ipam.timeout()), Patience::Until);
        let until = end.unwrap_or(started);
        let probing = ipam.timeout().mul_f32(PROBING_SHARE);
        let probe_until = started.checked_add(probing).unwrap_or(started);
        Ok(Self { ipam, ledger, log, network, patience, until, probe_until })
    }

    /// The store in a directory; a plugin never makes one, since an empty store would give addresses
    /// twice.
    pub(crate) fn store(&self, dir: &Path) -> Result<Store, StoreError> {
        let options = OpenOptions {
            create: false,
            read_only: false,
            patience: self.patience,
            journal: JournalLimits::default(),
        };
        Store::open(dir, options)
    }

    /// An error on its way to the runtime, written to the log.
    pub(crate) fn failed(&self, error: CniError) -> CniError {
        self.log.error(format!("code {}: {} {}", error.code, error.msg, error.details));
        error
    }

    /// A failure of the store on its way to the runtime, written to the log.
    pub(crate) fn store_failed(&self, error: &StoreError) -> CniError {
        self.failed(failure::of_store(error))
    }
}

impl Attachment {
    pub(crate) fn of<N>(call: &Call<N>) -> Result<Self, CniError> {
        Ok(Self { container: name(&call.container_id)?, interface: name(&call.ifname)? })
    }
}

/// A checked name of what the runtime gave.
pub(crate) fn name(text: &str) -> Result<Name, CniError> {
    Name::new(text).map_err(|error| failure::told(code::BAD_ENVIRONMENT, &error))
}

/// Now, and a draw of chance.
pub(crate) fn moment() -> Result<Moment, CniError> {
    spiderpool_host::moment().map_err(|error| failure::told(code::IO_FAILURE, &error))
}
