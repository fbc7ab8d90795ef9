//! Pods, their sandboxes, and the runtimes that ask for addresses on their behalf.
//!
//! A runtime does what real ones were seen to do: it adds one interface after the other; a failed ADD
//! is followed by DELs for all of them; a DEL that fails is tried again for ever; a sandbox is made
//! again with another container id, before or after the old one's DEL; a node that reboots has every
//! sandbox to make again, and every old one to delete.
//!
//! What a container was told counts from the moment the runtime has the answer until it tells the
//! agent that the container goes, or the node loses power.

use crate::agent::{Asked, name};
use crate::machine::Machine;
use crate::saboteur::Bug;
use crate::schedule::{Deletion, Named, Wish};
use crate::wire::fault_name;
use crate::world::{Happening, World};
use spiderpool_core::command::{Allocated, Answer, Command, Release};
use spiderpool_core::name::Name;
use spiderpool_core::owner::{Holder, Owner};
use spiderpool_core::request::{FamilyPolicy, NicPools, PoolNames, Request, Sources, Subject};
use spiderpool_kube::cluster::object::{EndpointFacts, EndpointKey};
use spiderpool_kube::cluster::port::{Ask, AskId, Fault, Input};

/// How long a plugin waits for its agent, in milliseconds.
const PLUGIN_WAITS_MS: u64 = 15_000;

/// How long a runtime waits for a plugin, in milliseconds.
const RUNTIME_WAITS_MS: u64 = 20_000;

/// The longest wait before a runtime tries again, in milliseconds.
const BACKOFF_MAX_MS: u64 = 10_000;

/// The same when faults have ceased: who waits for an address that nobody gives back costs less.
pub(crate) const CALM_BACKOFF_MAX_MS: u64 = 60_000;

/// What becomes of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    /// It is to run.
    Wanted,
    /// It has a deletion timestamp.
    Stopping,
    /// Its object is gone.
    Gone,
}

/// A pod.
#[derive(Debug)]
pub(crate) struct Pod {
    pub(crate) uid: Name,
    pub(crate) key: EndpointKey,
    pub(crate) host: usize,
    pub(crate) wish: Wish,
    /// The set and number of a StatefulSet's pod.
    pub(crate) set: Option<(usize, u32)>,
    pub(crate) life: Life,
    pub(crate) sandbox: Option<usize>,
    attempts: u32,
    /// Whether one of its name is made when it is gone.
    renewed: bool,
    /// How it was deleted past its runtime, if it was.
    pub(crate) forced: bool,
}

/// How far a sandbox has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Its interfaces are added, this one now.
    Adding(usize),
    /// All were added.
    Live,
    /// It is dead, and its DELs are under way; so many interfaces are left.
    Dying(usize),
    /// Nothing is left.
    Gone,
}

/// A sandbox.
#[derive(Debug)]
pub(crate) struct Sandbox {
    pub(crate) pod: usize,
    pub(crate) host: usize,
    pub(crate) container: Name,
    pub(crate) phase: Phase,
    /// The question that its runtime waits for.
    waits_for: Option<AskId>,
    /// Whether one DEL covers all interfaces.
    whole: bool,
    retries: u32,
}

impl Sandbox {
    /// Whether something of it may run or come to run.
    pub(crate) const fn is_there(&self) -> bool {
        matches!(self.phase, Phase::Adding(_) | Phase::Live)
    }
}

/// A StatefulSet.
#[derive(Debug)]
pub(crate) struct StatefulSet {
    pub(crate) replicas: u32,
    pub(crate) wish: Option<Wish>,
}

impl StatefulSet {
    pub(crate) fn some(count: usize) -> Vec<Self> {
        (0..count).map(|_| Self { replicas: 0, wish: None }).collect()
    }
}

fn interface(at: usize) -> Name {
    name(if at == 0 { "eth" } else { "net" }, at)
}

fn pools_of(wish: Wish) -> PoolNames {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let v4 = match wish.pools {
        Named::First => names(&["first"]),
        Named::Second => names(&["second"]),
        Named::SecondThenFirst => names(&["second", "first"]),
        Named::Defaults => Vec::new(),
    };
    let v6 = if wish.dual { names(&["six"]) } else { Vec::new() };
    PoolNames { v4, v6 }
}

fn sources_of(wish: Wish) -> Sources {
    if wish.together {
        let nic = |at| NicPools {
            attachment: Some(interface(at)),
            pools: pools_of(Wish { pools: Named::First, ..wish }),
            clean_gateway: None,
        };
        let nics = (0..wish.interfaces).map(nic).collect();
        return Sources { per_nic: Some(nics), ..Sources::default() };
    }
    let pools = pools_of(wish);
    if pools.is_empty() {
        return Sources::default();
    }
    Sources { pod: Some(pools), ..Sources::default() }
}

impl Pod {
    /// Whose addresses it has.
    pub(crate) fn owner(&self) -> Owner {
        let made = match self.set {
            None => Owner::pod(&self.uid),
            Some(_) => Name::new(&format!("{}/{}", self.key.namespace, self.key.name))
                .and_then(|name| Owner::identity(&name)),
        };
        made.unwrap_or_else(|_| unreachable!("short names make an owner"))
    }

    /// What one of its interfaces asks for.
    pub(crate) fn request(&self, at: usize, container: Name, node: Name, ticket: u64) -> Request {
        let holder = Holder {
            owner: self.owner(),
            pod_uid: Some(self.uid.clone()),
            container: Some(container),
            node,
        };
        Request {
            holder,
            attachment: interface(at),
            network: name("lan", at),
            subject: Subject { namespace: "ns".to_owned(), ..Subject::default() },
            sources: sources_of(self.wish),
            named: Vec::new(),
            routes: Vec::new(),
            clean_gateway: false,
            families: FamilyPolicy::Require,
            only: None,
            master: None,
            ticket,
        }
    }

    fn facts(&self, node: &Name) -> Option<EndpointFacts> {
        let (set, _) = self.set?;
        Some(EndpointFacts {
            key: self.key.clone(),
            pod_uid: self.uid.to_string(),
            node: node.to_string(),
            owner_kind: "StatefulSet".to_owned(),
            owner_name: format!("set{set}"),
        })
    }
}

impl<M: Machine> World<'_, M> {
    /// Makes a pod and assigns it to a host.
    pub(crate) fn create(&mut self, host: usize, wish: Wish, set: Option<(usize, u32)>) {
        let at = self.pods.len();
        let text = set.map_or_else(|| format!("p{at}"), |(set, at)| format!("set{set}-{at}"));
        self.create_named(host, wish, set, &text);
    }

    fn create_named(&mut self, host: usize, wish: Wish, set: Option<(usize, u32)>, text: &str) {
        let at = self.pods.len();
        let Ok(pod_name) = Name::new(text) else { return };
        let key = EndpointKey { namespace: self.definitions.namespace.clone(), name: pod_name };
        let uid = name("u", at);
        self.by_uid.insert(uid.clone(), at);
        self.counts.pods += 1;
        let (life, sandbox) = (Life::Wanted, None);
        let pod = Pod {
            uid,
            key,
            host,
            wish,
            set,
            life,
            sandbox,
            attempts: 0,
            renewed: false,
            forced: false,
        };
        self.pods.push(pod);
        if let Some(host) = self.hosts.get_mut(host) {
            host.pods.push(at);
        }
        let delay = self.chance.between(1, 500);
        self.after(delay, Happening::Sync(at));
    }

    /// A runtime starts a sandbox for a pod that has none.
    pub(crate) fn sync(&mut self, at: usize) {
        let Some(pod) = self.pods.get(at) else { return };
        let Some(host) = self.hosts.get(pod.host) else { return };
        if pod.life != Life::Wanted || pod.sandbox.is_some() || !host.is_on() {
            return;
        }
        let sandbox = self.begin_sandbox(at);
        let delay = self.chance.between(1, 100);
        self.after(delay, Happening::Add { sandbox, interface: 0 });
    }

    fn begin_sandbox(&mut self, pod: usize) -> usize {
        let at = self.sandboxes.len();
        let container = name("c", at);
        self.by_container.insert(container.clone(), at);
        let host = self.pods.get(pod).map_or(0, |pod| pod.host);
        let whole = self.chance.one_in(3);
        let (phase, waits_for) = (Phase::Adding(0), None);
        self.sandboxes.push(Sandbox { pod, host, container, phase, waits_for, whole, retries: 0 });
        if let Some(host) = self.hosts.get_mut(host) {
            host.sandboxes.push(at);
        }
        if let Some(pod) = self.pods.get_mut(pod) {
            pod.sandbox = Some(at);
        }
        at
    }

    /// A runtime asks for an interface of a sandbox.
    pub(crate) fn add(&mut self, at: usize, interface: usize) {
        let Some(sandbox) = self.sandboxes.get(at) else { return };
        if sandbox.phase != Phase::Adding(interface) || sandbox.waits_for.is_some() {
            return;
        }
        if !self.ask_for(at, interface, false) {
            self.add_failed(at);
        }
    }

    /// Asks for an interface; false when there is nobody to ask.
    fn ask_for(&mut self, at: usize, interface: usize, again: bool) -> bool {
        let Some(sandbox) = self.sandboxes.get(at) else { return false };
        let Some(pod) = self.pods.get(sandbox.pod) else { return false };
        let Some(host) = self.hosts.get_mut(sandbox.host) else { return false };
        host.ticket += 1;
        let container = sandbox.container.clone();
        let request = pod.request(interface, container, host.node.clone(), host.ticket);
        let endpoint = pod.facts(&host.node);
        let asked = Asked { sandbox: at, interface: Some(interface), again };
        self.ask(asked, Command::Allocate(request), endpoint)
    }

    fn ask(&mut self, asked: Asked, command: Command, endpoint: Option<EndpointFacts>) -> bool {
        let Some(sandbox) = self.sandboxes.get_mut(asked.sandbox) else { return false };
        let (host_at, now) = (sandbox.host, self.now);
        let Some(host) = self.hosts.get_mut(host_at) else { return false };
        if host.machine.is_none() || !host.is_on() {
            return false;
        }
        host.next_ask += 1;
        let id = host.next_ask;
        host.asks.insert(id, asked);
        if !asked.again {
            sandbox.waits_for = Some(id);
        }
        let deadline_ms = host.local_ms(now) + PLUGIN_WAITS_MS;
        self.after(RUNTIME_WAITS_MS, Happening::GiveUp { host: host_at, ask: id });
        let ask = Box::new(Ask { command, endpoint, deadline_ms });
        self.step(host_at, Input::Ask { id, ask });
        true
    }

    /// A runtime stops waiting.
    pub(crate) fn unanswered(&mut self, host: usize, ask: AskId) {
        let asked = self.hosts.get_mut(host).and_then(|host| host.asks.remove(&ask));
        if let Some(asked) = asked {
            self.settled(asked, ask, None);
        }
    }

    /// An agent answers.
    pub(crate) fn answered(&mut self, at: usize, id: AskId, answer: Result<Answer, Fault>) {
        let asked = self.hosts.get_mut(at).and_then(|host| host.asks.remove(&id));
        if let Some(asked) = asked {
            self.settled(asked, id, Some(answer));
        }
    }

    fn settled(&mut self, asked: Asked, id: AskId, answer: Option<Result<Answer, Fault>>) {
        let Some(sandbox) = self.sandboxes.get_mut(asked.sandbox) else { return };
        if asked.again {
            if let (Some(interface), Some(Ok(Answer::Allocated(allocated)))) =
                (asked.interface, answer)
            {
                self.granted(asked.sandbox, interface, &allocated);
            }
            return;
        }
        if sandbox.waits_for != Some(id) {
            return;
        }
        sandbox.waits_for = None;
        match (asked.interface, answer) {
            (Some(interface), Some(Ok(Answer::Allocated(allocated)))) => {
                self.counts.granted += 1;
                self.granted(asked.sandbox, interface, &allocated);
            }
            (Some(_), answer) => {
                if let Some(Err(fault)) = &answer {
                    *self.counts.refused.entry(fault_name(fault)).or_default() += 1;
                }
                self.add_failed(asked.sandbox);
            }
            (None, Some(Ok(_))) => self.deleted(asked.sandbox),
            (None, _) => self.delete_later(asked.sandbox),
        }
    }

    /// An interface has its addresses: on to the next one.
    fn granted(&mut self, at: usize, interface_at: usize, allocated: &Allocated) {
        let attachment = interface(interface_at);
        if self.sandboxes.get(at).is_some_and(Sandbox::is_there) {
            self.tell(at, &attachment, allocated);
        }
        let Some(sandbox) = self.sandboxes.get_mut(at) else { return };
        if sandbox.phase != Phase::Adding(interface_at) {
            return;
        }
        let interfaces = self.pods.get(sandbox.pod).map_or(1, |pod| pod.wish.interfaces);
        if interface_at + 1 < interfaces {
            sandbox.phase = Phase::Adding(interface_at + 1);
            let delay = self.chance.between(1, 20);
            self.after(delay, Happening::Add { sandbox: at, interface: interface_at + 1 });
        } else {
            sandbox.phase = Phase::Live;
            if let Some(pod) = self.pods.get_mut(sandbox.pod) {
                pod.attempts = 0;
            }
        }
    }

    /// A sandbox could not be set up: it is taken down, and the pod tried again later.
    fn add_failed(&mut self, at: usize) {
        let Some(pod) = self.sandboxes.get(at).map(|sandbox| sandbox.pod) else { return };
        self.take_down(at, Some(1));
        let calm = self.is_calm();
        let Some(pod_of) = self.pods.get_mut(pod) else { return };
        pod_of.attempts += 1;
        let most = if calm { CALM_BACKOFF_MAX_MS } else { BACKOFF_MAX_MS };
        let backoff = (200_u64 << pod_of.attempts.min(10)).min(most);
        let delay = self.chance.between(backoff / 2, backoff);
        self.after(delay, Happening::Sync(pod));
    }

    /// A sandbox is dead from here on, and its DELs begin after a while.
    pub(crate) fn take_down(&mut self, at: usize, delay: Option<u64>) {
        self.forget(at);
        let Some(sandbox) = self.sandboxes.get_mut(at) else { return };
        if !sandbox.is_there() {
            return;
        }
        let pod = sandbox.pod;
        let interfaces = self.pods.get(pod).map_or(1, |pod| pod.wish.interfaces);
        sandbox.phase = Phase::Dying(if sandbox.whole { 1 } else { interfaces });
        sandbox.waits_for = None;
        if let Some(pod) = self.pods.get_mut(pod)
            && pod.sandbox == Some(at)
        {
            pod.sandbox = None;
        }
        if let Some(delay) = delay {
            self.after(delay, Happening::Del { sandbox: at });
        }
    }

    /// A runtime tells of a sandbox that goes.
    pub(crate) fn del(&mut self, at: usize) {
        let Some(sandbox) = self.sandboxes.get(at) else { return };
        let Phase::Dying(left) = sandbox.phase else { return };
        if sandbox.waits_for.is_some() {
            return;
        }
        let attachment = (!sandbox.whole).then(|| interface(left.saturating_sub(1)));
        let mut container = sandbox.container.clone();
        if self.bug == Some(Bug::ContainerIgnored) {
            let present = self.pods.get(sandbox.pod).and_then(|pod| pod.sandbox);
            let present = present.and_then(|present| self.sandboxes.get(present));
            container = present.map_or(container, |present| present.container.clone());
        }
        let Some(host) = self.hosts.get_mut(sandbox.host) else { return };
        host.ticket += 1;
        let release = Release { container, attachment, ticket: host.ticket };
        let asked = Asked { sandbox: at, interface: None, again: false };
        if !self.ask(asked, Command::Release(release), None) {
            self.delete_later(at);
        }
    }

    /// A DEL that failed is tried again for ever.
    fn delete_later(&mut self, at: usize) {
        let Some(sandbox) = self.sandboxes.get_mut(at) else { return };
        let host = self.hosts.get(sandbox.host);
        if host.is_none_or(|host| !host.is_on()) {
            return;
        }
        sandbox.retries += 1;
        let backoff = (100_u64 << sandbox.retries.min(8)).min(BACKOFF_MAX_MS);
        let delay = self.chance.between(backoff / 2, backoff);
        self.after(delay, Happening::Del { sandbox: at });
    }

    fn deleted(&mut self, at: usize) {
        self.counts.released += 1;
        let Some(sandbox) = self.sandboxes.get_mut(at) else { return };
        let Phase::Dying(left) = sandbox.phase else { return };
        if left > 1 {
            sandbox.phase = Phase::Dying(left - 1);
            let delay = self.chance.between(1, 20);
            return self.after(delay, Happening::Del { sandbox: at });
        }
        sandbox.phase = Phase::Gone;
        let pod = sandbox.pod;
        let of_pod = |sandbox: &Sandbox| sandbox.pod == pod && sandbox.phase != Phase::Gone;
        let stopping = self.pods.get(pod).is_some_and(|pod| pod.life == Life::Stopping);
        if stopping && !self.sandboxes.iter().any(of_pod) {
            self.vanish(pod);
        }
    }

    /// A pod's object goes.
    pub(crate) fn vanish(&mut self, at: usize) {
        let Some(pod) = self.pods.get_mut(at) else { return };
        if pod.life == Life::Gone {
            return;
        }
        pod.life = Life::Gone;
        let (wish, host, set, renewed) = (pod.wish, pod.host, pod.set, pod.renewed);
        let text = pod.key.name.to_string();
        if let Some((set, number)) = set {
            return self.fill(set, number);
        }
        if renewed {
            let host = if self.chance.one_in(2) { host } else { self.any_host() };
            self.create_named(host, wish, None, &text);
        }
    }

    /// A StatefulSet makes the pod of a number, if it is to be and is not.
    pub(crate) fn fill(&mut self, set: usize, number: u32) {
        let Some(of) = self.sets.get(set) else { return };
        let is_it = |pod: &Pod| pod.set == Some((set, number)) && pod.life != Life::Gone;
        if number >= of.replicas || self.pods.iter().any(is_it) {
            return;
        }
        let Some(wish) = of.wish else { return };
        let host = self.any_host();
        self.create(host, wish, Some((set, number)));
    }

    pub(crate) fn any_host(&mut self) -> usize {
        let from = self.chance.place(self.hosts.len());
        let well = |at: &usize| self.hosts.get(*at).is_some_and(|host| !host.demolished);
        let count = self.hosts.len();
        (from..count).chain(0..from).find(well).unwrap_or(0)
    }

    /// A pod is deleted.
    pub(crate) fn delete(&mut self, at: usize, how: Deletion) {
        let Some(pod) = self.pods.get_mut(at) else { return };
        if pod.life != Life::Wanted {
            return;
        }
        let delay = match how {
            Deletion::Orderly | Deletion::Renewed => {
                pod.life = Life::Stopping;
                pod.renewed = how == Deletion::Renewed;
                self.chance.between(1, 3_000)
            }
            Deletion::Forced { runs_on_ms } => {
                pod.forced = true;
                self.vanish(at);
                runs_on_ms
            }
        };
        self.after(delay, Happening::Stop { pod: at });
    }

    /// A pod's time is up: its sandboxes go, and when none is left, its object.
    pub(crate) fn stop(&mut self, at: usize) {
        if let Some(sandbox) = self.pods.get(at).and_then(|pod| pod.sandbox) {
            return self.take_down(sandbox, Some(1));
        }
        let of_pod = |sandbox: &Sandbox| sandbox.pod == at && sandbox.phase != Phase::Gone;
        if !self.sandboxes.iter().any(of_pod) {
            self.vanish(at);
        }
    }

    /// A sandbox dies and is made again; the old one's DEL comes before or after the new one's ADD.
    pub(crate) fn restart(&mut self, pod: usize, del_after_ms: u64) {
        let Some(old) = self.pods.get(pod).and_then(|pod| pod.sandbox) else { return };
        if self.sandboxes.get(old).is_none_or(|sandbox| sandbox.phase != Phase::Live) {
            return;
        }
        self.take_down(old, Some(del_after_ms + 1));
        let wanted = self.pods.get(pod).is_some_and(|pod| pod.life == Life::Wanted);
        if wanted {
            self.after(2, Happening::Sync(pod));
        }
    }

    /// A runtime asks again for what it was told.
    pub(crate) fn ask_again(&mut self, pod: usize) {
        let Some(at) = self.pods.get(pod).and_then(|pod| pod.sandbox) else { return };
        if self.sandboxes.get(at).is_none_or(|sandbox| sandbox.phase != Phase::Live) {
            return;
        }
        self.ask_for(at, 0, true);
    }

    /// A host loses power: every sandbox dies, and every question with it.
    pub(crate) fn power_off(&mut self, at: usize) {
        let now = self.now;
        let Some(host) = self.hosts.get_mut(at) else { return };
        host.asks.clear();
        host.off_since.get_or_insert(now);
        self.die(at);
        for sandbox in self.hosts.get(at).map(|host| host.sandboxes.clone()).unwrap_or_default() {
            self.take_down(sandbox, None);
            if let Some(sandbox) = self.sandboxes.get_mut(sandbox) {
                sandbox.waits_for = None;
            }
        }
    }

    /// A host comes back: every old sandbox is deleted, every pod's made anew, in any order.
    pub(crate) fn boot(&mut self, at: usize) {
        let Some(host) = self.hosts.get_mut(at) else { return };
        if host.demolished || host.is_on() {
            return;
        }
        host.off_since = None;
        let (sandboxes, pods) = (host.sandboxes.clone(), host.pods.clone());
        let delay = self.chance.between(1, 3_000);
        self.after(delay, Happening::Start(at));
        for sandbox in sandboxes {
            let phase = self.sandboxes.get(sandbox).map(|sandbox| sandbox.phase);
            if matches!(phase, Some(Phase::Dying(_))) {
                let delay = self.chance.between(1, 4_000);
                self.after(delay, Happening::Del { sandbox });
            }
        }
        for pod in pods {
            let delay = self.chance.between(1, 4_000);
            self.after(delay, Happening::Sync(pod));
            if self.pods.get(pod).is_some_and(|pod| pod.life == Life::Stopping) {
                self.after(delay, Happening::Stop { pod });
            }
        }
    }
}
