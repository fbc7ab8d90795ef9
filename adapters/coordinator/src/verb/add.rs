//! ADD: join the interface with its node and with the pod's other interfaces.

use crate::session::{Session, interface};
use crate::{failure, outcome};
use serde_json::Value;
use spiderpool_cni::{Call, CniError, NetConf, code};
use spiderpool_coordinator::conf::Draft;
use spiderpool_coordinator::facts::{PodName, source};
use spiderpool_core::intend::Mode;
use spiderpool_host::attachment::{Attached, Subject, Wanted, attach};
use std::path::PathBuf;

/// Attaches, and gives the previous result on. Asked again, it mends what is missing, and keeps the
/// interface's table.
///
/// # Errors
/// As in `failure`; nothing has changed then.
pub(crate) fn run(call: &Call<PathBuf>, conf: &NetConf) -> Result<Value, CniError> {
    let session = Session::strict("ADD", conf, (&call.container_id, &call.ifname))?;
    add(&session, call, conf).map_err(|error| session.failed(error))
}

fn add(session: &Session, call: &Call<PathBuf>, conf: &NetConf) -> Result<Value, CniError> {
    let previous = outcome::previous(conf)?;
    let draft = draft(session, call)?;
    let configuration = draft.configuration();
    let configuration = configuration.map_err(|bad| CniError::caused_by(code::INTERNAL, &bad))?;
    if configuration.mode == Mode::Disabled {
        session.log.info("mode disabled: nothing is done");
        return Ok(outcome::lower(conf, call, previous, None));
    }
    let interface = interface(call)?;
    let wanted = Wanted {
        subject: Subject {
            container: &call.container_id,
            interface: &interface,
            until: session.until,
        },
        network: &conf.name,
        netns: &call.netns,
        configuration: &configuration,
        expected: draft.expected.clone(),
    };
    let attached = attach(&session.records, &wanted).map_err(|error| failure::of(&error))?;
    tell(session, &attached);
    let mac = attached.mac.as_ref().filter(|_| configuration.mac_prefix.is_some());
    Ok(outcome::lower(conf, call, previous, mac))
}

/// What the configuration and the cluster say. A configuration that wants nothing done needs no cluster.
fn draft(session: &Session, call: &Call<PathBuf>) -> Result<Draft, CniError> {
    let said = &session.conf.draft;
    if said.mode == Some(Mode::Disabled) {
        return Ok(said.clone());
    }
    let facts = source(&session.conf, session.until);
    facts.of_pod(&pod(call)).map_err(|fault| failure::of_facts(&fault))
}

fn tell(session: &Session, attached: &Attached) {
    attached.remarks.iter().for_each(|remark| session.log.warn(remark));
    attached.notes.iter().for_each(|note| session.log.warn(note));
    for step in &attached.plan.steps {
        session.log.debug(format!("{}: {}", step.side, step.op));
    }
    let (steps, trips) = (attached.plan.steps.len(), attached.round_trips);
    session.log.info(format!("attached in {steps} steps and {trips} round trips"));
}

/// The pod, as far as the runtime says who it is.
fn pod(call: &Call<PathBuf>) -> PodName {
    let argument = |key: &str| call.args.get(key).filter(|value| !value.is_empty()).cloned();
    PodName { namespace: argument("K8S_POD_NAMESPACE"), name: argument("K8S_POD_NAME") }
}
