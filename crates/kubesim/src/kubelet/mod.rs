//! Kubelets: nodes that report, pods that start, run and end.

pub mod image;
pub mod machine;
pub(crate) mod node;
