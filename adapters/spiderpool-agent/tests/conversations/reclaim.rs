//! What vanished pods left behind.

use crate::room::{Room, room};
use crate::world::pod;
use spiderpool_agent::book::{Book, Page};
use spiderpool_agent::duty::reclaim::{Reclaimer, Tools};
use spiderpool_agent::duty::sandbox::Sandboxes;
use spiderpool_core::name::Name;
use spiderpool_kube::cluster::reclaim::GcSettings;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

/// A node whose sandboxes the test makes.
#[derive(Debug, Default)]
struct Node(Mutex<BTreeSet<Name>>);

impl Sandboxes for Node {
    fn left(&self, containers: &BTreeMap<Name, Page>) -> BTreeSet<Name> {
        let running = self.0.lock().unwrap();
        containers.keys().filter(|container| running.contains(*container)).cloned().collect()
    }
}

struct Scene {
    room: Room,
    node: Arc<Node>,
    reclaimer: Reclaimer,
    /// Time passes by the test's hand, far from that of the ADDs.
    now_ms: u64,
}

fn scene() -> Scene {
    let room = room();
    room.ledger.pool("blue", "10.6.0.0/24", "10.6.0.10-10.6.0.20");
    let (book, node) = (Arc::new(Book::default()), Arc::new(Node::default()));
    room.ledger.keep_book(&book);
    let tools = Tools {
        facts: Arc::clone(&room.world) as _,
        store: Arc::clone(&room.ledger) as _,
        book,
        sandboxes: Arc::clone(&node) as _,
    };
    let reclaimer = Reclaimer::new(Name::new("worker-1").unwrap(), tools, GcSettings::default());
    Scene { room, node, reclaimer, now_ms: 1_700_000_600_000 }
}

impl Scene {
    /// So many rounds, a minute apart; how many addresses were taken back.
    async fn rounds(&mut self, count: usize) -> usize {
        let mut freed = 0;
        for _ in 0..count {
            freed += self.reclaimer.round(self.now_ms, false).await.unwrap().freed.len();
            self.now_ms += 20_000;
        }
        freed
    }
}

#[tokio::test]
async fn a_quiet_node_reads_nothing() {
    let mut scene = scene();
    for at in 0..5 {
        scene.room.world.runs(&pod(&format!("p{at}"), &format!("u{at}")));
        scene.room.add(&format!("p{at}"), &format!("u{at}"), &format!("c{at}")).await.addresses();
    }
    assert_eq!(scene.rounds(5).await, 0);
    assert_eq!(scene.room.ledger.reads(), 0);
    scene.room.close().await;
}

#[tokio::test]
async fn a_lost_del_is_made_good() {
    let mut scene = scene();
    scene.room.world.runs(&pod("web", "u1"));
    scene.room.world.runs(&pod("other", "u2"));
    scene.room.add("web", "u1", "c1").await.addresses();
    scene.room.add("other", "u2", "c2").await.addresses();
    scene.room.world.is_gone("web");
    assert_eq!(scene.rounds(1).await, 0, "one observation frees nothing");
    assert_eq!(scene.rounds(20).await, 1);
    let held = scene.room.ledger.allocations();
    assert!(held.len() == 1 && held[0].starts_with("pod/u2"), "{held:?}");
    let reads = scene.room.ledger.reads();
    assert_eq!(scene.rounds(5).await, 0);
    assert_eq!(scene.room.ledger.reads(), reads, "what was settled is forgotten");
    scene.room.close().await;
}

#[tokio::test]
async fn a_forced_deletion_waits_for_the_sandbox() {
    let mut scene = scene();
    scene.room.world.runs(&pod("web", "u1"));
    scene.room.add("web", "u1", "c1").await.addresses();
    let container = Name::new("c1").unwrap();
    scene.node.0.lock().unwrap().insert(container.clone());
    scene.room.world.is_gone("web");
    assert_eq!(scene.rounds(30).await, 0, "it still runs here");
    scene.node.0.lock().unwrap().remove(&container);
    assert_eq!(scene.rounds(20).await, 1);
    scene.room.close().await;
}

#[tokio::test]
async fn a_late_watch_takes_nothing_away() {
    let mut scene = scene();
    // The watch has not told of the pod yet, which a live read finds.
    scene.room.world.runs_unheard(&pod("web", "u1"));
    scene.room.add("web", "u1", "c1").await.addresses();
    assert_eq!(scene.rounds(20).await, 0);
    assert_eq!(scene.room.ledger.allocations().len(), 1);
    scene.room.close().await;
}
