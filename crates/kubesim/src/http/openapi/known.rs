//! Which fields the built-in kinds have: what they do not have is taken out of what clients send.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde_json::{Map, Value};

use super::builtin;
use crate::schema::Path;
use crate::store::lock;

/// The schemas of a group and version, and which are those of its kinds.
#[derive(Default)]
struct Schemas {
    all: Map<String, Value>,
    names: BTreeMap<(String, String), String>,
}

/// Schemas by group and version.
type Made = BTreeMap<(String, String), Arc<Schemas>>;

/// The schemas of a group and version, made once for all clusters of the process.
fn schemas(group: &str, version: &str) -> Arc<Schemas> {
    static MADE: Mutex<Made> = Mutex::new(Made::new());
    let mut made = lock(&MADE);
    let schemas = made.entry((group.to_owned(), version.to_owned()));
    let schemas = schemas.or_insert_with(|| {
        let mut schemas = Schemas::default();
        builtin::add(&mut schemas.all, &mut schemas.names, |of, within| {
            of == group && within == version
        });
        Arc::new(schemas)
    });
    schemas.clone()
}

/// Takes the fields out of an object that its kind does not have, and tells which.
///
/// # Errors
/// Why it cannot be such an object, in the words of Go's JSON.
pub fn prune(
    group: &str,
    version: &str,
    kind: &str,
    object: &mut Value,
) -> Result<Vec<String>, String> {
    let schemas = schemas(group, version);
    let Some(name) = schemas.names.get(&(group.to_owned(), kind.to_owned())) else {
        return Ok(Vec::new());
    };
    let mut walk = Walk {
        schemas: &schemas.all,
        path: Path::default(),
        unknown: Vec::new(),
    };
    if let Some(schema) = schemas.all.get(name) {
        walk.fields(object, schema, last(name))?;
    }
    Ok(walk.unknown)
}

struct Walk<'s> {
    schemas: &'s Map<String, Value>,
    path: Path,
    unknown: Vec<String>,
}

/// `Deployment` of `io.k8s.api.apps.v1.Deployment`.
fn last(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or_default()
}

impl<'s> Walk<'s> {
    /// The schema that another one refers to, with its name.
    fn referred(&self, schema: &'s Value) -> Option<(&'s str, &'s Value)> {
        let own = schema["$ref"].as_str();
        let reference = own.or_else(|| schema["allOf"][0]["$ref"].as_str())?;
        let name = reference.rsplit('/').next()?;
        Some((name, self.schemas.get(name)?))
    }

    /// Goes through a field of the struct `within`.
    fn value(&mut self, value: &mut Value, schema: &'s Value, within: &str) -> Result<(), String> {
        if value.is_null() {
            return Ok(());
        }
        if let Some((name, schema)) = self.referred(schema) {
            if !schema["properties"].is_object() {
                // Quantities, times and the like are read in more than one form.
                return Ok(());
            }
            let wanted = format!("v1.{}", last(name));
            self.expect(value.is_object(), value, within, &wanted)?;
            return self.fields(value, schema, last(name));
        }
        let wanted = match schema["type"].as_str().unwrap_or_default() {
            "string" => return self.expect(value.is_string(), value, within, "string"),
            "boolean" => return self.expect(value.is_boolean(), value, within, "bool"),
            "integer" => {
                let kind = schema["format"].as_str().unwrap_or("int64");
                let whole = value.as_f64().is_some_and(|number| number.fract() == 0.0);
                return self.expect(whole, value, within, kind);
            }
            wanted => wanted,
        };
        if wanted == "array" && schema["items"].is_object() {
            self.expect(
                value.is_array(),
                value,
                within,
                &format!("[]{}", self.go(&schema["items"])),
            )?;
            for (index, item) in value.as_array_mut().into_iter().flatten().enumerate() {
                let here = self.path.index(index);
                self.value(item, &schema["items"], within)?;
                self.path.leave(here);
            }
        } else if schema["properties"].is_object() {
            self.expect(value.is_object(), value, within, "object")?;
            self.fields(value, schema, within)?;
        } else if schema["additionalProperties"].is_object() {
            let below = &schema["additionalProperties"];
            self.expect(
                value.is_object(),
                value,
                within,
                &format!("map[string]{}", self.go(below)),
            )?;
            for (name, value) in value.as_object_mut().into_iter().flatten() {
                let here = self.path.field(name);
                self.value(value, below, within)?;
                self.path.leave(here);
            }
        }
        Ok(())
    }

    fn fields(&mut self, value: &mut Value, schema: &'s Value, within: &str) -> Result<(), String> {
        let Some(fields) = value.as_object_mut() else {
            return Ok(());
        };
        let mut unknown = Vec::new();
        for (name, value) in fields.iter_mut() {
            let Some(property) = schema["properties"].get(name) else {
                if !(self.path.text().is_empty() && matches!(name.as_str(), "apiVersion" | "kind"))
                {
                    unknown.push(name.clone());
                }
                continue;
            };
            let here = self.path.field(name);
            self.value(value, property, within)?;
            self.path.leave(here);
        }
        for name in unknown {
            fields.shift_remove(&name);
            self.unknown.push(self.path.with(&name));
        }
        Ok(())
    }

    fn expect(&self, fits: bool, value: &Value, within: &str, wanted: &str) -> Result<(), String> {
        if fits {
            return Ok(());
        }
        let found = match value {
            Value::Null => "null".to_owned(),
            Value::Bool(_) => "bool".to_owned(),
            Value::Number(number) if wanted.starts_with("int") => format!("number {number}"),
            Value::Number(_) => "number".to_owned(),
            Value::String(_) => "string".to_owned(),
            Value::Array(_) => "array".to_owned(),
            Value::Object(_) => "object".to_owned(),
        };
        Err(format!(
            "json: cannot unmarshal {found} into Go struct field {within}.{} of type {wanted}",
            self.path
        ))
    }

    /// What Go calls a schema's type.
    fn go(&self, schema: &'s Value) -> String {
        if let Some((name, _)) = self.referred(schema) {
            return format!("v1.{}", last(name));
        }
        match schema["type"].as_str().unwrap_or_default() {
            "boolean" => "bool",
            "integer" => schema["format"].as_str().unwrap_or("int64"),
            other => other,
        }
        .to_owned()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_kind_does_not_have_is_taken_out() {
        let mut object = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"}, "spec": {
            "replicaz": 1, "template": {"metadata": {"labels": {"a": "b"}, "nme": "x"}, "spec": {"containers": [
                {"name": "c", "imag": "x", "resources": {"limits": {"cpu": 1}}, "ports": [{"containerPort": 80}]}]}}}});
        let gone = prune("apps", "v1", "Deployment", &mut object).unwrap();
        assert_eq!(
            gone,
            [
                "spec.template.metadata.nme",
                "spec.template.spec.containers[0].imag",
                "spec.replicaz"
            ]
        );
        assert_eq!(
            object["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]["cpu"],
            1
        );
        assert!(object["spec"].get("replicaz").is_none());
    }

    #[test]
    fn another_type_is_told_as_go_tells_it() {
        let told = |spec: Value| {
            let mut object = json!({"apiVersion": "apps/v1", "kind": "Deployment", "spec": spec});
            prune("apps", "v1", "Deployment", &mut object).unwrap_err()
        };
        assert_eq!(
            told(json!({"replicas": "a"})),
            "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32"
        );
        assert_eq!(
            told(json!({"template": {"spec": {"containers": {}}}})),
            "json: cannot unmarshal object into Go struct field PodSpec.spec.template.spec.containers of type []v1.Container"
        );
    }
}
