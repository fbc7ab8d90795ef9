//! The driver against a server in memory that fails on order.

mod double;

use super::clock::Clock;
use super::driver::Protocol;
use super::handle::{Handle, Task};
use super::line;
use super::notice::Notice;
use super::server::Server;
use super::watch::Pace;
use super::{Settings, StartFault, client, start_with};
use crate::cluster::object::{Body, IndexKey, Key, Ledger, Listing, Meta};
use crate::cluster::port::{
    Ask, AskId, CallId, Change, Fault as AskFault, Input, Outcome, Output, Request,
};
use crate::cluster::record::{Entry, Identity};
use double::{APIS, Double, Fault, State, status_body};
use serde_json::json;
use spiderpool_core::address::Family;
use spiderpool_core::command::{Answer, Command, Hold, Place};
use spiderpool_core::moment::Moment;
use spiderpool_core::name::Name;
use spiderpool_core::owner::Owner;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::broadcast;

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn ledger_path() -> String {
    format!("{APIS}/spiderledgers/cluster")
}

fn ledger_json(epoch: u64) -> serde_json::Value {
    json!({"apiVersion": "spiderpool.spidernet.io/v2beta1", "kind": "SpiderLedger",
           "metadata": {"name": "cluster"}, "spec": {"format": 1, "epoch": epoch}})
}

fn pool_path(name: &str) -> String {
    format!("{APIS}/spiderippools/{name}")
}

fn pool_json(name: &str, ranges: &str) -> serde_json::Value {
    json!({"apiVersion": "spiderpool.spidernet.io/v2beta1", "kind": "SpiderIPPool", "metadata": {"name": name},
           "spec": {"subnet": "10.6.0.0/16", "ips": [ranges]}})
}

fn ledger(epoch: u64) -> Body {
    Body::Ledger(Ledger { epoch, recovery: None })
}

/// A protocol that a test writes down: it says what is to be done, and keeps what it was told.
#[derive(Clone, Default)]
struct Script {
    on_ask: Option<Arc<OnAsk>>,
    on_reply: Option<Arc<OnReply>>,
    told: Arc<Mutex<Vec<(Moment, Input)>>>,
    wake_at: Arc<Mutex<Option<u64>>>,
    closed: Arc<Mutex<Option<String>>>,
}

type OnAsk = dyn Fn(AskId, &Ask) -> Vec<Output> + Send + Sync;
type OnReply = dyn Fn() -> Vec<Output> + Send + Sync;

impl Protocol for Script {
    fn step(&mut self, moment: Moment, input: Input) -> Vec<Output> {
        let mut outputs = Vec::new();
        if let (Some(does), Input::Ask { id, ask }) = (&self.on_ask, &input) {
            outputs = does(*id, ask);
        }
        if let (Some(does), Input::Reply { .. }) = (&self.on_reply, &input) {
            outputs = does();
        }
        self.told.lock().unwrap().push((moment, input));
        outputs
    }

    fn wake_at(&self) -> Option<u64> {
        *self.wake_at.lock().unwrap()
    }

    fn closed(&self) -> Option<String> {
        self.closed.lock().unwrap().clone()
    }
}

impl Script {
    /// What is to be done when somebody asks.
    fn asked(does: impl Fn(AskId, &Ask) -> Vec<Output> + Send + Sync + 'static) -> Self {
        Self { on_ask: Some(Arc::new(does)), ..Self::default() }
    }

    /// What is to be done when a call ends.
    fn replied(self, does: impl Fn() -> Vec<Output> + Send + Sync + 'static) -> Self {
        Self { on_reply: Some(Arc::new(does)), ..self }
    }

    /// What it was told so far, by a function that leaves out what does not matter.
    fn told<T>(&self, pick: impl Fn(&Moment, &Input) -> Option<T>) -> Vec<T> {
        self.told.lock().unwrap().iter().filter_map(|(moment, input)| pick(moment, input)).collect()
    }

    fn replies(&self) -> Vec<(CallId, Outcome)> {
        self.told(|_, input| {
            let Input::Reply { call, outcome } = input else { return None };
            Some((*call, outcome.clone()))
        })
    }

    /// What watches told: `+pool a@3`, `-pool a`, `=7`, `~` when one goes on.
    fn changes(&self) -> Vec<String> {
        self.told(|_, input| {
            let Input::Changed(change) = input else { return None };
            Some(match change {
                Change::Seen(object) => format!("+{}@{}", object.key, object.meta.revision),
                Change::Gone(key, _) => format!("-{key}"),
                Change::Synced { revision } => format!("={revision}"),
                Change::Rewound { revision, was } => format!("{was}>{revision}"),
                Change::Resumed => "~".to_owned(),
            })
        })
    }
}

/// A driver at work on a double.
struct Lab {
    double: Double,
    script: Script,
    handle: Handle,
    task: Task,
    notices: broadcast::Receiver<Notice>,
    place: tempfile::TempDir,
}

fn settings(place: &Path) -> Settings {
    std::fs::write(place.join("machine-id"), "machine\n").unwrap();
    let (record, machine_id) = (place.join("record"), place.join("machine-id"));
    let patience = Duration::from_secs(1);
    let settings = Settings::new(name("here"), "kube-system".into(), record, machine_id);
    Settings { patience, start_within: Duration::from_millis(300), ..settings }
}

const PACE: Pace = Pace {
    first: Duration::from_millis(20),
    longest: Duration::from_millis(200),
    silence: Duration::from_secs(60),
    span_s: 600,
};

async fn begin(
    double: &Double,
    script: &Script,
    settings: Settings,
) -> Result<(Handle, Task), StartFault> {
    let script = script.clone();
    let make = move |_, _, _| (script, Vec::new());
    start_with(double.client(), settings, broadcast::Sender::new(64), PACE, make).await
}

impl Lab {
    async fn start(double: Double, script: Script) -> Self {
        Self::start_as(double, script, |settings| settings).await
    }

    async fn start_as(
        double: Double,
        script: Script,
        adapt: impl FnOnce(Settings) -> Settings,
    ) -> Self {
        let place = tempfile::tempdir().unwrap();
        let (sender, notices) = broadcast::channel(64);
        let made = script.clone();
        let make = move |_, _, _| (made, Vec::new());
        let settings = adapt(settings(place.path()));
        let (handle, task) =
            start_with(double.client(), settings, sender, PACE, make).await.unwrap();
        Self { double, script, handle, task, notices, place }
    }

    /// An ask of a command that only carries a number.
    fn ask(&self, number: u64) -> impl Future<Output = Result<Answer, AskFault>> + Send + 'static {
        self.say(Command::Tidy { before_ms: number }, Duration::from_secs(10))
    }

    fn say(
        &self,
        command: Command,
        within: Duration,
    ) -> impl Future<Output = Result<Answer, AskFault>> + Send + 'static {
        let handle = self.handle.clone();
        let ask = Ask { command, endpoint: None, deadline_ms: handle.deadline_in(within) };
        async move { handle.ask(ask).await }
    }
}

/// The number that an ask carries.
fn number(ask: &Ask) -> u64 {
    let Command::Tidy { before_ms } = ask.command else { panic!("{ask:?}") };
    before_ms
}

fn read(call: CallId, key: Key) -> Output {
    Output::Call { call, request: Box::new(Request::Read(key)) }
}

fn done(id: u64) -> Output {
    Output::Answer { id, answer: Ok(Answer::Done) }
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < Duration::from_secs(20), "{what} did not come about");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_call_is_sent_before_its_notes_are_durable() {
    let place = tempfile::tempdir().unwrap();
    let record = place.path().join("record");
    let double = Double::new();
    let identity = Identity { node_uid: "node-uid".into(), machine_id: "machine".into() };
    let (path, early) = (record.clone(), Arc::new(Mutex::new(Vec::new())));
    let (tell, seen) = (Arc::clone(&early), Arc::new(Mutex::new(0)));
    let count = Arc::clone(&seen);
    double.state().look = Some(Box::new(move |line| {
        // The name of the pool that is read is the number of the note that goes before.
        let Some((_, number)) = line.split_once("/spiderippools/p") else { return };
        let number: u64 = number.split('?').next().unwrap().parse().unwrap();
        let bytes = std::fs::read(&path).unwrap_or_default();
        let durable = line::read(&bytes, &identity).map_or(0, |reading| reading.record.seen());
        *count.lock().unwrap() += 1;
        if durable < number {
            tell.lock().unwrap().push((durable, number));
        }
    }));
    let script = Script::asked(|id, ask| {
        let n = number(ask);
        // The next note of the same step comes after the call, and the answer after that.
        let (first, second) = (Entry::Saw { revision: 2 * n }, Entry::Saw { revision: 2 * n + 1 });
        vec![
            Output::Note(first),
            read(id, Key::Pool(name(&format!("p{}", 2 * n)))),
            Output::Note(second),
            done(id),
        ]
    });
    let lab = Lab::start_as(double, script, |settings| Settings { record, ..settings }).await;
    let asks: Vec<_> = (1..=200).map(|n| tokio::spawn(lab.ask(n))).collect();
    for ask in asks {
        assert_eq!(ask.await.unwrap(), Ok(Answer::Done));
    }
    until("all reads", || *seen.lock().unwrap() == 200).await;
    assert_eq!(*early.lock().unwrap(), []);
}

#[tokio::test]
async fn never_more_calls_than_allowed_are_on_their_way() {
    let script =
        Script::asked(|id, _| (0..40).map(|n| read(n, Key::Ledger)).chain([done(id)]).collect());
    let lab =
        Lab::start_as(Double::new(), script, |settings| Settings { calls_max: 3, ..settings })
            .await;
    until("the watches", || lab.script.changes().len() == 1).await;
    {
        let mut state = lab.double.state();
        (state.pace, state.most) = (Duration::from_millis(5), 0);
    }
    assert_eq!(lab.ask(1).await, Ok(Answer::Done));
    until("all replies", || lab.script.replies().len() == 40).await;
    let mut calls: Vec<CallId> = lab.script.replies().into_iter().map(|(call, _)| call).collect();
    calls.sort_unstable();
    assert_eq!(calls, (0..40).collect::<Vec<_>>());
    assert_eq!(lab.double.state().most, 3);
}

#[tokio::test]
async fn synced_comes_after_all_lists() {
    let double = Double::new();
    double.state().put(&pool_path("a"), pool_json("a", "10.6.0.1-10.6.0.9"));
    double.state().put(&ledger_path(), ledger_json(1));
    double.state().page = 1;
    let page = status_body(503, "ServiceUnavailable", "", "");
    double.fault(&format!("GET {APIS}/spiderledgers"), Fault::Answer(503, None, page));
    let later =
        Box::new(|state: &mut State| state.put(&pool_path("b"), pool_json("b", "10.6.1.1")));
    double.fault(&format!("GET {APIS}/spiderledgers"), Fault::After(later));
    let lab = Lab::start(double, Script::default()).await;
    until("the new pool", || lab.script.changes().iter().any(|change| change == "+pool b@4")).await;
    let changes = lab.script.changes();
    let at = |text: &str| changes.iter().position(|change| change == text);
    // Three lists were made before the second pool was: theirs is the smallest revision.
    assert!(at("+pool a@2") < at("=3") && at("+the ledger@3") < at("=3"), "{changes:?}");
    assert!(at("=3").is_some());
    assert_eq!(changes.iter().filter(|change| change.starts_with('=')).count(), 1);
    let unlike = lab.double.sent("GET").into_iter().filter(|(line, _)| {
        let watched = ["spiderippools", "spidersubnets", "spiderreservedips", "spiderledgers"];
        !line.contains("/nodes/here") && !watched.iter().any(|plural| line.contains(plural))
    });
    assert_eq!(unlike.count(), 0, "nothing else is listed or watched");
}

#[tokio::test]
async fn a_gap_in_a_watch_is_made_good() {
    let double = Double::new();
    for pool in ["a", "b"] {
        double.state().put(&pool_path(pool), pool_json(pool, "10.6.0.1"));
    }
    let lab = Lab::start(double, Script::default()).await;
    let watched = || lab.double.state().watches() == 4;
    until("the watches", watched).await;
    // Over a watch that breaks and is taken up again.
    lab.double.state().end_watches(true);
    lab.double.state().put(&pool_path("c"), pool_json("c", "10.6.0.2"));
    until("a change over a gap", || lab.script.changes().contains(&"+pool c@4".into())).await;
    until("the watches", watched).await;
    // Over one whose past is gone by then.
    {
        let mut state = lab.double.state();
        state.end_watches(false);
        state.remove(&pool_path("a"));
        state.put(&pool_path("b"), pool_json("b", "10.6.0.9"));
        state.forget();
    }
    until("changes that nobody told", || lab.script.changes().contains(&"-pool a".into())).await;
    until("the watches", watched).await;
    lab.double.state().remove(&pool_path("c"));
    until("the last change", || lab.script.changes().contains(&"-pool c".into())).await;
    let changes: Vec<_> =
        lab.script.changes().into_iter().filter(|c| !c.starts_with(['=', '~'])).collect();
    assert_eq!(changes, ["+pool a@2", "+pool b@3", "+pool c@4", "+pool b@6", "-pool a", "-pool c"]);
}

#[tokio::test]
async fn a_bookmark_saves_a_list() {
    let double = Double::new();
    let lab = Lab::start(double, Script::default()).await;
    until("the watches", || lab.double.state().watches() == 4).await;
    let lists = lab.double.sent("GET").len();
    {
        let mut state = lab.double.state();
        (0..9)
            .for_each(|_| state.put("/api/v1/nodes/there", json!({"metadata": {"name": "there"}})));
        state.bookmark(&format!("{APIS}/spiderledgers"));
        state.forget();
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    lab.double.state().end_watches(false);
    until("the watches", || lab.double.state().watches() == 4).await;
    let later = lab.double.sent(&format!("GET {APIS}/spiderledgers")).split_off(2);
    assert!(
        later
            .iter()
            .all(|(line, _)| line.contains("watch=true&") && line.contains("resourceVersion=10&")),
        "{later:?}"
    );
    assert!(lab.double.sent("GET").len() > lists + 4, "the other kinds were listed again");
}

#[tokio::test]
async fn a_server_that_goes_away_is_found_again() {
    let mut lab = Lab::start(Double::new(), Script::default()).await;
    until("the watches", || lab.double.state().watches() == 4).await;
    let before = {
        let mut state = lab.double.state();
        state.down = true;
        state.end_watches(true);
        state.log.len()
    };
    tokio::time::sleep(Duration::from_millis(1_000)).await;
    let asked = lab.double.state().log.len() - before;
    // Four kinds; pauses from 10 to 20 ms at first, from 100 to 200 ms at last.
    assert!((16..80).contains(&asked), "{asked}");
    assert!(matches!(lab.notices.try_recv(), Ok(Notice::RecordLost(_))));
    assert!(matches!(lab.notices.try_recv(), Ok(Notice::Unclear { .. })));
    lab.double.state().down = false;
    lab.double.state().put(&pool_path("a"), pool_json("a", "10.6.0.1"));
    until("what was missed", || lab.script.changes().contains(&"+pool a@2".into())).await;
}

fn server(double: &Double) -> Server {
    let clock = Arc::new(Clock::new());
    let patience = Duration::from_millis(300);
    Server { client: double.client(), clock, patience, agent_namespace: "kube-system".into() }
}

fn write(base: u64, was: u64, epoch: u64) -> Request {
    Request::Replace { key: Key::Ledger, base, was: ledger(was), body: ledger(epoch) }
}

#[tokio::test]
async fn what_is_not_answered_is_unknown() {
    let double = Double::new();
    let server = server(&double);
    let create = Request::Create { key: Key::Ledger, body: ledger(1) };
    let made = |revision| Outcome::Done(Meta { revision, ..Meta::default() });
    assert_eq!(server.call(&create).await, (made(2), None));
    assert_eq!(server.call(&create).await.0, Outcome::Conflict);
    double.fault("PATCH", Fault::LoseReply);
    let (outcome, why) = server.call(&write(2, 1, 2)).await;
    assert_eq!((outcome, why.is_some()), (Outcome::Unknown, true));
    assert_eq!(double.state().object(&ledger_path())["spec"]["epoch"], 2);
    for (fault, way) in [(Fault::LoseRequest, "lost"), (Fault::Silence, "silent")] {
        double.fault("PATCH", fault);
        assert_eq!(server.call(&write(3, 2, 3)).await.0, Outcome::Unknown, "{way}");
    }
    double.fault("PATCH", Fault::Answer(504, None, status_body(504, "Timeout", "", "")));
    assert_eq!(server.call(&write(3, 2, 3)).await.0, Outcome::Unknown);
    assert_eq!(server.call(&write(2, 1, 3)).await.0, Outcome::Conflict);
    assert_eq!(server.call(&write(3, 2, 3)).await.0, made(4));
    double.state().remove(&ledger_path());
    assert_eq!(server.call(&write(4, 3, 4)).await.0, Outcome::Missing);
    assert_eq!(server.call(&Request::Read(Key::Ledger)).await.0, Outcome::Absent);
    assert_eq!(server.call(&Request::ReadMeta(Key::Ledger)).await.0, Outcome::Absent);
    let unreadable = Body::Unreadable { why: "format 9".into() };
    let create = Request::Create { key: Key::Ledger, body: unreadable };
    assert!(matches!(server.call(&create).await.0, Outcome::Refused { .. }));
}

#[tokio::test]
async fn a_busy_server_is_asked_again() {
    let double = Double::new();
    let server = server(&double);
    let busy =
        |after| Fault::Answer(429, after, json!("Too many requests, please try again later."));
    double.fault("GET", busy(Some("1")));
    let began = Instant::now();
    assert_eq!(server.call(&Request::Read(Key::Ledger)).await.0, Outcome::Absent);
    assert!(began.elapsed() >= Duration::from_secs(1));
    assert_eq!(double.sent("GET").len(), 2);
    double.fault("GET", busy(Some("0")));
    assert!(server.watch("spiderledgers", 1, 300).await.is_ok());
    assert_eq!(double.sent("GET").len(), 4);
    (0..9).for_each(|_| double.fault("POST", busy(Some("0"))));
    let create = Request::Create { key: Key::Ledger, body: ledger(1) };
    assert_eq!(server.call(&create).await.0, Outcome::Unknown);
    assert_eq!(double.sent("POST").len(), 5);
}

#[tokio::test]
async fn a_list_is_whole_or_nothing() {
    let double = Double::new();
    let server = server(&double);
    let endpoint = |pod: &str, node: &str| {
        json!({"apiVersion": "spiderpool.spidernet.io/v2beta1", "kind": "SpiderEndpoint",
               "metadata": {"name": pod, "namespace": "ns"},
               "status": {"current": {"uid": "u", "node": node, "ips": []}, "ownerControllerType": "Pod", "ownerControllerName": pod}})
    };
    for (pod, node) in [("a", "here"), ("b", "elsewhere"), ("c", "here")] {
        double.state().put(&format!("{APIS}/spiderendpoints/{pod}"), endpoint(pod, node));
    }
    double.state().page = 2;
    let list = Request::EndpointsOf(name("here"));
    let Outcome::Objects(found) = server.call(&list).await.0 else { panic!("no endpoints") };
    let keys: Vec<String> = found.iter().map(|object| object.key.to_string()).collect();
    assert_eq!(keys, ["endpoint ns/a", "endpoint ns/c"]);
    let lines = double.sent("GET");
    assert!(
        lines[0].0.contains("labelSelector=ipam.spidernet.io%2Fnode%3Dhere&limit="),
        "{lines:?}"
    );
    assert!(lines[1].0.contains("&continue=2"), "{lines:?}");
    let page = |fault| {
        double.fault("GET", Fault::After(Box::new(|_: &mut State| {})));
        double.fault("GET", fault);
    };
    page(Fault::LoseReply);
    assert_eq!(server.call(&list).await.0, Outcome::Unknown);
    page(Fault::Answer(410, None, status_body(410, "Expired", "", "")));
    assert_eq!(server.call(&list).await.0, Outcome::Unknown);
    page(Fault::Answer(403, None, status_body(403, "Forbidden", "", "")));
    assert!(matches!(server.call(&list).await.0, Outcome::Refused { .. }));
}

#[tokio::test]
async fn an_entry_of_the_index_is_merged_whoever_makes_the_shard() {
    let double = Double::new();
    let server = server(&double);
    let index = IndexKey { space: name("default"), family: Family::V4, first: 0x0a06_0000 };
    let list = |first, full| {
        let listing = Listing { incarnation: 7, full };
        Request::List { index: index.clone(), first, listing }
    };
    let path = format!("{APIS}/spiderblockindexes/default.4.0a060000");
    assert!(matches!(server.call(&list(0x0a06_0000, false)).await.0, Outcome::Done(_)));
    assert!(matches!(server.call(&list(0x0a06_0040, false)).await.0, Outcome::Done(_)));
    let blocks = |state: &State| {
        state.object(&path)["spec"]["blocks"].as_object().map_or(0, serde_json::Map::len)
    };
    assert_eq!(blocks(&double.state()), 2);
    let shard = double.state().object(&path);
    double.state().remove(&path);
    // Somebody else makes it between the merge that found nothing and the making.
    let theirs = path.clone();
    double
        .fault("POST", Fault::After(Box::new(move |state: &mut State| state.put(&theirs, shard))));
    assert!(matches!(server.call(&list(0x0a06_0080, true)).await.0, Outcome::Done(_)));
    assert_eq!(blocks(&double.state()), 3);
    double.fault("PATCH", Fault::LoseReply);
    assert_eq!(server.call(&list(0x0a06_0080, true)).await.0, Outcome::Unknown);
}

#[tokio::test]
async fn ready_nodes_are_listed_until_they_are_known() {
    let script = Script::asked(|id, _| vec![Output::WantNodes, Output::WantNodes, done(id)]);
    let double = Double::new();
    let node = |name: &str, ready: &str| {
        let conditions =
            json!([{"type": "DiskPressure", "status": "True"}, {"type": "Ready", "status": ready}]);
        json!({"metadata": {"name": name}, "status": {"conditions": conditions}})
    };
    for (name, ready) in [("n1", "True"), ("n2", "False"), ("n3", "Unknown"), ("n4", "True")] {
        double.state().put(&format!("/api/v1/nodes/{name}"), node(name, ready));
    }
    let lab = Lab::start(double, script).await;
    lab.double.fault("GET /api/v1/nodes?", Fault::LoseReply);
    assert_eq!(lab.ask(1).await, Ok(Answer::Done));
    let nodes = || {
        lab.script.told(|_, input| {
            let Input::ReadyNodes(nodes) = input else { return None };
            Some(nodes.iter().map(|node| node.to_string()).collect::<Vec<_>>())
        })
    };
    // Twice, since the second wish may be younger than the first list.
    until("the nodes", || nodes().len() == 2).await;
    assert_eq!(nodes(), [["n1", "n4"], ["n1", "n4"]]);
}

#[tokio::test]
async fn a_dropped_asker_cancels_nothing() {
    let script = Script::asked(|_, _| vec![read(9, Key::Ledger)])
        .replied(|| vec![read(10, Key::Ledger), done(0)]);
    let lab = Lab::start(Double::new(), script).await;
    let ask = lab.ask(1);
    assert!(tokio::time::timeout(Duration::ZERO, ask).await.is_err());
    until("the calls", || lab.script.replies().len() >= 2).await;
}

#[tokio::test]
async fn that_nothing_is_given_out_is_told_as_it_changes() {
    let script = Script::asked(|id, _| vec![done(id)]);
    *script.closed.lock().unwrap() = Some("not listed yet".to_owned());
    let lab = Lab::start(Double::new(), script).await;
    let mut closed = lab.handle.closed();
    assert_eq!(closed.borrow_and_update().as_deref(), Some("not listed yet"));
    for why in [None, Some("a recovery"), None] {
        *lab.script.closed.lock().unwrap() = why.map(str::to_owned);
        lab.ask(1).await.unwrap();
        until("the change", || closed.has_changed().unwrap()).await;
        assert_eq!(closed.borrow_and_update().as_deref(), why);
        lab.ask(1).await.unwrap();
        assert!(!closed.has_changed().unwrap(), "it is told once");
    }
}

#[tokio::test]
async fn an_ask_without_an_answer_is_late() {
    let lab = Lab::start(Double::new(), Script::default()).await;
    let began = Instant::now();
    let answer = lab.say(Command::Tidy { before_ms: 1 }, Duration::from_millis(200)).await;
    assert_eq!(answer, Err(AskFault::Late));
    assert!((Duration::from_millis(200)..Duration::from_secs(5)).contains(&began.elapsed()));
    let handle = lab.handle.clone();
    drop(lab.task);
    until("the end", || handle.asks.is_closed()).await;
    let ask =
        Ask { command: Command::Tidy { before_ms: 1 }, endpoint: None, deadline_ms: u64::MAX };
    assert_eq!(handle.ask(ask).await, Err(AskFault::NotReady));
}

#[tokio::test]
async fn a_record_that_cannot_be_written_stops_grants() {
    let script = Script::asked(|id, _| {
        vec![Output::Note(Entry::Saw { revision: 5 }), read(1, Key::Ledger), done(id)]
    });
    let mut lab = Lab::start(Double::new(), script).await;
    let mut notices = std::mem::replace(&mut lab.notices, broadcast::channel(1).1);
    let in_the_way = lab.place.path().join("record.new");
    std::fs::create_dir(&in_the_way).unwrap();
    let place = Place { space: name("default"), address: [10, 6, 0, 1].into() };
    let owner = Owner::identity(&name("ns/web-0")).unwrap();
    let hold = Hold { owner, attachment: name("eth0"), place, node: name("here") };
    let grant = |within| lab.say(Command::Hold(hold.clone()), within);
    let first = tokio::spawn(grant(Duration::from_secs(30)));
    let fault = loop {
        let notice = notices.recv().await.unwrap();
        if let Notice::RecordStuck { why } = notice {
            break why;
        }
        assert!(matches!(notice, Notice::RecordLost(_)), "{notice}");
    };
    assert!(fault.contains("record.new"), "{fault}");
    let began = Instant::now();
    let Err(AskFault::NoRecord { why }) = grant(Duration::from_secs(30)).await else {
        panic!("granted")
    };
    assert!(began.elapsed() < Duration::from_secs(1), "{why}");
    assert_eq!(lab.script.replies(), [], "nothing was sent");
    std::fs::remove_dir(&in_the_way).unwrap();
    assert_eq!(first.await.unwrap(), Ok(Answer::Done));
    assert!(matches!(notices.recv().await, Ok(Notice::RecordMended)));
    assert_eq!(grant(Duration::from_secs(30)).await, Ok(Answer::Done));
    let identity = Identity { node_uid: "node-uid".into(), machine_id: "machine".into() };
    let bytes = std::fs::read(lab.place.path().join("record")).unwrap();
    assert_eq!(line::read(&bytes, &identity).unwrap().record.seen(), 5);
}

#[tokio::test]
async fn moments_are_the_server_s() {
    let double = Double::new();
    let hours = Duration::from_secs(5 * 3_600);
    double.state().ahead = hours;
    let script = Script::asked(|id, _| vec![done(id)]);
    let lab = Lab::start(double, script).await;
    let host = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let there = u64::try_from((host + hours).as_millis()).unwrap();
    let wake_at = lab.handle.now_ms() + 300;
    *lab.script.wake_at.lock().unwrap() = Some(wake_at);
    assert_eq!(lab.ask(1).await, Ok(Answer::Done));
    let ticks = || lab.script.told(|moment, input| matches!(input, Input::Tick).then_some(*moment));
    until("ticks", || ticks().len() > 20).await;
    assert!(
        ticks()
            .iter()
            .all(|moment| moment.now_ms >= wake_at && moment.now_ms.abs_diff(there) < 22_000)
    );
    // Overdue as it is, it is not told without a pause.
    let before = ticks().len();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(ticks().len() - before <= 205);
    assert!(lab.handle.clock_error_ms().is_some_and(|error| error <= 1_500));
}

#[tokio::test]
async fn a_start_says_what_it_lacks() {
    let double = Double::new();
    let (script, place) = (Script::default(), tempfile::tempdir().unwrap());
    let with =
        |adapt: fn(Settings) -> Settings| begin(&double, &script, adapt(settings(place.path())));
    let fault = with(|settings| Settings { node: name("nowhere"), ..settings }).await.unwrap_err();
    assert!(matches!(fault, StartFault::NoNode { .. }), "{fault}");
    let fault = with(|settings| Settings { machine_id: settings.record.clone(), ..settings })
        .await
        .unwrap_err();
    assert!(matches!(fault, StartFault::MachineId { .. }), "{fault}");
    let first = with(|settings| settings).await.unwrap();
    let fault = with(|settings| settings).await.unwrap_err();
    assert!(matches!(fault, StartFault::Record(super::RecordFault::InUse { .. })), "{fault}");
    drop(first);
    double.state().down = true;
    let fault = with(|settings| settings).await.unwrap_err();
    assert!(matches!(fault, StartFault::Unreachable { .. }), "{fault}");
}

#[tokio::test]
async fn a_driver_that_is_stopped_answers_what_is_open() {
    let script = Script::asked(|_, _| vec![read(1, Key::Ledger)]).replied(|| vec![done(0)]);
    let mut lab = Lab::start(Double::new(), script).await;
    until("the watches", || lab.double.state().watches() == 4).await;
    lab.double.state().pace = Duration::from_millis(300);
    let open = tokio::spawn(lab.ask(1));
    until("the call", || !lab.double.sent(&format!("GET {}?", ledger_path())).is_empty()).await;
    lab.task.stop();
    assert_eq!(open.await.unwrap(), Ok(Answer::Done));
    lab.task.wait().await.unwrap();
    assert_eq!(lab.ask(2).await, Err(AskFault::NotReady));
    // The record is free again, and the watches end.
    until("the lock", || {
        super::journal::Journal::open(&lab.place.path().join("record"), &Identity::default())
            .is_ok()
    })
    .await;
}

#[tokio::test]
async fn nothing_is_sent_twice() {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    let requests = Arc::new(Mutex::new(0));
    let count = Arc::clone(&requests);
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let mut bytes = vec![0; 65_536];
            while let Ok(1..) = stream.read(&mut bytes) {
                *count.lock().unwrap() += 1;
                let reply = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 2\r\n\r\n{}";
                stream.write_all(reply).unwrap();
            }
        }
    });
    let config = kube::Config::new(format!("http://{at}").parse().unwrap());
    let client = client(config).unwrap();
    let clock = Arc::new(Clock::new());
    let patience = Duration::from_secs(5);
    let server = Server { client, clock, patience, agent_namespace: "kube-system".into() };
    let create = Request::Create { key: Key::Ledger, body: ledger(1) };
    for sent in 1..=3 {
        assert_eq!(server.call(&create).await.0, Outcome::Unknown);
        assert_eq!(*requests.lock().unwrap(), sent);
    }
}
