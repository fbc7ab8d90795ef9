//! Some nodes around one server, driven by hand: what is sent waits until a test lets it through.

use crate::server::Server;
use spiderpool_core::command::{Allocated, Answer, Command, Release};
use spiderpool_core::definition::{
    Pool, PoolDraft, Reservation, ReservationDraft, Subnet, SubnetDraft,
};
use spiderpool_core::moment::Moment;
use spiderpool_core::name::Name;
use spiderpool_core::owner::{Holder, Owner};
use spiderpool_core::request::{FamilyPolicy, PoolNames, Request as Wish, Sources, Subject};
use spiderpool_kube::cluster::node::{Node, Setup};
use spiderpool_kube::cluster::object::{Body, Key, Object};
use spiderpool_kube::cluster::port::Alarm;
use spiderpool_kube::cluster::port::{
    Ask, AskId, CallId, Change, Fault, Input, Outcome, Output, Request,
};
use spiderpool_kube::cluster::record::{Entry, Identity, Record};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

pub(crate) fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// What a node sent and has no reply to, oldest first.
pub(crate) type Wire = VecDeque<(CallId, Request)>;

pub(crate) struct Agent {
    pub(crate) node: Node,
    pub(crate) wire: Wire,
    pub(crate) answers: BTreeMap<AskId, Result<Answer, Fault>>,
    pub(crate) alarms: Vec<Alarm>,
    pub(crate) entries: Vec<Entry>,
    /// Outputs in order, by a word each.
    pub(crate) order: Vec<String>,
    pub(crate) wants_nodes: bool,
}

pub(crate) struct World {
    pub(crate) server: Server,
    pub(crate) agents: Vec<Agent>,
    pub(crate) now_ms: u64,
    asks: u64,
    seed: u64,
    /// The revision of the ledger that everybody heard of.
    ledger: u64,
}

impl World {
    /// Nodes that know a pool `blue` over some addresses.
    pub(crate) fn new(nodes: usize, ips: &str) -> Self {
        let mut world = Self {
            server: Server::default(),
            agents: Vec::new(),
            now_ms: 1_700_000_000_000,
            asks: 0,
            seed: 7,
            ledger: 0,
        };
        for _ in 0..nodes {
            world.join(None);
        }
        world.define(ips);
        for at in 0..nodes {
            let revision = world.server.revision;
            world.input(at, Input::Changed(Change::Synced { revision }));
        }
        world.run();
        world
    }

    pub(crate) fn join(&mut self, record: Option<Record>) -> usize {
        let at = self.agents.len();
        let identity = Identity { node_uid: format!("uid-{at}"), machine_id: "m".into() };
        let node = name(&format!("node-{at}"));
        let (node, outputs) = Node::new(Setup { node, record, identity }, self.moment());
        self.agents.push(Agent {
            node,
            wire: Wire::new(),
            answers: BTreeMap::new(),
            alarms: Vec::new(),
            entries: Vec::new(),
            order: Vec::new(),
            wants_nodes: false,
        });
        self.take(at, outputs);
        at
    }

    /// Starts an agent again, with its record or without.
    pub(crate) fn restart(&mut self, at: usize, with_record: bool) {
        let record = with_record.then(|| self.agents[at].node.record().clone());
        let identity = Identity { node_uid: format!("uid-{at}"), machine_id: "m".into() };
        let setup = Setup { node: name(&format!("node-{at}")), record, identity };
        let (node, outputs) = Node::new(setup, self.moment());
        self.agents[at].node = node;
        self.agents[at].wire.clear();
        self.take(at, outputs);
        let objects: Vec<Key> = self.server.objects.keys().cloned().collect();
        for key in objects.iter().filter(|key| matches!(key, Key::Pool(_) | Key::Ledger)) {
            let object = self.server.find(key).unwrap();
            self.input(at, Input::Changed(Change::Seen(Box::new(object))));
        }
        let revision = self.server.revision;
        self.input(at, Input::Changed(Change::Synced { revision }));
    }

    pub(crate) fn moment(&mut self) -> Moment {
        self.seed += 1;
        Moment { now_ms: self.now_ms, seed: self.seed }
    }

    /// Defines the pool `blue`; nobody hears of it yet.
    pub(crate) fn define_silently(&mut self, ips: &str) -> Object {
        let draft = PoolDraft {
            name: "blue".into(),
            prefix: "10.6.0.0/16".into(),
            ranges: ips.split(',').map(str::to_owned).collect(),
            policy: spiderpool_core::definition::Policy::Spread,
            ..PoolDraft::default()
        };
        let pool = Arc::new(Pool::try_from(draft).unwrap());
        self.server.put(Key::Pool(name("blue")), Body::Pool(pool))
    }

    /// Reserves addresses; nobody hears of it.
    pub(crate) fn reserve_silently(&mut self, ips: &str) {
        let ranges = vec![ips.to_owned()];
        let draft =
            ReservationDraft { name: "held-back".into(), ranges, ..ReservationDraft::default() };
        let reservation = Arc::new(Reservation::try_from(draft).unwrap());
        self.server.put(Key::Reservation(name("held-back")), Body::Reservation(reservation));
    }

    pub(crate) fn define(&mut self, ips: &str) {
        let object = self.define_silently(ips);
        self.tell(&object);
    }

    /// Makes the pool `blue` something else, and tells everybody.
    pub(crate) fn replace_pool(&mut self, body: Body) {
        let object = self.server.put(Key::Pool(name("blue")), body);
        self.tell(&object);
    }

    /// Defines a subnet of the pool's prefix with a gateway.
    pub(crate) fn define_subnet(&mut self, gateway: &str) {
        let draft = SubnetDraft {
            name: "blue-net".into(),
            prefix: "10.6.0.0/16".into(),
            gateway: Some(gateway.into()),
            ..SubnetDraft::default()
        };
        let subnet = Arc::new(Subnet::try_from(draft).unwrap());
        let object = self.server.put(Key::Subnet(name("blue-net")), Body::Subnet(subnet));
        self.tell(&object);
    }

    fn tell(&mut self, object: &Object) {
        for at in 0..self.agents.len() {
            self.input(at, Input::Changed(Change::Seen(Box::new(object.clone()))));
        }
    }

    pub(crate) fn input(&mut self, at: usize, input: Input) {
        let moment = self.moment();
        let outputs = self.agents[at].node.step(moment, input);
        self.take(at, outputs);
    }

    fn take(&mut self, at: usize, outputs: Vec<Output>) {
        let agent = &mut self.agents[at];
        for output in outputs {
            match output {
                Output::Note(entry) => {
                    agent.order.push(format!("note {entry:?}"));
                    agent.entries.push(entry);
                }
                Output::Call { call, request } => {
                    agent.order.push(format!("call {}", word(&request)));
                    agent.wire.push_back((call, *request));
                }
                Output::Answer { id, answer } => {
                    agent.order.push("answer".into());
                    agent.answers.insert(id, answer);
                }
                Output::WantNodes => agent.wants_nodes = true,
                Output::Alarm(alarm) => agent.alarms.push(alarm),
            }
        }
    }

    /// Serves the oldest request of an agent, and gives the reply or loses it.
    pub(crate) fn serve(&mut self, at: usize, reply: Reply) -> Option<Request> {
        let (call, request) = self.agents[at].wire.pop_front()?;
        let outcome = match reply {
            Reply::Given => self.server.serve(&request),
            Reply::Lost => {
                self.server.serve(&request);
                Outcome::Unknown
            }
            Reply::NotServed => Outcome::Unknown,
            Reply::Refused => Outcome::Refused { why: "a webhook will not have it".into() },
        };
        self.input(at, Input::Reply { call, outcome });
        Some(request)
    }

    /// Lets everything through until nobody has anything to send; time passes where somebody waits.
    pub(crate) fn run(&mut self) {
        for _ in 0..10_000 {
            if !self.round() {
                return;
            }
        }
        let last = |agent: &Agent| agent.order.iter().rev().take(12).cloned().collect::<Vec<_>>();
        panic!(
            "the nodes never come to rest: {:#?}",
            self.agents.iter().map(last).collect::<Vec<_>>()
        );
    }

    /// Serves one request of each node; when nobody has any, lets time pass. `false` when there is
    /// nothing to wait for.
    pub(crate) fn round(&mut self) -> bool {
        let busy: Vec<usize> =
            (0..self.agents.len()).filter(|at| !self.agents[*at].wire.is_empty()).collect();
        for at in &busy {
            self.serve(*at, Reply::Given);
        }
        let wants: Vec<usize> =
            (0..self.agents.len()).filter(|at| self.agents[*at].wants_nodes).collect();
        for at in &wants {
            self.agents[*at].wants_nodes = false;
            let nodes: BTreeSet<Name> =
                (0..self.agents.len()).map(|at| name(&format!("node-{at}"))).collect();
            self.input(*at, Input::ReadyNodes(nodes));
        }
        self.tell_of_ledger();
        !busy.is_empty() || !wants.is_empty() || self.wait()
    }

    /// Every watch tells of the ledger.
    fn tell_of_ledger(&mut self) {
        let Some(ledger) = self.server.find(&Key::Ledger) else { return };
        if ledger.meta.revision == self.ledger {
            return;
        }
        self.ledger = ledger.meta.revision;
        for at in 0..self.agents.len() {
            self.input(at, Input::Changed(Change::Seen(Box::new(ledger.clone()))));
        }
    }

    /// Lets time pass up to the next moment that somebody waits for, if one is near.
    fn wait(&mut self) -> bool {
        let next = self.agents.iter().filter_map(|agent| agent.node.wake_at()).min();
        let Some(next) = next.filter(|at| *at < self.now_ms + 20_000) else { return false };
        self.now_ms = self.now_ms.max(next);
        for at in 0..self.agents.len() {
            self.input(at, Input::Tick);
        }
        true
    }

    pub(crate) fn ask(&mut self, at: usize, command: Command) -> AskId {
        self.asks += 1;
        let ask = Ask { command, endpoint: None, deadline_ms: self.now_ms + 90_000 };
        self.input(at, Input::Ask { id: self.asks, ask: Box::new(ask) });
        self.asks
    }

    pub(crate) fn add(&mut self, at: usize, pod: &str, container: &str) -> AskId {
        self.ask(at, Command::Allocate(wish(&format!("node-{at}"), pod, container)))
    }

    pub(crate) fn del(&mut self, at: usize, container: &str) -> AskId {
        let release = Release { container: name(container), attachment: None, ticket: 1 };
        self.ask(at, Command::Release(release))
    }

    /// The address that an ask was answered with.
    pub(crate) fn address(&self, at: usize, id: AskId) -> String {
        match self.agents[at].answers.get(&id) {
            Some(Ok(Answer::Allocated(Allocated { addresses, .. }))) => {
                addresses[0].address.addr().to_string()
            }
            other => panic!("no address: {other:?}"),
        }
    }

    pub(crate) fn fault(&self, at: usize, id: AskId) -> String {
        match self.agents[at].answers.get(&id) {
            Some(Err(fault)) => fault.to_string(),
            other => panic!("no fault: {other:?}"),
        }
    }

    /// Every allocated slot: address and owner.
    pub(crate) fn held(&self) -> BTreeMap<String, String> {
        let blocks = self.server.objects.iter().filter_map(|(key, (_, body))| match key {
            Key::Block(key) => Some((key, body.block()?)),
            _ => None,
        });
        blocks
            .flat_map(|(key, body)| {
                body.sheet.slots.iter().filter_map(|(slot, state)| match state {
                    spiderpool_core::slots::Slot::Allocated(held) => {
                        Some((key.address(*slot).to_string(), held.holder.owner.to_string()))
                    }
                    _ => None,
                })
            })
            .collect()
    }
}

/// What becomes of a request.
#[derive(Clone, Copy)]
pub(crate) enum Reply {
    Given,
    Lost,
    NotServed,
    Refused,
}

pub(crate) fn word(request: &Request) -> String {
    match request {
        Request::Read(key) => format!("read {key}"),
        Request::ReadMeta(key) => format!("look {key}"),
        Request::Create { key, .. } => format!("create {key}"),
        Request::Replace { key, .. } => format!("replace {key}"),
        Request::List { index, .. } => format!("list {index}"),
        Request::EndpointsOf(node) => format!("endpoints {node}"),
        Request::Reservations => "reservations".to_owned(),
    }
}

/// What a pod asks; a name with a slash is a static identity.
pub(crate) fn wish(node: &str, pod: &str, container: &str) -> Wish {
    let uid = name(&format!("uid-{container}"));
    let owner = match pod.contains('/') {
        true => Owner::identity(&name(pod)).unwrap(),
        false => Owner::pod(&name(pod)).unwrap(),
    };
    Wish {
        holder: Holder {
            owner,
            pod_uid: Some(uid),
            container: Some(name(container)),
            node: name(node),
        },
        attachment: name("eth0"),
        network: name("lan"),
        subject: Subject::default(),
        sources: Sources {
            pod: Some(PoolNames { v4: vec!["blue".into()], v6: vec![] }),
            ..Sources::default()
        },
        named: vec![],
        routes: vec![],
        clean_gateway: false,
        families: FamilyPolicy::Require,
        only: None,
        master: None,
        ticket: 2,
    }
}
