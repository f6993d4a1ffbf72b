//! Judging values by a schema, in the words of a real API server. On an update what has not changed is
//! not judged again.

use serde_json::{Map, Value, json};

use super::{
    Additional, Bounds, Cause, Items, Kind, Node, Path, Schema, cause, formats, lists, numbers,
};

/// What is wrong with a value, and how much is right: of alternatives that all fail, the one that fits
/// best tells why.
#[derive(Debug, Default)]
struct Verdict {
    causes: Vec<Cause>,
    right: usize,
}

impl Schema {
    /// What is wrong with an object, rules included; `old` is the object before an update.
    pub fn judge(&self, object: &Value, old: Option<&Value>) -> Vec<Cause> {
        let mut causes = Vec::new();
        let root = &self.root;
        if root.duties.judges {
            causes = judge(object, root, old, &mut Path::default()).causes;
        }
        if root.duties.lists {
            let of = |value: &Value| {
                let mut found = Vec::new();
                lists::judge(value, root, &mut Path::default(), &mut found);
                found
            };
            // Who had duplicates already may keep them.
            if old.is_none_or(|old| of(old).is_empty()) {
                causes.extend(of(object));
            }
        }
        if root.duties.rules {
            if causes.iter().any(cause::blocks_rules) {
                let why = "some validation rules were not checked because the object was invalid; correct the existing errors to complete validation";
                causes.push(cause::invalid("<nil>", &Value::Null, why));
            } else {
                super::rules::judge(object, root, old, &mut Path::default(), &mut causes);
            }
        }
        let mut known = std::collections::BTreeSet::new();
        causes.retain(|(field, _, why)| known.insert((field.clone(), why.clone())));
        causes
    }

    /// What is wrong with the status alone, as a write of it is judged.
    pub fn judge_status(&self, object: &Value, old: Option<&Value>) -> Vec<Cause> {
        let whole = self.judge(object, old);
        whole
            .into_iter()
            .map(|(field, reason, message)| {
                // There the status is the body.
                let message = message.replace(": status.", ": ");
                (field, reason, message)
            })
            .collect()
    }
}

/// The name of a value's type.
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

fn is_of(value: &Value, kind: Kind) -> bool {
    match kind {
        Kind::Boolean => value.is_boolean(),
        Kind::Integer => match value.as_f64() {
            Some(number) => number.fract() == 0.0,
            None => false,
        },
        Kind::Number => value.is_number(),
        Kind::Text => value.is_string(),
        Kind::Array => value.is_array(),
        Kind::Object => value.is_object(),
    }
}

/// What is wrong with a default.
pub(super) fn of_default(value: &Value, node: &Node, path: &mut Path) -> Vec<Cause> {
    judge(value, node, None, path).causes
}

fn judge(value: &Value, node: &Node, old: Option<&Value>, path: &mut Path) -> Verdict {
    let mut verdict = Verdict::default();
    if !node.duties.judges || old == Some(value) {
        return verdict;
    }
    if let Some(cause) = of_type(value, node, path) {
        verdict.causes.push(cause);
    } else {
        verdict.right += 1;
    }
    if value.is_null() {
        return verdict;
    }
    joined(value, node, path, &mut verdict);
    let known = verdict.causes.len();
    let bounds = &node.bounds;
    match value {
        Value::String(text) => {
            of_text(text, value, bounds, path, &mut verdict.causes);
            if !formats::fits(&bounds.format, text) {
                let why = format!("{path} in body must be of type {}: {value}", bounds.format);
                verdict
                    .causes
                    .push(cause::mistyped(path.text(), value, &why));
            }
        }
        Value::Number(number) => {
            if let Some(why) = numbers::beyond(number, &node.kinds, &bounds.format, path) {
                verdict.causes.push(unplaced(&why));
            }
            numbers::judge(number, bounds, path, &mut verdict.causes);
        }
        Value::Array(items) => of_items(items, node, old, path, &mut verdict),
        _ => {}
    }
    if let Some(allowed) = &bounds.allowed
        && !allowed.contains(value)
    {
        let shown = allowed.iter().map(|one| match one {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        });
        let shown: Vec<String> = shown.collect();
        verdict
            .causes
            .push(cause::unsupported(path.text(), value, &shown));
    }
    if let Value::Object(fields) = value {
        of_fields(fields, node, old, path, &mut verdict);
    }
    if verdict.causes.len() == known {
        verdict.right += 1;
    }
    verdict
}

/// A cause that a real server tells of no field.
fn unplaced(why: &str) -> Cause {
    cause::invalid("<nil>", &json!(""), why)
}

fn of_type(value: &Value, node: &Node, path: &Path) -> Option<Cause> {
    let fits = node.kinds.is_empty()
        || value.is_null() && node.nullable
        || node.kinds.iter().any(|kind| is_of(value, *kind));
    if fits {
        return None;
    }
    let wanted = if node.kinds.len() > 1 {
        "integer,string"
    } else {
        node.type_name.as_str()
    };
    let found = type_of(value);
    let why = format!("{path} in body must be of type {wanted}: \"{found}\"");
    Some(cause::mistyped(path.text(), &json!(found), &why))
}

fn of_text(text: &str, value: &Value, bounds: &Bounds, path: &Path, causes: &mut Vec<Cause>) {
    let length = text.chars().count() as u64;
    let (least, most) = bounds.length;
    if let Some(most) = most.filter(|most| length > *most) {
        causes.push(cause::too_long(path.text(), most));
    } else if let Some(least) = least.filter(|least| length < *least) {
        let why = format!("{path} in body should be at least {least} chars long");
        causes.push(cause::invalid(path.text(), value, &why));
    } else if let Some((pattern, compiled)) = &bounds.pattern
        && compiled
            .as_ref()
            .is_some_and(|compiled| !compiled.is_match(text))
    {
        let why = format!("{path} in body should match '{pattern}'");
        causes.push(cause::invalid(path.text(), value, &why));
    }
}

fn of_items(
    items: &[Value],
    node: &Node,
    old: Option<&Value>,
    path: &mut Path,
    verdict: &mut Verdict,
) {
    if let Some(below) = &node.items {
        for (index, item) in items.iter().enumerate() {
            let before = counterpart(item, node, old);
            let here = path.index(index);
            let judged = judge(item, below, before, path);
            path.leave(here);
            verdict.causes.extend(judged.causes);
            verdict.right += judged.right;
        }
    }
    let bounds = &node.bounds;
    let (least, most) = bounds.items;
    if let Some(least) = least.filter(|least| (items.len() as u64) < *least) {
        let why = format!("{path} in body should have at least {least} items");
        verdict
            .causes
            .push(cause::invalid(path.text(), &json!(items.len()), &why));
    }
    if let Some(most) = most.filter(|most| items.len() as u64 > *most) {
        verdict
            .causes
            .push(cause::too_many(path.text(), items.len(), most));
    }
    let twice = |(index, item)| items[..index].contains(item);
    if bounds.unique && items.iter().enumerate().any(twice) {
        let why = format!("{path} in body shouldn't contain duplicates");
        verdict
            .causes
            .push(cause::invalid(path.text(), &json!(""), &why));
    }
}

/// The item that was there before, where items have keys.
pub(super) fn counterpart<'o>(
    item: &Value,
    node: &Node,
    old: Option<&'o Value>,
) -> Option<&'o Value> {
    let Items::Map(keys) = &node.list else {
        return None;
    };
    let wanted = lists::key(item, keys);
    let mut before = old?.as_array()?.iter();
    before.find(|item| lists::key(item, keys) == wanted)
}

fn of_fields(
    fields: &Map<String, Value>,
    node: &Node,
    old: Option<&Value>,
    path: &mut Path,
    verdict: &mut Verdict,
) {
    let bounds = &node.bounds;
    let (least, most) = bounds.properties;
    if let Some(least) = least.filter(|least| (fields.len() as u64) < *least) {
        let why = format!("{path} in body should have at least {least} properties");
        verdict
            .causes
            .push(cause::invalid(path.text(), &json!(fields.len()), &why));
    }
    if let Some(most) = most.filter(|most| fields.len() as u64 > *most) {
        verdict
            .causes
            .push(cause::too_many(path.text(), fields.len(), most));
    }
    for (name, value) in fields {
        let below = match (node.properties.get(name), &node.additional) {
            (Some(node), _) => node,
            (None, Additional::Schema(node)) => node,
            _ => continue,
        };
        let before = old.and_then(|old| old.get(name));
        let here = path.field(name);
        let judged = judge(value, below, before, path);
        path.leave(here);
        verdict.causes.extend(judged.causes);
        verdict.right += judged.right;
    }
    if node.embedded && !path.text().is_empty() {
        for name in ["apiVersion", "kind"] {
            if fields
                .get(name)
                .is_none_or(|value| value == "" || value.is_null())
            {
                verdict
                    .causes
                    .push(cause::required(&path.with(name), "must not be empty"));
            }
        }
    }
    for name in &bounds.required {
        if fields.contains_key(name) {
            verdict.right += 1;
        } else {
            verdict.causes.push(cause::required(&path.with(name), ""));
        }
    }
}

/// Judges by schemas that are joined: any, one, all, none of them. Here it does not count what was
/// there before: a part that is excused would count as one that fits.
fn joined(value: &Value, node: &Node, path: &mut Path, verdict: &mut Verdict) {
    let place = path.text().to_owned();
    let mut alternatives = |nodes: &[Node]| -> (usize, Option<Verdict>) {
        let mut fitting = 0;
        let mut best: Option<Verdict> = None;
        for node in nodes {
            let judged = judge(value, node, None, path);
            if judged.causes.is_empty() {
                fitting += 1;
            } else if best.as_ref().is_none_or(|best| judged.right > best.right) {
                best = Some(judged);
            }
        }
        (fitting, best)
    };
    if !node.any_of.is_empty() {
        let (fitting, best) = alternatives(&node.any_of);
        if fitting == 0 {
            let why = format!("{place:?} must validate at least one schema (anyOf)");
            verdict.causes.push(unplaced(&why));
            verdict.causes.extend(best.unwrap_or_default().causes);
        }
    }
    if !node.one_of.is_empty() {
        let (fitting, best) = alternatives(&node.one_of);
        if fitting != 1 {
            let more = match fitting {
                0 => "Found none valid".to_owned(),
                many => format!("Found {many} valid alternatives"),
            };
            let why = format!("{place:?} must validate one and only one schema (oneOf). {more}");
            verdict.causes.push(unplaced(&why));
            if fitting == 0 {
                verdict.causes.extend(best.unwrap_or_default().causes);
            }
        }
    }
    if !node.all_of.is_empty() {
        let mut fitting = 0;
        for node in &node.all_of {
            let judged = judge(value, node, None, path);
            fitting += usize::from(judged.causes.is_empty());
            verdict.causes.extend(judged.causes);
            verdict.right += judged.right;
        }
        if fitting != node.all_of.len() {
            let more = if fitting == 0 { ". None validated" } else { "" };
            let why = format!("{place:?} must validate all the schemas (allOf){more}");
            verdict.causes.push(unplaced(&why));
        }
    }
    if let Some(not) = &node.not
        && judge(value, not, None, path).causes.is_empty()
    {
        let why = format!("{place:?} must not validate the schema (not)");
        verdict.causes.push(unplaced(&why));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(schema: &Value, spec: &Value) -> Vec<String> {
        let schema = json!({"type": "object", "properties": {"spec": schema}});
        let causes = Schema::compile(&schema).judge(&json!({"spec": spec}), None);
        causes
            .iter()
            .map(|(field, _, why)| format!("{field}: {why}"))
            .collect()
    }

    #[test]
    fn each_bound_is_told_in_a_real_server_s_words() {
        let field = |schema: Value, value: Value| {
            let schema = json!({"type": "object", "properties": {"x": schema}});
            told(&schema, &json!({"x": value})).join("; ")
        };
        for (schema, value, expected) in [
            (
                json!({"type": "integer"}),
                json!("a"),
                "spec.x: Invalid value: \"string\": spec.x in body must be of type integer: \"string\"",
            ),
            (
                json!({"type": "string", "enum": ["blue", "green"]}),
                json!("red"),
                "spec.x: Unsupported value: \"red\": supported values: \"blue\", \"green\"",
            ),
            (
                json!({"type": "integer", "enum": [1, 2]}),
                json!(3),
                "spec.x: Unsupported value: 3: supported values: \"1\", \"2\"",
            ),
            (
                json!({"type": "string", "pattern": "^[a-z]+$"}),
                json!("A"),
                "spec.x: Invalid value: \"A\": spec.x in body should match '^[a-z]+$'",
            ),
            (
                json!({"type": "string", "minLength": 2}),
                json!("a"),
                "spec.x: Invalid value: \"a\": spec.x in body should be at least 2 chars long",
            ),
            (
                json!({"type": "string", "maxLength": 2}),
                json!("abc"),
                "spec.x: Too long: may not be more than 2 bytes",
            ),
            (
                json!({"type": "integer", "minimum": 1}),
                json!(0),
                "spec.x: Invalid value: 0: spec.x in body should be greater than or equal to 1",
            ),
            (
                json!({"type": "integer", "maximum": 3, "exclusiveMaximum": true}),
                json!(3),
                "spec.x: Invalid value: 3: spec.x in body should be less than 3",
            ),
            (
                json!({"type": "number", "minimum": 0.5}),
                json!(0.25),
                "spec.x: Invalid value: 0.25: spec.x in body should be greater than or equal to 0.5",
            ),
            (
                json!({"type": "integer", "multipleOf": 5}),
                json!(7),
                "spec.x: Invalid value: 7: spec.x in body should be a multiple of 5",
            ),
            (
                json!({"type": "array", "items": {"type": "string"}, "maxItems": 1}),
                json!(["a", "b"]),
                "spec.x: Too many: 2: must have at most 1 item",
            ),
            (
                json!({"type": "array", "items": {"type": "string"}, "minItems": 1}),
                json!([]),
                "spec.x: Invalid value: 0: spec.x in body should have at least 1 items",
            ),
            (
                json!({"type": "array", "items": {"type": "string"}}),
                json!([1]),
                "spec.x[0]: Invalid value: \"integer\": spec.x[0] in body must be of type string: \"integer\"",
            ),
            (
                json!({"type": "object", "additionalProperties": {"type": "string"}}),
                json!({"k": 1}),
                "spec.x.k: Invalid value: \"integer\": spec.x.k in body must be of type string: \"integer\"",
            ),
            (
                json!({"type": "object", "required": ["y"], "properties": {"y": {"type": "string"}}}),
                json!({}),
                "spec.x.y: Required value",
            ),
            (
                json!({"type": "string"}),
                Value::Null,
                "spec.x: Invalid value: \"null\": spec.x in body must be of type string: \"null\"",
            ),
            (json!({"type": "string", "nullable": true}), Value::Null, ""),
            (
                json!({"x-kubernetes-int-or-string": true}),
                json!(true),
                "spec.x: Invalid value: \"boolean\": spec.x in body must be of type integer,string: \"boolean\"",
            ),
            (
                json!({"x-kubernetes-int-or-string": true}),
                json!("50%"),
                "",
            ),
            (json!({"type": "number"}), json!(1), ""),
            (
                json!({"type": "string", "format": "date-time"}),
                json!("now"),
                "spec.x: Invalid value: \"now\": spec.x in body must be of type date-time: \"now\"",
            ),
        ] {
            assert_eq!(field(schema.clone(), value), expected, "{schema}");
        }
    }

    #[test]
    fn joined_schemas_tell_the_alternative_that_fits_best() {
        let one = json!({"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
            "oneOf": [{"required": ["a"]}, {"required": ["b"]}]});
        assert_eq!(told(&one, &json!({"a": ""})), Vec::<String>::new());
        assert_eq!(
            told(&one, &json!({"a": "", "b": ""})),
            [
                "<nil>: Invalid value: \"\": \"spec\" must validate one and only one schema (oneOf). Found 2 valid alternatives"
            ]
        );
        assert_eq!(
            told(&one, &json!({})),
            [
                "<nil>: Invalid value: \"\": \"spec\" must validate one and only one schema (oneOf). Found none valid",
                "spec.a: Required value"
            ]
        );
        let not = json!({"type": "object", "not": {"required": ["a"]}, "properties": {"a": {"type": "string"}}});
        assert_eq!(
            told(&not, &json!({"a": ""})),
            ["<nil>: Invalid value: \"\": \"spec\" must not validate the schema (not)"]
        );
    }

    #[test]
    fn an_embedded_object_says_what_it_is() {
        let schema = json!({"type": "object", "x-kubernetes-embedded-resource": true,
            "x-kubernetes-preserve-unknown-fields": true});
        assert_eq!(
            told(&schema, &json!({"kind": "Pod"})),
            ["spec.apiVersion: Required value: must not be empty"]
        );
    }

    #[test]
    fn what_has_not_changed_is_not_judged_again() {
        let schema = Schema::compile(
            &json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {
            "a": {"type": "string", "maxLength": 1}, "b": {"type": "string", "maxLength": 1}}}}}),
        );
        let old = json!({"spec": {"a": "long", "b": "x"}});
        let new = json!({"spec": {"a": "long", "b": "long"}});
        let causes = schema.judge(&new, Some(&old));
        let fields: Vec<&str> = causes.iter().map(|cause| cause.0.as_str()).collect();
        assert_eq!(fields, ["spec.b"]);
    }
}
