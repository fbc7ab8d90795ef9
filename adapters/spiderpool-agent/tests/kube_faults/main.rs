//! The real agent against a real API server when the world fails around it, and the real CNI plugins in
//! front of it.
//!
//! Each story has agents as processes, nodes, a pool and blocks of its own; all but one
//! share a control plane and take turns (`ground`). At the end of every story: no two containers that lived at one time were told
//! one address, what each was told is held for it, the core's audit finds nothing, and nothing is left
//! held once all pods are gone.
//!
//! Modules, in reading order: `ground` the control plane, `daemon` an agent, `crowd` pods that come and go
//! and what they were told, `chance` seeds; then the stories: `plugins` real chains, `kills` kills and
//! pauses, `lossy` lost replies, `past` a store that went back, `lost` a block that was deleted, `twins` two
//! agents of one node.
//!
//! It needs root (namespaces), Debian's `containernetworking-plugins`, and the plugins `spiderpool` and
//! `coordinator` beside the test binary.

#![cfg(test)]

mod chance;
mod crowd;
mod daemon;
mod ground;
mod kills;
mod lossy;
mod lost;
mod past;
mod plugins;
mod twins;
