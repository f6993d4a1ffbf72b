//! What a definition's schema has to be: structural, so that unknown fields can be told from known ones.

use regex::Regex;
use serde_json::{Value, json};

use super::rules::Rule;
use super::{Cause, Kind, Node, Path, cause, judge};
use crate::object::list;

/// Where in a schema a part of it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    Root,
    Field,
    Item,
}

/// What keeps a schema from being structural; `place` is where it stands.
pub(crate) fn check(schema: &Value, place: &str) -> Vec<Cause> {
    let mut causes = Vec::new();
    part(schema, place, Level::Root, &mut causes);
    causes
}

fn part(schema: &Value, place: &str, level: Level, causes: &mut Vec<Cause>) {
    let at = |name: &str| format!("{place}.{name}");
    let flag = |name: &str| schema[name] == true;
    let either = flag("x-kubernetes-int-or-string");
    of_type(schema, place, level, causes);
    if schema["type"] == "array" && !schema["items"].is_object() {
        causes.push(cause::required(&at("items"), "must be specified"));
    }
    if schema["items"].is_object() {
        part(&schema["items"], &at("items"), Level::Item, causes);
    }
    for (name, below) in schema["properties"].as_object().into_iter().flatten() {
        let is_own = level == Level::Root && name == "metadata";
        if !is_own {
            part(
                below,
                &format!("{place}.properties[{name}]"),
                Level::Field,
                causes,
            );
        }
    }
    let additional = &schema["additionalProperties"];
    if !additional.is_null() {
        let named = schema["properties"]
            .as_object()
            .is_some_and(|fields| !fields.is_empty());
        if level == Level::Root {
            causes.push(cause::forbidden(
                &at("additionalProperties"),
                "must not be used at the root",
            ));
        } else if named {
            let why = "additionalProperties and properties are mutual exclusive";
            causes.push(cause::forbidden(&at("additionalProperties"), why));
        }
        if additional.is_object() {
            part(
                additional,
                &at("additionalProperties"),
                Level::Field,
                causes,
            );
        }
    }
    if either && flag("x-kubernetes-preserve-unknown-fields") {
        let why = "must be false if x-kubernetes-int-or-string is true";
        causes.push(cause::invalid(
            &at("x-kubernetes-preserve-unknown-fields"),
            &json!(true),
            why,
        ));
    }
    if flag("uniqueItems") {
        let why =
            "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
        causes.push(cause::forbidden(&at("uniqueItems"), why));
    }
    for name in [
        "$ref",
        "patternProperties",
        "dependencies",
        "definitions",
        "id",
    ] {
        if schema.get(name).is_some() {
            causes.push(cause::forbidden(
                &at(name),
                &format!("{name} is not supported"),
            ));
        }
    }
    pattern(schema, place, causes);
    rules(schema, place, causes);
    default(schema, place, causes);
    joined(schema, place, either, causes);
}

fn of_type(schema: &Value, place: &str, level: Level, causes: &mut Vec<Cause>) {
    let at = format!("{place}.type");
    let open = [
        "x-kubernetes-int-or-string",
        "x-kubernetes-preserve-unknown-fields",
    ];
    match schema["type"].as_str().unwrap_or_default() {
        "" => {
            if open.iter().any(|flag| schema[*flag] == true) {
                return;
            }
            let why = match level {
                Level::Root => "must not be empty at the root",
                Level::Field => "must not be empty for specified object fields",
                Level::Item => "must not be empty for specified array items",
            };
            causes.push(cause::required(&at, why));
        }
        "object" => {}
        other if level == Level::Root => {
            causes.push(cause::invalid(
                &at,
                &json!(other),
                "must be object at the root",
            ));
        }
        other if Kind::named(other).is_none() => {
            let kinds = ["array", "boolean", "integer", "number", "object", "string"];
            causes.push(cause::unsupported(
                &at,
                &json!(other),
                &kinds.map(str::to_owned),
            ));
        }
        _ => {}
    }
}

fn pattern(schema: &Value, place: &str, causes: &mut Vec<Cause>) {
    let Some(pattern) = schema["pattern"].as_str() else {
        return;
    };
    if let Err(error) = Regex::new(pattern) {
        let why = format!("must be a valid regular expression, but isn't: {error}");
        causes.push(cause::invalid(
            &format!("{place}.pattern"),
            &json!(pattern),
            &why,
        ));
    }
}

fn rules(schema: &Value, place: &str, causes: &mut Vec<Cause>) {
    let rules = list(schema, "/x-kubernetes-validations");
    for (index, rule) in rules.iter().enumerate() {
        let place = format!("{place}.x-kubernetes-validations[{index}]");
        if rule["rule"]
            .as_str()
            .is_none_or(|rule| rule.trim().is_empty())
        {
            causes.push(cause::required(
                &format!("{place}.rule"),
                "rule is not specified",
            ));
        } else if let Err((part, why)) = Rule::compile(rule) {
            let why = format!("compilation failed: {why}");
            causes.push(cause::invalid(
                &format!("{place}.{part}"),
                &rule[part],
                &why,
            ));
        }
    }
}

fn default(schema: &Value, place: &str, causes: &mut Vec<Cause>) {
    let Some(value) = schema.get("default").filter(|value| !value.is_null()) else {
        return;
    };
    let mut path = Path::default();
    path.field("default");
    let node = Node::compile(schema);
    let wrong = judge::of_default(value, &node, &mut path);
    causes.extend(
        wrong
            .into_iter()
            .map(|(field, reason, why)| (format!("{place}.{field}"), reason, why)),
    );
}

/// Schemas that are joined say only what holds for values, not what there is.
fn joined(schema: &Value, place: &str, either: bool, causes: &mut Vec<Cause>) {
    let kinds = json!([{"type": "integer"}, {"type": "string"}]);
    for name in ["anyOf", "oneOf", "allOf"] {
        for (index, part) in list(schema, &format!("/{name}")).iter().enumerate() {
            // So ints or strings are written, too.
            let exempt = either
                && (name == "anyOf" && schema[name] == kinds
                    || name == "allOf" && index == 0 && part["anyOf"] == kinds);
            if !exempt {
                nested(part, &format!("{place}.{name}[{index}]"), causes);
            }
        }
    }
    if schema["not"].is_object() {
        nested(&schema["not"], &format!("{place}.not"), causes);
    }
}

fn nested(schema: &Value, place: &str, causes: &mut Vec<Cause>) {
    for (name, why) in [
        ("type", "must be empty to be structural"),
        ("default", "must be undefined to be structural"),
        ("nullable", "must be false to be structural"),
        ("additionalProperties", "must be undefined to be structural"),
        (
            "x-kubernetes-preserve-unknown-fields",
            "must be false to be structural",
        ),
    ] {
        let said = &schema[name];
        if !(said.is_null() || *said == false || *said == "") {
            causes.push(cause::forbidden(&format!("{place}.{name}"), why));
        }
    }
    pattern(schema, place, causes);
    rules(schema, place, causes);
    for (name, below) in schema["properties"].as_object().into_iter().flatten() {
        nested(below, &format!("{place}.properties[{name}]"), causes);
    }
    if schema["items"].is_object() {
        nested(&schema["items"], &format!("{place}.items"), causes);
    }
    joined(schema, place, false, causes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_structural_is_told() {
        let told = |schema: Value| -> Vec<String> {
            let causes = check(&schema, "s");
            causes
                .iter()
                .map(|(field, _, why)| format!("{field}: {why}"))
                .collect()
        };
        assert_eq!(
            told(json!({})),
            ["s.type: Required value: must not be empty at the root"]
        );
        assert_eq!(
            told(json!({"type": "object", "properties": {"a": {}, "b": {"type": "array"}, "c": {"type": "text"},
                "d": {"type": "string", "pattern": "("}, "metadata": {"type": "object"}}})).len(),
            4
        );
        assert_eq!(
            told(
                json!({"type": "object", "properties": {"a": {"type": "integer", "default": "x"}}})
            ),
            [
                "s.properties[a].default: Invalid value: \"string\": default in body must be of type integer: \"string\""
            ]
        );
        assert_eq!(
            told(json!({"type": "object", "anyOf": [{"type": "object"}]})),
            ["s.anyOf[0].type: Forbidden: must be empty to be structural"]
        );
        let either = json!({"type": "object", "properties": {"a": {"x-kubernetes-int-or-string": true,
            "anyOf": [{"type": "integer"}, {"type": "string"}]}}});
        assert_eq!(told(either), Vec::<String>::new());
        let rule =
            told(json!({"type": "object", "x-kubernetes-validations": [{"rule": "self.a =="}]}));
        assert!(rule[0].starts_with("s.x-kubernetes-validations[0].rule: Invalid value: \"self.a ==\": compilation failed: "), "{rule:?}");
    }
}
