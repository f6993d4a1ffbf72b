//! StatefulSets: pods with names and volumes of their own, one after the other.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::revisions;
use super::template::{pod, replicas, share, until_available};
use crate::cluster::Cluster;
use crate::controller::{Controller, Cx, Key, Next};
use crate::error::ApiError;
use crate::event::{News, record};
use crate::object::{
    controlled_by, int, is_deleting, is_over, is_ready, label, list, name, namespace,
    set_in_metadata, text, uid,
};
use crate::registry::{Deletion, Write};
use crate::resource::GroupResource;
use crate::resource::builtin::{PERSISTENT_VOLUME_CLAIMS, PODS, STATEFUL_SETS};
use crate::store::{Change, Stored};

const NAME: &str = "statefulset-controller";

/// Keeps StatefulSets.
#[derive(Debug, Default)]
pub(super) struct StatefulSets;

impl Controller for StatefulSets {
    fn name(&self) -> &'static str {
        NAME
    }

    fn wakes(&self) -> Vec<GroupResource> {
        vec![STATEFUL_SETS, PODS]
    }

    fn keys(&self, _: &Cluster, change: &Change) -> Vec<Key> {
        if change.resource == STATEFUL_SETS {
            vec![Key::of(change)]
        } else {
            super::replica_set::owner_keys(change, "StatefulSet")
        }
    }

    fn reconcile(&mut self, cx: &mut Cx<'_>, key: &Key) -> Result<Next, ApiError> {
        let api = cx.cluster.api();
        let Some(set) = api.get(&STATEFUL_SETS, &key.namespace, &key.name) else {
            return Ok(Next::Change);
        };
        if is_deleting(&set) {
            return Ok(Next::Change);
        }
        let (revision, all) = revisions::present(cx.cluster, &set, NAME)?;
        let work = Work {
            cx,
            hash: name(&revision).to_owned(),
            min_ready: int(&set, "/spec/minReadySeconds").unwrap_or(0),
            set,
        };
        work.scale()?;
        work.update()?;
        let pods = work.pods();
        let mut live: Vec<&str> = pods
            .values()
            .filter_map(|pod| label(&pod.value, revisions::HASH))
            .collect();
        live.push(&work.hash);
        let live: Vec<&str> = all
            .iter()
            .filter(|revision| live.contains(&name(revision)))
            .map(|revision| revisions::hash_of(revision))
            .collect();
        revisions::clean_up(cx.cluster, &work.set, &all, &live)?;
        work.tell(&pods)
    }
}

struct Work<'a, 'c> {
    cx: &'a Cx<'c>,
    set: Arc<Value>,
    /// The name of the present revision, which pods bear as their label.
    hash: String,
    min_ready: i64,
}

impl Work<'_, '_> {
    /// The set's pods by number.
    fn pods(&self) -> BTreeMap<i64, Arc<Stored>> {
        let owned = self.cx.cluster.store().owned(&PODS, uid(&self.set));
        owned
            .into_iter()
            .filter_map(|pod| Some((ordinal(&pod.value)?, pod)))
            .collect()
    }

    fn first(&self) -> i64 {
        int(&self.set, "/spec/ordinals/start").unwrap_or(0)
    }

    fn wanted(&self) -> std::ops::Range<i64> {
        self.first()..self.first() + replicas(&self.set)
    }

    fn in_order(&self) -> bool {
        text(&self.set, "/spec/podManagementPolicy") != "Parallel"
    }

    fn is_available(&self, pod: &Value) -> bool {
        let now = self.cx.cluster.api().clock().now();
        !is_deleting(pod) && until_available(pod, self.min_ready, now) == Some(0)
    }

    /// Which revision a new pod of a number gets: below the partition, the one before.
    fn revision_for(&self, number: i64) -> (String, Value) {
        let partition = int(&self.set, "/spec/updateStrategy/rollingUpdate/partition").unwrap_or(0);
        let before = text(&self.set, "/status/currentRevision");
        if number - self.first() < partition && !before.is_empty() && before != self.hash {
            let owned = self.cx.cluster.store().owned(
                &crate::resource::builtin::CONTROLLER_REVISIONS,
                uid(&self.set),
            );
            if let Some(revision) = owned
                .iter()
                .find(|revision| name(&revision.value) == before)
            {
                let mut template = revision.value["data"]["spec"]["template"].clone();
                template
                    .as_object_mut()
                    .map(|template| template.shift_remove("$patch"));
                return (before.to_owned(), template);
            }
        }
        (self.hash.clone(), self.set["spec"]["template"].clone())
    }

    /// Creates what is missing, the lowest first; removes what is too much, the highest first.
    fn scale(&self) -> Result<(), ApiError> {
        let pods = self.pods();
        for number in self.wanted() {
            match pods.get(&number) {
                None => {
                    self.create(number)?;
                    if self.in_order() {
                        return Ok(());
                    }
                }
                Some(pod) if is_over(&pod.value) && !is_deleting(&pod.value) => {
                    self.delete(pod)?;
                    return Ok(());
                }
                Some(pod) if self.in_order() && !self.is_available(&pod.value) => return Ok(()),
                Some(_) => {}
            }
        }
        for (number, pod) in pods.iter().rev() {
            if self.wanted().contains(number) {
                continue;
            }
            if !is_deleting(&pod.value) {
                self.delete(pod)?;
            }
            if self.in_order() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Replaces pods of old revisions, the highest first.
    fn update(&self) -> Result<(), ApiError> {
        if text(&self.set, "/spec/updateStrategy/type") == "OnDelete" {
            return Ok(());
        }
        let partition = int(&self.set, "/spec/updateStrategy/rollingUpdate/partition").unwrap_or(0);
        let value = &self.set["spec"]["updateStrategy"]["rollingUpdate"]["maxUnavailable"];
        let budget = share(value, replicas(&self.set), true, 1).max(1);
        let pods = self.pods();
        let wanted = self.wanted();
        let mut away = wanted
            .clone()
            .filter(|number| {
                pods.get(number)
                    .is_none_or(|pod| !self.is_available(&pod.value))
            })
            .count();
        for number in wanted
            .rev()
            .filter(|number| number - self.first() >= partition)
        {
            let Some(pod) = pods.get(&number) else {
                continue;
            };
            let old = label(&pod.value, revisions::HASH) != Some(self.hash.as_str());
            if !old || is_deleting(&pod.value) {
                continue;
            }
            let broken = !self.is_available(&pod.value);
            if !broken && i64::try_from(away).unwrap_or(i64::MAX) >= budget {
                return Ok(());
            }
            self.delete(pod)?;
            away += usize::from(!broken);
        }
        Ok(())
    }

    fn create(&self, number: i64) -> Result<(), ApiError> {
        let set = &self.set;
        let pod_name = format!("{}-{number}", name(set));
        let (revision, template) = self.revision_for(number);
        let mut new = pod(set, &template, &pod_name);
        for (key, value) in [
            (revisions::HASH, revision.as_str()),
            ("statefulset.kubernetes.io/pod-name", &pod_name),
            ("apps.kubernetes.io/pod-index", &number.to_string()),
        ] {
            set_in_metadata(&mut new, "labels", key, value);
        }
        new["spec"]["hostname"] = json!(pod_name);
        let service = text(set, "/spec/serviceName");
        if !service.is_empty() {
            new["spec"]["subdomain"] = json!(service);
        }
        let mut volumes = list(&new, "/spec/volumes").to_vec();
        for template in list(set, "/spec/volumeClaimTemplates") {
            let claim_name = format!("{}-{pod_name}", name(template));
            self.claim(template, &claim_name)?;
            volumes.retain(|volume| volume["name"] != template["metadata"]["name"]);
            volumes.push(
                json!({"name": name(template), "persistentVolumeClaim": {"claimName": claim_name}}),
            );
        }
        if !volumes.is_empty() {
            new["spec"]["volumes"] = Value::Array(volumes);
        }
        match self.cx.cluster.api().create(&PODS, new, &Write::by(NAME)) {
            Ok(_) => {
                let message = format!(
                    "create Pod {pod_name} in StatefulSet {} successful",
                    name(set)
                );
                record(
                    self.cx.cluster,
                    set,
                    &News::normal(NAME, "SuccessfulCreate", &message),
                );
                Ok(())
            }
            Err(error) => {
                let message = format!(
                    "create Pod {pod_name} in StatefulSet {} failed error: {error}",
                    name(set)
                );
                record(
                    self.cx.cluster,
                    set,
                    &News::warning(NAME, "FailedCreate", &message),
                );
                Err(error)
            }
        }
    }

    fn claim(&self, template: &Value, claim_name: &str) -> Result<(), ApiError> {
        let api = self.cx.cluster.api();
        let place = namespace(&self.set);
        if api
            .get(&PERSISTENT_VOLUME_CLAIMS, place, claim_name)
            .is_some()
        {
            return Ok(());
        }
        let mut claim = json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim",
            "metadata": {"name": claim_name, "namespace": place},
            "spec": template["spec"], "status": {"phase": "Pending"},
        });
        let labels = &template["metadata"]["labels"];
        let selected = &self.set["spec"]["selector"]["matchLabels"];
        for (key, value) in [labels, selected]
            .into_iter()
            .flat_map(|map| map.as_object().into_iter().flatten())
        {
            set_in_metadata(
                &mut claim,
                "labels",
                key,
                value.as_str().unwrap_or_default(),
            );
        }
        if text(
            &self.set,
            "/spec/persistentVolumeClaimRetentionPolicy/whenDeleted",
        ) == "Delete"
        {
            claim["metadata"]["ownerReferences"] = json!([controlled_by(&self.set)]);
        }
        match api.create(&PERSISTENT_VOLUME_CLAIMS, claim, &Write::by(NAME)) {
            Err(error) if error.reason != "AlreadyExists" => Err(error),
            _ => Ok(()),
        }
    }

    fn delete(&self, pod: &Stored) -> Result<(), ApiError> {
        let (place, pod_name) = pod.place();
        match self
            .cx
            .cluster
            .api()
            .delete(&PODS, &place, &pod_name, &Deletion::default())
        {
            Err(error) if error.is_not_found() => return Ok(()),
            other => drop(other?),
        }
        let message = format!(
            "delete Pod {pod_name} in StatefulSet {} successful",
            name(&self.set)
        );
        record(
            self.cx.cluster,
            &self.set,
            &News::normal(NAME, "SuccessfulDelete", &message),
        );
        Ok(())
    }

    fn tell(&self, pods: &BTreeMap<i64, Arc<Stored>>) -> Result<Next, ApiError> {
        let api = self.cx.cluster.api();
        let now = api.clock().now();
        let active: Vec<&Value> = pods
            .values()
            .map(|pod| &*pod.value)
            .filter(|pod| !is_deleting(pod) && !is_over(pod))
            .collect();
        let of = |revision: &str| {
            active
                .iter()
                .filter(|pod| label(pod, revisions::HASH) == Some(revision))
                .count()
        };
        let ready = active.iter().filter(|pod| is_ready(pod)).count();
        let waits: Vec<i64> = active
            .iter()
            .filter_map(|pod| until_available(pod, self.min_ready, now))
            .collect();
        let available = waits.iter().filter(|wait| **wait == 0).count();
        let wanted = usize::try_from(replicas(&self.set)).unwrap_or_default();
        let updated = of(&self.hash);
        let done = updated == wanted && ready == wanted && active.len() == wanted;
        let before = match text(&self.set, "/status/currentRevision") {
            "" => self.hash.clone(),
            before => before.to_owned(),
        };
        let current = if done { self.hash.clone() } else { before };
        let generation = self.set["metadata"]["generation"].clone();
        let written = api.modify(
            &STATEFUL_SETS,
            namespace(&self.set),
            name(&self.set),
            NAME,
            |set| {
                if !set["status"].is_object() {
                    set["status"] = json!({});
                }
                let status = &mut set["status"];
                let numbers = [
                    ("replicas", active.len()),
                    ("readyReplicas", ready),
                    ("currentReplicas", of(&current)),
                    ("updatedReplicas", updated),
                ];
                super::replica_set::counted(status, &numbers, "replicas");
                status["availableReplicas"] = json!(available);
                status["collisionCount"] = json!(0);
                status["observedGeneration"] = generation.clone();
                status["currentRevision"] = json!(current);
                status["updateRevision"] = json!(self.hash);
            },
        );
        match written {
            Err(error) if !error.is_not_found() => return Err(error),
            _ => {}
        }
        let soonest = waits.into_iter().filter(|wait| *wait > 0).min();
        Ok(soonest.map_or(Next::Change, |seconds| {
            Next::After(Duration::from_secs(seconds.unsigned_abs()))
        }))
    }
}

/// The number at the end of a pod's name.
fn ordinal(pod: &Value) -> Option<i64> {
    name(pod).rsplit_once('-')?.1.parse().ok()
}
