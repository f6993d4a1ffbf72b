//! What a Cluster's topology asks for: the class's templates, patched for the Cluster.

use serde_json::{Value, json};

use super::access::referred;
use super::kinds::{CLUSTER_NAME, OWNED, TOPOLOGY_DEPLOYMENT};
use super::patches::{self, Part, Templates};
use crate::cluster::Cluster;
use crate::object::{list, name, namespace, text};

/// A template of the class, ready for this Cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct Rendered {
    /// The template's own reference in the class.
    pub source: Value,
    /// The patched template object: apiVersion, kind and `spec.template`.
    pub template: Value,
}

impl Rendered {
    /// `spec.template.spec` of it.
    #[must_use]
    pub fn spec(&self) -> Value {
        let spec = self.template["spec"]["template"]["spec"].clone();
        if spec.is_object() { spec } else { json!({}) }
    }
}

/// Workers as the topology asks for them.
#[derive(Clone, Debug, PartialEq)]
pub struct Workers {
    /// The name in the topology.
    pub name: String,
    /// The entry of the topology.
    pub topology: Value,
    /// Metadata and strategy of the class.
    pub class: Value,
    /// Bootstrap configuration.
    pub bootstrap: Rendered,
    /// Machines.
    pub infrastructure: Rendered,
}

/// Everything that a topology asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Desired {
    /// Infrastructure of the Cluster.
    pub infrastructure: Rendered,
    /// The control plane.
    pub control_plane: Rendered,
    /// Its Machines.
    pub control_plane_machines: Rendered,
    /// Workers.
    pub workers: Vec<Workers>,
    /// The topology's variables with the class's defaults, for the Cluster itself.
    pub variables: Vec<Value>,
}

/// What a Cluster asks for by its class. Versions in `builtin` variables are those of the topology.
///
/// # Errors
/// When a template is missing, a variable is wrong, or a patch cannot be applied.
pub fn desired(
    management: &Cluster,
    cluster: &Value,
    class: &Value,
    renders: Option<&dyn Templates>,
) -> Result<Desired, String> {
    let topology = &cluster["spec"]["topology"];
    let variables = patches::variables(class, topology)?;
    let space = namespace(class);
    let with_builtin = |more: Value| -> Value {
        let mut all = json!(variables);
        let mut builtin = json!({"cluster": {
        "name": name(cluster), "namespace": namespace(cluster), "uid": cluster["metadata"]["uid"],
        "metadata": {"labels": cluster["metadata"]["labels"], "annotations": cluster["metadata"]["annotations"]},
        "topology": {"version": topology["version"], "class": name(class), "classNamespace": space},
        "network": {
            "serviceDomain": cluster["spec"]["clusterNetwork"]["serviceDomain"],
            "pods": cluster["spec"]["clusterNetwork"]["pods"]["cidrBlocks"],
            "services": cluster["spec"]["clusterNetwork"]["services"]["cidrBlocks"],
        }}});
        json_patch::merge(&mut builtin, &more);
        all["builtin"] = builtin;
        all
    };
    let render = |reference: &Value,
                  part: Part<'_>,
                  variables: &Value|
     -> Result<Rendered, String> {
        let template = referred(management, space, reference).ok_or_else(|| {
            format!(
                "failed to get {} {}",
                text(reference, "/kind"),
                text(reference, "/name")
            )
        })?;
        let mut template = json!({
            "apiVersion": template["apiVersion"], "kind": template["kind"], "spec": template["spec"]});
        patches::apply(class, &mut template, part, variables, renders)?;
        Ok(Rendered {
            source: reference.clone(),
            template,
        })
    };
    let plane = json!({"controlPlane": {"version": topology["version"], "replicas": topology["controlPlane"]["replicas"]}});
    let plane = with_builtin(plane);
    let spec = &class["spec"];
    let mut workers = Vec::new();
    for entry in list(topology, "/workers/machineDeployments") {
        let class_name = text(entry, "/class");
        let of_class = list(class, "/spec/workers/machineDeployments")
            .iter()
            .find(|worker| worker["class"] == class_name)
            .ok_or_else(|| {
                format!(
                    "MachineDeployment class \"{class_name}\" not found in ClusterClass {}",
                    name(class)
                )
            })?;
        let own = json!({"machineDeployment": {
            "version": topology["version"], "class": class_name, "replicas": entry["replicas"],
            "topologyName": entry["name"]}});
        let own = with_builtin(own);
        workers.push(Workers {
            name: text(entry, "/name").to_owned(),
            topology: entry.clone(),
            class: of_class.clone(),
            bootstrap: render(
                &of_class["bootstrap"]["templateRef"],
                Part::Workers(class_name),
                &own,
            )?,
            infrastructure: render(
                &of_class["infrastructure"]["templateRef"],
                Part::Workers(class_name),
                &own,
            )?,
        });
    }
    let for_cluster: Vec<Value> = variables
        .iter()
        .map(|(name, value)| json!({"name": name, "value": value}))
        .collect();
    Ok(Desired {
        infrastructure: render(
            &spec["infrastructure"]["templateRef"],
            Part::InfrastructureCluster,
            &with_builtin(json!({})),
        )?,
        control_plane: render(
            &spec["controlPlane"]["templateRef"],
            Part::ControlPlane,
            &plane,
        )?,
        control_plane_machines: render(
            &spec["controlPlane"]["machineInfrastructure"]["templateRef"],
            Part::ControlPlane,
            &plane,
        )?,
        workers,
        variables: for_cluster,
    })
}

/// Labels of what a topology makes.
#[must_use]
pub fn labels(cluster: &Value, deployment: Option<&str>) -> Value {
    let mut labels = json!({CLUSTER_NAME: name(cluster), OWNED: ""});
    if let Some(deployment) = deployment {
        labels[TOPOLOGY_DEPLOYMENT] = json!(deployment);
    }
    labels
}
