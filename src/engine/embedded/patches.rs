//! Go templates in the patches of a ClusterClass, for the simulated Cluster API.

use kubesim::capi::{Rendered, Templates};
use serde_json::Value;

use crate::stack::chart::render_patch;

/// Renders patches with the functions that Cluster API gives them.
pub(super) struct Patches;

impl Templates for Patches {
    fn render(&self, template: &str, variables: &Value) -> Result<Rendered, String> {
        let rendered = render_patch(template, variables);
        let (text, is_drawn) = rendered.map_err(|error| error.to_string())?;
        Ok(Rendered { text, is_drawn })
    }

    fn value(&self, rendered: &str) -> Result<Value, String> {
        serde_saphyr::from_str(rendered).map_err(|error| error.to_string())
    }
}
