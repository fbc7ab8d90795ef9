//! Each planted bug is found within a stated number of schedules, by what it breaks, in a schedule
//! that is well without it.

use spiderpool_kube::cluster::node::Node;
use spiderpool_sim::run::run;
use spiderpool_sim::saboteur::Bug;
use spiderpool_sim::schedule::{Schedule, Scope};

/// Runs schedules with a bug until one fails in one of the given ways.
fn check(bug: Bug, losses: bool, within: u64, ways: &[&str]) {
    let finds = |seed: u64| {
        let schedule = Schedule::of(seed, Scope { losses });
        let violation = run::<Node>(&schedule, Some(bug)).violation;
        let expected = violation.is_some_and(|found| ways.iter().any(|way| found.contains(way)));
        expected && run::<Node>(&schedule, None).violation.is_none()
    };
    assert!((1..=within).any(finds), "{bug} was not found within {within} schedules");
}

#[test]
fn a_write_without_its_revision_is_found() {
    check(Bug::RevisionDropped, false, 10, &["on account of something else", "went back"]);
}

#[test]
fn a_proof_from_a_cache_is_found() {
    check(Bug::ProofFromCache, false, 400, &["withdrawn"]);
}

#[test]
fn a_lost_reply_taken_for_gone_is_found() {
    check(Bug::LostIsMissing, false, 300, &["lands when all is over"]);
}

#[test]
fn a_lost_reply_taken_for_a_conflict_is_found() {
    check(Bug::LostIsConflict, false, 300, &["lands when all is over"]);
}

#[test]
fn a_note_that_is_not_durable_is_found() {
    check(Bug::NotesNotDurable, false, 20, &["is sent and not noted"]);
}

#[test]
fn a_lost_reply_taken_for_success_is_found() {
    check(Bug::LostIsDone, false, 20, &["and the block says", "false alarm"]);
}

#[test]
fn a_reply_before_it_is_durable_is_found() {
    check(Bug::DoneBeforeDurable, false, 5, &["and the block says"]);
}

#[test]
fn freeing_another_generation_is_found() {
    check(Bug::GenerationDropped, false, 300, &["is taken from the live"]);
}

#[test]
fn freeing_at_the_first_look_is_found() {
    check(Bug::OneLook, false, 20, &["is taken from the live"]);
}

#[test]
fn an_absent_block_taken_for_an_empty_one_is_found() {
    check(Bug::AbsentIsEmpty, true, 200, &["is told to", "lives by"]);
}

#[test]
fn a_del_that_ignores_its_container_is_found() {
    check(Bug::ContainerIgnored, false, 20, &["is taken from the live"]);
}

#[test]
fn an_old_endpoint_is_found() {
    check(Bug::EndpointFromCache, false, 100, &["had", "on account of", "leaked", "never"]);
}

#[test]
fn an_endpoint_conflict_that_nobody_hears_of_is_found() {
    check(Bug::EndpointConflictHidden, false, 300, &["had", "leaked", "false alarm"]);
}

#[test]
fn an_old_block_is_found() {
    check(Bug::BlockFromCache, false, 10, &["on account of something else", "went back"]);
}
