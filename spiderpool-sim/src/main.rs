//! Runs schedules of the simulator and prints what came of them.

fn main() {}
