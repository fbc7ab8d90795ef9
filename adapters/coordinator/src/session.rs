//! What every verb needs: configuration, records, deadline, log, and names that have been checked.

use spiderpool_cni::{Call, CniError, NetConf, code};
use spiderpool_coordinator::conf::Conf;
use spiderpool_core::net::LinkName;
use spiderpool_host::attachment::Records;
use spiderpool_host::log::Log;
use std::time::Instant;

/// One verb under way.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) conf: Conf,
    pub(crate) records: Records,
    pub(crate) log: Log,
    /// When the verb must have ended.
    pub(crate) until: Instant,
}

impl Session {
    /// Begins a verb that needs a configuration without a mistake.
    ///
    /// # Errors
    /// Code 7 for the first mistake.
    pub(crate) fn strict(verb: &str, net: &NetConf, who: (&str, &str)) -> Result<Self, CniError> {
        Ok(Self::begin(verb, net, who, Conf::of(net)?))
    }

    /// Begins a verb that takes things back, whatever the configuration says by now.
    pub(crate) fn lenient(verb: &str, net: &NetConf, who: (&str, &str)) -> Self {
        Self::begin(verb, net, who, Conf::lenient(net))
    }

    fn begin(verb: &str, net: &NetConf, who: (&str, &str), conf: Conf) -> Self {
        let started = Instant::now();
        let (container, interface) = who;
        let subject =
            format!("verb={verb} network={} container={container} interface={interface}", net.name);
        let log = Log::open(&conf.log, subject);
        conf.remarks.iter().for_each(|remark| log.warn(remark));
        let until = started.checked_add(conf.timeout).unwrap_or(started);
        Self { records: Records::at(&conf.state), conf, log, until }
    }

    /// An error on its way to the runtime, written to the log.
    pub(crate) fn failed(&self, error: CniError) -> CniError {
        self.log.error(format!("code {}: {} {}", error.code, error.msg, error.details));
        error
    }
}

/// The interface of a call.
///
/// # Errors
/// Code 4 for what passed the specification's rules and not the kernel's.
pub(crate) fn interface<N>(call: &Call<N>) -> Result<LinkName, CniError> {
    LinkName::new(call.ifname.as_str())
        .map_err(|bad| CniError::caused_by(code::BAD_ENVIRONMENT, &bad))
}
