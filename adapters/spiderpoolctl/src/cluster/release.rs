//! `ip release`, `ip reserve`, `ip clear` and what `ip show` knows besides, on a cluster.
//!
//! What is given back is given back at the generation that was seen, and of a pod that lives only when
//! that is said twice (`tests/kube`: `a_living_pod_keeps_its_address`).

use super::Cluster;
use super::pods::identity_of;
use crate::failure::Failure;
use crate::listing::{Row, State as RowState, row_of};
use crate::session::Session;
use serde::Serialize;
use spiderpool_core::command::{Answer, Claim, Command, Hold, Place, Reclaim, Standing};
use spiderpool_core::event::Ending;
use spiderpool_core::slots::{BlockKey, BlockSize};
use spiderpool_kube::cluster::object::EndpointFacts;
use spiderpool_kube::cluster::wire;
use spiderpool_kube::cluster::workload::Pod;

/// What is asked of a release.
#[derive(Clone, Debug)]
pub(crate) struct Wish {
    pub(crate) place: Place,
    /// `None` for the generation that is seen.
    pub(crate) generation: Option<u64>,
    pub(crate) statics: bool,
    pub(crate) yes: bool,
}

/// What is known of an address besides its slot; the names of the fields are a promise.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Facts {
    /// The block that its slot is in.
    pub(crate) block: String,
    /// The pod that holds it, as `namespace/name`; absent when there is none.
    pub(crate) pod: Option<String>,
    /// The endpoint of the static identity that holds it, and whether it names the address.
    pub(crate) endpoint: Option<String>,
}

impl Cluster {
    /// What one address is.
    fn row(&self, session: &Session, place: &Place) -> Result<Row, Failure> {
        let state = self.around(session, &block_of(place))?;
        state.warn(session);
        row_of(&state.view(), place)
    }

    /// The pod that a slot is held through, by a live read of its node's pods.
    fn pod_of(&self, session: &Session, row: &Row) -> Result<Option<Pod>, Failure> {
        if row.pod_uid.is_empty() {
            return Ok(None);
        }
        let pods = self.pods(session, &format!("spec.nodeName={}", row.node))?;
        Ok(pods.into_iter().find(|pod| pod.is(&row.pod_uid)))
    }
}

fn block_of(place: &Place) -> BlockKey {
    BlockKey::of(&place.space, place.address, BlockSize::default())
}

/// One address, and what is known of its holder.
pub(crate) fn facts(
    session: &Session,
    cluster: &Cluster,
    place: &Place,
) -> Result<(Row, Facts), Failure> {
    let row = cluster.row(session, place)?;
    let pod = cluster.pod_of(session, &row)?;
    let endpoint = match identity_of(&row.owner) {
        None => None,
        Some(key) => {
            let read = cluster.endpoint(&key);
            let read = read.map_err(|fault| fault.tell(&format!("cannot read endpoint {key}")))?;
            let slots = read.as_ref().and_then(|object| Some(&object.body.endpoint()?.slots));
            let names = slots.is_some_and(|slots| slots.iter().any(|slot| slot.place == *place));
            Some(match (read.is_some(), names) {
                (false, _) => format!("{key} does not exist"),
                (true, true) => format!("{key} names it"),
                (true, false) => format!("{key} does not name it"),
            })
        }
    };
    let pod = pod.map(|pod| format!("{}/{}", pod.namespace, pod.name));
    Ok((row, Facts { block: wire::block_name(&block_of(place)), pod, endpoint }))
}

/// Ends one allocation.
pub(crate) fn release(
    session: &Session,
    cluster: &Cluster,
    wish: &Wish,
) -> Result<Vec<Standing>, Failure> {
    let row = cluster.row(session, &wish.place)?;
    let pod = cluster.pod_of(session, &row)?.filter(Pod::is_alive);
    if row.state == RowState::Allocated {
        let lives = pod.map(|pod| format!("pod {}/{}, which lives", pod.namespace, pod.name));
        if let Some(lives) = lives.as_ref().filter(|_| !wish.yes) {
            let what = format!("{} is held by {lives}; it would go on using it", row.address);
            return Err(Failure::refused(what)
                .try_this("delete the pod, and its node gives the address back; or say --yes"));
        }
        let holder = lives.unwrap_or_else(|| row.owner.clone());
        session
            .confirm(&format!("{} is held by {holder}; give it back?", row.address), wish.yes)?;
    }
    let generation = wish.generation.or(row.generation).unwrap_or_default();
    let command = Command::Reclaim(Reclaim {
        claims: vec![Claim { place: wish.place.clone(), generation }],
        statics: wish.statics,
        ending: Ending::Released,
    });
    let answer = cluster.carry_out(session, command, None).map_err(|failure| {
        if row.is_static() && !wish.statics {
            failure.try_this("if nobody needs it any more, the same with --static")
        } else {
            failure
        }
    })?;
    Ok(freed(answer))
}

pub(super) fn freed(answer: Answer) -> Vec<Standing> {
    match answer {
        Answer::Freed(freed) => freed,
        Answer::Defined { .. }
        | Answer::Allocated(_)
        | Answer::Quarantined { .. }
        | Answer::Spared(_)
        | Answer::Done => Vec::new(),
    }
}

/// Holds one address for a static identity, whose endpoint names it before and after.
pub(crate) fn reserve(session: &Session, cluster: &Cluster, hold: Hold) -> Result<(), Failure> {
    let Some(key) = identity_of(hold.owner.as_str()) else {
        let what = format!("{} is no identity of a cluster", hold.owner);
        return Err(Failure::bad(what).try_this("write --for NAMESPACE/NAME"));
    };
    // The replica's workload is what tells later whether the identity still stands.
    let set = key.name.rsplit_once('-').filter(|(_, ordinal)| ordinal.parse::<u64>().is_ok());
    let (owner_kind, owner_name) = match set {
        Some((set, _)) => ("StatefulSet", set.to_owned()),
        None => ("VirtualMachineInstance", key.name.to_string()),
    };
    let facts = EndpointFacts {
        node: hold.node.to_string(),
        pod_uid: String::new(),
        owner_kind: owner_kind.to_owned(),
        owner_name,
        key,
    };
    cluster.carry_out(session, Command::Hold(hold), Some(facts)).map(drop)
}

/// Ends a rest or a quarantine.
pub(crate) fn clear(session: &Session, cluster: &Cluster, place: &Place) -> Result<(), Failure> {
    cluster.carry_out(session, Command::Clear(place.clone()), None).map(drop)
}
