//! MachineSets: as many Machines of one template as asked for.

use serde_json::{Value, json};

use super::access::{hold, is_controlled_by, machines, referred, release, resource_of};
use super::conditions::{self, State, aggregate};
use super::kinds::{CONFIGS, CORE, MACHINE_SETS, MACHINES, SET_NAME, STORED};
use crate::cluster::Cluster;
use crate::controller::{Controller, Cx, Key, Next};
use crate::error::ApiError;
use crate::object::{controlled_by, is_deleting, is_true, label, name, namespace, text};
use crate::registry::{Deletion, Write};
use crate::resource::GroupResource;
use crate::store::Change;

const MANAGER: &str = "capi-machineset";
const FINALIZER: &str = "cluster.x-k8s.io/machineset";

/// The controller.
pub struct MachineSets;

impl Controller for MachineSets {
    fn name(&self) -> &'static str {
        MANAGER
    }

    fn wakes(&self) -> Vec<GroupResource> {
        vec![MACHINE_SETS, MACHINES]
    }

    fn keys(&self, _: &Cluster, change: &Change) -> Vec<Key> {
        if change.resource == MACHINE_SETS {
            return vec![Key::of(change)];
        }
        let machine = &change.object.value;
        label(machine, SET_NAME)
            .map(|set| Key::new(namespace(machine), set))
            .into_iter()
            .collect()
    }

    fn reconcile(&mut self, cx: &mut Cx<'_>, key: &Key) -> Result<Next, ApiError> {
        let api = cx.cluster.api();
        let Some(set) = api.get(&MACHINE_SETS, &key.namespace, &key.name) else {
            return Ok(Next::Change);
        };
        let mine = machines(
            cx.cluster,
            &key.namespace,
            text(&set, "/spec/clusterName"),
            |machine| is_controlled_by(machine, &set),
        );
        if is_deleting(&set) {
            if mine.is_empty() {
                release(cx.cluster, &MACHINE_SETS, &set, FINALIZER)?;
            }
            for machine in mine.iter().filter(|machine| !is_deleting(machine)) {
                super::access::unless_gone(api.delete(
                    &MACHINES,
                    &key.namespace,
                    name(machine),
                    &Deletion::default(),
                ))?;
            }
            return Ok(Next::Change);
        }
        hold(cx.cluster, &MACHINE_SETS, &set, FINALIZER)?;
        let wanted = set["spec"]["replicas"].as_u64().unwrap_or(1);
        let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
        let staying: Vec<&Value> = mine
            .iter()
            .map(AsRef::as_ref)
            .filter(|machine| !is_deleting(machine))
            .collect();
        for _ in staying.len()..wanted {
            create(cx.cluster, &set, &api.suffix())?;
        }
        let mut surplus = staying.clone();
        // Those that do not work go first, then the oldest of those that do.
        surplus.sort_by_key(|machine| is_true(machine, "Ready"));
        for machine in surplus.iter().take(staying.len().saturating_sub(wanted)) {
            super::access::unless_gone(api.delete(
                &MACHINES,
                &key.namespace,
                name(machine),
                &Deletion::default(),
            ))?;
        }
        status(cx.cluster, key, wanted)?;
        Ok(Next::Change)
    }
}

fn status(cluster: &Cluster, key: &Key, wanted: usize) -> Result<(), ApiError> {
    let api = cluster.api();
    let Some(set) = api.get(&MACHINE_SETS, &key.namespace, &key.name) else {
        return Ok(());
    };
    let mine = machines(
        cluster,
        &key.namespace,
        text(&set, "/spec/clusterName"),
        |machine| is_controlled_by(machine, &set),
    );
    let all: Vec<&Value> = mine.iter().map(AsRef::as_ref).collect();
    let count = |kind: &str| all.iter().filter(|machine| is_true(machine, kind)).count();
    let counts = [
        all.len(),
        count("Ready"),
        count("Available"),
        count("UpToDate"),
    ];
    let now = api.clock().stamp();
    api.modify(&MACHINE_SETS, &key.namespace, &key.name, MANAGER, |set| {
        let [replicas, ready, available, updated] = counts;
        let status = &mut set["status"];
        status["replicas"] = json!(replicas);
        status["readyReplicas"] = json!(ready);
        status["availableReplicas"] = json!(available);
        status["upToDateReplicas"] = json!(updated);
        set["status"]["observedGeneration"] = set["metadata"]["generation"].clone();
        let scaling = |up: bool| match (up, replicas.cmp(&wanted)) {
            (true, std::cmp::Ordering::Less) => State {
                status: "True",
                reason: "ScalingUp".to_owned(),
                message: format!("Scaling up from {replicas} to {wanted} replicas"),
            },
            (true, _) => State::no("NotScalingUp", ""),
            (false, std::cmp::Ordering::Greater) => State {
                status: "True",
                reason: "ScalingDown".to_owned(),
                message: format!("Scaling down from {replicas} to {wanted} replicas"),
            },
            (false, _) => State::no("NotScalingDown", ""),
        };
        conditions::set(set, "ScalingUp", &scaling(true), &now);
        conditions::set(set, "ScalingDown", &scaling(false), &now);
        conditions::set(
            set,
            "MachinesReady",
            &aggregate(&all, "Ready", "Ready", "NotReady", "NoReplicas"),
            &now,
        );
        conditions::set(
            set,
            "MachinesUpToDate",
            &aggregate(&all, "UpToDate", "UpToDate", "NotUpToDate", "NoReplicas"),
            &now,
        );
        conditions::set(set, "Paused", &State::no("NotPaused", ""), &now);
        conditions::set(set, "Deleting", &State::no("NotDeleting", ""), &now);
    })?;
    Ok(())
}

/// A Machine, with its bootstrap configuration and infrastructure cloned from their templates.
fn create(cluster: &Cluster, set: &Value, suffix: &str) -> Result<(), ApiError> {
    let own = format!("{}-{suffix}", name(set));
    let template = &set["spec"]["template"];
    let mut labels = template["metadata"]["labels"].clone();
    labels[SET_NAME] = json!(name(set));
    make(
        cluster,
        &Making {
            name: &own,
            owner: set,
            labels: &labels,
            annotations: &template["metadata"]["annotations"],
            infrastructure: &template["spec"]["infrastructureRef"],
            version: text(template, "/spec/version"),
            config: Config::Template(&template["spec"]["bootstrap"]["configRef"]),
            more: &template["spec"],
        },
    )
}

/// Where a Machine's bootstrap configuration comes from.
pub(super) enum Config<'a> {
    /// A template is cloned.
    Template(&'a Value),
    /// It is this.
    Spec(Value),
}

/// What a Machine is made of.
pub(super) struct Making<'a> {
    pub name: &'a str,
    pub owner: &'a Value,
    pub labels: &'a Value,
    pub annotations: &'a Value,
    pub infrastructure: &'a Value,
    pub version: &'a str,
    pub config: Config<'a>,
    /// A Machine's spec whose other fields are taken over.
    pub more: &'a Value,
}

/// Makes a Machine and its parts. What is there already stays.
pub(super) fn make(cluster: &Cluster, making: &Making<'_>) -> Result<(), ApiError> {
    let api = cluster.api();
    let space = namespace(making.owner);
    let owner_name = text(
        making.owner,
        "/metadata/labels/cluster.x-k8s.io~1cluster-name",
    );
    let write = Write::by(MANAGER);
    let template = referred(cluster, space, making.infrastructure)
        .ok_or_else(|| missing(making.infrastructure))?;
    let kind = text(&template, "/kind")
        .trim_end_matches("Template")
        .to_owned();
    let group = text(making.infrastructure, "/apiGroup");
    let reference = json!({"apiGroup": group, "kind": kind});
    let infrastructure =
        resource_of(cluster, &reference).ok_or_else(|| missing(making.infrastructure))?;
    let config_spec = match &making.config {
        Config::Spec(spec) => spec.clone(),
        Config::Template(reference) => {
            let template = referred(cluster, space, reference).ok_or_else(|| missing(reference))?;
            template["spec"]["template"]["spec"].clone()
        }
    };
    let mut spec = making.more.clone();
    spec["clusterName"] = json!(owner_name);
    spec["version"] = json!(making.version);
    spec["bootstrap"] = json!({"configRef": {"apiGroup": super::kinds::BOOTSTRAP, "kind": "KubeadmConfig", "name": making.name}});
    spec["infrastructureRef"] = json!({"apiGroup": group, "kind": kind, "name": making.name});
    let machine = json!({
        "apiVersion": format!("{CORE}/{STORED}"), "kind": "Machine",
        "metadata": {"namespace": space, "name": making.name, "labels": making.labels,
            "annotations": making.annotations, "ownerReferences": [controlled_by(making.owner)],
            "finalizers": ["machine.cluster.x-k8s.io"]},
        "spec": spec,
    });
    let machine = api.create(&MACHINES, machine, &write)?;
    let part = |api_version: String, kind: &str, annotations: Value, spec: Value| {
        json!({
            "apiVersion": api_version, "kind": kind,
            "metadata": {"namespace": space, "name": making.name, "labels": making.labels,
                "annotations": annotations, "ownerReferences": [controlled_by(&machine.value)]},
            "spec": spec,
        })
    };
    let spec = template["spec"]["template"]["spec"].clone();
    let spec = if spec.is_object() { spec } else { json!({}) };
    // By this a control plane knows whether a Machine is of its template.
    let cloned = json!({
        "cluster.x-k8s.io/cloned-from-groupkind": format!("{}.{group}", text(&template, "/kind")),
        "cluster.x-k8s.io/cloned-from-name": text(&template, "/metadata/name"),
    });
    let api_version = text(&template, "/apiVersion").to_owned();
    api.create(
        &infrastructure,
        part(api_version, &kind, cloned, spec),
        &write,
    )?;
    let config = part(
        format!("{}/{STORED}", super::kinds::BOOTSTRAP),
        "KubeadmConfig",
        json!({}),
        config_spec,
    );
    api.create(&CONFIGS, config, &write)?;
    Ok(())
}

fn missing(reference: &Value) -> ApiError {
    ApiError::new(
        404,
        "NotFound",
        format!(
            "{} {} not found",
            text(reference, "/kind"),
            text(reference, "/name")
        ),
    )
}
