//! Making and changing the parts of a Cluster: infrastructure, control plane, MachineDeployments and the
//! templates that they are made from.

use serde_json::{Value, json};

use super::super::access::{reference, referred, resource_of, unless_gone};
use super::super::desired::{Rendered, Workers, labels};
use super::super::kinds::{
    CLUSTERS, CONTROL_PLANES, CORE, MACHINE_DEPLOYMENTS, MACHINE_SETS, STORED, TOPOLOGY_DEPLOYMENT,
};
use super::super::webhooks;
use super::known::Done;
use super::upgrade::{DEFER, SEQUENCE};
use super::{MANAGER, Round, Trouble};
use crate::error::ApiError;
use crate::object::{at, is_deleting, is_same, label, name, namespace, text, uid};
use crate::registry::{Deletion, Write};
use crate::resource::GroupResource;

/// How Machines are deleted, as classes and topologies may say.
const DELETION: [&str; 3] = [
    "nodeDrainTimeoutSeconds",
    "nodeVolumeDetachTimeoutSeconds",
    "nodeDeletionTimeoutSeconds",
];

/// One of two values: the first that is set.
fn either<'v>(first: &'v Value, second: &'v Value) -> &'v Value {
    if first.is_null() { second } else { first }
}

/// Labels or annotations together; earlier ones win.
fn merged(parts: &[&Value]) -> Value {
    let mut all = serde_json::Map::new();
    for part in parts {
        for (key, value) in part.as_object().into_iter().flatten() {
            all.entry(key.clone()).or_insert_with(|| value.clone());
        }
    }
    Value::Object(all)
}

/// What topology and class say of the deletion of Machines.
fn deletion(topology: &Value, class: &Value) -> Value {
    let mut all = serde_json::Map::new();
    for field in DELETION {
        let value = either(&topology["deletion"][field], &class["deletion"][field]);
        if !value.is_null() {
            all.insert(field.to_owned(), value.clone());
        }
    }
    Value::Object(all)
}

/// Where an object was cloned from.
fn origin(rendered: &Rendered) -> Value {
    let (group, _) = text(&rendered.template, "/apiVersion")
        .split_once('/')
        .unwrap_or_default();
    json!({
        "cluster.x-k8s.io/cloned-from-groupkind": format!("{}.{group}", text(&rendered.template, "/kind")),
        "cluster.x-k8s.io/cloned-from-name": rendered.source["name"],
    })
}

/// The kind that a template is one of.
fn kind_of(rendered: &Rendered) -> &str {
    text(&rendered.template, "/kind").trim_end_matches("Template")
}

impl Round<'_> {
    fn owner(&self) -> Value {
        json!({"apiVersion": format!("{CORE}/{STORED}"), "kind": "Cluster",
            "name": name(self.cluster), "uid": self.cluster["metadata"]["uid"]})
    }

    fn controlled(&self) -> Value {
        let mut owner = self.owner();
        owner["controller"] = json!(true);
        owner["blockOwnerDeletion"] = json!(true);
        owner
    }

    fn resource(&self, object: &Value) -> Result<GroupResource, ApiError> {
        let of = json!({"apiVersion": object["apiVersion"], "kind": object["kind"]});
        resource_of(self.management, &of).ok_or_else(ApiError::no_such_path)
    }

    fn create(&self, object: Value) -> Result<Value, Trouble> {
        let id = self.resource(&object)?;
        let write = Write::by(MANAGER);
        let created = self.management.api().create(&id, object, &write)?;
        Ok((*created.value).clone())
    }

    fn refer(&self, field: &str, object: &Value) -> Result<(), Trouble> {
        let reference = reference(object);
        let (space, own) = (namespace(self.cluster), name(self.cluster));
        let api = self.management.api();
        api.modify(&CLUSTERS, space, own, MANAGER, |cluster| {
            cluster["spec"][field] = reference.clone();
        })?;
        Ok(())
    }

    fn generated(&self, infix: &str) -> String {
        let suffix = self.management.api().suffix();
        format!("{}{infix}-{suffix}", name(self.cluster))
    }

    /// The infrastructure of the Cluster; changed in place.
    pub(super) fn infrastructure(&self) -> Result<(), Trouble> {
        let wanted = &self.desired.infrastructure;
        let current = &self.cluster["spec"]["infrastructureRef"];
        let Some(present) = referred(self.management, namespace(self.cluster), current) else {
            let object = self.create(json!({
                "apiVersion": wanted.template["apiVersion"], "kind": kind_of(wanted),
                "metadata": {"namespace": namespace(self.cluster), "name": self.generated(""),
                    "labels": labels(self.cluster, None), "annotations": origin(wanted),
                    "ownerReferences": [self.controlled()]},
                "spec": wanted.spec(),
            }))?;
            return self.refer("infrastructureRef", &object);
        };
        // What the provider has set beside it stays.
        let (id, spec) = (self.resource(&present)?, wanted.spec());
        let (space, own) = (namespace(&present), name(&present));
        let api = self.management.api();
        api.modify(&id, space, own, MANAGER, |object| {
            json_patch::merge(&mut object["spec"], &spec);
            json_patch::merge(&mut object["metadata"]["annotations"], &origin(wanted));
        })?;
        Ok(())
    }

    /// A template of the Cluster's own: the one that `current` refers to where it is what is wanted, else
    /// a new one. Its reference.
    fn template(
        &self,
        current: &Value,
        wanted: &Rendered,
        infix: &str,
        deployment: Option<&str>,
    ) -> Result<Value, Trouble> {
        fn part(object: &Value) -> &Value {
            &object["spec"]["template"]
        }
        let present = referred(self.management, namespace(self.cluster), current);
        let is_it = |present: &Value| is_same(part(present), part(&wanted.template));
        if present.as_deref().is_some_and(is_it) {
            return Ok(current.clone());
        }
        let mut object = json!({
            "apiVersion": wanted.template["apiVersion"], "kind": wanted.template["kind"],
            "metadata": {"namespace": namespace(self.cluster),
                "labels": labels(self.cluster, deployment), "annotations": origin(wanted),
                "ownerReferences": [self.owner()]},
            "spec": wanted.template["spec"],
        });
        if let Some(present) = present {
            // The server may complete what is written: it is asked what would become of it.
            object["metadata"]["name"] = present["metadata"]["name"].clone();
            let id = self.resource(&object)?;
            object["metadata"]["name"] = json!(format!("{}-dry", name(&present)));
            let mut write = Write::by(MANAGER);
            write.dry_run = true;
            let judged = self.management.api().create(&id, object.clone(), &write)?;
            if part(&present) == part(&judged.value) {
                return Ok(current.clone());
            }
        }
        object["metadata"]["name"] = json!(self.generated(infix));
        Ok(reference(&self.create(object)?))
    }

    /// Makes the control plane, or moves it to a version with everything that belongs to it.
    pub(super) fn set_control_plane(
        &self,
        present: Option<&Value>,
        version: &str,
    ) -> Result<(), Trouble> {
        let wanted = &self.desired.control_plane;
        let current = present
            .map(|plane| plane["spec"]["machineTemplate"]["spec"]["infrastructureRef"].clone())
            .unwrap_or_default();
        let machines = self.template(&current, &self.desired.control_plane_machines, "", None)?;
        let topology = &self.cluster["spec"]["topology"]["controlPlane"];
        let class = &self.class["spec"]["controlPlane"];
        let part = |field: &str| merged(&[&topology["metadata"][field], &class["metadata"][field]]);
        let own_labels = merged(&[&labels(self.cluster, None), &part("labels")]);
        let own_annotations = part("annotations");
        let mut spec = wanted.spec();
        spec["version"] = json!(version);
        let template = &mut spec["machineTemplate"];
        let more = &template["metadata"];
        let (more_labels, more_annotations) = (
            merged(&[&own_labels, &more["labels"]]),
            merged(&[&own_annotations, &more["annotations"]]),
        );
        template["metadata"] = json!({"labels": more_labels, "annotations": more_annotations});
        template["spec"]["infrastructureRef"] = machines.clone();
        let deletion = deletion(topology, class);
        if deletion != json!({}) {
            template["spec"]["deletion"] = deletion;
        }
        let gates = either(&topology["readinessGates"], &class["readinessGates"]);
        if !gates.is_null() {
            template["spec"]["readinessGates"] = gates.clone();
        }
        let kept = present.map_or(Value::Null, |plane| plane["spec"]["replicas"].clone());
        let replicas = either(&topology["replicas"], &kept);
        if !replicas.is_null() {
            spec["replicas"] = replicas.clone();
        }
        let annotations = merged(&[&origin(wanted), &own_annotations]);
        let Some(present) = present else {
            let object = self.create(json!({
                "apiVersion": wanted.template["apiVersion"], "kind": kind_of(wanted),
                "metadata": {"namespace": namespace(self.cluster), "name": self.generated(""),
                    "labels": own_labels, "annotations": annotations,
                    "ownerReferences": [self.controlled()]},
                "spec": spec,
            }))?;
            return self.refer("controlPlaneRef", &object);
        };
        let (space, own) = (namespace(present), name(present));
        let api = self.management.api();
        api.modify(&CONTROL_PLANES, space, own, MANAGER, |plane| {
            plane["spec"] = spec.clone();
            json_patch::merge(&mut plane["metadata"]["labels"], &own_labels);
            json_patch::merge(&mut plane["metadata"]["annotations"], &annotations);
            webhooks::default(plane);
        })?;
        if current.is_object() && current["name"] != machines["name"] {
            let id = self.resource(&self.desired.control_plane_machines.template)?;
            let old = text(&current, "/name");
            unless_gone(api.delete(&id, space, old, &Deletion::default()))?;
        }
        Ok(())
    }

    /// Makes MachineDeployments, moves those whose time has come, removes those that are asked for no
    /// more; `versions` are those of the topology's, in its order.
    pub(super) fn workers(&self, versions: &[String], done: &mut Done) -> Result<(), Trouble> {
        for (workers, version) in self.desired.workers.iter().zip(versions) {
            match self.progress.deployments.get(&workers.name) {
                None if self.progress.uncreated.contains(&workers.name) => {}
                Some(present)
                    if is_deleting(present) || self.progress.pending.contains(name(present)) => {}
                present => {
                    let (of, present) =
                        ((self.desired, version.as_str()), present.map(AsRef::as_ref));
                    let own = present.map_or("", uid);
                    let part = |what: &str| format!("{what} {} {own}", workers.name);
                    done.unless_done(self.cluster, &part("workers"), of, || {
                        self.set_workers(present, workers, version)
                    })?;
                    done.unless_done(self.cluster, &part("templates"), of, || self.sweep(workers))?;
                }
            }
        }
        for (topology, deployment) in &self.progress.deployments {
            let asked_for = self.desired.workers.iter();
            let mut asked_for = asked_for.map(|workers| &workers.name);
            if !asked_for.any(|name| name == topology) && !is_deleting(deployment) {
                let (space, own) = (namespace(deployment), name(deployment));
                let api = self.management.api();
                unless_gone(api.delete(&MACHINE_DEPLOYMENTS, space, own, &Deletion::default()))?;
            }
        }
        Ok(())
    }

    /// Makes a MachineDeployment, or moves it to a version with its templates.
    fn set_workers(
        &self,
        present: Option<&Value>,
        workers: &Workers,
        version: &str,
    ) -> Result<(), Trouble> {
        let infix = format!("-{}", workers.name);
        let deployment = Some(workers.name.as_str());
        let current = |pointer: &str| {
            let current = present.and_then(|one| at(one, pointer));
            current.cloned().unwrap_or_default()
        };
        let bootstrap = current("/spec/template/spec/bootstrap/configRef");
        let bootstrap = self.template(&bootstrap, &workers.bootstrap, &infix, deployment)?;
        let machines = current("/spec/template/spec/infrastructureRef");
        let machines = self.template(&machines, &workers.infrastructure, &infix, deployment)?;
        let (topology, class) = (&workers.topology, &workers.class);
        let selector = labels(self.cluster, deployment);
        let part = |field: &str| merged(&[&topology["metadata"][field], &class["metadata"][field]]);
        let own = merged(&[&selector, &part("labels")]);
        let mut annotations = part("annotations");
        for held in [DEFER, SEQUENCE] {
            annotations
                .as_object_mut()
                .map(|all| all.shift_remove(held));
        }
        let mut machine = json!({
            "clusterName": name(self.cluster), "version": version,
            "bootstrap": {"configRef": bootstrap}, "infrastructureRef": machines,
        });
        for field in ["failureDomain", "readinessGates", "minReadySeconds"] {
            let value = either(&topology[field], &class[field]);
            if !value.is_null() {
                machine[field] = value.clone();
            }
        }
        let deletion = deletion(topology, class);
        if deletion != json!({}) {
            machine["deletion"] = deletion;
        }
        let mut spec = json!({
            "clusterName": name(self.cluster),
            "selector": {"matchLabels": selector},
            "template": {"metadata": {"labels": own, "annotations": annotations}, "spec": machine},
        });
        let kept = present.map_or(Value::Null, |one| one["spec"]["replicas"].clone());
        let replicas = either(&topology["replicas"], &kept);
        if !replicas.is_null() {
            spec["replicas"] = replicas.clone();
        }
        let rollout = either(&topology["rollout"], &class["rollout"]);
        if !rollout.is_null() {
            spec["rollout"] = rollout.clone();
        }
        let order = either(&topology["deletion"]["order"], &class["deletion"]["order"]);
        if !order.is_null() {
            spec["deletion"]["order"] = order.clone();
        }
        let Some(present) = present else {
            self.create(json!({
                "apiVersion": format!("{CORE}/{STORED}"), "kind": "MachineDeployment",
                "metadata": {"namespace": namespace(self.cluster), "name": self.generated(&infix),
                    "labels": own, "annotations": annotations, "ownerReferences": [self.owner()],
                    "finalizers": ["cluster.x-k8s.io/machinedeployment"]},
                "spec": spec,
            }))?;
            return Ok(());
        };
        let (space, known) = (namespace(present), name(present));
        let api = self.management.api();
        api.modify(&MACHINE_DEPLOYMENTS, space, known, MANAGER, |deployment| {
            deployment["spec"] = spec.clone();
            json_patch::merge(&mut deployment["metadata"]["labels"], &own);
            if annotations != json!({}) {
                json_patch::merge(&mut deployment["metadata"]["annotations"], &annotations);
            }
            webhooks::default(deployment);
        })?;
        Ok(())
    }

    /// Removes templates of a MachineDeployment that neither it nor a MachineSet refers to any more.
    fn sweep(&self, workers: &Workers) -> Result<(), Trouble> {
        let api = self.management.api();
        let space = namespace(self.cluster);
        let own = labels(self.cluster, Some(&workers.name));
        let own: Vec<(&str, &str)> = own
            .as_object()
            .into_iter()
            .flatten()
            .map(|(key, value)| (key.as_str(), value.as_str().unwrap_or_default()))
            .collect();
        let of = |id: &GroupResource| api.labelled(id, Some(space), &own);
        let mut users = of(&MACHINE_DEPLOYMENTS);
        users.extend(of(&MACHINE_SETS));
        for (rendered, pointer) in [
            (
                &workers.bootstrap,
                "/spec/template/spec/bootstrap/configRef/name",
            ),
            (
                &workers.infrastructure,
                "/spec/template/spec/infrastructureRef/name",
            ),
        ] {
            let id = self.resource(&rendered.template)?;
            for template in of(&id) {
                let mine = label(&template, TOPOLOGY_DEPLOYMENT).is_some();
                let used = users
                    .iter()
                    .any(|user| text(user, pointer) == name(&template));
                if mine && !used && !is_deleting(&template) {
                    unless_gone(api.delete(&id, space, name(&template), &Deletion::default()))?;
                }
            }
        }
        Ok(())
    }
}
