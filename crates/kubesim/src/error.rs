//! What the API server refuses, in the form of `metav1.Status`.

use serde_json::{Value, json};

use crate::resource::GroupResource;

/// The one detail that belongs into the Status' metadata: how a list whose picture is gone can go on
/// nevertheless.
pub(crate) const CONTINUE: &str = "continue";

/// A refusal: becomes a `Status` with its HTTP code.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    /// HTTP status code.
    pub code: u16,
    /// Machine-readable reason, e.g. `NotFound`.
    pub reason: &'static str,
    /// For people.
    pub message: String,
    /// `details` of the Status; null when there are none.
    pub details: Value,
}

impl ApiError {
    /// An error by its parts.
    #[must_use]
    pub fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            reason,
            message: message.into(),
            details: Value::Null,
        }
    }

    fn about(mut self, resource: &GroupResource, name: &str) -> Self {
        self.details = json!({"name": name, "group": resource.group, "kind": resource.resource});
        self
    }

    /// 404 for an object.
    #[must_use]
    pub fn not_found(resource: &GroupResource, name: &str) -> Self {
        Self::new(404, "NotFound", format!("{resource} \"{name}\" not found")).about(resource, name)
    }

    /// 404 for a path that nothing serves.
    #[must_use]
    pub fn no_such_path() -> Self {
        Self::new(
            404,
            "NotFound",
            "the server could not find the requested resource",
        )
    }

    /// 409 for a name that is taken.
    #[must_use]
    pub fn already_exists(resource: &GroupResource, name: &str) -> Self {
        Self::new(
            409,
            "AlreadyExists",
            format!("{resource} \"{name}\" already exists"),
        )
        .about(resource, name)
    }

    /// 409 for a write that another one overtook.
    #[must_use]
    pub fn conflict(resource: &GroupResource, name: &str, why: &str) -> Self {
        let message = format!("Operation cannot be fulfilled on {resource} \"{name}\": {why}");
        Self::new(409, "Conflict", message).about(resource, name)
    }

    /// 400.
    #[must_use]
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    /// 422 with the fields that are wrong: (path, reason such as `FieldValueRequired`, message).
    #[must_use]
    pub fn invalid(kind: &str, group: &str, name: &str, causes: &[(String, &str, String)]) -> Self {
        let lines: Vec<String> = causes
            .iter()
            .map(|(field, _, message)| format!("{field}: {message}"))
            .collect();
        let shown = if let [line] = lines.as_slice() {
            line.clone()
        } else {
            format!("[{}]", lines.join(", "))
        };
        let full = if group.is_empty() {
            kind.to_owned()
        } else {
            format!("{kind}.{group}")
        };
        let causes: Vec<Value> = causes
            .iter()
            .map(|(field, reason, message)| json!({"reason": reason, "message": message, "field": field}))
            .collect();
        let mut error = Self::new(
            422,
            "Invalid",
            format!("{full} \"{name}\" is invalid: {shown}"),
        );
        error.details = json!({"name": name, "group": group, "kind": kind, "causes": causes});
        error
    }

    /// 403.
    #[must_use]
    pub fn forbidden(resource: &GroupResource, name: &str, why: &str) -> Self {
        let message = format!("{resource} \"{name}\" is forbidden: {why}");
        Self::new(403, "Forbidden", message).about(resource, name)
    }

    /// 410: the revision that was asked for is no longer there.
    #[must_use]
    pub fn expired(message: impl Into<String>) -> Self {
        Self::new(410, "Expired", message)
    }

    /// Whether it is a 404.
    #[must_use]
    pub const fn is_not_found(&self) -> bool {
        self.code == 404
    }

    /// The `Status` object.
    #[must_use]
    pub fn status(&self) -> Value {
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {},
            "status": "Failure", "message": self.message, "reason": self.reason, "code": self.code,
        });
        if let Some(token) = self.details.get(CONTINUE) {
            status["metadata"]["continue"] = token.clone();
        } else if !self.details.is_null() {
            status["details"] = self.details.clone();
        }
        status
    }
}
