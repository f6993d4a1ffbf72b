//! What is tested: stack files, releases, charts, and the static comparison of N and N+1.

mod accepted;
pub mod archive;
pub mod chart;
mod image;
mod load;
pub mod network;
mod ok_to_fail;
mod operator;
mod pair;
mod probes;
mod problem;
mod release;
mod schema;
mod spec;
mod validate;
mod values;
mod yaml;

pub use image::Image;
pub use load::{STACK_FILE, Stack, StackError, stack_names};
pub use ok_to_fail::OkToFail;
pub use operator::{
    OPERATOR_NAMESPACE, OperatorInstall, OperatorReleases, OperatorSpec, ProviderTemplate,
};
pub use pair::{Pair, Start};
pub use probes::{ProbeLimits, Probes};
pub use problem::{Place, Problem, Problems};
pub(crate) use release::NODE_IMAGES;
pub use release::{
    ADDON_NAMESPACE, Action, AddonChart, Addons, Condition, ConditionObject, Hashes, Hook,
    NodeImage, Overwrite, PackError, Release, ReleaseError, Stage, pack,
};
#[cfg(test)]
pub use schema::is_checked_in;
pub use schema::stack_schema;
pub use spec::{
    Accepted, ClusterApiVersion, ClusterSpec, Components, ControlPlane, Delivery, Disturbance,
    Hooks, Infrastructure, Machines, Management, ManagementKind, Network, ReleaseSource, Releases,
    Spec, StackFile, StartRelease, Timeouts, Upgrade, Worker,
};
pub use validate::CLUSTER_SUFFIX;
pub use values::{
    Cidr, Day, ImageReference, Label, Pattern, ReleaseTag, ReleaseVersion, Subdomain, Timeout,
    ValueError, Version, VersionRange,
};

pub(crate) use yaml::Source;

#[cfg(test)]
mod tests;
