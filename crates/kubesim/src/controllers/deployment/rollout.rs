//! A Deployment at work: which of its ReplicaSets grows, which shrinks, and by how much.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::{Budget, DESIRED, HASH, MOST, NAME, REVISION, Set, sum};
use crate::controller::{Cx, Key};
use crate::controllers::template::{hash, is_active, replicas};
use crate::error::ApiError;
use crate::event::{News, record};
use crate::object::{
    annotation, controlled_by, int, is_deleting, is_same, name, set_in_metadata, text, uid,
};
use crate::registry::{Deletion, Write};
use crate::resource::builtin::{DEPLOYMENTS, PODS, REPLICA_SETS};

/// A Deployment at work.
pub(super) struct Rollout<'a, 'c> {
    pub cx: &'a mut Cx<'c>,
    pub deployment: Arc<Value>,
    pub key: &'a Key,
}

impl Rollout<'_, '_> {
    /// The set of the present template, and the others, the oldest first.
    pub(super) fn sets(&self) -> (Option<Set>, Vec<Set>) {
        let owned = self
            .cx
            .cluster
            .store()
            .owned(&REPLICA_SETS, uid(&self.deployment));
        let mut sets: Vec<Set> = owned.iter().map(|set| Set::of(set.value.clone())).collect();
        sets.sort_by_cached_key(|set| {
            (
                text(&set.object, "/metadata/creationTimestamp").to_owned(),
                set.name().to_owned(),
            )
        });
        let template = &self.deployment["spec"]["template"];
        let new = sets
            .iter()
            .position(|set| same_template(&set.object["spec"]["template"], template));
        let new = new.map(|index| sets.remove(index));
        (new, sets)
    }

    pub(super) fn create_new(&mut self, old: &[Set]) -> Result<Set, ApiError> {
        let deployment = &self.deployment;
        let hash = hash(&deployment["spec"]["template"]);
        let set_name = format!("{}-{hash}", name(deployment));
        let revision = old.iter().map(Set::revision).max().unwrap_or(0) + 1;
        let mut template = deployment["spec"]["template"].clone();
        set_in_metadata(&mut template, "labels", HASH, &hash);
        let mut selector = deployment["spec"]["selector"].clone();
        if !selector["matchLabels"].is_object() {
            selector["matchLabels"] = json!({});
        }
        selector["matchLabels"][HASH] = json!(hash);
        let mut set = json!({
            "apiVersion": "apps/v1", "kind": "ReplicaSet",
            "metadata": {
                "name": set_name, "namespace": self.key.namespace,
                "labels": template["metadata"]["labels"],
                "ownerReferences": [controlled_by(deployment)],
            },
            "spec": {"replicas": 0, "selector": selector, "template": template},
        });
        if let Some(annotations) = deployment["metadata"]["annotations"].as_object() {
            for (key, value) in annotations.iter().filter(|(key, _)| is_carried(key)) {
                set["metadata"]["annotations"][key] = value.clone();
            }
        }
        if let Some(seconds) =
            int(deployment, "/spec/minReadySeconds").filter(|seconds| *seconds > 0)
        {
            set["spec"]["minReadySeconds"] = json!(seconds);
        }
        let budget = Budget::of(deployment);
        let first = first_size(&budget, sum(old, |set| set.wanted));
        set["spec"]["replicas"] = json!(first);
        self.annotate(&mut set);
        set_in_metadata(&mut set, "annotations", REVISION, &revision.to_string());
        let created = self
            .cx
            .cluster
            .api()
            .create(&REPLICA_SETS, set, &Write::by(NAME))?;
        let set = Set::of(created.value.clone());
        if first > 0 {
            self.say_scaled(&set, 0, first);
        }
        self.set_revision(revision)?;
        Ok(set)
    }

    /// Gives a set that is (again) the present one the highest revision.
    pub(super) fn keep_new(&mut self, set: Set) -> Result<Set, ApiError> {
        let owned = self
            .cx
            .cluster
            .store()
            .owned(&REPLICA_SETS, uid(&self.deployment));
        let others = owned
            .iter()
            .filter(|other| name(&other.value) != set.name());
        let highest = others
            .map(|other| Set::of(other.value.clone()).revision())
            .max()
            .unwrap_or(0);
        let revision = set.revision().max(highest + 1);
        let min_ready = self.deployment["spec"]["minReadySeconds"].clone();
        let mut kept = set;
        if kept.revision() != revision || kept.object["spec"]["minReadySeconds"] != min_ready {
            let written = self.cx.cluster.api().modify(
                &REPLICA_SETS,
                &self.key.namespace,
                kept.name(),
                NAME,
                |set| {
                    set_in_metadata(set, "annotations", REVISION, &revision.to_string());
                    if !min_ready.is_null() {
                        set["spec"]["minReadySeconds"] = min_ready.clone();
                    }
                },
            )?;
            kept = Set::of(written.value.clone());
        }
        self.set_revision(revision)?;
        Ok(kept)
    }

    pub(super) fn set_revision(&mut self, revision: i64) -> Result<(), ApiError> {
        if annotation(&self.deployment, REVISION) == Some(revision.to_string().as_str()) {
            return Ok(());
        }
        let api = self.cx.cluster.api();
        let written = api.modify(
            &DEPLOYMENTS,
            &self.key.namespace,
            &self.key.name,
            NAME,
            |deployment| {
                set_in_metadata(deployment, "annotations", REVISION, &revision.to_string());
            },
        )?;
        self.deployment = written.value.clone();
        Ok(())
    }

    /// Whether the number of replicas was changed since the sets were last scaled.
    pub(super) fn is_scaling(&self, new: Option<&Set>, old: &[Set]) -> bool {
        let wanted = replicas(&self.deployment).to_string();
        let active = old.iter().chain(new).filter(|set| set.wanted > 0);
        let mut told = active.filter_map(|set| annotation(&set.object, DESIRED));
        told.any(|told| told != wanted)
    }

    /// Scales without rolling: the only active set, or all of them by their share.
    pub(super) fn scale_all(
        &mut self,
        new: Option<&mut Set>,
        old: &mut [Set],
    ) -> Result<(), ApiError> {
        let budget = Budget::of(&self.deployment);
        let mut sets: Vec<&mut Set> = old.iter_mut().chain(new).collect();
        let active: Vec<usize> = (0..sets.len())
            .filter(|index| sets[*index].wanted > 0)
            .collect();
        if let [] | [_] = active.as_slice() {
            let index = active.first().copied().or(sets.len().checked_sub(1));
            let Some(index) = index else { return Ok(()) };
            let set = &mut *sets[index];
            return self.scale(set, budget.replicas);
        }
        let total: i64 = active.iter().map(|index| sets[*index].wanted).sum();
        let rolling = text(&self.deployment, "/spec/strategy/type") != "Recreate";
        let allowed = budget.replicas
            + if rolling && budget.replicas > 0 {
                budget.surge
            } else {
                0
            };
        let mut rest = allowed - total;
        // The largest first; what rounding leaves goes to it as well.
        let mut by_size = active;
        by_size.sort_by_key(|index| std::cmp::Reverse(sets[*index].wanted));
        let mut targets = Vec::new();
        for index in &by_size {
            let wanted = sets[*index].wanted;
            let part = ((wanted * allowed) as f64 / total as f64).round() as i64 - wanted;
            let part = if rest >= 0 {
                part.clamp(0, rest)
            } else {
                part.clamp(rest, 0)
            };
            rest -= part;
            targets.push((*index, wanted + part));
        }
        if let Some(first) = targets.first_mut() {
            first.1 = (first.1 + rest).max(0);
        }
        for (index, target) in targets {
            let set = &mut *sets[index];
            self.scale(set, target)?;
        }
        Ok(())
    }

    pub(super) fn recreate(
        &mut self,
        new: Option<Set>,
        old: &mut [Set],
    ) -> Result<Option<Set>, ApiError> {
        for set in old.iter_mut().filter(|set| set.wanted > 0) {
            self.scale(set, 0)?;
        }
        let store = self.cx.cluster.store();
        let left = old.iter().any(|set| {
            let pods = store.owned(&PODS, uid(&set.object));
            pods.iter()
                .any(|pod| !crate::object::is_over(&pod.value) || is_active(&pod.value))
        });
        if left {
            return Ok(new);
        }
        let mut current = match new {
            Some(set) => self.keep_new(set)?,
            None => self.create_new(old)?,
        };
        let wanted = replicas(&self.deployment);
        self.scale(&mut current, wanted)?;
        Ok(Some(current))
    }

    pub(super) fn scale_new(&mut self, new: &mut Set, old: &[Set]) -> Result<(), ApiError> {
        let budget = Budget::of(&self.deployment);
        if new.wanted >= budget.replicas {
            return self.scale(new, budget.replicas);
        }
        let total = new.wanted + sum(old, |set| set.wanted);
        let room = budget.replicas + budget.surge - total;
        let target = new.wanted + room.clamp(0, budget.replicas - new.wanted);
        self.scale(new, target)
    }

    pub(super) fn scale_old(&mut self, new: &Set, old: &mut [Set]) -> Result<(), ApiError> {
        let budget = Budget::of(&self.deployment);
        let total = new.wanted + sum(old, |set| set.wanted);
        let least = budget.replicas - budget.unavailable;
        let new_missing = new.wanted - new.available;
        let mut may_go = total - least - new_missing;
        if may_go <= 0 {
            return Ok(());
        }
        // First those that are of no use anyway.
        for set in old.iter_mut() {
            let broken = (set.wanted - set.available).min(may_go);
            if set.wanted > 0 && broken > 0 {
                may_go -= broken;
                let target = set.wanted - broken;
                self.scale(set, target)?;
            }
        }
        // A set that was told to shrink may not have counted anew yet.
        let left = |set: &Set| set.available.min(set.wanted);
        let mut may_go = left(new) + sum(old, left) - least;
        for set in old.iter_mut() {
            let fewer = set.wanted.min(may_go);
            if fewer > 0 {
                may_go -= fewer;
                let target = set.wanted - fewer;
                self.scale(set, target)?;
            }
        }
        Ok(())
    }

    pub(super) fn scale(&mut self, set: &mut Set, target: i64) -> Result<(), ApiError> {
        let mut annotated = (*set.object).clone();
        self.annotate(&mut annotated);
        let told = annotated["metadata"]["annotations"] == set.object["metadata"]["annotations"];
        if set.wanted == target && told {
            return Ok(());
        }
        let api = self.cx.cluster.api();
        let written = api.modify(
            &REPLICA_SETS,
            &self.key.namespace,
            set.name(),
            NAME,
            |object| {
                self.annotate(object);
                object["spec"]["replicas"] = json!(target);
            },
        )?;
        let from = set.wanted;
        let (available, ready, present) = (set.available, set.ready, set.present);
        *set = Set {
            available: available.min(target),
            ready,
            present,
            ..Set::of(written.value.clone())
        };
        if from != target {
            self.say_scaled(set, from, target);
        }
        Ok(())
    }

    pub(super) fn annotate(&self, set: &mut Value) {
        let budget = Budget::of(&self.deployment);
        set_in_metadata(set, "annotations", DESIRED, &budget.replicas.to_string());
        set_in_metadata(
            set,
            "annotations",
            MOST,
            &(budget.replicas + budget.surge).to_string(),
        );
    }

    pub(super) fn say_scaled(&self, set: &Set, from: i64, to: i64) {
        let direction = if to > from { "up" } else { "down" };
        let message = format!(
            "Scaled {direction} replica set {} from {from} to {to}",
            set.name()
        );
        record(
            self.cx.cluster,
            &self.deployment,
            &News::normal(NAME, "ScalingReplicaSet", &message),
        );
    }

    /// Removes the oldest empty sets beyond the limit.
    pub(super) fn clean_up(&mut self, old: &mut Vec<Set>) -> Result<(), ApiError> {
        let limit = int(&self.deployment, "/spec/revisionHistoryLimit").unwrap_or(10);
        let mut by_revision: Vec<&Set> = old.iter().collect();
        by_revision.sort_by_key(|set| set.revision());
        let excess = by_revision
            .len()
            .saturating_sub(usize::try_from(limit).unwrap_or(usize::MAX));
        let mut gone = Vec::new();
        for set in by_revision.into_iter().take(excess) {
            if set.present == 0 && set.wanted == 0 && !is_deleting(&set.object) {
                self.cx.cluster.api().delete(
                    &REPLICA_SETS,
                    &self.key.namespace,
                    set.name(),
                    &Deletion::default(),
                )?;
                gone.push(set.name().to_owned());
            }
        }
        old.retain(|set| !gone.iter().any(|name| name == set.name()));
        Ok(())
    }
}

/// How large a new set begins.
fn first_size(budget: &Budget, others: i64) -> i64 {
    (budget.replicas + budget.surge - others).clamp(0, budget.replicas)
}

/// Whether a set's template is the Deployment's, but for the hash.
fn same_template(of_set: &Value, template: &Value) -> bool {
    let labels = |template: &Value| {
        let mut labels = template["metadata"]["labels"].clone();
        labels
            .as_object_mut()
            .map(|labels| labels.shift_remove(HASH));
        labels
    };
    let rest = |template: &Value| {
        let metadata = template["metadata"].as_object().into_iter().flatten();
        let mut rest: BTreeMap<String, Value> = BTreeMap::new();
        for (key, value) in metadata.filter(|(key, value)| *key != "labels" && !value.is_null()) {
            rest.insert(key.clone(), value.clone());
        }
        rest
    };
    is_same(&of_set["spec"], &template["spec"])
        && labels(of_set) == labels(template)
        && rest(of_set) == rest(template)
}

/// Whether a Deployment's annotation goes to its sets.
fn is_carried(key: &str) -> bool {
    !matches!(
        key,
        "kubectl.kubernetes.io/last-applied-configuration" | REVISION | DESIRED | MOST
    ) && key != "deployment.kubernetes.io/revision-history"
}
