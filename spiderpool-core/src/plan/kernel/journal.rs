//! A scene with a journal: every change is written down, and can be taken back exactly.
//!
//! The only place where the model changes a scene. Called by the rest of the model, and by the planner,
//! which tries steps and their undo on one scene without copying it.

use super::Change;
use crate::net::{
    Address, Link, LinkName, Marking, Neighbour, Object, Observed, Route, Rule, Scene, Side, Sysctl,
};

/// One change, exactly.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "nearly all are of the large one")]
pub(in crate::plan) enum Edit {
    /// An object came, went or changed.
    Object(Change),
    /// The table of marks changed, which no object describes when it is damaged.
    Marking {
        /// In which namespace.
        side: Side,
        /// What it was.
        before: Marking,
        /// What it is.
        after: Marking,
    },
}

impl Edit {
    /// The change as others see it; none between states that no object describes.
    pub(super) fn into_change(self) -> Option<Change> {
        match self {
            Self::Object(change) => Some(change),
            Self::Marking { side, before, after } => {
                let (before, after) = (marks(before), marks(after));
                (before != after).then_some(Change { side, before, after })
            }
        }
    }
}

fn marks(marking: Marking) -> Option<Object> {
    match marking {
        Marking::Present(marks) => Some(Object::Marks(marks)),
        Marking::Absent | Marking::Damaged => None,
    }
}

/// A scene that is being changed, and what has changed.
#[derive(Debug)]
pub(in crate::plan) struct Journal<'a> {
    scene: &'a mut Scene,
    edits: Vec<Edit>,
}

impl<'a> Journal<'a> {
    pub(in crate::plan) const fn new(scene: &'a mut Scene) -> Self {
        Self { scene, edits: Vec::new() }
    }

    pub(in crate::plan) const fn scene(&self) -> &Scene {
        self.scene
    }

    pub(super) const fn side(&self, side: Side) -> &Observed {
        self.scene.side(side)
    }

    /// What changed since `mark`, the oldest first.
    pub(in crate::plan) fn since(&self, mark: usize) -> &[Edit] {
        self.edits.get(mark..).unwrap_or_default()
    }

    /// Where the journal is at, to come back to.
    pub(in crate::plan) const fn mark(&self) -> usize {
        self.edits.len()
    }

    pub(super) fn into_edits(self) -> Vec<Edit> {
        self.edits
    }

    /// Takes back what changed since `mark`.
    pub(in crate::plan) fn rewind(&mut self, mark: usize) {
        while self.edits.len() > mark {
            match self.edits.pop() {
                Some(Edit::Object(change)) => {
                    let observed = self.scene.side_mut(change.side);
                    if let Some(after) = &change.after {
                        remove(observed, after);
                    }
                    if let Some(before) = change.before {
                        insert(observed, before);
                    }
                }
                Some(Edit::Marking { side, before, .. }) => {
                    self.scene.side_mut(side).marking = before;
                }
                None => return,
            }
        }
    }

    fn edit(&mut self, side: Side, before: Option<Object>, after: Option<Object>) {
        if before == after {
            return;
        }
        let observed = self.scene.side_mut(side);
        if let Some(before) = &before {
            remove(observed, before);
        }
        if let Some(after) = &after {
            insert(observed, after.clone());
        }
        self.edits.push(Edit::Object(Change { side, before, after }));
    }

    pub(super) fn add_link(&mut self, side: Side, link: Link) {
        self.edit(side, None, Some(Object::Link(link)));
    }

    pub(super) fn drop_link(&mut self, side: Side, name: &LinkName) {
        if let Some(link) = self.side(side).links.get(name).cloned() {
            self.edit(side, Some(Object::Link(link)), None);
        }
    }

    /// Changes a link; nothing if it is not there.
    pub(super) fn change_link(
        &mut self,
        side: Side,
        name: &LinkName,
        change: impl FnOnce(&mut Link),
    ) {
        if let Some(before) = self.side(side).links.get(name).cloned() {
            let mut after = before.clone();
            change(&mut after);
            self.edit(side, Some(Object::Link(before)), Some(Object::Link(after)));
        }
    }

    pub(super) fn add_address(&mut self, side: Side, address: Address) {
        if !self.side(side).addresses.contains(&address) {
            self.edit(side, None, Some(Object::Address(address)));
        }
    }

    pub(super) fn drop_address(&mut self, side: Side, address: &Address) {
        if self.side(side).addresses.contains(address) {
            self.edit(side, Some(Object::Address(address.clone())), None);
        }
    }

    pub(super) fn add_route(&mut self, side: Side, route: Route) {
        if !self.side(side).routes.contains(&route) {
            self.edit(side, None, Some(Object::Route(route)));
        }
    }

    pub(super) fn drop_route(&mut self, side: Side, route: &Route) {
        if self.side(side).routes.contains(route) {
            self.edit(side, Some(Object::Route(route.clone())), None);
        }
    }

    pub(super) fn replace_route(&mut self, side: Side, before: &Route, after: Route) {
        self.edit(side, Some(Object::Route(before.clone())), Some(Object::Route(after)));
    }

    pub(super) fn add_neighbour(&mut self, side: Side, neighbour: Neighbour) {
        self.edit(side, None, Some(Object::Neighbour(neighbour)));
    }

    pub(super) fn drop_neighbour(&mut self, side: Side, neighbour: &Neighbour) {
        self.edit(side, Some(Object::Neighbour(neighbour.clone())), None);
    }

    pub(super) fn add_rule(&mut self, side: Side, rule: Rule) {
        self.edit(side, None, Some(Object::Rule(rule)));
    }

    pub(super) fn drop_rule(&mut self, side: Side, rule: &Rule) {
        self.edit(side, Some(Object::Rule(rule.clone())), None);
    }

    /// Sets a setting, or forgets it.
    pub(super) fn set_sysctl(&mut self, side: Side, name: &Sysctl, value: Option<i64>) {
        let object = |value| Object::Sysctl(name.clone(), value);
        let before = self.side(side).sysctls.get(name).copied().map(object);
        self.edit(side, before, value.map(object));
    }

    pub(super) fn set_marking(&mut self, side: Side, after: Marking) {
        let observed = self.scene.side_mut(side);
        let before = std::mem::replace(&mut observed.marking, after.clone());
        self.edits.push(Edit::Marking { side, before, after });
    }
}

fn insert(observed: &mut Observed, object: Object) {
    match object {
        Object::Link(link) => {
            observed.links.insert(link.name.clone(), link);
        }
        Object::Address(address) => {
            observed.addresses.insert(address);
        }
        Object::Neighbour(neighbour) => {
            observed.neighbours.insert(neighbour);
        }
        Object::Route(route) => {
            observed.routes.insert(route);
        }
        Object::Rule(rule) => {
            observed.rules.insert(rule);
        }
        Object::Sysctl(name, value) => {
            observed.sysctls.insert(name, value);
        }
        Object::Marks(marks) => observed.marking = Marking::Present(marks),
    }
}

fn remove(observed: &mut Observed, object: &Object) {
    match object {
        Object::Link(link) => {
            observed.links.remove(&link.name);
        }
        Object::Address(address) => {
            observed.addresses.remove(address);
        }
        Object::Neighbour(neighbour) => {
            observed.neighbours.remove(neighbour);
        }
        Object::Route(route) => {
            observed.routes.remove(route);
        }
        Object::Rule(rule) => {
            observed.rules.remove(rule);
        }
        Object::Sysctl(name, _) => {
            observed.sysctls.remove(name);
        }
        Object::Marks(_) => observed.marking = Marking::Absent,
    }
}
