//! What an upgrade will do to the addons: objects that come, go and change.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use super::identity::{Identity, by_identity, reference};
use super::subject::{Item, Subject};
use crate::cluster::compare;

/// How many changed fields of an object are told.
const FIELDS: usize = 20;

/// What an upgrade will do to the addons, by their objects.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UpgradePlan {
    /// Objects of N+1 that N does not have.
    pub added: Vec<String>,
    /// Objects of N that N+1 does not have; they will be deleted.
    pub removed: Vec<String>,
    /// Objects of both that differ.
    pub changed: Vec<Change>,
    /// How many objects are the same in both.
    pub unchanged: usize,
}

/// An object of both releases that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// The object.
    pub object: String,
    /// The fields that differ; at most 20 are told. Values of Secrets and of environment variables are not.
    pub fields: Vec<String>,
}

pub(super) fn of(subject: &Subject<'_>) -> UpgradePlan {
    let before = by_identity(subject.from.addons());
    let after = by_identity(subject.to.addons());
    let only = |one: &BTreeMap<Identity, &Item>, other: &BTreeMap<Identity, &Item>| {
        let missing = one.iter().filter(|(id, _)| !other.contains_key(id));
        missing
            .map(|(_, item)| reference(&item.object).to_string())
            .collect()
    };
    let mut plan = UpgradePlan {
        added: only(&after, &before),
        removed: only(&before, &after),
        ..UpgradePlan::default()
    };
    for (id, new) in &after {
        let Some(old) = before.get(id) else { continue };
        let fields = differing(old, new);
        if fields.is_empty() {
            plan.unchanged += 1;
        } else {
            plan.changed.push(Change {
                object: reference(&new.object).to_string(),
                fields,
            });
        }
    }
    plan
}

/// The fields in which two objects differ, in the words of the comparison with live objects.
fn differing(old: &Item, new: &Item) -> Vec<String> {
    if old.object == new.object {
        return Vec::new();
    }
    let mut fields = Vec::new();
    if old.object["apiVersion"] != new.object["apiVersion"] {
        fields.push(format!(
            "apiVersion: {} to {}",
            old.object["apiVersion"].as_str().unwrap_or_default(),
            new.object["apiVersion"].as_str().unwrap_or_default(),
        ));
    }
    let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "nothing".to_owned());
    for difference in compare::compare(&new.object, &old.object) {
        let (before, after) = (shown(&difference.live), shown(&difference.rendered));
        fields.push(format!("{}: {before} to {after}", difference.path));
    }
    // What only the old one has is not among what the new one renders.
    for difference in compare::compare(&old.object, &new.object) {
        if difference.live.is_none() {
            fields.push(format!(
                "{}: {} to nothing",
                difference.path,
                shown(&difference.rendered)
            ));
        }
    }
    fields.truncate(FIELDS);
    fields
}
