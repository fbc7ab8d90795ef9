//! The real binary on a real API server: transcripts of every command, findings that were planted, and
//! writers that get in each other's way.

#![cfg(test)]

mod lab;
mod transcript;
mod writers;
