//! Variables of a ClusterClass: a Cluster's values get the defaults of their schemas, and are judged by
//! them.

use regex::Regex;
use serde_json::{Map, Value, json};

use crate::object::{list, text};

/// What is wrong with a field: where, the API's reason, the words.
pub type Cause = (String, &'static str, String);

/// A field that must be there.
#[must_use]
pub fn required(path: &str, why: &str) -> Cause {
    let message = match why {
        "" => "Required value".to_owned(),
        why => format!("Required value: {why}"),
    };
    (path.to_owned(), "FieldValueRequired", message)
}

/// A field whose value is no good.
#[must_use]
pub fn invalid(path: &str, value: &Value, why: &str) -> Cause {
    let message = format!("Invalid value: {value}: {why}");
    (path.to_owned(), "FieldValueInvalid", message)
}

/// A field that must not be changed, or not be there.
#[must_use]
pub fn forbidden(path: &str, why: &str) -> Cause {
    (
        path.to_owned(),
        "FieldValueForbidden",
        format!("Forbidden: {why}"),
    )
}

/// A value as the text in which webhooks quote it: its JSON, once more as a string.
fn quoted(value: &Value) -> Value {
    Value::String(value.to_string())
}

fn schema_of<'c>(class: &'c Value, name: &str) -> Option<&'c Value> {
    let declared = list(class, "/spec/variables");
    declared
        .iter()
        .find(|variable| variable["name"] == name)
        .map(|variable| &variable["schema"]["openAPIV3Schema"])
}

/// The values of a Cluster with the defaults of their schemas; what has a default and no value gets one
/// where `create` says so (a topology's own variables; overrides only complete what is overridden).
#[must_use]
pub fn defaulted(class: &Value, values: &[Value], create: bool) -> Vec<Value> {
    let mut defaulted: Vec<Value> = values.to_vec();
    for given in &mut defaulted {
        if let Some(schema) = schema_of(class, text(given, "/name")) {
            fill(&mut given["value"], schema);
        }
    }
    for variable in list(class, "/spec/variables") {
        let name = &variable["name"];
        let is_given = values.iter().any(|given| given["name"] == *name);
        if create
            && !is_given
            && let Some(value) = default(&variable["schema"]["openAPIV3Schema"])
        {
            defaulted.push(json!({"name": name, "value": value}));
        }
    }
    defaulted
}

/// A schema's default, with the defaults of its properties.
fn default(schema: &Value) -> Option<Value> {
    let mut value = schema.get("default")?.clone();
    fill(&mut value, schema);
    Some(value)
}

/// Fills in the defaults of properties that are missing.
fn fill(value: &mut Value, schema: &Value) {
    match value {
        Value::Object(fields) => {
            for (name, property) in schema["properties"].as_object().into_iter().flatten() {
                if !fields.contains_key(name)
                    && let Some(default) = default(property)
                {
                    fields.insert(name.clone(), default);
                }
            }
            for (name, field) in fields.iter_mut() {
                let property = schema["properties"].get(name);
                if let Some(schema) = property.or_else(|| schema.get("additionalProperties")) {
                    fill(field, schema);
                }
            }
        }
        Value::Array(items) => {
            for item in items {
                fill(item, &schema["items"]);
            }
        }
        _ => {}
    }
}

/// What is wrong with the values of a Cluster; of overrides, required ones may be missing.
#[must_use]
pub fn judged(class: &Value, values: &[Value], path: &str, whole: bool) -> Vec<Cause> {
    let mut causes = Vec::new();
    for variable in list(class, "/spec/variables") {
        let name = text(variable, "/name");
        let missing = !values.iter().any(|given| given["name"] == name);
        if whole && variable["required"] == true && missing {
            let why = format!("required variable \"{name}\" must be set");
            causes.push(required(path, &why));
        }
    }
    for given in values {
        let path = format!("{path}[{}]", text(given, "/name"));
        let value = &given["value"];
        let Some(schema) = schema_of(class, text(given, "/name")) else {
            causes.push(invalid(&path, &quoted(value), "variable is not defined"));
            continue;
        };
        judge(value, schema, &format!("{path}.value"), value, &mut causes);
        let mut unknown = Vec::new();
        undeclared(value, schema, "", &mut unknown);
        if !unknown.is_empty() {
            let why = format!(
                "failed validation: \"{}\" field(s) are not specified in the variable schema of variable \"{}\"",
                unknown.join(","),
                text(given, "/name")
            );
            causes.push(invalid(&path, &quoted(value), &why));
        }
    }
    causes
}

/// The name of a value's type in a schema.
fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Judges a value by a schema; `whole` is what messages quote.
fn judge(value: &Value, schema: &Value, path: &str, whole: &Value, causes: &mut Vec<Cause>) {
    let mut wrong = |why: &str| causes.push(invalid(path, &quoted(whole), why));
    if value.is_null() && schema["nullable"] == true {
        return;
    }
    let (wanted, found) = (text(schema, "/type"), type_of(value));
    let fits = wanted.is_empty() || wanted == found || wanted == "number" && found == "integer";
    if !fits && schema["x-kubernetes-int-or-string"] != true {
        wrong(&format!("must be of type {wanted}: \"{found}\""));
        return;
    }
    if let Some(allowed) = schema["enum"].as_array()
        && !allowed.contains(value)
    {
        let allowed: Vec<String> = allowed.iter().map(Value::to_string).collect();
        let message = format!(
            "Unsupported value: {}: supported values: {}",
            quoted(whole),
            allowed.join(", ")
        );
        causes.push((path.to_owned(), "FieldValueNotSupported", message));
        return;
    }
    match value {
        Value::String(string) => of_text(string, schema, &mut wrong),
        Value::Number(number) => of_number(number.as_f64().unwrap_or(0.0), schema, &mut wrong),
        Value::Array(items) => {
            of_size(
                items.len(),
                schema,
                ["minItems", "maxItems"],
                "items",
                &mut wrong,
            );
            for (index, item) in items.iter().enumerate() {
                let path = format!("{path}[{index}]");
                judge(item, &schema["items"], &path, whole, causes);
            }
        }
        Value::Object(fields) => {
            let names = ["minProperties", "maxProperties"];
            of_size(fields.len(), schema, names, "properties", &mut wrong);
            of_fields(fields, schema, path, whole, causes);
        }
        _ => {}
    }
}

fn of_fields(
    fields: &Map<String, Value>,
    schema: &Value,
    path: &str,
    whole: &Value,
    causes: &mut Vec<Cause>,
) {
    for name in list(schema, "/required").iter().filter_map(Value::as_str) {
        if !fields.contains_key(name) {
            causes.push(required(&format!("{path}.{name}"), ""));
        }
    }
    for (name, field) in fields {
        let property = schema["properties"].get(name);
        if let Some(schema) = property.or_else(|| schema.get("additionalProperties")) {
            judge(field, schema, &format!("{path}.{name}"), whole, causes);
        }
    }
}

fn of_text(string: &str, schema: &Value, wrong: &mut impl FnMut(&str)) {
    let length = string.chars().count();
    if let Some(least) = schema["minLength"].as_u64()
        && (length as u64) < least
    {
        wrong(&format!("should be at least {least} chars long"));
    }
    if let Some(most) = schema["maxLength"].as_u64()
        && length as u64 > most
    {
        wrong(&format!("may not be more than {most} chars long"));
    }
    if let Some(pattern) = schema["pattern"].as_str()
        && Regex::new(pattern).is_ok_and(|pattern| !pattern.is_match(string))
    {
        wrong(&format!("should match '{pattern}'"));
    }
}

fn of_number(number: f64, schema: &Value, wrong: &mut impl FnMut(&str)) {
    if let Some(least) = schema["minimum"].as_f64() {
        let exclusive = schema["exclusiveMinimum"] == true;
        if exclusive && number <= least {
            wrong(&format!("should be greater than {least}"));
        } else if number < least {
            wrong(&format!("should be greater than or equal to {least}"));
        }
    }
    if let Some(most) = schema["maximum"].as_f64() {
        let exclusive = schema["exclusiveMaximum"] == true;
        if exclusive && number >= most {
            wrong(&format!("should be less than {most}"));
        } else if number > most {
            wrong(&format!("should be less than or equal to {most}"));
        }
    }
}

fn of_size(
    size: usize,
    schema: &Value,
    [least, most]: [&str; 2],
    what: &str,
    wrong: &mut impl FnMut(&str),
) {
    if let Some(least) = schema[least].as_u64()
        && (size as u64) < least
    {
        wrong(&format!("should have at least {least} {what}"));
    }
    if let Some(most) = schema[most].as_u64()
        && size as u64 > most
    {
        wrong(&format!("must have at most {most} {what}"));
    }
}

/// Fields that a schema does not know.
fn undeclared(value: &Value, schema: &Value, path: &str, found: &mut Vec<String>) {
    if schema["x-kubernetes-preserve-unknown-fields"] == true {
        return;
    }
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                let inner = match path {
                    "" => name.clone(),
                    path => format!("{path}.{name}"),
                };
                let property = schema["properties"].get(name);
                match property.or_else(|| schema.get("additionalProperties")) {
                    Some(Value::Bool(true)) => {}
                    Some(schema) => undeclared(field, schema, &inner, found),
                    None => found.push(inner),
                }
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                let inner = format!("{path}[{index}]");
                undeclared(item, &schema["items"], &inner, found);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class() -> Value {
        json!({"spec": {"variables": [
            {"name": "sans", "schema": {"openAPIV3Schema":
                {"type": "array", "items": {"type": "string"}, "default": ["localhost"]}}},
            {"name": "mirror", "required": true, "schema": {"openAPIV3Schema":
                {"type": "object", "required": ["host"], "properties": {
                    "host": {"type": "string", "pattern": "^[a-z.]+$"},
                    "port": {"type": "integer", "default": 443, "maximum": 65535}}}}},
            {"name": "mode", "schema": {"openAPIV3Schema": {"type": "string", "enum": ["a", "b"]}}}]}})
    }

    fn told(values: &Value, whole: bool) -> Vec<String> {
        let values = list(values, "");
        let causes = judged(&class(), values, "spec.topology.variables", whole);
        causes
            .into_iter()
            .map(|(field, _, message)| format!("{field}: {message}"))
            .collect()
    }

    #[test]
    fn defaults_fill_what_a_cluster_leaves_out() {
        let given = json!([{"name": "mirror", "value": {"host": "m"}}]);
        let values = defaulted(&class(), list(&given, ""), true);
        assert_eq!(
            json!(values),
            json!([{"name": "mirror", "value": {"host": "m", "port": 443}},
                {"name": "sans", "value": ["localhost"]}])
        );
        // Overrides only complete what is overridden.
        assert_eq!(defaulted(&class(), list(&given, ""), false).len(), 1);
    }

    #[test]
    fn a_required_variable_must_be_set_in_the_topology_but_not_in_overrides() {
        let expected =
            "spec.topology.variables: Required value: required variable \"mirror\" must be set";
        assert_eq!(told(&json!([]), true), [expected]);
        assert!(told(&json!([]), false).is_empty());
    }

    #[test]
    fn values_are_judged_by_their_schemas() {
        for (value, expected) in [
            (
                json!("m"),
                "value: Invalid value: \"\\\"m\\\"\": must be of type object: \"string\"",
            ),
            (json!({}), "value.host: Required value"),
            (
                json!({"host": "M"}),
                "value.host: Invalid value: \"{\\\"host\\\":\\\"M\\\"}\": should match '^[a-z.]+$'",
            ),
            (
                json!({"host": "m", "port": 65536}),
                "value.port: Invalid value: \"{\\\"host\\\":\\\"m\\\",\\\"port\\\":65536}\": should be less than or equal to 65535",
            ),
        ] {
            let found = told(&json!([{"name": "mirror", "value": value}]), true);
            assert_eq!(
                found,
                [format!("spec.topology.variables[mirror].{expected}")]
            );
        }
        let mode = told(&json!([{"name": "mode", "value": "c"}]), false);
        assert!(
            mode[0].contains("supported values: \"a\", \"b\""),
            "{mode:?}"
        );
    }

    #[test]
    fn what_the_class_does_not_know_is_refused() {
        let found = told(&json!([{"name": "nobody", "value": 1}]), false);
        assert!(found[0].ends_with("variable is not defined"), "{found:?}");
        let found = told(
            &json!([{"name": "mirror", "value": {"host": "m", "x": 1}}]),
            false,
        );
        assert!(
            found[0].contains("\"x\" field(s) are not specified"),
            "{found:?}"
        );
    }
}
