//! What is tested: stack files, releases, charts, and the static comparison of N and N+1.

pub mod archive;
pub mod chart;
