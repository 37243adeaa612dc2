//! The planner against simulated maps.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "planner/world.rs"]
mod world;

#[path = "planner/kernel.rs"]
mod kernel;

#[path = "planner/edits.rs"]
mod edits;

#[path = "planner/frontends.rs"]
mod frontends;

#[path = "planner/full.rs"]
mod full;

#[path = "planner/restart.rs"]
mod restart;

#[path = "planner/random.rs"]
mod random;

#[path = "planner/scale.rs"]
mod scale;
