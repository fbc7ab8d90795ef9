//! Prints what happens, for reading a failing schedule.

use crate::world::Happening;
use spiderpool_kube::cluster::port::{Output, Request};
use std::io::Write;

/// Prints a line; a reader that has gone is no fault of the simulation's.
pub(crate) fn line(text: &str) {
    if let Err(error) = writeln!(std::io::stdout().lock(), "{text}") {
        drop(error);
    }
}

pub(crate) fn happening(now: u64, happening: &Happening) {
    line(&format!("{now:>7} {happening:?}"));
}

pub(crate) fn output(now: u64, host: usize, output: &Output) {
    if let Output::Call { call, request } = output
        && let Request::Replace { key, base, body, .. } = &**request
    {
        return line(&format!("{now:>7}   #{host} call {call}: replace {key} at {base}: {body:?}"));
    }
    line(&format!("{now:>7}   #{host} {output:?}"));
}
