//! Patches of a ClusterClass: what turns a class's templates into those of one Cluster.

use serde_json::{Value, json};

use crate::object::{list, text};
use crate::store::reads;

/// Renders the Go templates that patches may hold (`valueFrom.template`, `enabledIf`).
pub trait Templates: Send + Sync {
    /// The text of a template with these variables at its root.
    ///
    /// # Errors
    /// When it cannot be parsed or executed.
    fn render(&self, template: &str, variables: &Value) -> Result<Rendered, String>;

    /// The value of a rendered text, which is YAML.
    ///
    /// # Errors
    /// When it is none.
    fn value(&self, rendered: &str) -> Result<Value, String>;
}

/// What became of a template.
pub struct Rendered {
    /// The text.
    pub text: String,
    /// Whether it would be another one another time, with the same variables.
    pub is_drawn: bool,
}

/// Which template a patch is applied to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part<'a> {
    /// The infrastructure of the Cluster.
    InfrastructureCluster,
    /// The control plane and its Machines.
    ControlPlane,
    /// Workers of a class, for a MachineDeployment.
    Workers(&'a str),
}

/// Applies a class's patches to a template's `spec.template`.
///
/// # Errors
/// When a patch cannot be applied, with its name.
pub fn apply(
    class: &Value,
    template: &mut Value,
    part: Part<'_>,
    variables: &Value,
    renders: Option<&dyn Templates>,
) -> Result<(), String> {
    for patch in list(class, "/spec/patches") {
        let name = text(patch, "/name");
        let failed = |why: String| format!("failed to apply patch \"{name}\": {why}");
        if let Some(condition) = patch["enabledIf"].as_str() {
            let rendered = render(renders, condition, variables).map_err(failed)?;
            if rendered.trim() != "true" {
                continue;
            }
        }
        for definition in list(patch, "/definitions") {
            if !selects(&definition["selector"], template, part) {
                continue;
            }
            let mut operations = Vec::new();
            for operation in list(definition, "/jsonPatches") {
                let mut one = json!({"op": operation["op"], "path": operation["path"]});
                if operation["op"] != "remove" {
                    one["value"] = value(operation, variables, renders).map_err(failed)?;
                }
                operations.push(one);
            }
            let operations: json_patch::Patch = serde_json::from_value(json!(operations))
                .map_err(|error| failed(error.to_string()))?;
            json_patch::patch(template, &operations).map_err(|error| failed(error.to_string()))?;
        }
    }
    Ok(())
}

fn selects(selector: &Value, template: &Value, part: Part<'_>) -> bool {
    if selector["kind"] != template["kind"] {
        return false;
    }
    // The group counts, not the version: templates are stored in one.
    let group = |value: &Value| {
        text(value, "/apiVersion")
            .split('/')
            .next()
            .unwrap_or_default()
            .to_owned()
    };
    if group(selector) != group(template) {
        return false;
    }
    let matches = &selector["matchResources"];
    match part {
        Part::InfrastructureCluster => matches["infrastructureCluster"] == true,
        Part::ControlPlane => matches["controlPlane"] == true,
        Part::Workers(class) => list(matches, "/machineDeploymentClass/names")
            .iter()
            .any(|name| {
                let name = name.as_str().unwrap_or_default();
                name == class
                    || name == "*"
                    || name
                        .strip_suffix('*')
                        .is_some_and(|prefix| class.starts_with(prefix))
                    || name
                        .strip_prefix('*')
                        .is_some_and(|suffix| class.ends_with(suffix))
            }),
    }
}

fn value(
    operation: &Value,
    variables: &Value,
    renders: Option<&dyn Templates>,
) -> Result<Value, String> {
    if let Some(value) = operation.get("value") {
        return Ok(value.clone());
    }
    let from = &operation["valueFrom"];
    if let Some(path) = from["variable"].as_str() {
        return look_up(variables, path)
            .cloned()
            .ok_or_else(|| format!("variable \"{path}\" has no value"));
    }
    let Some(template) = from["template"].as_str() else {
        return Err("neither value nor valueFrom is set".to_owned());
    };
    let rendered = render(renders, template, variables)?;
    renders.map_or_else(|| Ok(Value::Null), |renders| renders.value(&rendered))
}

fn render(
    renders: Option<&dyn Templates>,
    template: &str,
    variables: &Value,
) -> Result<String, String> {
    let renders = renders.ok_or("it has a template, and nothing renders templates here")?;
    let rendered = renders.render(template, variables)?;
    if rendered.is_drawn {
        reads::spoil();
    }
    Ok(rendered.text)
}

/// The value of a variable by its path, e.g. `builtin.controlPlane.version` or `mirrors[0].url`.
fn look_up<'v>(variables: &'v Value, path: &str) -> Option<&'v Value> {
    let mut value = variables;
    for part in path.split('.') {
        let (name, index) = match part.split_once('[') {
            Some((name, rest)) => (name, rest.trim_end_matches(']').parse::<usize>().ok()),
            None => (part, None),
        };
        value = value.get(name)?;
        if let Some(index) = index {
            value = value.get(index)?;
        }
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class() -> Value {
        json!({"spec": {
            "variables": [
                {"name": "sans", "required": false, "schema": {"openAPIV3Schema": {"type": "array", "default": ["localhost"]}}},
                {"name": "mirror", "required": true, "schema": {"openAPIV3Schema": {"type": "object",
                    "properties": {"port": {"type": "integer", "default": 443}}}}}],
            "patches": [{"name": "sans", "definitions": [{
                "selector": {"apiVersion": "controlplane.cluster.x-k8s.io/v1beta2", "kind": "KubeadmControlPlaneTemplate",
                    "matchResources": {"controlPlane": true}},
                "jsonPatches": [{"op": "add", "path": "/spec/sans", "valueFrom": {"variable": "sans"}}]}]}]}})
    }

    #[test]
    fn a_patch_changes_what_it_selects_and_nothing_else() {
        let template = json!({"apiVersion": "controlplane.cluster.x-k8s.io/v1beta2",
            "kind": "KubeadmControlPlaneTemplate", "spec": {}});
        let values = json!({"sans": ["a"]});
        let mut patched = template.clone();
        apply(&class(), &mut patched, Part::ControlPlane, &values, None).unwrap();
        assert_eq!(patched["spec"]["sans"], json!(["a"]));
        let mut other = template;
        apply(&class(), &mut other, Part::Workers("w"), &values, None).unwrap();
        assert_eq!(other["spec"], json!({}));
    }

    #[test]
    fn builtin_variables_are_found_by_their_path() {
        let values = json!({"builtin": {"controlPlane": {"version": "v1"}}, "list": [{"a": 1}]});
        assert_eq!(
            look_up(&values, "builtin.controlPlane.version"),
            Some(&json!("v1"))
        );
        assert_eq!(look_up(&values, "list[0].a"), Some(&json!(1)));
        assert_eq!(look_up(&values, "list[1].a"), None);
    }
}
