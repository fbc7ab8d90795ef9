//! Whose a pod's addresses are, and whether a static identity still stands.
//!
//! A replica of a `StatefulSet` and a virtual machine keep their addresses when their pods are made
//! again: what holds is their name. Such an identity ends when nothing will make a pod of that name
//! any more, which only live reads can tell.

use super::pod::Pod;
use crate::cluster::object::EndpointKey;
use serde_json::Value;
use spiderpool_core::name::{BadName, Name};
use spiderpool_core::owner::Owner;

/// The API version of virtual machines.
pub const KUBEVIRT: &str = "kubevirt.io/v1";
/// The annotation of a pod that a virtual machine is being moved to.
pub const MIGRATION_JOB: &str = "kubevirt.io/migrationJobName";

/// Which identities outlive their pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Switches {
    /// `enableStatefulSet`.
    pub stateful_sets: bool,
    /// `enableKubevirtStaticIP`.
    pub virtual_machines: bool,
}

impl Default for Switches {
    fn default() -> Self {
        Self { stateful_sets: true, virtual_machines: true }
    }
}

/// Whose the addresses of a pod are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// What kind of identity it is; `None` for an ordinary pod, which is known by its UID.
    pub kind: Option<IdentityKind>,
    /// The endpoint, by the name of the pod or of the virtual machine.
    pub endpoint: EndpointKey,
    uid: Name,
}

/// What makes pods of an identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum IdentityKind {
    /// A `StatefulSet`, one for each ordinal.
    StatefulSet,
    /// A virtual machine of `KubeVirt`.
    Machine,
}

impl IdentityKind {
    /// The kind that an endpoint's `ownerControllerType` names.
    #[must_use]
    pub fn of_owner(kind: &str) -> Option<Self> {
        match kind {
            "StatefulSet" => Some(Self::StatefulSet),
            "VirtualMachineInstance" => Some(Self::Machine),
            _ => None,
        }
    }
}

impl Identity {
    /// Whose a pod's addresses are: only its direct controller counts.
    #[must_use]
    pub fn of(pod: &Pod, switches: Switches) -> Self {
        let stateful = pod.controlled_by("apps/v1", "StatefulSet");
        let machine = pod.controlled_by(KUBEVIRT, "VirtualMachineInstance");
        let (kind, name) = match (stateful, machine) {
            (Some(_), _) if switches.stateful_sets => (Some(IdentityKind::StatefulSet), &pod.name),
            (_, Some(owner)) if switches.virtual_machines => {
                (Some(IdentityKind::Machine), &owner.name)
            }
            _ => (None, &pod.name),
        };
        let endpoint = EndpointKey { namespace: pod.namespace.clone(), name: name.clone() };
        Self { kind, endpoint, uid: pod.uid_on_node() }
    }

    /// The owner of its slots.
    ///
    /// # Errors
    /// [`BadName`] when namespace and name together are too long.
    pub fn owner(&self) -> Result<Owner, BadName> {
        match self.kind {
            None => Owner::pod(&self.uid),
            Some(_) => Owner::identity(&Name::new(&self.endpoint.to_string())?),
        }
    }
}

/// The virtual machine's migration that a pod is the target of: if it exists, two pods may hold the
/// machine's address for a moment, and it is not asked whether somebody else has it.
#[must_use]
pub fn migration(pod: &Pod, switches: Switches) -> Option<Reading> {
    let is_machine = Identity::of(pod, switches).kind == Some(IdentityKind::Machine);
    let job = pod.annotations.get(MIGRATION_JOB).filter(|_| is_machine)?;
    let name = Name::new(job).ok()?;
    Some(reading(KUBEVIRT, "VirtualMachineInstanceMigration", &pod.namespace, name))
}

/// An object to be read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reading {
    /// Such as `apps/v1`.
    pub api_version: String,
    /// Such as `StatefulSet`.
    pub kind: String,
    /// Its namespace.
    pub namespace: Name,
    /// Its name.
    pub name: Name,
    /// Whether it has to come from the server and not from a cache.
    pub live: bool,
}

/// Whether an identity stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Validity {
    /// A pod of it exists or will be made.
    Valid,
    /// Nothing will make a pod of it.
    Invalid,
    /// It takes this read to tell.
    Need(Reading),
}

/// What is known of one object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lookup<T> {
    /// Nobody has looked.
    #[default]
    Unread,
    /// There is no such object.
    Absent,
    /// It exists.
    Found(T),
}

/// Which replicas a `StatefulSet` has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ordinals {
    /// The first ordinal (`spec.ordinals.start`).
    pub start: u64,
    /// How many follow, itself included (`spec.replicas`).
    pub replicas: u64,
}

/// What matters of a virtual machine or its instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Whether it has a `deletionTimestamp`.
    pub deleting: bool,
    /// Whether a `VirtualMachine` controls it.
    pub owned_by_machine: bool,
}

/// The objects of the identity's name that were read live.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Records {
    /// The `StatefulSet`.
    pub stateful_set: Lookup<Ordinals>,
    /// The `VirtualMachineInstance`.
    pub instance: Lookup<Machine>,
    /// The `VirtualMachine`.
    pub machine: Lookup<Machine>,
}

/// The ordinals that a `StatefulSet`'s JSON states.
#[must_use]
pub fn lift_ordinals(json: &Value) -> Ordinals {
    let number = |path: &str| json.pointer(path).and_then(Value::as_u64);
    Ordinals {
        start: number("/spec/ordinals/start").unwrap_or(0),
        replicas: number("/spec/replicas").unwrap_or(1),
    }
}

/// What matters of the JSON of a `VirtualMachine` or `VirtualMachineInstance`.
#[must_use]
pub fn lift_machine(json: &Value) -> Machine {
    let deletion = json.pointer("/metadata/deletionTimestamp");
    let owner = super::pod::controller_of(json).ok().flatten();
    Machine {
        deleting: deletion.is_some_and(|at| !at.is_null()),
        owned_by_machine: owner.is_some_and(|owner| owner.kind == "VirtualMachine"),
    }
}

/// Whether an identity stands, as far as the records tell. Where the kind is not known, it stands as
/// long as it stands as either kind.
#[must_use]
pub fn judge(kind: Option<IdentityKind>, key: &EndpointKey, records: &Records) -> Validity {
    match kind {
        Some(IdentityKind::StatefulSet) => judge_replica(key, records),
        Some(IdentityKind::Machine) => judge_machine(key, records),
        None => match judge_replica(key, records) {
            Validity::Invalid => judge_machine(key, records),
            judged @ (Validity::Valid | Validity::Need(_)) => judged,
        },
    }
}

fn judge_replica(key: &EndpointKey, records: &Records) -> Validity {
    let Some((set, ordinal)) = replica(&key.name) else { return Validity::Invalid };
    match records.stateful_set {
        Lookup::Unread => Validity::Need(reading("apps/v1", "StatefulSet", &key.namespace, set)),
        Lookup::Absent => Validity::Invalid,
        Lookup::Found(Ordinals { start, replicas }) => {
            stands((start..start.saturating_add(replicas)).contains(&ordinal))
        }
    }
}

fn judge_machine(key: &EndpointKey, records: &Records) -> Validity {
    let need = |kind| Validity::Need(reading(KUBEVIRT, kind, &key.namespace, key.name.clone()));
    match records.instance {
        Lookup::Unread => return need("VirtualMachineInstance"),
        Lookup::Found(instance) if !instance.deleting => return Validity::Valid,
        Lookup::Found(instance) if !instance.owned_by_machine => return Validity::Invalid,
        Lookup::Found(_) | Lookup::Absent => {}
    }
    match records.machine {
        Lookup::Unread => need("VirtualMachine"),
        Lookup::Absent => Validity::Invalid,
        Lookup::Found(machine) => stands(!machine.deleting),
    }
}

const fn stands(does: bool) -> Validity {
    if does { Validity::Valid } else { Validity::Invalid }
}

/// The set and ordinal in the name of a replica, as a `StatefulSet` writes it: without leading zeros.
fn replica(name: &str) -> Option<(Name, u64)> {
    let (set, text) = name.rsplit_once('-')?;
    let ordinal: u64 = text.parse().ok()?;
    let canonical = ordinal.to_string() == text;
    Name::new(set).ok().filter(|_| canonical).map(|set| (set, ordinal))
}

fn reading(api_version: &str, kind: &str, namespace: &Name, name: Name) -> Reading {
    Reading {
        api_version: api_version.to_owned(),
        kind: kind.to_owned(),
        namespace: namespace.clone(),
        name,
        live: true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::workload::lift_pod;
    use serde_json::json;

    fn pod(api: &str, kind: &str, name: &str) -> Pod {
        let owners = json!([{"apiVersion": api, "kind": kind, "name": name, "uid": "o", "controller": true}]);
        let metadata = json!({"namespace": "ns", "name": "web-0", "uid": "u", "ownerReferences": owners,
            "annotations": {MIGRATION_JOB: "job"}});
        lift_pod(&json!({"metadata": metadata})).unwrap()
    }

    fn owner(pod: &Pod, switches: Switches) -> String {
        Identity::of(pod, switches).owner().unwrap().to_string()
    }

    #[test]
    fn direct_controllers_alone_count() {
        let on = Switches::default();
        let off = Switches { stateful_sets: false, virtual_machines: false };
        let check = |(api, kind), expected: &str| {
            let pod = pod(api, kind, "vm");
            assert_eq!(owner(&pod, on), expected, "{kind} of {api}");
            assert_eq!(owner(&pod, off), "pod/u");
        };
        check(("apps/v1", "StatefulSet"), "identity/ns/web-0");
        check((KUBEVIRT, "VirtualMachineInstance"), "identity/ns/vm");
        check(("apps/v1", "ReplicaSet"), "pod/u");
        check(("apps.kruise.io/v1beta1", "StatefulSet"), "pod/u");
        check(("apps/v1", "VirtualMachineInstance"), "pod/u");
    }

    #[test]
    fn migration_targets_are_of_machines_alone() {
        let machine = pod(KUBEVIRT, "VirtualMachineInstance", "vm");
        let asked = migration(&machine, Switches::default()).unwrap();
        assert_eq!((&*asked.kind, &*asked.name), ("VirtualMachineInstanceMigration", "job"));
        let replica = pod("apps/v1", "StatefulSet", "web");
        assert_eq!(migration(&replica, Switches::default()), None);
    }

    fn key(name: &str) -> EndpointKey {
        EndpointKey { namespace: Name::new("ns").unwrap(), name: Name::new(name).unwrap() }
    }

    fn set(start: u64, replicas: u64) -> Records {
        let stateful_set = Lookup::Found(Ordinals { start, replicas });
        Records { stateful_set, ..Records::default() }
    }

    #[test]
    fn replicas_stand_within_their_ordinals() {
        let check = |name: &str, records: Records, expected: Validity| {
            let judged = judge(Some(IdentityKind::StatefulSet), &key(name), &records);
            assert_eq!(judged, expected, "{name} {records:?}");
        };
        check("web-0", set(0, 1), Validity::Valid);
        check("web-1", set(0, 1), Validity::Invalid);
        check("web-0", set(0, 0), Validity::Invalid);
        // #1667: ordinals that do not start at 0.
        check("web-5", set(5, 2), Validity::Valid);
        check("web-6", set(5, 2), Validity::Valid);
        check("web-7", set(5, 2), Validity::Invalid);
        check("web-0", set(5, 2), Validity::Invalid);
        check("web-01", set(0, 9), Validity::Invalid);
        check("web", set(0, 9), Validity::Invalid);
        check("web-0", set(u64::MAX, u64::MAX), Validity::Invalid);
        let gone = Records { stateful_set: Lookup::Absent, ..Records::default() };
        check("web-0", gone, Validity::Invalid);
    }

    #[test]
    fn machines_stand_as_long_as_something_starts_them() {
        use Lookup::{Absent, Found, Unread};
        let machine = |deleting, owned_by_machine| Found(Machine { deleting, owned_by_machine });
        let check = |instance, machine, expected: &str| {
            let records = Records { instance, machine, ..Records::default() };
            let told = match judge(Some(IdentityKind::Machine), &key("vm"), &records) {
                Validity::Valid => "valid".to_owned(),
                Validity::Invalid => "invalid".to_owned(),
                Validity::Need(reading) => reading.kind,
            };
            assert_eq!(told, expected, "{records:?}");
        };
        check(Unread, Unread, "VirtualMachineInstance");
        check(machine(false, true), Unread, "valid");
        check(machine(true, false), machine(false, false), "invalid");
        check(machine(true, true), Unread, "VirtualMachine");
        check(machine(true, true), machine(false, false), "valid");
        check(machine(true, true), machine(true, false), "invalid");
        check(Absent, Unread, "VirtualMachine");
        check(Absent, machine(false, false), "valid");
        check(Absent, machine(true, false), "invalid");
        check(Absent, Absent, "invalid");
    }

    #[test]
    fn nothing_is_invalid_unread() {
        let none = Records::default();
        for kind in [None, Some(IdentityKind::StatefulSet), Some(IdentityKind::Machine)] {
            assert!(matches!(judge(kind, &key("web-0"), &none), Validity::Need(r) if r.live));
        }
        let gone = Records { stateful_set: Lookup::Absent, ..none };
        assert!(matches!(judge(None, &key("web-0"), &gone), Validity::Need(_)));
        let both = Records { instance: Lookup::Absent, machine: Lookup::Absent, ..gone };
        assert_eq!(judge(None, &key("web-0"), &both), Validity::Invalid);
    }

    #[test]
    fn objects_are_lifted() {
        let ordinals = |json: Value| lift_ordinals(&json);
        assert_eq!(ordinals(json!({"spec": {}})), Ordinals { start: 0, replicas: 1 });
        let spec = json!({"spec": {"replicas": 0, "ordinals": {"start": 3}}});
        assert_eq!(ordinals(spec), Ordinals { start: 3, replicas: 0 });
        let owned = json!([{"apiVersion": KUBEVIRT, "kind": "VirtualMachine", "name": "vm", "uid": "x", "controller": true}]);
        let json = json!({"metadata": {"deletionTimestamp": "x", "ownerReferences": owned}});
        assert_eq!(lift_machine(&json), Machine { deleting: true, owned_by_machine: true });
        let bare = Machine { deleting: false, owned_by_machine: false };
        assert_eq!(lift_machine(&json!({"metadata": {}})), bare);
    }
}
