//! Many rehearsals of random stacks with random accidents, each judged by what must always hold.
//!
//! A run is a function of its seed: the stack, what goes wrong, and all timing follow from it, so that
//! the seed of a violation is all there is to say about it.

mod invariants;
mod run;
mod scenario;
mod stack;

pub use run::{Finished, rehearse, reproduce};
pub use scenario::{Scenario, seed_of};
