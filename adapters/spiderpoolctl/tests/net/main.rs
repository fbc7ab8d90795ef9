//! `net` on real namespaces: what is shown is what is done, and looking changes nothing.
//!
//! The attachments are made by the same function that the plugin `coordinator` calls. Everything a test
//! makes lies in namespaces and a directory of its own.

#![cfg(test)]

mod looks;
mod mends;
mod room;
mod way;
