//! Which containers of this node were told which addresses: where to look, never what is true.
//!
//! The store's blocks are the truth; this says which of them are worth reading for CHECK and for reclaiming.
//! It is begun from the endpoints of the node when the agent starts, and follows every answer from then
//! on.
//!
//! Invariant: a container that holds nothing takes no memory (`what_ended_is_forgotten`).

use spiderpool_core::command::{Answer, Command, Place, Standing};
use spiderpool_core::name::Name;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

/// The addresses of containers.
#[derive(Debug, Default)]
pub struct Book {
    containers: Mutex<BTreeMap<Name, Page>>,
}

/// What is known of one container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The UID of its pod.
    pub pod_uid: Option<Name>,
    /// The addresses that it was told.
    pub places: BTreeSet<Place>,
}

impl Book {
    /// Takes in a command and its answer.
    pub fn learn(&self, command: &Command, answer: &Answer) {
        match (command, answer) {
            (Command::Allocate(request), Answer::Allocated(allocated)) => {
                let places = allocated.addresses.iter().map(|granted| Place {
                    space: granted.space.clone(),
                    address: granted.address.addr(),
                });
                if let Some(container) = &request.holder.container {
                    self.note(container, request.holder.pod_uid.as_ref(), places);
                }
            }
            (_, Answer::Freed(freed)) => self.freed(freed),
            _ => {}
        }
    }

    /// A container holds these, as somebody says.
    pub fn note(
        &self,
        container: &Name,
        pod_uid: Option<&Name>,
        places: impl IntoIterator<Item = Place>,
    ) {
        let mut containers = self.containers.lock().unwrap_or_else(PoisonError::into_inner);
        let page = containers.entry(container.clone()).or_default();
        page.pod_uid = pod_uid.cloned();
        page.places.extend(places);
    }

    /// These are free.
    pub fn freed(&self, freed: &[Standing]) {
        for standing in freed {
            self.erase(&standing.container, std::slice::from_ref(&standing.place));
        }
    }

    /// A container does not hold these.
    pub fn erase(&self, container: &str, places: &[Place]) {
        let mut containers = self.containers.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(page) = containers.get_mut(container) else { return };
        page.places.retain(|place| !places.contains(place));
        if page.places.is_empty() {
            containers.remove(container);
        }
    }

    /// What a container was told.
    #[must_use]
    pub fn of(&self, container: &Name) -> BTreeSet<Place> {
        let containers = self.containers.lock().unwrap_or_else(PoisonError::into_inner);
        containers.get(container).map(|page| page.places.clone()).unwrap_or_default()
    }

    /// All containers.
    #[must_use]
    pub fn all(&self) -> BTreeMap<Name, Page> {
        self.containers.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ended_is_forgotten() {
        let name = |text: &str| Name::new(text).unwrap();
        let place = |at: u8| Place { space: name("default"), address: [10, 6, 0, at].into() };
        let standing = |at: u8| Standing {
            place: place(at),
            owner: "pod/u".to_owned(),
            attachment: name("eth0"),
            container: "c1".to_owned(),
            node: "n".to_owned(),
            pool: name("blue"),
            generation: 1,
        };
        let book = Book::default();
        book.note(&name("c1"), Some(&name("u")), [place(1), place(2)]);
        book.freed(&[standing(1), standing(9)]);
        assert_eq!(book.of(&name("c1")), [place(2)].into());
        book.freed(&[standing(2)]);
        assert!(book.all().is_empty());
    }
}
