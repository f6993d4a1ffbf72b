//! What is tested: stack files, releases, charts, and the static comparison of N and N+1.

pub mod archive;
pub mod chart;
mod load;
mod problem;
mod schema;
mod spec;
mod validate;
mod values;
mod yaml;

pub use load::{STACK_FILE, Stack, StackError, stack_names};
pub use problem::{Place, Problem, Problems};
pub use schema::stack_schema;
pub use spec::{
    Accepted, ClusterApiVersion, ClusterSpec, Components, ControlPlane, Delivery, Infrastructure,
    Management, Network, Releases, Spec, StackFile, Timeouts, Worker,
};
pub use validate::CLUSTER_SUFFIX;
pub use values::{
    Cidr, Day, ImageReference, Label, ReleaseTag, ReleaseVersion, Subdomain, Timeout, ValueError,
    Version,
};

#[cfg(test)]
mod tests;
pub(crate) use yaml::Source;
