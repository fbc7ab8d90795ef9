//! The node's own namespace: looked at, held against what should be, and changed.
//!
//! The plugin runs where the node's links are, and no pod's namespace is opened. Invariant: whoever changes the node at the same time without our lock (an
//! administrator, another tool), an ADD ends with what it wished for or says what it found; it never
//! reports what it did not look at (`adds_without_a_common_lock_converge` in `tests/vm.rs`).

use std::thread;
use std::time::Duration;

use spiderpool_cni::{CniError, code};
use spiderpool_core::intend::{ParentConfiguration, Parents, parents};
use spiderpool_core::net::{HardwareAddress, LinkName, Scene, table};
use spiderpool_core::plan::{Plan, plan};
use spiderpool_netlink::{Focus, Namespace, Stage, Wanted};

use crate::failure::{self, IN_THE_WAY};

/// How often the node is looked at before an ADD gives up: somebody else is changing it all the time.
const MOST_ROUNDS: u32 = 12;
/// How much longer each pause is than the one before, while somebody else is at it.
const PAUSE: Duration = Duration::from_millis(10);

/// What an ADD came to.
pub(crate) struct Ensured {
    /// What was done, each as the command that it equals; nothing if all was there.
    pub(crate) done: Vec<String>,
    /// The link that pods' interfaces rest on.
    pub(crate) top: LinkName,
    /// Its hardware address.
    pub(crate) mac: Option<HardwareAddress>,
    /// Its maximum transmission unit, in bytes.
    pub(crate) mtu: Option<u32>,
}

/// Makes the node hold what it should.
///
/// # Errors
///
/// Code 7 or 100 for what is refused, 5 for what the kernel refuses.
pub(crate) fn ensure(configuration: &ParentConfiguration) -> Result<Ensured, CniError> {
    let mut stage = open()?;
    let mut done = Vec::new();
    let mut last = None;
    for round in 0..MOST_ROUNDS {
        pause(round);
        let (scene, parents, plan) = compare(&mut stage, configuration)?;
        if plan.is_empty() {
            let link = scene.host.links.get(&parents.top);
            let mac = link.and_then(|link| link.mac.clone());
            let mtu = link.map(|link| link.mtu);
            return Ok(Ensured { done, top: parents.top, mac, mtu });
        }
        // A step that failed may have failed because somebody else has done it: look again.
        match stage.apply(&plan) {
            Ok(_) => done.extend(commands(&plan)),
            Err(failed) => last = Some(failure::told(code::IO_FAILURE, &failed)),
        }
    }
    Err(last.unwrap_or_else(|| {
        let told = format!(
            "the node's links do not stay as they are set; is another tool managing them? Done in vain: {}",
            done.join("; ")
        );
        CniError::new(code::IO_FAILURE, told)
    }))
}

/// Nothing before the first two looks, then more and more; processes that are in step fall out of it.
fn pause(round: u32) {
    let jitter = Duration::from_millis(u64::from(std::process::id() % 13));
    if let Some(count) = round.checked_sub(1).filter(|count| *count > 0) {
        thread::sleep(PAUSE.saturating_mul(count).saturating_add(jitter));
    }
}

/// What is missing, each as the command that would repair it.
///
/// # Errors
///
/// As [`ensure`].
pub(crate) fn missing(configuration: &ParentConfiguration) -> Result<Vec<String>, CniError> {
    let (_, _, plan) = compare(&mut open()?, configuration)?;
    Ok(commands(&plan))
}

fn commands(plan: &Plan) -> Vec<String> {
    plan.steps.iter().map(|step| step.op.to_string()).collect()
}

fn open() -> Result<Stage, CniError> {
    let here = Namespace::here().map_err(|error| failure::told(code::IO_FAILURE, &error))?;
    Stage::of_host(&here).map_err(|error| failure::told(code::IO_FAILURE, &error))
}

fn compare(
    stage: &mut Stage,
    configuration: &ParentConfiguration,
) -> Result<(Scene, Parents, Plan), CniError> {
    // The default routes of the node are in its main table; nothing of a pod is wanted.
    let focus = Focus { host: Wanted::tables([table::MAIN]), pod: Wanted::default() };
    let scene = stage.observe(&focus).map_err(|error| failure::told(code::IO_FAILURE, &error))?;
    let parents =
        parents(&scene.host, configuration).map_err(|error| failure::of_refusal(&error))?;
    let plan = plan(&scene, &parents.intent).map_err(|error| failure::told(IN_THE_WAY, &error))?;
    Ok((scene, parents, plan))
}
