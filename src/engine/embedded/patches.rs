//! Go templates in the patches of a ClusterClass, for the simulated Cluster API.

use kubesim::capi::Templates;
use serde_json::Value;

use crate::stack::chart::render_text;

/// Renders patches as charts are rendered.
pub(super) struct Patches;

impl Templates for Patches {
    fn render(&self, template: &str, variables: &Value) -> Result<String, String> {
        render_text("patch", template, variables).map_err(|error| error.to_string())
    }

    fn value(&self, rendered: &str) -> Result<Value, String> {
        serde_saphyr::from_str(rendered).map_err(|error| error.to_string())
    }
}
