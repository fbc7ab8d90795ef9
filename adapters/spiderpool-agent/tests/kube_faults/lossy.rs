//! The network loses replies after the API server has committed, and requests before.

use crate::crowd::{Crowd, Roll};
use crate::daemon::Daemon;
use crate::ground::Ground;
use spiderpool_kube_lab::proxy::Asked;
use spiderpool_kube_lab::{Faults, Proxy};
use std::sync::atomic::Ordering;
use std::time::Duration;

const SEED: u64 = 7;

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn lost_replies_and_requests_give_no_address_twice_and_leave_none() {
    let ground = Ground::new("lossy", 2);
    let nodes = ["a", "b"];
    let proxies = nodes.map(|node| {
        let faults =
            Faults { seed: SEED, lost_replies: 0.1, lost_requests: 0.03, delay: Duration::ZERO };
        Proxy::start(&ground.node(node), faults).unwrap()
    });
    let agents: Vec<_> = nodes
        .iter()
        .zip(&proxies)
        .map(|(node, proxy)| Daemon::behind(ground.story, node, proxy))
        .collect();
    let roll = Roll::default();
    let crowd = Crowd { ground: &ground, agents: &agents, roll: &roll };
    crowd.stream(4, SEED, || std::thread::sleep(Duration::from_secs(12)));
    let added = roll.added.load(Ordering::Relaxed);
    assert!(added > 40, "{added} pods are no stream");
    for proxy in &proxies {
        let counters = proxy.counters();
        let resource = "spiderblocks.spiderpool.spidernet.io".to_owned();
        let block = Asked { verb: "patch".to_owned(), resource };
        assert!(counters.lost_replies.contains_key(&block), "{counters:?}");
        assert!(counters.lost_requests.contains_key(&block), "{counters:?}");
    }
    crowd.is_well();
    crowd.leaves_nothing();
}
