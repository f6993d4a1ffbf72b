//! From one version of a resource to another.

use serde_json::Value;

use crate::error::ApiError;

/// Converts the objects of one resource between the versions it is served and stored in.
pub trait Conversion: Send + Sync {
    /// The object, which says its `apiVersion`, in another `apiVersion`.
    ///
    /// # Errors
    /// When the object cannot be said in that version.
    fn convert(&self, object: Value, to: &str) -> Result<Value, ApiError>;
}
