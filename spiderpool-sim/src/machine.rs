//! What the simulator drives: anything with the surface of the protocol's state machine.

use spiderpool_core::moment::Moment;
use spiderpool_kube::cluster::node::{Node, Setup};
use spiderpool_kube::cluster::port::{Input, Output};

/// A state machine of one node.
pub trait Machine: Sized {
    /// One that has not looked at anything yet, and what it does first.
    fn start(setup: Setup, moment: Moment) -> (Self, Vec<Output>);

    /// Takes in what happened, and gives what is to be done, in order.
    fn step(&mut self, moment: Moment, input: Input) -> Vec<Output>;

    /// When it wants to be told the time, by its own clock.
    fn wake_at(&self) -> Option<u64>;
}

impl Machine for Node {
    fn start(setup: Setup, moment: Moment) -> (Self, Vec<Output>) {
        Self::new(setup, moment)
    }

    fn step(&mut self, moment: Moment, input: Input) -> Vec<Output> {
        Self::step(self, moment, input)
    }

    fn wake_at(&self) -> Option<u64> {
        Self::wake_at(self)
    }
}
