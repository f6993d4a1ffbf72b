//! Cluster API, simulated: its core, kubeadm bootstrap and control plane, and an infrastructure
//! provider whose machines are nodes of a [`crate::kubeadm`] cluster. Behaviour and conditions are
//! those of Cluster API 1.12.

mod access;
mod bootstrap;
mod class;
mod cluster;
mod conditions;
mod control_plane;
mod convert;
mod definitions;
mod desired;
mod drain;
mod hooks;
mod infrastructure;
pub mod kinds;
mod kubelet;
mod machine;
mod machine_deployment;
mod machine_set;
mod patches;
pub mod provider;
mod topology;
mod variables;
mod webhooks;

use std::sync::Arc;

use crate::cluster::Cluster;
use crate::controller::Controller;

pub(crate) use access::{hold, referred, release, resource_in, unless_gone};
pub use access::{server, workload, workload_name};
pub use hooks::{Hook, HookAnswer, RuntimeExtension};
pub use patches::{Rendered, Templates};
pub use provider::Provider;

/// How Cluster API is installed.
#[derive(Clone)]
pub struct Options {
    /// The infrastructure provider.
    pub infrastructure: Provider,
    /// Runtime extensions, asked in this order.
    pub extensions: Vec<Arc<dyn RuntimeExtension>>,
    /// What renders the Go templates of ClusterClass patches; without it such a patch is an error.
    pub templates: Option<Arc<dyn Templates>>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            infrastructure: provider::DOCKER,
            extensions: Vec::new(),
            templates: None,
        }
    }
}

/// Serves the kinds of Cluster API on a management cluster, with its webhooks, and tells of the
/// extensions.
pub fn install(cluster: &Cluster, options: &Options) {
    let catalogue = cluster.api().catalogue();
    for resource in kinds::resources()
        .into_iter()
        .chain(kinds::infrastructure(&options.infrastructure))
    {
        let id = resource.id.clone();
        // A cluster without definitions serves the kinds all the same.
        drop(definitions::create(
            cluster,
            &resource,
            &options.infrastructure,
        ));
        catalogue.serve(resource);
        catalogue.convert_with(&id, Arc::new(convert::Versions));
    }
    for extension in &options.extensions {
        drop(hooks::register(cluster, extension.name()));
    }
    cluster.admission(webhooks::Webhooks::new(cluster.api()));
}

/// Cluster API's controllers, for a management cluster.
#[must_use]
pub fn controllers(options: &Options) -> Vec<Box<dyn Controller>> {
    vec![
        Box::new(class::Classes),
        Box::new(topology::Topology::new(options)),
        Box::new(cluster::Clusters::new(&options.infrastructure)),
        Box::new(control_plane::ControlPlanes),
        Box::new(machine_deployment::MachineDeployments),
        Box::new(machine_set::MachineSets),
        Box::new(machine::Machines::new(&options.infrastructure)),
        Box::new(bootstrap::Configs),
        Box::new(infrastructure::ClusterController::new(
            options.infrastructure,
        )),
        Box::new(infrastructure::MachineController::new(
            options.infrastructure,
        )),
    ]
}
