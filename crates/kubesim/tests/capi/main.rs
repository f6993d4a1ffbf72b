//! Cluster API: what becomes of a Cluster, step by step, alone and with the Cluster Stack Operator.

mod again;
mod hooks;
mod lab;
mod life;
mod operator;
