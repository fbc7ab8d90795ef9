//! What a watch has told, so that a new list can be told as changes.
//!
//! Owns [`Catalogue`], one for each kind that is watched; pure. `watch` calls it with lists and events.
//! Invariants:
//!
//! 1. After any list and any events, what was told adds up to what is there
//!    (`what_was_told_adds_up_to_what_is_there`).
//! 2. What has not changed is not told again (`a_list_tells_the_difference`).
//! 3. A store that went back in time is followed: that is told first, and then all that there is
//!    (`a_store_that_went_back_is_followed`). It shows by the list's revision, or by an object that is
//!    older than it was; a store that was written to since may have come to the same revision again.

use crate::cluster::object::{Key, Object};
use crate::cluster::port::Change;
use spiderpool_core::event::Revision;
use std::collections::BTreeMap;

/// The revision of each object that was told.
#[derive(Debug, Default)]
pub(super) struct Catalogue {
    told: BTreeMap<Key, Revision>,
    revision: Revision,
}

impl Catalogue {
    /// The revision to watch from.
    pub(super) const fn revision(&self) -> Revision {
        self.revision
    }

    /// A whole list at a revision: what is to be told.
    pub(super) fn listed(&mut self, revision: Revision, objects: Vec<Object>) -> Vec<Change> {
        let older = |object: &Object| {
            let at = object.meta.revision;
            at > 0 && self.told.get(&object.key).is_some_and(|told| *told > at)
        };
        let went_back = revision < self.revision || objects.iter().any(older);
        let was = std::mem::replace(&mut self.revision, revision);
        let mut before = std::mem::take(&mut self.told);
        let mut changes = Vec::new();
        if went_back {
            changes.push(Change::Rewound { revision, was });
        }
        for object in objects {
            let (key, at) = (object.key.clone(), object.meta.revision);
            let known = before.remove(&key);
            self.told.insert(key, at);
            // After it went back, the same revision may be of something else.
            if known != Some(at) || at == 0 || went_back {
                changes.push(Change::Seen(Box::new(object)));
            }
        }
        let gone = |key| Change::Gone(key, revision.max(was));
        changes.extend(before.into_keys().map(gone));
        changes
    }

    /// An object was made or changed: what is to be told. An object whose revision cannot be read has
    /// revision 0, and is always told.
    pub(super) fn seen(&mut self, object: Object) -> Option<Change> {
        let at = object.meta.revision;
        self.reached(at);
        let known = self.told.get(&object.key).copied();
        if at > 0 && known.is_some_and(|known| known >= at) {
            return None;
        }
        self.told.insert(object.key.clone(), at);
        Some(Change::Seen(Box::new(object)))
    }

    /// An object was removed, at a revision: what is to be told.
    pub(super) fn gone(&mut self, key: Key, revision: Revision) -> Option<Change> {
        self.reached(revision);
        self.told.remove(&key).map(|_| Change::Gone(key, revision))
    }

    /// Nothing happened up to a revision.
    pub(super) fn reached(&mut self, revision: Revision) {
        self.revision = self.revision.max(revision);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::object::{Body, Meta};
    use proptest::prelude::*;
    use spiderpool_core::name::Name;

    fn key(name: &str) -> Key {
        Key::Pool(Name::new(name).unwrap())
    }

    fn object(name: &str, revision: Revision) -> Object {
        let meta = Meta { revision, ..Meta::default() };
        Object { key: key(name), meta, body: Body::Unreadable { why: "for a test".into() } }
    }

    fn text(changes: impl IntoIterator<Item = Change>) -> String {
        let text = |change| match change {
            Change::Seen(object) => format!("{}@{}", object.key, object.meta.revision),
            Change::Gone(key, _) => format!("-{key}"),
            Change::Rewound { revision, was } => format!("{was}->{revision}"),
            Change::Synced { .. } | Change::Resumed => panic!("{change:?}"),
        };
        changes.into_iter().map(text).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn a_list_tells_the_difference() {
        let mut catalogue = Catalogue::default();
        assert_eq!(
            text(catalogue.listed(9, vec![object("a", 3), object("b", 5)])),
            "pool a@3, pool b@5"
        );
        assert_eq!(catalogue.revision(), 9);
        assert_eq!(text(catalogue.seen(object("a", 10))), "pool a@10");
        assert_eq!(text(catalogue.seen(object("a", 10))), "");
        assert_eq!(text(catalogue.gone(key("c"), 11)), "");
        assert_eq!(catalogue.revision(), 11);
        let list = vec![object("a", 10), object("c", 14)];
        assert_eq!(text(catalogue.listed(15, list)), "pool c@14, -pool b");
        assert_eq!(text(catalogue.gone(key("a"), 16)), "-pool a");
        catalogue.reached(20);
        catalogue.reached(12);
        assert_eq!(catalogue.revision(), 20);
    }

    #[test]
    fn what_cannot_be_dated_is_always_told() {
        let mut catalogue = Catalogue::default();
        assert_eq!(text(catalogue.listed(9, vec![object("a", 0)])), "pool a@0");
        assert_eq!(text(catalogue.seen(object("a", 0))), "pool a@0");
        assert_eq!(text(catalogue.listed(10, vec![object("a", 0)])), "pool a@0");
    }

    #[test]
    fn a_store_that_went_back_is_followed() {
        let mut catalogue = Catalogue::default();
        catalogue.listed(90, vec![object("a", 80), object("b", 20), object("c", 85)]);
        let told = text(catalogue.listed(50, vec![object("a", 40), object("b", 20)]));
        assert_eq!(told, "90->50, pool a@40, pool b@20, -pool c");
        assert_eq!(catalogue.revision(), 50);
        let told = text(catalogue.listed(60, vec![object("a", 39), object("b", 20)]));
        assert_eq!(told, "50->60, pool a@39, pool b@20", "written to since");
    }

    proptest! {
        #[test]
        fn what_was_told_adds_up_to_what_is_there(
            steps in prop::collection::vec((0_u8..6, 0_u8..4, any::<bool>()), 0..60),
        ) {
            let (mut catalogue, mut revision) = (Catalogue::default(), 0);
            let (mut store, mut listener) = (BTreeMap::new(), BTreeMap::new());
            for (name, act, missed) in steps {
                revision += 1;
                let name = format!("p{name}");
                let mut changes = Vec::new();
                match act {
                    0 | 1 => {
                        store.insert(key(&name), revision);
                        if !missed {
                            changes.extend(catalogue.seen(object(&name, revision)));
                        }
                    }
                    2 => {
                        store.remove(&key(&name));
                        if !missed {
                            changes.extend(catalogue.gone(key(&name), revision));
                        }
                    }
                    _ => {
                        let objects = store.iter().map(|(key, at)| {
                            let meta = Meta { revision: *at, ..Meta::default() };
                            Object { key: key.clone(), meta, body: Body::Unreadable { why: String::new() } }
                        });
                        changes = catalogue.listed(revision, objects.collect());
                    }
                }
                for change in changes {
                    match change {
                        Change::Seen(object) => drop(listener.insert(object.key, object.meta.revision)),
                        Change::Gone(key, _) => drop(listener.remove(&key)),
                        Change::Synced { .. } | Change::Rewound { .. } | Change::Resumed => panic!("only the driver says so"),
                    }
                }
            }
            let objects = store.iter().map(|(key, at)| {
                let meta = Meta { revision: *at, ..Meta::default() };
                Object { key: key.clone(), meta, body: Body::Unreadable { why: String::new() } }
            });
            for change in catalogue.listed(revision + 1, objects.collect()) {
                match change {
                    Change::Seen(object) => drop(listener.insert(object.key, object.meta.revision)),
                    Change::Gone(key, _) => drop(listener.remove(&key)),
                    Change::Synced { .. } | Change::Rewound { .. } | Change::Resumed => panic!("only the driver says so"),
                }
            }
            prop_assert_eq!(listener, store);
        }
    }
}
