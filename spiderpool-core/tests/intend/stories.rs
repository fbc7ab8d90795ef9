//! Properties over every mode, order of coming and going, choice and family.

use std::collections::BTreeSet;

use proptest::prelude::*;
use spiderpool_core::intend::{
    Configuration, Intended, MacPrefix, Record, RpFilter, Setting, Tenure, Want,
};
use spiderpool_core::net::{RouteProtocol, RuleAction, Side, table};

use crate::model::{differences, missing};
use crate::world::{Stack, World, configuration, name, without_node};

/// How a pod comes to be: what it is, which interfaces it gets in which order, and what each chooses.
#[derive(Debug, Clone)]
struct Story {
    is_overlay: bool,
    stack: Stack,
    comers: Vec<u8>,
    chosen: Vec<Option<u8>>,
    tunes: bool,
    filter: i64,
    has_mac: bool,
}

fn stories() -> impl Strategy<Value = Story> {
    let comers = Just(vec![1, 2, 3]).prop_shuffle();
    let chosen = prop::collection::vec(prop::option::of(0_u8..4), 4);
    let stack = prop::sample::select(Stack::ALL.to_vec());
    let flags = (any::<bool>(), any::<bool>(), prop::bool::weighted(0.8));
    (comers, 1_usize..4, chosen, stack, flags, -1_i64..3).prop_map(
        |(mut comers, count, chosen, stack, (is_overlay, has_mac, tunes), filter)| {
            comers.truncate(count);
            Story { is_overlay, stack, comers, chosen, tunes, filter, has_mac }
        },
    )
}

impl Story {
    fn configuration(&self, number: usize) -> Configuration {
        let chosen = self.chosen[number].map(|number| match number {
            0 => name("eth0"),
            number => name(&format!("net{number}")),
        });
        Configuration {
            default_route_nic: chosen,
            tunes_routes: self.tunes,
            rp_filter: Setting::<RpFilter>::try_from(self.filter).unwrap(),
            mac_prefix: self.has_mac.then(|| MacPrefix::try_from("0a:1b").unwrap()),
            tx_queue_length: Setting::Set(500),
            ..configuration()
        }
    }

    fn start(&self) -> World {
        if self.is_overlay { World::overlay(self.stack) } else { World::underlay(self.stack) }
    }

    /// Attaches each interface; gives what was intended, and the world before each.
    fn play(&self) -> (World, Vec<Intended>, Vec<World>) {
        let mut world = self.start();
        let (mut intents, mut worlds) = (Vec::new(), Vec::new());
        if !self.is_overlay {
            worlds.push(world.clone());
            intents.push(world.attach("eth0", &self.configuration(0)));
        }
        for number in &self.comers {
            world.net_nic(*number);
            worlds.push(world.clone());
            let interface = format!("net{number}");
            intents.push(world.attach(&interface, &self.configuration((*number).into())));
        }
        (world, intents, worlds)
    }
}

/// Whether a table is one of coordination's.
fn is_known(number: u32) -> bool {
    matches!(number, table::MAIN | 100..=252 | table::HOST)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn the_same_topology_gives_the_same_intent(story in stories()) {
        prop_assert_eq!(story.play().1, story.play().1);
    }

    #[test]
    fn once_applied_nothing_is_left_to_do(story in stories()) {
        let (world, ..) = story.play();
        let last = world.records.last().unwrap();
        let again = world.intend(&last.interface, &last.configuration).unwrap();
        prop_assert_eq!(missing(&world.scene, &again.intent), Vec::<String>::new());
        prop_assert_eq!(&again.record, last);
        prop_assert_eq!(missing(&world.scene, &last.intent), Vec::<String>::new());
    }

    /// Asking again for any of them, in any order, settles: the second round asks for nothing.
    #[test]
    fn renewing_settles(story in stories()) {
        let (mut world, ..) = story.play();
        let names: Vec<String> =
            world.records.iter().map(|record| record.interface.to_string()).collect();
        for _ in 0..2 {
            for interface in &names {
                world.renew(interface);
            }
        }
        let settled = world.scene.clone();
        for interface in names.iter().rev() {
            world.renew(interface);
        }
        prop_assert_eq!(differences(&settled, &world.scene), Vec::<String>::new());
    }

    #[test]
    fn withdrawn_in_any_order_nothing_is_left(story in stories(), order in any::<u64>()) {
        let (mut world, ..) = story.play();
        let records: Vec<Record> = world.records.clone();
        let mut left: Vec<String> =
            records.iter().map(|record| record.interface.to_string()).collect();
        let mut order = order;
        while !left.is_empty() {
            let count = u64::try_from(left.len()).unwrap();
            let next = left.remove(usize::try_from(order % count).unwrap());
            order /= count;
            if next == "eth0" { world.withdraw(&next) } else { world.detach(&next) }
        }
        let after = without_node(&world.scene, &records);
        prop_assert_eq!(differences(&story.start().scene, &after), Vec::<String>::new());
    }

    /// What is withdrawn at once leaves the scene as it was before it came.
    #[test]
    fn coming_and_going_changes_nothing(story in stories()) {
        let (mut world, intents, worlds) = story.play();
        let (intended, before) = (intents.last().unwrap(), worlds.last().unwrap());
        world.withdraw(&intended.record.interface);
        let mut after = if before.records.is_empty() {
            without_node(&world.scene, std::slice::from_ref(&intended.record))
        } else {
            world.scene.clone()
        };
        let mut expected = before.scene.clone();
        if story.tunes {
            // A default route does not come back beside another: the kernel adds none there.
            for scene in [&mut after, &mut expected] {
                scene.pod.routes.retain(|route| !route.is_default());
            }
        }
        prop_assert_eq!(differences(&expected, &after), Vec::<String>::new());
    }

    #[test]
    fn foreign_tables_and_rules_are_never_mentioned(story in stories()) {
        for intended in story.play().1 {
            for wish in &intended.intent.wishes {
                match &wish.want {
                    Want::Route(route) | Want::NoRoute(route) => {
                        prop_assert!(is_known(route.table), "{route:?}");
                        prop_assert!(wish.side == Side::Pod || route.table == table::HOST);
                    }
                    Want::Rule(rule) | Want::NoRule(rule) => {
                        let RuleAction::Lookup(number) = rule.action else { panic!("{rule:?}") };
                        prop_assert!(is_known(number) && number != table::MAIN, "{rule:?}");
                        prop_assert_eq!(rule.protocol, RouteProtocol::OURS);
                    }
                    Want::Neighbour(neighbour) | Want::NoNeighbour(neighbour) => {
                        prop_assert_eq!(neighbour.protocol, RouteProtocol::OURS);
                    }
                    _ => {}
                }
            }
        }
    }

    /// Each attachment's packets leave by the interface whose address they have.
    #[test]
    fn each_interface_answers_for_itself(story in stories()) {
        let (world, ..) = story.play();
        prop_assume!(story.tunes);
        for number in &story.comers {
            for (from, to) in [
                (format!("10.{number}.0.5"), "8.8.8.8"),
                (format!("fd00:{number}::5"), "2001:db8::1"),
            ] {
                if world.toward.contains_key(&crate::world::ip(&from)) {
                    let way = world.way(Some(&from), to);
                    prop_assert_eq!(way, Some(format!("net{number}")), "from {}", from);
                }
            }
        }
    }

    /// No two interfaces share a table, and what only one attachment wants ends with it.
    #[test]
    fn tables_are_nobody_elses(story in stories()) {
        let (world, ..) = story.play();
        let numbers: Vec<u32> = world
            .records
            .iter()
            .flat_map(|record| {
                let displaced = record.displaced.iter().map(|displaced| displaced.table);
                let extra = displaced.filter(|number| *number != record.table);
                std::iter::once(record.table).chain(extra)
            })
            .collect();
        let distinct: BTreeSet<u32> = numbers.iter().copied().collect();
        prop_assert_eq!(distinct.len(), numbers.len());
        let first = &world.records[0].intent.wishes;
        prop_assert!(first.iter().any(|wish| wish.tenure == Tenure::Pod));
    }

    #[test]
    fn a_record_survives_json(story in stories()) {
        for record in story.play().0.records {
            let text = serde_json::to_string(&record).unwrap();
            prop_assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), record);
        }
    }
}
