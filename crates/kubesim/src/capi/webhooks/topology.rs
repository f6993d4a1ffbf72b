//! A Cluster with a topology: its version moves by small steps, its class fits, its variables have
//! values.

use std::cmp::Ordering;
use std::sync::Arc;

use serde_json::{Value, json};

use super::super::access::resource_in;
use super::super::conditions;
use super::super::kinds::{
    CLUSTER_CLASSES, CLUSTER_NAME, DEPLOYMENT_NAME, MACHINE_DEPLOYMENTS, MACHINES, OWNED,
    PENDING_HOOKS,
};
use super::super::variables::{Cause, defaulted, forbidden, invalid, judged};
use super::{Reader, needed, version};
use crate::object::{annotation, list, name, namespace, text};

/// Makes version checks a warning.
const UNSAFE_VERSION: &str = "unsafe.topology.cluster.x-k8s.io/disable-update-version-check";
/// Lets an existing Cluster get a class.
const UNSAFE_CLASS: &str = "unsafe.topology.cluster.x-k8s.io/disable-update-class-name-check";
/// How many MachineDeployments move at a time.
const CONCURRENCY: &str = "topology.cluster.x-k8s.io/upgrade-concurrency";
const TOPOLOGY: &str = "spec.topology";

/// Namespace and name of a Cluster's class.
pub(in super::super) fn class_of(cluster: &Value) -> (&str, &str) {
    let reference = &cluster["spec"]["topology"]["classRef"];
    let space = match text(reference, "/namespace") {
        "" => namespace(cluster),
        space => space,
    };
    (space, text(reference, "/name"))
}

/// Completes and judges a Cluster; answers with warnings.
///
/// # Errors
/// What is wrong with it.
pub(super) fn admit(
    reader: &Reader,
    cluster: &mut Value,
    old: Option<&Value>,
) -> Result<Vec<String>, Vec<Cause>> {
    let mut warnings = Vec::new();
    let mut causes = spec(cluster, old);
    if cluster["spec"]["topology"].is_object() {
        causes.extend(topology(reader, cluster, old, &mut warnings));
    }
    if causes.is_empty() {
        Ok(warnings)
    } else {
        Err(causes)
    }
}

fn spec(cluster: &Value, old: Option<&Value>) -> Vec<Cause> {
    let mut causes = Vec::new();
    let has = |object: &Value, field: &str| object["spec"][field].is_object();
    if !["controlPlaneRef", "infrastructureRef", "topology"]
        .iter()
        .any(|field| has(cluster, field))
    {
        let why =
            "one of spec.controlPlaneRef, spec.infrastructureRef or spec.topology must be set";
        causes.push(forbidden("spec", why));
    }
    if let Some(old) = old {
        for field in ["infrastructureRef", "controlPlaneRef"] {
            if has(old, field) && !has(cluster, field) {
                causes.push(forbidden(&format!("spec.{field}"), "cannot be removed"));
            }
        }
        if has(old, "topology") && !has(cluster, "topology") {
            let why = "cannot be removed from an existing Cluster";
            causes.push(forbidden(TOPOLOGY, why));
        }
    }
    for part in ["pods", "services"] {
        let blocks = list(cluster, &format!("/spec/clusterNetwork/{part}/cidrBlocks"));
        for (index, block) in blocks.iter().enumerate() {
            let shown = block.as_str().unwrap_or_default();
            if !is_range(shown) {
                let path = format!("spec.clusterNetwork.{part}.cidrBlocks[{index}]");
                let why = format!("invalid CIDR address: {shown}");
                causes.push(invalid(&path, block, &why));
            }
        }
    }
    causes
}

/// Whether a text is an address and a length, e.g. `10.244.0.0/16`.
fn is_range(text: &str) -> bool {
    let Some((address, length)) = text.split_once('/') else {
        return false;
    };
    let most = match address.parse::<std::net::IpAddr>() {
        Ok(std::net::IpAddr::V4(_)) => 32,
        Ok(std::net::IpAddr::V6(_)) => 128,
        Err(_) => return false,
    };
    length.parse::<u8>().is_ok_and(|length| length <= most)
}

fn topology(
    reader: &Reader,
    cluster: &mut Value,
    old: Option<&Value>,
    warnings: &mut Vec<String>,
) -> Vec<Cause> {
    let mut causes = Vec::new();
    let wanted = text(cluster, "/spec/topology/version").to_owned();
    if !wanted.is_empty() && !wanted.starts_with('v') {
        cluster["spec"]["topology"]["version"] = json!(format!("v{wanted}"));
    }
    if class_of(cluster).1.is_empty() {
        return vec![needed("spec.topology.classRef.name", "cannot be empty")];
    }
    let wanted = text(cluster, "/spec/topology/version").to_owned();
    if version(&wanted).is_none() {
        let why = "version must be a valid semantic version";
        causes.push(invalid("spec.topology.version", &json!(wanted), why));
        return causes;
    }
    causes.extend(concurrency(cluster));
    let class = class(reader, cluster, warnings);
    if let Some(class) = &class {
        complete(cluster, class);
        causes.extend(by_class(cluster, class));
    }
    let Some(old) = old else {
        return causes;
    };
    if class_of(old).1.is_empty() {
        if annotation(cluster, UNSAFE_CLASS).is_none() {
            let why = "classRef cannot be set on an existing Cluster";
            causes.push(forbidden("spec.topology.class", why));
        }
        return causes;
    }
    if annotation(cluster, UNSAFE_VERSION).is_some() {
        warnings.push(format!(
            "Skipping version validation for Cluster because annotation \"{UNSAFE_VERSION}\" is set."
        ));
    } else {
        causes.extend(step(reader, cluster, old, class.as_deref()));
    }
    if class_of(old) != class_of(cluster)
        && let Some(class) = &class
    {
        let (space, own) = class_of(old);
        match reader.get(&CLUSTER_CLASSES, space, own) {
            Some(present) => causes.extend(compatible(&present, class)),
            None => {
                let (wanted_space, wanted) = class_of(cluster);
                let why = format!(
                    "valid ClusterClass with name \"{space}/{own}\" could not be retrieved, change from class \"{space}/{own}\" to class \"{wanted_space}/{wanted}\" cannot be validated. Error: clusterclasses.cluster.x-k8s.io \"{own}\" not found"
                );
                causes.push(forbidden("spec.topology.class", &why));
            }
        }
    }
    causes
}

fn concurrency(cluster: &Value) -> Option<Cause> {
    let given = annotation(cluster, CONCURRENCY)?;
    let why = match given.parse::<i64>() {
        Ok(number) if number >= 1 => return None,
        Ok(_) => "value cannot be less than 1".to_owned(),
        Err(_) => format!(
            "could not parse the value of the annotation: strconv.Atoi: parsing \"{given}\": invalid syntax"
        ),
    };
    let path = format!("metadata.annotations.{CONCURRENCY}");
    Some(invalid(&path, &json!(given), &why))
}

/// The Cluster's class, when it is there and its controller has seen it; else a warning.
fn class(reader: &Reader, cluster: &Value, warnings: &mut Vec<String>) -> Option<Arc<Value>> {
    let (space, own) = class_of(cluster);
    let Some(class) = reader.get(&CLUSTER_CLASSES, space, own) else {
        warnings.push(format!(
            "Cluster refers to ClusterClass {space}/{own}, but this ClusterClass does not exist. Cluster topology has not been fully validated. The ClusterClass must be created to reconcile the Cluster"
        ));
        return None;
    };
    let seen = class["status"]["observedGeneration"] == class["metadata"]["generation"];
    let ready = conditions::get(&class, "VariablesReady");
    if seen && ready.is_some_and(|(status, ..)| status != "False") {
        return Some(class);
    }
    warnings.push(format!(
        "Cluster refers to ClusterClass {space}/{own}, but this ClusterClass hasn't been successfully reconciled. Cluster topology has not been fully validated. Please take a look at the ClusterClass status"
    ));
    None
}

/// Gives variables their defaults.
fn complete(cluster: &mut Value, class: &Value) {
    let topology = &mut cluster["spec"]["topology"];
    let values = defaulted(class, list(topology, "/variables"), true);
    if !values.is_empty() {
        topology["variables"] = json!(values);
    }
    let complete = |part: &mut Value| {
        if let Some(overrides) = part.pointer_mut("/variables/overrides") {
            *overrides = json!(defaulted(class, list(overrides, ""), false));
        }
    };
    if let Some(plane) = topology.get_mut("controlPlane") {
        complete(plane);
    }
    let workers = topology.pointer_mut("/workers/machineDeployments");
    for worker in workers.and_then(Value::as_array_mut).into_iter().flatten() {
        complete(worker);
    }
}

/// Whether the topology is one of the class.
fn by_class(cluster: &Value, class: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let topology = &cluster["spec"]["topology"];
    let versions = list(class, "/spec/kubernetesVersions");
    if !versions.is_empty() && !versions.contains(&topology["version"]) {
        let why = "version must match one of the versions defined in the ClusterClass";
        causes.push(invalid("spec.topology.version", &topology["version"], why));
    }
    causes.extend(judged(
        class,
        list(topology, "/variables"),
        "spec.topology.variables",
        true,
    ));
    let overrides = list(topology, "/controlPlane/variables/overrides");
    let path = "spec.topology.controlPlane.variables.overrides";
    causes.extend(judged(class, overrides, path, false));
    let mut seen: Vec<&str> = Vec::new();
    let workers = list(topology, "/workers/machineDeployments");
    for (index, worker) in workers.iter().enumerate() {
        let path = format!("spec.topology.workers.machineDeployments[{index}]");
        let known = list(class, "/spec/workers/machineDeployments");
        if !known.iter().any(|one| one["class"] == worker["class"]) {
            let why = format!(
                "MachineDeploymentClass with name \"{}\" does not exist in ClusterClass \"{}\"",
                text(worker, "/class"),
                name(class)
            );
            causes.push(invalid(&format!("{path}.class"), &worker["class"], &why));
        }
        let own = text(worker, "/name");
        if own.is_empty() {
            causes.push(needed(&format!("{path}.name"), "name must not be empty"));
            continue;
        }
        if seen.contains(&own) {
            let why = format!(
                "name must be unique. MachineDeployment with name \"{own}\" is defined more than once"
            );
            causes.push(invalid(&format!("{path}.name"), &json!(own), &why));
        }
        seen.push(own);
        let path = format!("spec.topology.workers.machineDeployments[{own}].variables.overrides");
        let overrides = list(worker, "/variables/overrides");
        causes.extend(judged(class, overrides, &path, false));
    }
    causes
}

/// Whether the version may be changed in this way, now.
fn step(reader: &Reader, cluster: &Value, old: &Value, class: Option<&Value>) -> Option<Cause> {
    let wanted = text(cluster, "/spec/topology/version");
    let present = text(old, "/spec/topology/version");
    if wanted == present {
        return None;
    }
    let (new, from) = (version(wanted)?, version(present)?);
    let (plain, plain_old) = (
        wanted.trim_start_matches('v'),
        present.trim_start_matches('v'),
    );
    let refused = |why: String| Some(invalid("spec.topology.version", &json!(wanted), &why));
    if new.cmp(&from) == Ordering::Less {
        let why = format!("version cannot be decreased from \"{plain_old}\" to \"{plain}\"");
        return refused(why);
    }
    let chained = class.is_some_and(|class| {
        !list(class, "/spec/kubernetesVersions").is_empty()
            || class
                .pointer("/spec/upgrade/external/generateUpgradePlanExtension")
                .is_some()
    });
    if !chained && new >= [from[0], from[1] + 2, 0] {
        let why = format!("version cannot be increased from \"{plain_old}\" to \"{plain}\"");
        return refused(why);
    }
    let pending = annotation(cluster, PENDING_HOOKS).unwrap_or_default();
    if pending.split(',').any(|hook| hook == "AfterClusterUpgrade") {
        let why =
            "version cannot be changed when the \"AfterClusterUpgrade\" hook is still blocking";
        return refused(why.to_owned());
    }
    let unfinished: Vec<String> = plane_is_busy(reader, old, plain_old)
        .into_iter()
        .chain(workers_are_busy(reader, old, present))
        .collect();
    match unfinished.as_slice() {
        [] => None,
        [one] => refused(format!("version cannot be changed: {one}")),
        several => refused(format!(
            "version cannot be changed: [{}]",
            several.join(", ")
        )),
    }
}

/// What the control plane still does of the upgrade before.
fn plane_is_busy(reader: &Reader, old: &Value, present: &str) -> Option<String> {
    let reference = &old["spec"]["controlPlaneRef"];
    let found = resource_in(&reader.catalogue, reference)
        .and_then(|id| reader.get(&id, namespace(old), text(reference, "/name")));
    let Some(plane) = found else {
        return Some(
            "failed to check if control plane is upgrading: failed to get control plane object"
                .to_owned(),
        );
    };
    let at = text(&plane, "/spec/version").trim_start_matches('v');
    let reached = text(&plane, "/status/version").trim_start_matches('v');
    if at != present {
        return Some(format!(
            "Cluster.spec.topology.version {present} was not propagated to control plane yet (control plane version {at})"
        ));
    }
    if reached.is_empty() {
        return Some("control plane is currently provisioning".to_owned());
    }
    let behind = version(reached) < version(at);
    behind.then(|| "control plane is still completing a previous upgrade".to_owned())
}

/// Which workers still move.
fn workers_are_busy(reader: &Reader, old: &Value, present: &str) -> Option<String> {
    let (space, own) = (namespace(old), name(old));
    let labels = [(CLUSTER_NAME, own), (OWNED, "")];
    let deployments = reader.list(&MACHINE_DEPLOYMENTS, Some(space), &labels);
    let machines = reader.list(&MACHINES, Some(space), &[(CLUSTER_NAME, own)]);
    let busy: Vec<&str> = deployments
        .iter()
        .filter(|deployment| {
            let at = text(deployment, "/spec/template/spec/version");
            let mut of = machines.iter().filter(|machine| {
                machine["metadata"]["labels"][DEPLOYMENT_NAME] == name(deployment)
            });
            at != present || of.any(|machine| text(machine, "/spec/version") != at)
        })
        .map(|deployment| name(deployment))
        .collect();
    (!busy.is_empty()).then(|| {
        format!(
            "there are still MachineDeployments completing a previous upgrade: [{}]",
            busy.join(", ")
        )
    })
}

/// Whether Clusters can move from one class to another: of the same kinds.
fn compatible(old: &Value, new: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let mut compare = |path: String, old: &Value, new: &Value| {
        if !(old.is_object() && new.is_object()) {
            return;
        }
        let group = |reference: &Value| {
            let version = text(reference, "/apiVersion");
            version.split('/').next().unwrap_or_default().to_owned()
        };
        if group(old) != group(new) {
            let why = format!(
                "group of apiVersion cannot be changed from \"{}\" to \"{}\" to prevent incompatible changes in the Clusters",
                group(old),
                group(new)
            );
            causes.push(forbidden(&format!("{path}.apiVersion"), &why));
        }
        if old["kind"] != new["kind"] {
            let why = format!(
                "kind cannot be changed from \"{}\" to \"{}\" to prevent incompatible changes in the Clusters",
                text(old, "/kind"),
                text(new, "/kind")
            );
            causes.push(forbidden(&format!("{path}.kind"), &why));
        }
    };
    for part in [
        "infrastructure",
        "controlPlane",
        "controlPlane.machineInfrastructure",
    ] {
        let path = format!("/spec/{}/templateRef", part.replace('.', "/"));
        let of = |class: &Value| class.pointer(&path).cloned().unwrap_or_default();
        compare(format!("spec.{part}.templateRef"), &of(old), &of(new));
    }
    let classes = |class: &Value| list(class, "/spec/workers/machineDeployments").to_vec();
    for (index, worker) in classes(new).iter().enumerate() {
        for before in classes(old) {
            if before["class"] == worker["class"] {
                compare(
                    format!("spec.workers.machineDeployments[{index}].infrastructure.templateRef"),
                    &before["infrastructure"]["templateRef"],
                    &worker["infrastructure"]["templateRef"],
                );
            }
        }
    }
    causes
}
