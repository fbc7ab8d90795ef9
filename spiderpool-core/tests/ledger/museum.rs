//! The bug museum: what went wrong in other allocators, class by class, each as a test that fails
//! when the bug comes back.
//!
//! A test's name says what must hold; its doc names the peers and their issues and tells in one
//! sentence what went wrong there. `WB` Whereabouts, `SP` Spiderpool, `KO` Kube-OVN, `CA` Calico,
//! `AN` Antrea, `AWS` the VPC CNI of AWS, `CAPI` Cluster API in-cluster IPAM, `OK` OVN-Kubernetes.
//! Short names of tests under *here* are in `museum/`; the files they are in are `stored`, `owners`,
//! `pools`, `time` and `told`. `store/` is `spiderpool-store/tests/`, `plugin/` is
//! `adapters/spiderpool/tests/`, and names in italics are tests of this crate outside the museum.
//!
//! | class | issues | here | elsewhere |
//! |---|---|---|---|
//! | success reported, not stored | WB #141 and its retry fall-through, SP #412, cilium #18352 | `every_address_in_an_answer_is_in_the_writes_of_its_decision`, `a_write_that_was_repeated_answers_with_the_generation_that_is_stored`, `a_grant_that_is_half_written_is_given_back_and_not_reported` | *`racing_transactions_never_share_an_address`*; store/`crash.rs` (`the_reply_comes_after_the_fsync`); plugin/`conversations/faults.rs`, plugin/`hostile.rs` (`standard_output_that_is_closed_is_no_success`) |
//! | freed while live | WB #176, SP #2442, #3778, CA #5044, #9182, #13538, AWS #711 | `a_sweep_that_looked_before_the_sandbox_was_made_again_frees_nothing`, `a_trace_of_an_identitys_old_pod_does_not_free_its_new_one`, `the_way_an_address_is_written_means_nothing`, `a_record_names_the_node_sandbox_and_pod_of_the_incarnation_that_has_it`, `a_claim_from_before_a_pool_was_made_again_is_stale` | *`a_reclaim_presents_the_generation_that_it_saw`*; plugin/`sweep.rs` (`what_is_unknown_is_never_reclaimed`, `a_later_namespace_of_the_same_name_is_not_the_container`) |
//! | stale owner deletes newer grant | WB #75, CA #3589, #6244, Kubernetes PR #39206 | `a_late_del_frees_nothing_of_who_got_the_address_since`, `of_a_batch_only_the_claims_that_still_hold_are_ended` | *`a_sandbox_made_again_keeps_its_address_and_the_late_del_frees_nothing`*; plugin/`conversations/del.rs` |
//! | identity too coarse | SP PR #2618 with #4379, WB #176, Metal3 #1437, CAPI #98 | `each_interface_and_family_has_an_address_of_its_own`, `a_name_that_begins_with_another_is_another_name`, `the_same_name_elsewhere_is_another_owner`, `network_and_container_are_told_apart_wherever_a_slash_stands`, `a_request_and_its_retry_side_by_side_come_to_one_address` | *`two_interfaces_in_one_pool_get_two_addresses`*; plugin/`conversations/choose.rs` |
//! | overlap by reshaping | CA libcalico-go#1377, #10778, AN #7306, MetalLB #1591 | `reshaping_never_moves_an_address_from_hand_to_hand`, `the_block_size_of_a_space_is_fixed_for_each_family`, `pools_share_a_prefix_or_nothing`, `a_pool_made_again_remembers_who_rests_and_who_is_in_quarantine`, `two_pools_that_came_to_overlap_never_give_one_address_twice` | *`a_pool_may_not_overlap_another`*, *`blocks_never_overlap`* |
//! | restart or fail-over gap | KO #4304, #7497, #1436, #2044, MetalLB #1929, cilium #46598 | `who_starts_again_from_the_store_decides_as_who_never_stopped` | *`replaying_the_events_gives_the_same_state`*; store/`crash.rs`, store/`backup.rs`; a leader that stops working (KO #7497): cluster only, later |
//! | two stores drift apart | cilium #47910, KO #4051, #4086, #3458, #2769, CA #8548, SP #3771 | `counts_and_indexes_follow_from_the_blocks_alone`, `pool_owner_and_container_are_three_ways_to_one_record` | the audit after each step of every `World`; store/`conformance.rs`; projections into objects: cluster only, later |
//! | partial failure drains pools | SP #4295, #963, dual-stack half success | `a_pod_with_one_full_pool_leaves_every_other_pool_as_it_was`, `of_two_pods_after_the_last_pair_of_addresses_one_gets_both`, `a_conflict_on_one_interface_leaves_the_others_as_they_were`, `a_conflict_leaves_what_was_granted_ahead_to_the_next_add_or_del` | *`any_prefix_is_at_worst_a_leak`*, *`retries_of_a_pod_that_cannot_be_satisfied_drain_nothing`*; plugin/`crowd.rs` (`both_families_or_none`) |
//! | CAS storm, retries exhausted | AN PR #7996, SP #1375, #1056, WB #313, #508, #558 | `of_two_decisions_on_one_revision_one_conflicts_and_succeeds_when_made_anew`, `as_many_writers_as_addresses_all_succeed_in_the_end`, `a_crowd_on_one_block_is_served_within_the_bound_on_attempts`, `a_crowd_is_served_where_it_spreads`, `a_crowd_is_served_on_a_sequential_pool` | *`as_many_transactions_as_addresses_succeed`*; store/`many.rs`; plugin/`crowd.rs` |
//! | reboot leak, DEL skipped | cni#204, plugins#252, #697, #1196, containerd/cri#948, CA #4190, AWS #1939 | `after_a_reboot_one_list_of_what_runs_frees_the_rest`, `an_add_that_its_del_overtook_is_refused_for_every_interface`, `an_add_whose_del_came_between_decision_and_write_leaves_nothing` | *`a_request_that_arrived_before_its_del_is_refused`*; plugin/`conversations/collect.rs`, plugin/`runtimes.rs`, plugin/`sweep.rs` (`a_reboot_is_noticed_when_the_pool_is_full`, `a_lost_del_is_noticed_when_the_pool_is_full`) |
//! | empty or torn file | plugins#498 | a matter of stores | store/`hostile.rs`, store/`crash.rs` (`a_power_cut_at_any_write_loses_nothing`); plugin/`kills.rs` (`add_may_die_at_every_system_call`), plugin/`conversations/faults.rs` |
//! | exhausted is terminal | Metal3 #988, #1537, CAPI #179 | `a_refusal_is_not_the_last_word` | plugin/`conversations/del.rs` (`what_was_given_back_is_given_again`); waking up who waits: cluster only, later |
//! | cool-down against sizing | AWS #1700, #2896, PR #3752 | `a_pool_of_the_size_of_its_pods_rolls_over_within_one_cool_down`, `a_named_address_that_cools_down_is_refused_until_its_time_and_then_given`, `an_edited_cool_down_holds_at_once` | *`a_clock_that_steps_back_only_makes_a_cool_down_longer`*; store/`limits.rs` |
//! | too-fast re-use | WB #288, CA #12496, nvidia #181, PR #280, k8s#28969 | `no_address_is_given_again_before_its_time_and_none_is_withheld_after_it` | *`rotate_gives_the_longest_free_address`* |
//! | unbounded loops on wide ranges | SP #3541, nvidia PR #266, cilium #20756, OK #2134, WB's /65 | `a_wide_pool_costs_what_is_used_of_it`, `ten_thousand_exclusions_cost_ten_thousand_runs`, `the_last_addresses_of_a_wide_range_are_given_too`, `overlaps_and_remedies_of_wide_pools_are_found_by_their_ends` | *`wide_pools_work_like_any_other`*; store/`conformance.rs` (`a_full_pool_is_searched_in_few_steps`) |
//! | conflict probing side effects | SP #4650, #4975, #4482, KO #2659 | `a_report_about_another_grant_than_the_present_one_changes_nothing`, `probing_never_drains_a_pool`, `a_pod_is_never_given_the_same_conflict_twice_in_a_row` | *`one_mac_for_many_addresses_is_a_router`*; gratuitous ARP, EINTR and the order of probes: later, with the prober |
//! | opaque refusal | AWS #3415, #2649, KO #5125, cilium #42369, #48717, OK #4850 | `every_refusal_says_why_and_what_would_help`, `a_remedy_takes_away_every_obstacle_of_every_interface`, and every refusal that `refused` looks at | *`a_remedy_that_is_offered_works`*, *`every_filter_says_why`*; plugin/`conversations/choose.rs` |
//! | undeletable, stuck objects | SP #1203, KO #4898, CA #8643, MetalLB #1929 | `a_pool_that_overlaps_another_can_be_removed_once_it_is_empty`, `a_pool_that_overlaps_another_can_be_cut_back_disabled_and_sent_away`, `a_pool_on_its_way_out_drains_and_goes`, `rests_and_quarantines_do_not_keep_a_pool`, `a_pool_that_goes_between_decision_and_write_gives_nothing` | *`a_change_says_what_stands_in_its_way`*; finalizers: cluster only, later |
//! | VM life cycle | KO #5367, #5654, #2486, #1429, SP #3817, #3903, harvester #8693 | `a_late_del_of_the_source_of_a_migration_frees_nothing`, `a_migration_that_is_given_up_leaves_the_address_with_its_vm`, `what_a_vm_leaves_behind_can_be_found_and_ended` | *`a_static_identity_outlives_its_pods`*; who is a VM, and that it is gone: cluster only, later |
//! | claim stampede | CA cni-plugin#165, libcalico-go#785 | `nodes_that_start_at_once_spread_over_the_blocks` | *`every_number_comes_once`*; leases of blocks: cluster only, later |
//!
//! The weak spots of the reference's own design, by their numbers in its description, as far as they
//! concern the core:
//!
//! | weak spot | kept by |
//! |---|---|
//! | 8 instant re-use of the lowest address | *`a_released_address_cools_down`*, `an_edited_cool_down_holds_at_once` |
//! | 9 the same address after a conflict | *`an_address_in_conflict_is_quarantined_and_the_next_one_given`*, `a_pod_is_never_given_the_same_conflict_twice_in_a_row` |
//! | 10 two interfaces, one address | *`two_interfaces_in_one_pool_get_two_addresses`*, `each_interface_and_family_has_an_address_of_its_own` |
//! | 11 the user's order of pools is lost | *`the_written_order_holds_among_equals_and_ties_come_first`* |
//! | 12 a re-created pod is handled as the old one | `a_pod_made_again_under_its_name_is_another_pod_and_the_old_one_goes_by_itself` |
//! | 13 a lost record of a static pod | `an_identity_that_lost_its_address_gets_another_or_is_refused` |
//! | 14 two objects without a transaction | `pool_owner_and_container_are_three_ways_to_one_record` |
//! | 15 partial success is kept | *`all_or_nothing`*, *`dual_stack_is_all_or_nothing_or_one_family_by_policy`*, `of_two_pods_after_the_last_pair_of_addresses_one_gets_both` |
//! | 19 a sweep judges by an old picture | `a_sweep_that_looked_before_the_sandbox_was_made_again_frees_nothing` |
//! | 20 the old record of a re-created pod stays | `a_pod_made_again_under_its_name_is_another_pod_and_the_old_one_goes_by_itself` |
//! | 25 one family's filter fails both | `a_family_without_a_fitting_pool_stops_the_other_only_where_both_are_required` |
//! | 26 a network must resolve though unused | *`an_unknown_network_matters_only_to_pools_that_are_tied_to_one`* |
//! | 27 a static pod judged by its addresses | `only_a_release_by_hand_ends_an_identity` |
//! | 29 all addresses announced on one interface | `an_answer_tells_interfaces_apart` |
//! | 31 records without time, interface, node, container | `a_record_says_who_where_and_since_when` |

mod lab;
mod owners;
mod pools;
mod stored;
mod time;
mod told;

use crate::world::*;
use lab::*;
use proptest::prelude::*;
use spiderpool_core::address::Family;
use spiderpool_core::audit::audit;
use spiderpool_core::command::*;
use spiderpool_core::decide::decide;
use spiderpool_core::definition::*;
use spiderpool_core::event::{ObjectKey, Space, Write};
use spiderpool_core::memory::Memory;
use spiderpool_core::owner::Owner;
use spiderpool_core::refusal::Verdict;
use spiderpool_core::request::*;
use spiderpool_core::slots::BlockSize;
use spiderpool_core::transaction::Step;
use spiderpool_core::view::View;
use std::collections::{BTreeMap, BTreeSet};
