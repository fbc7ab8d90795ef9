//! Wishes become steps: each is tried on the model in its turn, until all hold.
//!
//! One scene is copied once; every step, and the search for its undo, works on that copy through a journal.

use std::collections::BTreeSet;

use super::balance::balance;
use super::draft::Look;
use super::kernel::attempt;
use super::kernel::journal::Journal;
use super::phase::turn;
use super::{Loss, LossCause, Op, Plan, PlanRefusal, Step, undo};
use crate::intend::{Intent, Tenure, Wish};
use crate::net::{LinkName, Object, Scene, Side, SysctlPlace};

/// Rounds over all wishes after which they are taken to contradict each other.
const ROUNDS: usize = 8;

/// See [`plan`](super::plan).
pub(super) fn plan(scene: &Scene, intent: &Intent) -> Result<Plan, PlanRefusal> {
    let look = Look { scene, wishes: &intent.wishes };
    let mut open = Vec::new();
    for wish in &intent.wishes {
        if !matches!(look.draft(wish), Ok(ops) if ops.is_empty()) {
            open.push(wish);
        }
    }
    if open.is_empty() {
        return Ok(Plan::default());
    }
    let mut scratch = scene.clone();
    let mut planner = Planner {
        journal: Journal::new(&mut scratch),
        wishes: &intent.wishes,
        made: BTreeSet::new(),
        steps: Vec::new(),
    };
    for _ in 0..ROUNDS {
        planner.round(open)?;
        open = planner.open();
        if open.is_empty() {
            return Ok(Plan { steps: planner.steps });
        }
    }
    let wish = open.first().map(|wish| Box::new((*wish).clone()));
    wish.map_or_else(
        || Ok(Plan { steps: Vec::new() }),
        |wish| Err(PlanRefusal::Contradiction { wish }),
    )
}

struct Planner<'a> {
    journal: Journal<'a>,
    wishes: &'a [Wish],
    /// The links that steps have made, which take their settings along when they are undone.
    made: BTreeSet<(Side, LinkName)>,
    steps: Vec<Step>,
}

/// What became of a wish in its turn.
enum Outcome {
    /// It holds.
    Held,
    /// It would destroy what cannot be restored: it waits for the others.
    Waits,
}

impl<'a> Planner<'a> {
    fn look(&self) -> Look<'_> {
        Look { scene: self.journal.scene(), wishes: self.wishes }
    }

    /// The wishes that do not hold.
    fn open(&self) -> Vec<&'a Wish> {
        let look = self.look();
        let holds = |wish: &Wish| matches!(look.draft(wish), Ok(ops) if ops.is_empty());
        self.wishes.iter().filter(|wish| !holds(wish)).collect()
    }

    /// Gives each wish its turn; those that destroy for good come last.
    fn round(&mut self, mut open: Vec<&'a Wish>) -> Result<(), PlanRefusal> {
        let scene = self.journal.scene();
        open.sort_by_cached_key(|wish| turn(scene, wish));
        let begun = self.steps.len();
        let mut waiting = Vec::new();
        let mut refusal = None;
        while let Some(first) = open.first() {
            let now = turn(self.journal.scene(), first);
            let count = open.iter().take_while(|wish| turn(self.journal.scene(), wish) == now);
            let count = count.count().max(1);
            let group = open.drain(..count).collect();
            let refused = self.group(group, &mut waiting);
            refusal = refusal.or(refused);
        }
        for wish in waiting {
            if let Err(refused) = self.fulfil(wish, false) {
                refusal = refusal.or(Some(refused));
            }
        }
        match refusal {
            Some(refusal) if self.steps.len() == begun => Err(refusal),
            _ => Ok(()),
        }
    }

    /// Gives the wishes of one phase their turn, again and again while some get on: a gateway may be
    /// reached by another route. Says why the first was refused that is left.
    fn group(
        &mut self,
        mut group: Vec<&'a Wish>,
        waiting: &mut Vec<&'a Wish>,
    ) -> Option<PlanRefusal> {
        loop {
            let before = group.len();
            let mut refusal = None;
            let mut left = Vec::new();
            for wish in group {
                match self.fulfil(wish, true) {
                    Ok(Outcome::Held) => {}
                    Ok(Outcome::Waits) => waiting.push(wish),
                    Err(refused) => {
                        left.push(wish);
                        refusal = refusal.or(Some(refused));
                    }
                }
            }
            if left.is_empty() || left.len() == before {
                return refusal;
            }
            group = left;
        }
    }

    /// Takes the steps that a wish needs; none if it holds.
    fn fulfil(&mut self, wish: &Wish, may_wait: bool) -> Result<Outcome, PlanRefusal> {
        let ops = self.look().draft(wish)?;
        let (mark, begun) = (self.journal.mark(), self.steps.len());
        let may_wait = may_wait && ops.len() == 1;
        for (side, op) in ops {
            if let Err(refusal) = self.step(side, op, wish) {
                self.journal.rewind(mark);
                self.steps.truncate(begun);
                return Err(refusal);
            }
        }
        let destroys = self
            .steps
            .get(begun..)
            .is_some_and(|steps| steps.iter().any(|step| !step.losses.is_empty()));
        if may_wait && destroys {
            self.journal.rewind(mark);
            self.steps.truncate(begun);
            return Ok(Outcome::Waits);
        }
        Ok(Outcome::Held)
    }

    fn step(&mut self, side: Side, op: Op, wish: &Wish) -> Result<(), PlanRefusal> {
        let mark = self.journal.mark();
        attempt(&mut self.journal, side, &op).map_err(|source| PlanRefusal::Kernel {
            side,
            op: Box::new(op.clone()),
            source,
        })?;
        let found = undo::find(&mut self.journal, mark, side, &op);
        let mut losses = found.losses;
        losses.extend(self.unknown(side, &op, mark));
        let collateral = balance(self.journal.since(mark))
            .gone
            .into_iter()
            .filter(|(at, object)| !(*at == side && is_subject(&op, object)))
            .collect();
        if let Op::CreateLink(new) = &op {
            self.made.insert((side, new.name.clone()));
            if let super::NewKind::Veth(peer) = &new.kind {
                self.made.insert((side.other(), peer.name.clone()));
            }
        }
        let is_nodes = wish.tenure == Tenure::Node;
        let undo = if is_nodes { Vec::new() } else { found.ops };
        let (tenure, reason) = (wish.tenure, wish.reason);
        self.steps.push(Step { side, op, tenure, reason, undo, collateral, losses });
        Ok(())
    }

    /// The loss of a setting's value that was not observed.
    fn unknown(&self, side: Side, op: &Op, mark: usize) -> Option<Loss> {
        let Op::SetSysctl(name, value) = op else { return None };
        let new = balance(self.journal.since(mark)).new;
        let was_known = balance(self.journal.since(mark))
            .gone
            .iter()
            .any(|(_, object)| matches!(object, Object::Sysctl(gone, _) if gone == name));
        let is_set = new.contains(&(side, Object::Sysctl(name.clone(), *value)));
        let goes_along = match &name.place {
            SysctlPlace::Link(link) => self.made.contains(&(side, link.clone())),
            SysctlPlace::All | SysctlPlace::Default => false,
        };
        let is_lost = is_set && !was_known && !goes_along;
        is_lost.then_some(Loss { side, object: None, cause: LossCause::Unobserved })
    }
}

/// Whether an object is what an op is about.
fn is_subject(op: &Op, object: &Object) -> bool {
    match (op, object) {
        (
            Op::DeleteLink(name) | Op::SetLink { name, .. } | Op::MoveLink { name, .. },
            Object::Link(link),
        ) => link.name == *name,
        (Op::DeleteAddress(it), Object::Address(found)) => {
            it.device == found.device && it.net == found.net
        }
        (Op::SetNeighbour(it) | Op::DeleteNeighbour(it), Object::Neighbour(found)) => {
            it.device == found.device && it.address == found.address
        }
        (Op::DeleteRoute(it), Object::Route(found)) => super::kernel::normal::route(it) == *found,
        (Op::DeleteRule(it), Object::Rule(found)) => it == found,
        (Op::SetSysctl(name, _), Object::Sysctl(found, _)) => name == found,
        (Op::DeleteMarks, Object::Marks(_)) => true,
        _ => false,
    }
}
