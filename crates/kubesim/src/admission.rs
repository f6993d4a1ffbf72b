//! Admission: who is asked about a write before it happens, and may change or refuse it, as admission
//! webhooks do.
//!
//! One rule for all writers: the registry asks about every create, update and delete, whoever writes,
//! clients and controllers alike, as a real API server does; what a webhook's rules leave out,
//! [`Admission::wants`] leaves out. What a controller changes in one go is told by what changed: a
//! write of nothing but the status is one of the subresource `status`. Housekeeping of the API server
//! itself (marking an object as deleted, conditions of definitions) is not asked about.

mod pod_security;

use std::fmt;
use std::sync::{Arc, RwLock};

use serde_json::Value;

use crate::authorization::User;
use crate::error::ApiError;
use crate::fault::{Fault, Faults};
use crate::object::is_same;
use crate::registry::{Registry, Write};
use crate::resource::builtin::PODS;
use crate::resource::{GroupResource, Resource};
pub(crate) use pod_security::PodSecurity;

/// What a write does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// `CREATE`
    Create,
    /// `UPDATE`
    Update,
    /// `DELETE`
    Delete,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Create => "CREATE",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
        })
    }
}

/// A write, as it is told to who is asked about it.
#[derive(Debug)]
pub struct AdmissionRequest<'a> {
    /// What it does.
    pub operation: Operation,
    /// To which resource.
    pub resource: &'a Resource,
    /// Which part: empty for the object, else `status`, `scale`, `eviction`, …
    pub subresource: &'a str,
    /// The object as it will be, in its storage version; null for a deletion. It may be changed.
    pub object: &'a mut Value,
    /// The object as it is; none for a create.
    pub old: Option<&'a Value>,
    /// The field manager; of a controller its name.
    pub manager: &'a str,
    /// Who asks; none inside the simulation.
    pub user: Option<&'a User>,
    /// Whether nothing is going to be written.
    pub dry_run: bool,
}

impl AdmissionRequest<'_> {
    /// The object that it is about: the new one, of a deletion the old one.
    #[must_use]
    pub fn subject(&self) -> &Value {
        match self.old {
            Some(old) if self.object.is_null() => old,
            _ => self.object,
        }
    }
}

/// Somebody who is asked about writes.
pub trait Admission: Send + Sync {
    /// Its name, as a webhook's: `default.cluster.cluster.x-k8s.io`.
    fn name(&self) -> &str;

    /// Whether it is asked about such writes; by default about all of objects themselves, not of their
    /// subresources.
    fn wants(&self, _operation: Operation, _resource: &GroupResource, subresource: &str) -> bool {
        subresource.is_empty()
    }

    /// Judges a write, and may change the object; answers with warnings.
    ///
    /// # Errors
    /// Why the write is refused: see [`denied`].
    fn admit(&self, request: &mut AdmissionRequest<'_>) -> Result<Vec<String>, ApiError>;
}

/// The refusal of a webhook.
#[must_use]
pub fn denied(webhook: &str, why: &str) -> ApiError {
    let message = format!("admission webhook \"{webhook}\" denied the request: {why}");
    ApiError::new(403, "Forbidden", message)
}

/// What the API server says when a webhook that must be asked does not answer.
#[must_use]
pub fn unanswered(webhook: &str, url: &str, why: &str) -> ApiError {
    let message = format!(
        "Internal error occurred: failed calling webhook \"{webhook}\": failed to call webhook: Post \"{url}\": {why}"
    );
    ApiError::new(500, "InternalError", message)
}

/// Who is asked, in this order; clones are the same.
#[derive(Clone, Default)]
pub struct Admissions(Arc<RwLock<Vec<Arc<dyn Admission>>>>);

impl fmt::Debug for Admissions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.all();
        f.debug_list()
            .entries(all.iter().map(|one| one.name()))
            .finish()
    }
}

impl Admissions {
    /// Asks one more from now on; one of the same name is replaced.
    pub fn add(&self, admission: Arc<dyn Admission>) {
        let mut all = self
            .0
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        match all.iter_mut().find(|one| one.name() == admission.name()) {
            Some(one) => *one = admission,
            None => all.push(admission),
        }
    }

    /// Asks it no more.
    pub fn remove(&self, name: &str) {
        let mut all = self
            .0
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        all.retain(|one| one.name() != name);
    }

    fn all(&self) -> Vec<Arc<dyn Admission>> {
        self.0
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .clone()
    }
}

impl Registry {
    /// Asks about a write.
    pub(crate) fn ask(
        &self,
        operation: Operation,
        resource: &Resource,
        object: &mut Value,
        old: Option<&Value>,
        write: &Write,
    ) -> Result<(), ApiError> {
        let subresource = match write.subresource.as_str() {
            "*" => part(object, old),
            other => other,
        };
        // The list is copied so that who is asked may read and write the API itself.
        for admission in self.admissions().all() {
            if !admission.wants(operation, &resource.id, subresource) {
                continue;
            }
            let mut request = AdmissionRequest {
                operation,
                resource,
                subresource,
                object: &mut *object,
                old,
                manager: &write.manager,
                user: write.user.as_ref(),
                dry_run: write.dry_run,
            };
            let warnings = admission.admit(&mut request)?;
            write.warnings.add(warnings);
        }
        Ok(())
    }
}

/// Which part of an object a controller has changed.
fn part(object: &Value, old: Option<&Value>) -> &'static str {
    let (Some(new), Some(old)) = (object.as_object(), old.and_then(Value::as_object)) else {
        return "";
    };
    let same = |(key, value): (&String, &Value)| {
        key == "status" || old.get(key).is_some_and(|old| is_same(old, value))
    };
    let kept = |key: &String| key == "status" || new.contains_key(key);
    if new.iter().all(same) && old.keys().all(kept) {
        "status"
    } else {
        ""
    }
}

/// The webhook of [`Fault::WebhookDown`], as controllers meet it: no pod can be created. What clients
/// meet is refused before it comes this far.
#[derive(Debug)]
pub(crate) struct Unanswering {
    cluster: String,
    faults: Faults,
}

impl Unanswering {
    pub(crate) fn new(cluster: &str, faults: Faults) -> Self {
        Self {
            cluster: cluster.to_owned(),
            faults,
        }
    }

    /// What it is answered with.
    pub(crate) fn error() -> ApiError {
        unanswered(
            "validate.policy.example.org",
            "https://policy-webhook.kube-system.svc:443/validate?timeout=10s",
            "dial tcp 10.96.0.99:443: connect: connection refused",
        )
    }
}

impl Admission for Unanswering {
    fn name(&self) -> &'static str {
        "validate.policy.example.org"
    }

    fn wants(&self, operation: Operation, resource: &GroupResource, subresource: &str) -> bool {
        operation == Operation::Create
            && *resource == PODS
            && subresource.is_empty()
            && self.faults.is_on(Fault::WebhookDown, &self.cluster)
    }

    fn admit(&self, _: &mut AdmissionRequest<'_>) -> Result<Vec<String>, ApiError> {
        self.faults.note(Fault::WebhookDown);
        Err(Self::error())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_write_of_the_status_alone_is_told_as_such() {
        let old = json!({"metadata": {"name": "a"}, "spec": {"a": 1}, "status": {"b": 1}});
        let mut new = old.clone();
        new["status"]["b"] = json!(2);
        assert_eq!(part(&new, Some(&old)), "status");
        new["spec"]["a"] = json!(2);
        assert_eq!(part(&new, Some(&old)), "");
        assert_eq!(part(&json!({"metadata": {"name": "a"}}), Some(&old)), "");
    }
}
