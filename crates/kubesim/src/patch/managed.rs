//! `metadata.managedFields`: whose each field is, before and after a write.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::diff::{Diff, diff};
use super::set::Set;
use super::shape::Shape;
use crate::clock::stamp;
use crate::error::ApiError;

/// Fields that are nobody's: identity, and what the server sets.
const NOBODY: &[&[&str]] = &[
    &["apiVersion"],
    &["kind"],
    &["metadata", "creationTimestamp"],
    &["metadata", "deletionGracePeriodSeconds"],
    &["metadata", "deletionTimestamp"],
    &["metadata", "generation"],
    &["metadata", "managedFields"],
    &["metadata", "name"],
    &["metadata", "namespace"],
    &["metadata", "resourceVersion"],
    &["metadata", "selfLink"],
    &["metadata", "uid"],
];

/// How a manager came to its fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Operation {
    /// By server-side apply.
    Apply,
    /// By any other write.
    Update,
}

impl Operation {
    const fn name(self) -> &'static str {
        match self {
            Self::Apply => "Apply",
            Self::Update => "Update",
        }
    }
}

/// Who writes, how, and to what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Manager {
    pub(crate) name: String,
    pub(crate) operation: Operation,
    /// The version in which the fields are said.
    pub(crate) api_version: String,
    pub(crate) subresource: String,
}

impl Manager {
    /// As the API server names one in a conflict.
    fn told(&self, time: &str) -> String {
        let mut told = format!("{:?}", self.name);
        if !self.subresource.is_empty() {
            told.push_str(&format!(" with subresource {:?}", self.subresource));
        }
        told.push_str(&format!(" using {}", self.api_version));
        if self.operation == Operation::Update && !time.is_empty() {
            told.push_str(&format!(" at {time}"));
        }
        told
    }
}

/// One manager's fields.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) manager: Manager,
    time: String,
    pub(crate) set: Set,
}

/// All managers of an object.
#[derive(Clone, Debug, Default)]
pub(crate) struct Managed(Vec<Entry>);

/// An object in another version, for managers who said their fields in that.
pub(crate) type InVersion<'a> = &'a dyn Fn(&Value, &str) -> Option<Value>;

/// What a write changed, by the version in which it is said; none in one that is no longer served.
type Diffs = BTreeMap<String, Option<Diff>>;

impl Managed {
    /// From `managedFields`.
    pub(crate) fn read(fields: &Value) -> Self {
        let entries = fields.as_array().into_iter().flatten();
        let text = |entry: &Value, name: &str| entry[name].as_str().unwrap_or_default().to_owned();
        let entries = entries.map(|entry| Entry {
            manager: Manager {
                name: text(entry, "manager"),
                operation: match entry["operation"].as_str() {
                    Some("Apply") => Operation::Apply,
                    _ => Operation::Update,
                },
                api_version: text(entry, "apiVersion"),
                subresource: text(entry, "subresource"),
            },
            time: text(entry, "time"),
            set: Set::read(&entry["fieldsV1"]),
        });
        Self(entries.collect())
    }

    /// As `managedFields`; null where nobody owns anything.
    pub(crate) fn write(mut self) -> Value {
        self.0.retain(|entry| !entry.set.is_empty());
        if self.0.is_empty() {
            return Value::Null;
        }
        self.0.sort_by(|a, b| {
            let key = |entry: &Entry| (entry.manager.operation, entry.time.clone());
            key(a).cmp(&key(b))
        });
        let entries = self.0.into_iter().map(|entry| {
            let Manager {
                name,
                operation,
                api_version,
                subresource,
            } = entry.manager;
            let mut told = json!({
                "manager": name, "operation": operation.name(), "apiVersion": api_version,
                "time": entry.time, "fieldsType": "FieldsV1",
            });
            told["fieldsV1"] = entry.set.fields();
            if !subresource.is_empty() {
                told["subresource"] = json!(subresource);
            }
            told
        });
        entries.collect()
    }

    /// A manager's fields.
    pub(crate) fn of(&self, manager: &Manager) -> Option<&Set> {
        let found = self.0.iter().find(|entry| entry.manager == *manager);
        found.map(|entry| &entry.set)
    }

    /// What all but one own, said in that one's version.
    pub(crate) fn of_others(&self, manager: &Manager) -> Set {
        let others = self.0.iter().filter(|entry| entry.manager != *manager);
        others.fold(Set::default(), |all, entry| all.union(&entry.set))
    }

    /// Gives a manager these fields from now on.
    pub(crate) fn set(&mut self, manager: &Manager, set: Set, now: Timestamp) {
        match self.0.iter_mut().find(|entry| entry.manager == *manager) {
            // The time is that of the last change of the set.
            Some(entry) if entry.set == set => {}
            Some(entry) => {
                entry.set = set;
                entry.time = stamp(now);
            }
            None => self.0.push(Entry {
                manager: manager.clone(),
                time: stamp(now),
                set,
            }),
        }
    }

    /// What a write changed goes from all others to the one who wrote. With `asks`, nothing goes that
    /// another owns: it is a conflict.
    ///
    /// # Errors
    /// 409 with every conflict.
    pub(crate) fn written(
        &mut self,
        old: &Value,
        new: &Value,
        by: &Manager,
        asks: bool,
        versions: (Shape<'_>, InVersion<'_>),
    ) -> Result<(), ApiError> {
        self.taken((old, new), by, asks, &mut Diffs::new(), versions)
    }

    /// As [`Managed::written`]; what the write changed is left in `diffs`, for the versions that it was needed in.
    fn taken(
        &mut self,
        (old, new): (&Value, &Value),
        by: &Manager,
        asks: bool,
        diffs: &mut Diffs,
        (shape, in_version): (Shape<'_>, InVersion<'_>),
    ) -> Result<(), ApiError> {
        let mut conflicts = Vec::new();
        for entry in &mut self.0 {
            if entry.manager == *by {
                continue;
            }
            let theirs = &entry.manager.api_version;
            let change = diffs.entry(theirs.clone()).or_insert_with(|| {
                if *theirs == by.api_version {
                    return Some(diff(old, new, shape));
                }
                let states = in_version(old, theirs).zip(in_version(new, theirs));
                states.map(|(old, new)| diff(&old, &new, shape))
            });
            let Some(change) = change else {
                // A version that is no longer served takes its fields along.
                entry.set = Set::default();
                continue;
            };
            if asks {
                let taken = entry.set.and(&change.changed).paths();
                let told = entry.manager.told(&entry.time);
                conflicts.extend(taken.into_iter().map(|path| (told.clone(), path)));
            }
            entry.set = entry.set.minus(&change.changed).minus(&change.removed);
        }
        if conflicts.is_empty() {
            Ok(())
        } else {
            Err(conflict(&conflicts))
        }
    }

    /// What somebody changed by any write but an apply becomes theirs.
    pub(crate) fn updated(
        &mut self,
        old: &Value,
        new: &Value,
        by: &Manager,
        now: Timestamp,
        versions: (Shape<'_>, InVersion<'_>),
    ) {
        let mut diffs = Diffs::new();
        // Without asking there is nothing that could be refused.
        drop(self.taken((old, new), by, false, &mut diffs, versions));
        let own = diffs.remove(&by.api_version).flatten();
        let change = own.unwrap_or_else(|| diff(old, new, versions.0));
        let before = self.of(by).cloned().unwrap_or_default();
        let after = before.union(&owned(change.changed)).minus(&change.removed);
        if after != before {
            self.set(by, after, now);
        }
    }
}

/// A set without what is nobody's.
pub(crate) fn owned(set: Set) -> Set {
    NOBODY.iter().fold(set, |set, path| set.stripped(path))
}

fn conflict(conflicts: &[(String, String)]) -> ApiError {
    let causes: Vec<Value> = conflicts
        .iter()
        .map(|(manager, path)| {
            json!({"reason": "FieldManagerConflict", "message": format!("conflict with {manager}"),
                "field": path})
        })
        .collect();
    let message = if let [(manager, path)] = conflicts {
        format!("Apply failed with 1 conflict: conflict with {manager}: {path}")
    } else {
        let mut lines: Vec<String> = Vec::new();
        let mut last = "";
        for (manager, path) in conflicts {
            if last != manager {
                lines.push(format!("conflicts with {manager}:"));
                last = manager;
            }
            lines.push(format!("- {path}"));
        }
        let count = conflicts.len();
        format!("Apply failed with {count} conflicts: {}", lines.join("\n"))
    };
    let mut error = ApiError::new(409, "Conflict", message);
    error.details = json!({"causes": causes});
    error
}
