//! The Cluster Stack Operator, simulated: the stacks, releases and addons of its `v1alpha1`, its runtime
//! extension and webhooks. Behaviour, times and conditions are those of version v0.2.0-alpha.1, as its source has
//! them (`internal/controller`, `extension/hooks.go`, `pkg/kube`; comments name the functions), what is wrong with it
//! included: it prunes by the new release's own list of stages, an object's version is a part of what it is, a release
//! without stages is not applied again where it is noted as synced, hooks are remembered in memory alone.
//!
//! Releases and their charts come from a [`Releases`]. Of providers of node images there is one, whose work is done
//! as soon as it is asked for.

mod addon;
mod apply;
mod hooks;
mod kinds;
pub mod names;
mod process;
mod provider;
mod release;
mod releases;
mod stack;
mod webhooks;

use crate::cluster::Cluster;
use crate::controller::Controller;
use crate::error::ApiError;

pub use kinds::{
    ADDONS, CLUSTER_STACKS, GROUP, NAMESPACE, POD, PROVIDED, PROVIDER_TEMPLATES, RELEASES, VERSION,
};
pub use process::{Fault, Operator};
pub use releases::{
    Action, CREATED, Metadata, Objects, Releases, RenderError, Stage, UPGRADED, Wait, Watched,
};

/// Serves the operator's kinds on a management cluster, with its webhooks and its Pod. As a runtime
/// extension it is given to Cluster API by [`crate::capi::Options::extensions`].
///
/// # Errors
/// Those of the API, when it is installed already.
pub fn install(cluster: &Cluster, operator: &Operator) -> Result<(), ApiError> {
    for resource in kinds::resources() {
        kinds::define(cluster, &resource)?;
        cluster.api().catalogue().serve(resource);
    }
    process::install(cluster)?;
    cluster.admission(webhooks::Webhooks::new(operator, cluster.api()));
    Ok(())
}

/// The operator's controllers, for a management cluster.
#[must_use]
pub fn controllers(operator: &Operator) -> Vec<Box<dyn Controller>> {
    vec![
        Box::new(stack::Stacks(operator.clone())),
        Box::new(release::ReleaseController(operator.clone())),
        Box::new(addon::Creation(operator.clone())),
        Box::new(addon::Addons(operator.clone())),
        Box::new(provider::Provider(operator.clone())),
        Box::new(process::Life(operator.clone())),
    ]
}
