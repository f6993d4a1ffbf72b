//! Making and changing the parts of a Cluster: infrastructure, control plane, MachineDeployments and the
//! templates that they are made from.

use serde_json::{Value, json};

use super::super::access::{reference, referred, resource_of};
use super::super::desired::{Rendered, Workers, labels};
use super::super::kinds::{CLUSTERS, CONTROL_PLANES, CORE, MACHINE_DEPLOYMENTS, STORED};
use super::{MANAGER, Round, Trouble};
use crate::error::ApiError;
use crate::object::{name, namespace, text};
use crate::registry::Write;

impl Round<'_, '_> {
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

    /// Where an object was cloned from.
    fn origin(rendered: &Rendered) -> Value {
        let group = text(&rendered.template, "/apiVersion")
            .split('/')
            .next()
            .unwrap_or_default();
        json!({
            "cluster.x-k8s.io/cloned-from-groupkind": format!("{}.{group}", text(&rendered.template, "/kind")),
            "cluster.x-k8s.io/cloned-from-name": rendered.source["name"],
        })
    }

    fn create(&self, object: Value) -> Result<Value, Trouble> {
        let id = resource_of(
            self.cx.cluster,
            &json!({"apiVersion": object["apiVersion"], "kind": object["kind"]}),
        );
        let id = id.ok_or_else(ApiError::no_such_path)?;
        let created = self
            .cx
            .cluster
            .api()
            .create(&id, object, &Write::by(MANAGER))?;
        Ok((*created.value).clone())
    }

    fn refer(&self, field: &str, object: &Value) -> Result<(), Trouble> {
        let reference = reference(object);
        self.cx.cluster.api().modify(
            &CLUSTERS,
            namespace(self.cluster),
            name(self.cluster),
            MANAGER,
            |cluster| {
                cluster["spec"][field] = reference.clone();
            },
        )?;
        Ok(())
    }

    fn generated(&self, infix: &str) -> String {
        format!(
            "{}{infix}-{}",
            name(self.cluster),
            self.cx.cluster.api().suffix()
        )
    }

    /// The infrastructure of the Cluster; changed in place.
    pub(super) fn infrastructure(&self) -> Result<(), Trouble> {
        let wanted = &self.desired.infrastructure;
        let present = referred(
            self.cx.cluster,
            namespace(self.cluster),
            &self.cluster["spec"]["infrastructureRef"],
        );
        let kind = text(&wanted.template, "/kind")
            .trim_end_matches("Template")
            .to_owned();
        let Some(present) = present else {
            let object = self.create(json!({
                "apiVersion": wanted.template["apiVersion"], "kind": kind,
                "metadata": {"namespace": namespace(self.cluster), "name": self.generated(""),
                    "labels": labels(self.cluster, None), "annotations": Self::origin(wanted),
                    "ownerReferences": [self.controlled()]},
                "spec": wanted.spec(),
            }))?;
            return self.refer("infrastructureRef", &object);
        };
        self.merge(&present, &wanted.spec())
    }

    /// Brings an object's spec to what is wanted; what others have set beside it stays.
    fn merge(&self, present: &Value, wanted: &Value) -> Result<(), Trouble> {
        let id = resource_of(
            self.cx.cluster,
            &json!({"apiVersion": present["apiVersion"], "kind": present["kind"]}),
        );
        let id = id.ok_or_else(ApiError::no_such_path)?;
        self.cx.cluster.api().modify(
            &id,
            namespace(present),
            name(present),
            MANAGER,
            |object| {
                json_patch::merge(&mut object["spec"], wanted);
            },
        )?;
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
        let present = referred(self.cx.cluster, namespace(self.cluster), current);
        if let Some(present) = &present
            && present["spec"]["template"] == wanted.template["spec"]["template"]
        {
            return Ok(current.clone());
        }
        let object = self.create(json!({
            "apiVersion": wanted.template["apiVersion"], "kind": wanted.template["kind"],
            "metadata": {"namespace": namespace(self.cluster), "name": self.generated(infix),
                "labels": labels(self.cluster, deployment), "annotations": Self::origin(wanted),
                "ownerReferences": [self.owner()]},
            "spec": wanted.template["spec"],
        }))?;
        Ok(reference(&object))
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
        let mut spec = wanted.spec();
        spec["version"] = json!(version);
        spec["machineTemplate"]["metadata"]["labels"] = labels(self.cluster, None);
        spec["machineTemplate"]["spec"]["infrastructureRef"] = machines;
        let replicas = &self.cluster["spec"]["topology"]["controlPlane"]["replicas"];
        spec["replicas"] = if replicas.is_null() {
            json!(1)
        } else {
            replicas.clone()
        };
        if spec["rollout"]["strategy"].is_null() {
            spec["rollout"]["strategy"] =
                json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}});
        }
        let Some(present) = present else {
            let kind = text(&wanted.template, "/kind")
                .trim_end_matches("Template")
                .to_owned();
            let object = self.create(json!({
                "apiVersion": wanted.template["apiVersion"], "kind": kind,
                "metadata": {"namespace": namespace(self.cluster), "name": self.generated(""),
                    "labels": labels(self.cluster, None), "annotations": Self::origin(wanted),
                    "ownerReferences": [self.controlled()]},
                "spec": spec,
            }))?;
            return self.refer("controlPlaneRef", &object);
        };
        let origin = Self::origin(wanted);
        self.cx.cluster.api().modify(
            &CONTROL_PLANES,
            namespace(present),
            name(present),
            MANAGER,
            |plane| {
                plane["spec"] = spec.clone();
                json_patch::merge(&mut plane["metadata"]["annotations"], &origin);
            },
        )?;
        Ok(())
    }

    /// Makes a MachineDeployment, or moves it to a version with its templates.
    pub(super) fn set_workers(
        &self,
        present: Option<&Value>,
        workers: &Workers,
        version: &str,
    ) -> Result<(), Trouble> {
        let infix = format!("-{}", workers.name);
        let deployment = Some(workers.name.as_str());
        let current = |pointer: &str| {
            present
                .and_then(|one| one.pointer(pointer))
                .cloned()
                .unwrap_or_default()
        };
        let bootstrap = self.template(
            &current("/spec/template/spec/bootstrap/configRef"),
            &workers.bootstrap,
            &infix,
            deployment,
        )?;
        let infrastructure = self.template(
            &current("/spec/template/spec/infrastructureRef"),
            &workers.infrastructure,
            &infix,
            deployment,
        )?;
        let own = labels(self.cluster, deployment);
        let replicas = &workers.topology["replicas"];
        let mut strategy = workers.topology["rollout"]["strategy"].clone();
        if strategy.is_null() {
            strategy = workers.class["rollout"]["strategy"].clone();
        }
        if strategy.is_null() {
            strategy = json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}});
        }
        let spec = json!({
            "clusterName": name(self.cluster),
            "replicas": if replicas.is_null() { json!(1) } else { replicas.clone() },
            "rollout": {"strategy": strategy},
            "selector": {"matchLabels": own},
            "template": {
                "metadata": {"labels": own},
                "spec": {"clusterName": name(self.cluster), "version": version,
                    "bootstrap": {"configRef": bootstrap}, "infrastructureRef": infrastructure},
            },
        });
        let Some(present) = present else {
            self.create(json!({
                "apiVersion": format!("{CORE}/{STORED}"), "kind": "MachineDeployment",
                "metadata": {"namespace": namespace(self.cluster), "name": self.generated(&infix),
                    "labels": own, "ownerReferences": [self.owner()],
                    "finalizers": ["machinedeployment.topology.cluster.x-k8s.io", "cluster.x-k8s.io/machinedeployment"]},
                "spec": spec,
            }))?;
            return Ok(());
        };
        self.cx.cluster.api().modify(
            &MACHINE_DEPLOYMENTS,
            namespace(present),
            name(present),
            MANAGER,
            |deployment| {
                deployment["spec"] = spec.clone();
            },
        )?;
        Ok(())
    }
}
