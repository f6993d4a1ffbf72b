//! Patches: what the four forms of a change make of an object, and whose each field is.
//!
//! Server-side apply follows the rules of structured-merge-diff (KEP-555): a set of fields for each
//! manager, conflicts where another one owns what is changed, removal of what is no longer applied.

mod diff;
mod lists;
pub(crate) mod managed;
mod merge;
mod set;
mod shape;
mod strategic;

use json_patch::PatchOperation;
use serde_json::Value;

use crate::error::ApiError;

pub(crate) use lists::lists;
pub(crate) use merge::{merge, without};
pub(crate) use set::own;
pub(crate) use shape::Shape;
pub(crate) use strategic::strategic;

/// Carries out a JSON patch (RFC 6902).
///
/// # Errors
/// 400 when it is none, 422 when a step cannot be carried out.
pub(crate) fn steps(object: &mut Value, body: &[u8]) -> Result<(), ApiError> {
    let steps: json_patch::Patch = serde_json::from_slice(body)
        .map_err(|error| ApiError::bad_request(format!("failed to read the patch: {error}")))?;
    for step in steps.0 {
        // To a real server what is not there is null; kube's finalizers are added by that.
        if let PatchOperation::Test(test) = &step
            && test.value.is_null()
            && object.pointer(test.path.as_str()).is_none()
        {
            continue;
        }
        json_patch::patch(object, &[step])
            .map_err(|error| ApiError::new(422, "Invalid", error.to_string()))?;
    }
    Ok(())
}
