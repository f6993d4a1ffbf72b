//! Cluster API: what becomes of a Cluster, step by step.

mod hooks;
mod lab;
mod life;
