//! What a Cluster's topology asks for: the class's templates, patched for the Cluster.

use serde_json::{Map, Value, json};

use super::access::referred;
use super::kinds::{CLUSTER_NAME, CORE, OWNED, TOPOLOGY_DEPLOYMENT};
use super::patches::{self, Part, Templates};
use super::variables::{defaulted, judged};
use crate::cluster::Cluster;
use crate::error::ApiError;
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
    /// The entry of the class.
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

/// What is rendered with: the class, and who renders Go templates.
struct Renderer<'a> {
    management: &'a Cluster,
    class: &'a Value,
    templates: Option<&'a dyn Templates>,
    /// Variables of the whole Cluster, `builtin` among them.
    variables: Map<String, Value>,
}

impl Renderer<'_> {
    /// Variables of a part: the Cluster's, with the part's own in place of them.
    fn variables(&self, overrides: &[Value], builtin: &Value) -> Value {
        let mut all = self.variables.clone();
        for variable in overrides {
            let own = text(variable, "/name").to_owned();
            all.insert(own, variable["value"].clone());
        }
        let mut all = Value::Object(all);
        json_patch::merge(&mut all["builtin"], builtin);
        all
    }

    fn render(
        &self,
        reference: &Value,
        part: Part<'_>,
        variables: &Value,
    ) -> Result<Rendered, String> {
        let space = namespace(self.class);
        let template = referred(self.management, space, reference).ok_or_else(|| {
            let (kind, own) = (text(reference, "/kind"), text(reference, "/name"));
            format!("error reading the ClusterClass: failed to get {kind} {space}/{own}: not found")
        })?;
        let mut template = json!({
            "apiVersion": template["apiVersion"], "kind": template["kind"], "spec": template["spec"]});
        patches::apply(self.class, &mut template, part, variables, self.templates).map_err(
            |why| format!("error computing the desired state of the Cluster topology: failed to apply patches: {why}"),
        )?;
        Ok(Rendered {
            source: reference.clone(),
            template,
        })
    }
}

/// What patches know of a Cluster without being told.
fn builtin(cluster: &Value, class: &Value) -> Value {
    let network = &cluster["spec"]["clusterNetwork"];
    let topology = &cluster["spec"]["topology"];
    json!({"cluster": {
    "name": name(cluster), "namespace": namespace(cluster), "uid": cluster["metadata"]["uid"],
    "metadata": {"labels": cluster["metadata"]["labels"], "annotations": cluster["metadata"]["annotations"]},
    "topology": {"version": topology["version"],
        "class": name(class), "classNamespace": namespace(class),
        "classRef": {"name": name(class), "namespace": namespace(class)}},
    "network": {
        "serviceDomain": network["serviceDomain"],
        "pods": network["pods"]["cidrBlocks"], "services": network["services"]["cidrBlocks"],
    }}})
}

/// What a Cluster asks for by its class. Versions in `builtin` variables are those of the topology.
///
/// # Errors
/// When a template is missing, a variable is wrong, or a patch cannot be applied.
pub fn desired(
    management: &Cluster,
    cluster: &Value,
    class: &Value,
    templates: Option<&dyn Templates>,
) -> Result<Desired, String> {
    let topology = &cluster["spec"]["topology"];
    let variables = defaulted(class, list(topology, "/variables"), true);
    let causes = judged(class, &variables, "spec.topology.variables", true);
    if !causes.is_empty() {
        return Err(ApiError::invalid("Cluster", CORE, name(cluster), &causes).message);
    }
    let mut whole: Map<String, Value> = variables
        .iter()
        .map(|variable| {
            (
                text(variable, "/name").to_owned(),
                variable["value"].clone(),
            )
        })
        .collect();
    whole.insert("builtin".to_owned(), builtin(cluster, class));
    let renderer = Renderer {
        management,
        class,
        templates,
        variables: whole,
    };
    let plane = &topology["controlPlane"];
    let overrides = defaulted(class, list(plane, "/variables/overrides"), false);
    let own = json!({"controlPlane": {"version": topology["version"], "replicas": plane["replicas"],
        "metadata": plane["metadata"]}});
    let own = renderer.variables(&overrides, &own);
    let spec = &class["spec"];
    let render = |pointer: &str, part: Part<'_>, variables: &Value| {
        let reference = spec.pointer(pointer).cloned().unwrap_or_default();
        renderer.render(&reference, part, variables)
    };
    let of_cluster = renderer.variables(&[], &json!({}));
    let machines = "/controlPlane/machineInfrastructure/templateRef";
    Ok(Desired {
        infrastructure: render(
            "/infrastructure/templateRef",
            Part::InfrastructureCluster,
            &of_cluster,
        )?,
        control_plane: render("/controlPlane/templateRef", Part::ControlPlane, &own)?,
        control_plane_machines: render(machines, Part::ControlPlane, &own)?,
        workers: list(topology, "/workers/machineDeployments")
            .iter()
            .map(|entry| workers(&renderer, topology, entry))
            .collect::<Result<_, _>>()?,
        variables,
    })
}

fn workers(renderer: &Renderer<'_>, topology: &Value, entry: &Value) -> Result<Workers, String> {
    let class_name = text(entry, "/class");
    let known = list(renderer.class, "/spec/workers/machineDeployments");
    let class = known.iter().find(|worker| worker["class"] == class_name);
    let class = class.ok_or_else(|| {
        format!(
            "error computing the desired state of the Cluster topology: failed to compute MachineDeployments: failed to compute MachineDepoyment for topology \"{}\": MachineDeployment class {class_name} not found in ClusterClass {}/{}",
            text(entry, "/name"),
            namespace(renderer.class),
            name(renderer.class)
        )
    })?;
    let own = json!({"machineDeployment": {
        "version": topology["version"], "class": class_name, "replicas": entry["replicas"],
        "topologyName": entry["name"], "metadata": entry["metadata"]}});
    let overrides = list(entry, "/variables/overrides");
    let overrides = defaulted(renderer.class, overrides, false);
    let own = renderer.variables(&overrides, &own);
    let part = Part::Workers(class_name);
    Ok(Workers {
        name: text(entry, "/name").to_owned(),
        topology: entry.clone(),
        class: class.clone(),
        bootstrap: renderer.render(&class["bootstrap"]["templateRef"], part, &own)?,
        infrastructure: renderer.render(&class["infrastructure"]["templateRef"], part, &own)?,
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
