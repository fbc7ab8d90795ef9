//! A seed is a replay.

use spiderpool_kube::cluster::node::Node;
use spiderpool_sim::run::{Setting, run, series};
use spiderpool_sim::saboteur::Bug;
use spiderpool_sim::schedule::{Schedule, Scope};
use spiderpool_sim::shrink::{only, shrink};

#[test]
fn a_schedule_replays_to_the_same_state() {
    for seed in [1, 2, 3] {
        let schedule = Schedule::of(seed, Scope { losses: true });
        let (one, same) = (run::<Node>(&schedule, None), run::<Node>(&schedule, None));
        assert_eq!(one, same);
        assert!(one.counts.events >= 300 && one.counts.steps > 100, "{:?}", one.counts);
    }
}

#[test]
fn a_failing_seed_fails_again_in_the_same_way() {
    let setting = Setting { bug: Some(Bug::LostIsDone), ..Setting::default() };
    let tally = series::<Node>(setting, (1, 200), 2, || false);
    let failure = tally.failure.expect("a planted bug is found");
    let schedule = Schedule::of(failure.seed, setting.scope);
    assert_eq!(run::<Node>(&schedule, setting.bug), failure);
    let kept = shrink::<Node>(&schedule, setting.bug);
    assert!(kept.len() < schedule.actions.len(), "{kept:?}");
    assert!(run::<Node>(&only(&schedule, &kept), setting.bug).violation.is_some());
}

#[test]
fn how_many_threads_run_does_not_matter() {
    let setting = Setting { survey: true, ..Setting::default() };
    let alone = series::<Node>(setting, (10, 6), 1, || false);
    let together = series::<Node>(setting, (10, 6), 2, || false);
    assert_eq!(alone, together);
}
