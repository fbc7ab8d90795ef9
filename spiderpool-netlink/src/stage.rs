//! A node's network namespace and a pod's at once: observed, changed by a plan, and looked at again.
//!
//! Adapters open a [`Stage`], [`observe`](Stage::observe) it, plan in the core, [`apply`](Stage::apply)
//! the plan and [`verify`](Stage::verify) the intent. Invariants:
//!
//! 1. A failed plan leaves both namespaces as they were, or says what could not be undone
//!    (`a_failure_at_any_step_is_undone`); node-wide steps stay (`node_wide_steps_are_not_undone`).
//! 2. What was acknowledged is undone, and so is what may have been done without being acknowledged, or by
//!    half (`a_step_that_is_half_done_is_undone`). Each step is answered before the next is sent, so no
//!    later one is under way.
//! 3. Names are resolved once for each plan, to an index that then stands for the link. A link that is
//!    not the one that was observed is not touched (`a_link_that_was_replaced_is_not_touched`).
//! 4. Creating is exclusive, and nothing of others is touched (`things_of_others_stay`): a rule that the
//!    kernel would delete another for is not deleted (`the_kernel_is_not_let_delete_another_rule`).
//! 5. Node-wide objects can be ensured by many at once (`many_ensure_one_rule`).
//!
//! Below it: `place` (one namespace), `perform` (one op), `presence` (whether it is so already),
//! `words` (an op in an error), `outcome`.

mod outcome;
mod perform;
mod place;
mod presence;
mod words;

use std::net::IpAddr;

use spiderpool_core::intend::{Intent, Tenure};
use spiderpool_core::net::{Scene, Side};
use spiderpool_core::plan::{Plan, Step, plan};

use crate::fault::{Errno, NetlinkFault};
use crate::focus::Focus;
use crate::lower;
use crate::namespace::Namespace;
use crate::observe::route;
use crate::trial::Way;

pub use outcome::{Done, Failed, Undone, VerifyFault};

use place::Place;

/// A node's network namespace and a pod's, both held open.
///
/// Its sockets were opened inside on threads that have ended; it can be used from any thread.
#[derive(Debug)]
pub struct Stage {
    host: Place,
    pod: Option<Place>,
}

impl Stage {
    /// Opens a route socket in each namespace.
    ///
    /// # Errors
    ///
    /// [`NetlinkFault::NotInside`] or [`NetlinkFault::NoSocket`].
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use spiderpool_netlink::{Focus, Namespace, Stage};
    ///
    /// let (host, pod) = (Namespace::here()?, Namespace::by_name("pod-a")?);
    /// let scene = Stage::open(&host, &pod)?.observe(&Focus::default())?;
    /// println!("{} links, {} routes", scene.pod.links.len(), scene.pod.routes.len());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn open(host: &Namespace, pod: &Namespace) -> Result<Self, NetlinkFault> {
        Ok(Self { host: Place::open(host)?, pod: Some(Place::open(pod)?) })
    }

    /// A stage of the node's own namespace alone; its pod's side is empty and cannot be changed.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn of_host(host: &Namespace) -> Result<Self, NetlinkFault> {
        Ok(Self { host: Place::open(host)?, pod: None })
    }

    /// What both namespaces hold of what is wanted.
    ///
    /// Links are remembered: a plan that is applied later touches those alone.
    ///
    /// # Errors
    ///
    /// [`NetlinkFault`]; a scene is whole or it is an error.
    pub fn observe(&mut self, focus: &Focus) -> Result<Scene, NetlinkFault> {
        let host = self.host.observe(&focus.host)?;
        let pod = self.pod.as_mut().map(|pod| pod.observe(&focus.pod)).transpose()?;
        Ok(Scene { host, pod: pod.unwrap_or_default() })
    }

    /// The address that the node would send from to reach another: `ip route get ADDRESS`. None where no
    /// route leads there.
    ///
    /// # Errors
    ///
    /// [`NetlinkFault`].
    pub fn source_toward(&mut self, address: IpAddr) -> Result<Option<IpAddr>, NetlinkFault> {
        let subject = format!("look up the route to `{address}`");
        let question = lower::look_up(address);
        match self.host.session.socket.request(&subject, question, 0) {
            Ok(answer) => Ok(answer.iter().find_map(route::source_in)),
            Err(fault) if fault.errno().is_some_and(leads_nowhere) => Ok(None),
            Err(fault) => Err(fault),
        }
    }

    /// Carries out a plan, step by step; all of it, or nothing but its node-wide steps.
    ///
    /// A node-wide step ([`Tenure::Node`]) that is so already counts as done.
    ///
    /// # Errors
    ///
    /// [`Failed`], with the step, what the kernel said, and what became of undoing the steps before it.
    pub fn apply(&mut self, plan: &Plan) -> Result<Done, Failed> {
        let before = self.round_trips();
        self.each_place(Place::forget_indices);
        for (position, step) in plan.steps.iter().enumerate() {
            if let Err(problem) = self.take(step) {
                let mut undone = Vec::new();
                if problem.is_begun || problem.fault.is_uncertain() {
                    self.undo(step, &mut undone);
                }
                for done in plan.steps.iter().take(position).rev() {
                    self.undo(done, &mut undone);
                }
                return Err(Failed {
                    step: position.saturating_add(1),
                    steps: plan.steps.len(),
                    side: step.side,
                    op: Box::new(step.op.clone()),
                    fault: Box::new(problem.fault),
                    rollback: undone,
                });
            }
        }
        let round_trips = self.round_trips().wrapping_sub(before);
        Ok(Done { steps: plan.steps.len(), round_trips })
    }

    /// The steps that are missing to an intent: none if it is held.
    ///
    /// # Errors
    ///
    /// [`VerifyFault`] if the namespaces cannot be looked at, or hold what rules the intent out.
    pub fn verify(&mut self, intent: &Intent, focus: &Focus) -> Result<Plan, VerifyFault> {
        let scene = self.observe(focus)?;
        Ok(plan(&scene, intent)?)
    }

    /// How many requests were sent since the stage was opened, on both sides.
    #[must_use]
    pub fn round_trips(&self) -> u32 {
        let pod = self.pod.as_ref().map_or(0, Place::round_trips);
        self.host.round_trips().wrapping_add(pod)
    }

    fn take(&mut self, step: &Step) -> Result<(), perform::Problem> {
        match self.perform(step.side, &step.op, Way::Forth) {
            Err(problem)
                if step.tenure == Tenure::Node
                    && self.is_so(step.side, &step.op, &problem.fault) =>
            {
                Ok(())
            }
            other => other,
        }
    }

    /// Undoes one step; each of its ops is tried, whatever became of those before it.
    fn undo(&mut self, step: &Step, undone: &mut Vec<Undone>) {
        if step.tenure == Tenure::Node {
            return;
        }
        for (side, op) in &step.undo {
            let outcome = match self.perform(*side, op, Way::Back) {
                Err(problem) if self.is_so(*side, op, &problem.fault) => Ok(()),
                other => other.map_err(|problem| problem.fault),
            };
            undone.push(Undone { side: *side, op: op.clone(), outcome });
        }
    }

    fn place(&mut self, side: Side, subject: &str) -> Result<&mut Place, NetlinkFault> {
        match side {
            Side::Host => Ok(&mut self.host),
            Side::Pod => self.pod.as_mut().ok_or_else(|| NetlinkFault::Unasked {
                subject: subject.to_owned(),
                reason: "no pod's namespace is open; name one".to_owned(),
            }),
        }
    }

    fn each_place(&mut self, work: impl Fn(&mut Place)) {
        work(&mut self.host);
        self.pod.iter_mut().for_each(work);
    }
}

/// What a look-up of a route answers where there is none, or one that refuses.
fn leads_nowhere(errno: Errno) -> bool {
    [Errno::ENETUNREACH, Errno::EHOSTUNREACH, Errno::EACCES, Errno::EINVAL, Errno::EAGAIN]
        .contains(&errno)
}
