//! Kubelets: nodes that report, pods that start, run and end.

pub mod agnhost;
pub mod asker;
pub mod conformance;
pub(crate) mod container;
pub mod image;
pub mod machine;
pub(crate) mod node;
pub(crate) mod pod;
pub(crate) mod pods;
pub mod program;
mod status;
mod steps;
mod volume;
