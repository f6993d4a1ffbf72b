//! stackgate decides whether a cluster stack may be released: it deploys release N on a real
//! cluster, checks it, upgrades it to N+1, checks again, compares, and gives a verdict.
//!
//! The rooms of the house and who may import whom are told in ARCHITECTURE.md.

pub mod checks;
pub mod cli;
pub mod cluster;
pub mod delivery;
pub mod engine;
pub mod gate;
pub mod lint;
pub mod probe;
pub mod record;
pub mod replay;
pub mod report;
pub mod scenario;
pub mod simulate;
pub mod source;
pub mod stack;
pub mod suite;
