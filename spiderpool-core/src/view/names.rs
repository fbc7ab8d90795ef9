//! A map from names that finds one by its digest and lists all in the order of the names.
//!
//! Pools and tombstones live in it: a request names ten pools, and comparing long names step by step
//! down a tree would cost more than all the rest of a decision.
//!
//! Invariant: it gives what a plain sorted map gives (`agrees_with_a_plain_map`).

use super::tags::{Tags, tag};
use crate::name::Name;
use std::collections::BTreeMap;

/// A sorted map with names as keys.
#[derive(Clone, Debug)]
pub(super) struct NameMap<T> {
    order: BTreeMap<Name, u32>,
    items: Vec<Option<(Name, T)>>,
    tags: Tags,
    vacant: Vec<u32>,
}

impl<T> Default for NameMap<T> {
    fn default() -> Self {
        let (order, items) = (BTreeMap::new(), Vec::new());
        Self { order, items, tags: Tags::default(), vacant: Vec::new() }
    }
}

impl<T> NameMap<T> {
    pub(super) fn get(&self, name: &str) -> Option<&T> {
        self.seat(name).map(|(_, item)| item)
    }

    pub(super) fn get_mut(&mut self, name: &str) -> Option<&mut T> {
        let (place, _) = self.seat(name)?;
        self.items.get_mut(place as usize)?.as_mut().map(|(_, item)| item)
    }

    /// Puts an item in; gives the one that it replaces.
    pub(super) fn insert(&mut self, name: &Name, item: T) -> Option<T> {
        if let Some(old) = self.get_mut(name) {
            return Some(std::mem::replace(old, item));
        }
        let place = self.vacant.pop().unwrap_or_else(|| {
            self.items.push(None);
            u32::try_from(self.items.len() - 1).unwrap_or(u32::MAX)
        });
        if let Some(seat) = self.items.get_mut(place as usize) {
            *seat = Some((name.clone(), item));
        }
        self.tags.insert(tag(name.as_bytes()), place);
        self.order.insert(name.clone(), place);
        None
    }

    pub(super) fn remove(&mut self, name: &str) -> Option<T> {
        let (place, _) = self.seat(name)?;
        self.tags.remove(tag(name.as_bytes()), place);
        self.order.remove(name);
        self.vacant.push(place);
        self.items.get_mut(place as usize)?.take().map(|(_, item)| item)
    }

    /// Every name with its item, in the order of the names.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Name, &T)> {
        let items = self.order.values().filter_map(|place| self.items.get(*place as usize));
        items.flatten().map(|(name, item)| (name, item))
    }

    /// Every item, in the order of the names.
    pub(super) fn values(&self) -> impl Iterator<Item = &T> {
        self.iter().map(|(_, item)| item)
    }

    fn seat(&self, name: &str) -> Option<(u32, &T)> {
        self.tags.places(tag(name.as_bytes())).find_map(|place| {
            let (found, item) = self.items.get(place as usize)?.as_ref()?;
            (**found == *name).then_some((place, item))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn agrees_with_a_plain_map(steps in prop::collection::vec((any::<bool>(), 0u8..20, 0u8..9), 0..100)) {
            let (mut map, mut plain) = (NameMap::default(), BTreeMap::new());
            for (put, key, item) in steps {
                let name = Name::new(&format!("name-{key}")).unwrap();
                if put {
                    prop_assert_eq!(map.insert(&name, item), plain.insert(name.clone(), item));
                } else {
                    prop_assert_eq!(map.remove(&name), plain.remove(&name));
                }
                prop_assert_eq!(map.get(&name), plain.get(&name));
                prop_assert!(map.iter().eq(plain.iter()));
            }
        }
    }
}
