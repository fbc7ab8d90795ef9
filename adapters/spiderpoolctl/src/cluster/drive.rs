//! The protocol's own state machine, driven to the end of one command.
//!
//! The command line is one more node of the cluster, called `spiderpoolctl`: it has no pods and keeps no
//! record, and what it is asked ends before the process does. Every request is sent once, in the order in
//! which it was given, and its reply handed in before the next.
//!
//! Invariants:
//! 1. Nothing is written while the store is being recovered: that is the nodes' own business
//!    (`tests/kube`: `a_recovery_stops_writing`).
//! 2. A write whose reply was lost is settled by the state machine, never sent again by itself
//!    (`tests/kube`: `a_lost_reply_is_settled`).

use super::api::{Progress, Trial, kind_path, plural};
use super::fault::Fault as ApiFault;
use super::state::{Extent, State};
use super::{AGENT_NAMESPACE, Cluster, FIELD_MANAGER};
use crate::failure::Failure;
use crate::listing::parse_name;
use crate::session::Session;
use serde_json::Value;
use spiderpool_core::command::{Answer, Command};
use spiderpool_core::moment::Moment;
use spiderpool_core::name::Name;
use spiderpool_kube::cluster::node::{Node, Setup};
use spiderpool_kube::cluster::object::{Body, EndpointFacts, Index, Key, Object};
use spiderpool_kube::cluster::port::{Ask, AskId, Change, Fault, Input, Outcome, Output, Request};
use spiderpool_kube::cluster::record::{Entry, Identity, Record};
use spiderpool_kube::cluster::wire;
use spiderpool_kube::manifest::API_VERSION;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

/// A command ends after so long, whatever others do.
const DEADLINE_MS: u64 = 30_000;

impl Cluster {
    /// Has a command carried out by compare-and-swap.
    pub(super) fn carry_out(
        &self,
        session: &Session,
        command: Command,
        endpoint: Option<EndpointFacts>,
    ) -> Result<Answer, Failure> {
        let mut answers = self.carry_out_all(session, vec![(command, endpoint)])?;
        answers.pop().unwrap_or_else(|| Err(Failure::world("bug: nothing was answered")))
    }

    /// Has commands carried out one after the other; each fails by itself.
    pub(super) fn carry_out_all(
        &self,
        session: &Session,
        commands: Vec<(Command, Option<EndpointFacts>)>,
    ) -> Result<Vec<Result<Answer, Failure>>, Failure> {
        let state = self.state(session, Extent::Definitions)?;
        state.warn(session);
        let ledger = self.ledger()?;
        let recovery = ledger.as_ref().and_then(|object| object.body.ledger()?.recovery.clone());
        if let Some(recovery) = recovery {
            return Err(Failure::refused(format!(
                "nothing is changed while the store is being recovered ({})",
                recovery.why
            ))
            .try_this("wait until every ready node has written back what its pods hold; `audit` shows how far that is"));
        }
        let mut driver = Driver::begin(self, session, (&state, ledger))?;
        let mut answers = Vec::with_capacity(commands.len());
        for (id, (command, endpoint)) in (0..).zip(commands) {
            let deadline_ms = driver.moment().now_ms.saturating_add(DEADLINE_MS);
            let ask = Ask { command, endpoint, deadline_ms };
            answers.push(driver.run(id, ask).map_err(tell));
        }
        Ok(answers)
    }

    fn ledger(&self) -> Result<Option<Object>, Failure> {
        let read = self.read(&plural("spiderledgers"), wire::LEDGER_NAME);
        let read = read.map_err(|fault| fault.tell("cannot read the ledger"))?;
        let object = read.map(|json| wire::lift(&Key::Ledger, &json, AGENT_NAMESPACE));
        match object.as_ref().and_then(|object| object.body.unreadable()) {
            Some(why) => Err(Failure::world(format!("the ledger cannot be read: {why}"))),
            None => Ok(object),
        }
    }
}

fn tell(fault: Fault) -> Failure {
    match fault {
        Fault::Refused(refusal) => Failure::refusal(&refusal),
        fault @ (Fault::Recovering { .. } | Fault::Contended { .. } | Fault::Lost { .. }) => {
            Failure::refused(fault.to_string())
        }
        fault @ (Fault::Late
        | Fault::NotReady
        | Fault::NoRecord { .. }
        | Fault::Unreadable { .. }
        | Fault::Forbidden { .. }
        | Fault::NotHere { .. }) => Failure::world(fault.to_string()),
    }
}

/// One node at work.
struct Driver<'a> {
    cluster: &'a Cluster,
    session: &'a Session,
    node: Node,
    outputs: VecDeque<Output>,
    began: (Moment, Instant),
}

impl<'a> Driver<'a> {
    fn begin(
        cluster: &'a Cluster,
        session: &'a Session,
        (state, ledger): (&State, Option<Object>),
    ) -> Result<Self, Failure> {
        let identity = Identity { node_uid: FIELD_MANAGER.to_owned(), machine_id: String::new() };
        let mut record = Record::new(identity.clone());
        // It has no pods, so that it has nothing to write back after a recovery that is over.
        let epoch = ledger.as_ref().and_then(|object| Some(object.body.ledger()?.epoch));
        record.apply(&Entry::Asserted { epoch: epoch.unwrap_or_default(), revision: 0 });
        let setup =
            Setup { node: parse_name("node", FIELD_MANAGER)?, record: Some(record), identity };
        let began = (session.moment(), Instant::now());
        let (node, outputs) = Node::new(setup, began.0);
        let mut driver = Self { cluster, session, node, outputs: outputs.into(), began };
        let seen = state.definitions().cloned().chain(ledger);
        let revision = state.revision();
        seen.for_each(|object| driver.step(Input::Changed(Change::Seen(Box::new(object)))));
        driver.step(Input::Changed(Change::Synced { revision }));
        Ok(driver)
    }

    /// The present: the moment of the session, and what has passed since.
    fn moment(&self) -> Moment {
        let (moment, began) = self.began;
        let passed = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let now_ms = moment.now_ms.saturating_add(passed);
        Moment { now_ms, seed: moment.seed.wrapping_add(passed) }
    }

    fn step(&mut self, input: Input) {
        let moment = self.moment();
        self.outputs.extend(self.node.step(moment, input));
    }

    fn run(&mut self, asked: AskId, ask: Ask) -> Result<Answer, Fault> {
        self.step(Input::Ask { id: asked, ask: Box::new(ask) });
        loop {
            match self.outputs.pop_front() {
                Some(Output::Answer { id, answer }) if id == asked => return answer,
                // One that was given up and ended later.
                Some(Output::Answer { .. }) => {}
                Some(Output::Call { call, request }) => {
                    let outcome = self.call(&request);
                    self.step(Input::Reply { call, outcome });
                }
                Some(Output::WantNodes) => {
                    let nodes = self.ready_nodes();
                    self.step(Input::ReadyNodes(nodes));
                }
                Some(Output::Alarm(alarm)) => self.session.note(&format!("warning: {alarm}")),
                // A record that nobody reads again need not be kept.
                Some(Output::Note(_)) => {}
                None => self.wait(),
            }
        }
    }

    /// Sleeps until the state machine wants to be woken.
    fn wait(&mut self) {
        let now_ms = self.moment().now_ms;
        let due_ms = self.node.wake_at().unwrap_or(now_ms).max(now_ms.saturating_add(1));
        std::thread::sleep(Duration::from_millis(due_ms.saturating_sub(now_ms).min(1_000)));
        self.step(Input::Tick);
    }

    fn ready_nodes(&self) -> BTreeSet<Name> {
        let nodes = self.cluster.nodes(self.session).unwrap_or_default();
        let ready = |state| state == spiderpool_kube::cluster::reclaim::NodeState::Ready;
        nodes.into_iter().filter(|(_, state)| ready(*state)).map(|(name, _)| name).collect()
    }

    fn call(&self, request: &Request) -> Outcome {
        let sent = match request {
            Request::Read(key) => self.read(key, false),
            Request::ReadMeta(key) => self.read(key, true),
            Request::Create { key, body } => {
                let json = wire::create(key, body);
                self.cluster.create(&collection(key), &json, Trial::Real).map(|json| done(&json))
            }
            Request::Replace { key, base, was, body } => {
                let patch = wire::patch(key, *base, was, body);
                let written = self.cluster.patch(
                    &collection(key),
                    &wire::path(key).name,
                    &patch,
                    Trial::Real,
                );
                written.map(|json| done(&json))
            }
            Request::List { index, first, listing } => {
                let key = Key::Index(index.clone());
                let patch = wire::list_patch(index, *first, listing);
                let merge = || {
                    let name = wire::path(&key).name;
                    self.cluster.patch(&collection(&key), &name, &patch, Trial::Real)
                };
                let merged = match merge() {
                    Err(ApiFault::Absent) => {
                        let blocks = BTreeMap::from([(*first, *listing)]);
                        let json = wire::create(&key, &Body::Index(Index { blocks }));
                        match self.cluster.create(&collection(&key), &json, Trial::Real) {
                            Err(ApiFault::Conflict { .. }) => merge(),
                            made => made,
                        }
                    }
                    merged => merged,
                };
                merged.map(|json| done(&json))
            }
            Request::EndpointsOf(node) => {
                let selector = format!("{}={}", wire::NODE_LABEL, wire::node_label(node));
                self.objects(wire::ENDPOINT_KIND, "spiderendpoints", &selector)
            }
            Request::Reservations => self.objects("SpiderReservedIP", "spiderreservedips", ""),
        };
        sent.unwrap_or_else(outcome)
    }

    fn read(&self, key: &Key, only_meta: bool) -> Result<Outcome, ApiFault> {
        let (path, name) = (collection(key), wire::path(key).name);
        if only_meta {
            let read = self.cluster.read_meta(&path, &name)?;
            let meta = read.map(|json| wire::lift_meta(&json));
            return Ok(match meta {
                None => Outcome::Absent,
                Some(Ok(meta)) => Outcome::Meta(meta),
                Some(Err(_)) => Outcome::Unknown,
            });
        }
        let read = self.cluster.read(&path, &name)?;
        Ok(read.map_or(Outcome::Absent, |json| {
            Outcome::Found(Box::new(wire::lift(key, &json, AGENT_NAMESPACE)))
        }))
    }

    /// The objects of a kind that a label selector admits.
    fn objects(&self, kind: &str, name: &str, selector: &str) -> Result<Outcome, ApiFault> {
        let mut objects = Vec::new();
        let mut progress = Progress::of(self.session, name);
        self.cluster.each(&plural(name), (selector, ""), &mut progress, |json| {
            let text = |path: &str| json.pointer(path).and_then(Value::as_str);
            let name = text("/metadata/name").unwrap_or_default();
            let key = wire::key_of(kind, name, text("/metadata/namespace"));
            objects.extend(key.map(|key| wire::lift(&key, &json, AGENT_NAMESPACE)));
        })?;
        Ok(Outcome::Objects(objects))
    }
}

/// The path of the objects among which a key's is.
fn collection(key: &Key) -> String {
    let at = wire::path(key);
    kind_path(API_VERSION, at.namespace.as_deref(), at.plural)
}

fn done(json: &Value) -> Outcome {
    wire::lift_meta(json).map_or(Outcome::Unknown, Outcome::Done)
}

fn outcome(fault: ApiFault) -> Outcome {
    match fault {
        ApiFault::Absent => Outcome::Missing,
        ApiFault::Conflict { .. } => Outcome::Conflict,
        ApiFault::Refused { why, causes, .. } if causes.is_empty() => Outcome::Refused { why },
        ApiFault::Refused { causes, .. } => Outcome::Refused { why: causes.join("; ") },
        ApiFault::NoKind => Outcome::Refused { why: "the kind is not installed".to_owned() },
        ApiFault::Unclear { .. } => Outcome::Unknown,
    }
}
