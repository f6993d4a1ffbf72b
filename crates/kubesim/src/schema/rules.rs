//! Rules in CEL (`x-kubernetes-validations`): compiled with the schema, evaluated with the value that
//! they stand at.
//!
//! What a real server does beyond: it checks the types of a rule when the definition is written, and
//! bounds what rules may cost.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use cel::objects::OptionalValue;
use cel::{Context, Program, Value as Cel};
use serde_json::{Map, Value, json};

use super::judge::counterpart;
use super::{Additional, Cause, Kind, Node, Path, cause, library};

/// A rule, compiled.
pub(super) struct Rule {
    source: String,
    program: Program,
    message: String,
    told: Option<Program>,
    reason: String,
    /// Which field below the rule's own place is to blame.
    field: String,
    compares: bool,
    optional: bool,
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Rule").field(&self.source).finish()
    }
}

impl Rule {
    /// Compiles a rule.
    ///
    /// # Errors
    /// Which part of it is no CEL (`rule`, `messageExpression`), and why.
    pub fn compile(rule: &Value) -> Result<Self, (&'static str, String)> {
        let word = |name: &str| rule[name].as_str().unwrap_or_default().trim().to_owned();
        let env = library::environment();
        let parse = |name: &'static str| {
            let parsed = env.compile(&word(name));
            parsed.map_err(|error| (name, error.to_string()))
        };
        let program = parse("rule")?;
        let told = match word("messageExpression").is_empty() {
            true => None,
            false => Some(parse("messageExpression")?),
        };
        let field = word("fieldPath");
        Ok(Self {
            compares: program.references().has_variable("oldSelf"),
            source: word("rule"),
            program,
            message: word("message"),
            told,
            reason: word("reason"),
            field: field.trim_start_matches('.').to_owned(),
            optional: rule["optionalOldSelf"] == true,
        })
    }

    /// What messages call the rule.
    fn name(&self) -> &str {
        if self.message.is_empty() {
            &self.source
        } else {
            &self.message
        }
    }

    fn judge(&self, value: &Cel, old: Option<&Cel>, place: &str, kind: &str) -> Option<Cause> {
        if self.compares && old.is_none() && !self.optional {
            return None;
        }
        let mut context = Context::with_env(library::environment());
        context.add_variable_from_value("self", value.clone());
        if self.optional {
            let old = old
                .cloned()
                .map_or_else(OptionalValue::none, OptionalValue::of);
            context.add_variable_from_value("oldSelf", Cel::Opaque(Arc::new(old)));
        } else if let Some(old) = old {
            context.add_variable_from_value("oldSelf", old.clone());
        }
        let kind = json!(kind);
        let why = match self.program.execute(&context) {
            Ok(Cel::Bool(true)) => return None,
            Ok(_) => None,
            Err(error) => Some(lowered(&error.to_string())),
        };
        if let Some(why) = why {
            let why = format!("{why} evaluating rule: {}", self.name());
            return Some(cause::invalid(place, &kind, &why));
        }
        let place = match (place, self.field.as_str()) {
            (place, "") => place.to_owned(),
            ("<nil>", field) => field.to_owned(),
            (place, field) => format!("{place}.{field}"),
        };
        let message = self.message(&context);
        Some(match self.reason.as_str() {
            "FieldValueForbidden" => cause::forbidden(&place, &message),
            "FieldValueRequired" => cause::required(&place, &message),
            "FieldValueDuplicate" => cause::duplicate(&place, &kind),
            _ => cause::invalid(&place, &kind, &message),
        })
    }

    fn message(&self, context: &Context<'_, '_>) -> String {
        let made = self.told.as_ref().map(|told| told.execute(context));
        if let Some(Ok(Cel::String(text))) = made
            && !text.trim().is_empty()
            && !text.trim().contains('\n')
        {
            return text.trim().to_owned();
        }
        if self.message.is_empty() {
            format!("failed rule: {}", self.source)
        } else {
            self.message.clone()
        }
    }
}

fn lowered(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|letter| letter.to_ascii_lowercase());
    first.into_iter().chain(letters).collect()
}

/// Evaluates the rules of a value and of everything below.
pub(super) fn judge(
    value: &Value,
    node: &Node,
    old: Option<&Value>,
    path: &mut Path,
    causes: &mut Vec<Cause>,
) {
    if !node.duties.rules || value.is_null() {
        return;
    }
    let old = old.filter(|old| !old.is_null());
    own(value, node, node, old, path, causes);
    for part in &node.all_of {
        own(value, node, part, old, path, causes);
    }
    match value {
        Value::Array(items) => {
            let Some(below) = &node.items else {
                return;
            };
            for (index, item) in items.iter().enumerate() {
                let here = path.index(index);
                judge(item, below, counterpart(item, node, old), path, causes);
                path.leave(here);
            }
        }
        Value::Object(fields) => {
            for (name, value) in fields {
                let (below, here) = match (node.properties.get(name), &node.additional) {
                    (Some(node), _) => (node, path.field(name)),
                    (None, Additional::Schema(node)) => (&**node, path.key(name)),
                    _ => continue,
                };
                let before = old.and_then(|old| old.get(name));
                judge(value, below, before, path, causes);
                path.leave(here);
            }
        }
        _ => {}
    }
}

/// The rules of one schema about one value, which `shape` tells the types of.
fn own(
    value: &Value,
    shape: &Node,
    node: &Node,
    old: Option<&Value>,
    path: &Path,
    causes: &mut Vec<Cause>,
) {
    if node.rules.is_empty() {
        return;
    }
    let place = match path.text() {
        "" => "<nil>",
        place => place,
    };
    let (new, before) = (typed(value, shape), old.map(|old| typed(old, shape)));
    for rule in &node.rules {
        // What has not changed is judged only by what compares.
        if !rule.compares && old == Some(value) {
            continue;
        }
        causes.extend(rule.judge(&new, before.as_ref(), place, &shape.type_name));
    }
}

/// A value as rules see it: by its schema's types, with the fields that the schema names.
fn typed(value: &Value, node: &Node) -> Cel {
    match value {
        Value::Null => Cel::Null,
        Value::Bool(truth) => Cel::Bool(*truth),
        Value::Number(number) => match number.as_i64() {
            Some(int) if !node.kinds.contains(&Kind::Number) => Cel::Int(int),
            _ => Cel::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(text) => {
            let number = match node.bounds.format.as_str() {
                "date-time" => library::moment(text),
                "duration" => library::nanoseconds(text),
                _ => None,
            };
            number.map_or_else(|| Cel::from(text.as_str()), Cel::Int)
        }
        Value::Array(items) => {
            let open = Node::default();
            let below = node.items.as_deref().unwrap_or(&open);
            Cel::from(
                items
                    .iter()
                    .map(|item| typed(item, below))
                    .collect::<Vec<_>>(),
            )
        }
        Value::Object(fields) => Cel::from(typed_fields(fields, node)),
    }
}

fn typed_fields(fields: &Map<String, Value>, node: &Node) -> HashMap<String, Cel> {
    let open = Node::default();
    let is_open = node.properties.is_empty() && node.kinds.is_empty();
    let mut seen = HashMap::new();
    for (name, value) in fields {
        if node.embedded
            && let Some(value) = meta(name, value)
        {
            seen.insert(name.clone(), value);
            continue;
        }
        match (node.properties.get(name), &node.additional) {
            (Some(below), _) => drop(seen.insert(escaped(name), typed(value, below))),
            (None, Additional::Schema(below)) => {
                drop(seen.insert(name.clone(), typed(value, below)))
            }
            (None, Additional::Any) => drop(seen.insert(name.clone(), typed(value, &open))),
            (None, Additional::None) if is_open => {
                drop(seen.insert(name.clone(), typed(value, &open)))
            }
            (None, Additional::None) => {}
        }
    }
    seen
}

/// What rules see of every object.
fn meta(name: &str, value: &Value) -> Option<Cel> {
    match name {
        "apiVersion" | "kind" => Some(Cel::from(value.as_str()?)),
        "metadata" => {
            let fields = ["name", "generateName"].into_iter();
            let fields = fields.filter_map(|field| {
                Some((field.to_owned(), Cel::from(value.get(field)?.as_str()?)))
            });
            Some(Cel::from(fields.collect::<HashMap<String, Cel>>()))
        }
        _ => None,
    }
}

/// A field's name as rules write it.
fn escaped(name: &str) -> String {
    const RESERVED: [&str; 21] = [
        "true",
        "false",
        "null",
        "in",
        "as",
        "break",
        "const",
        "continue",
        "else",
        "for",
        "function",
        "if",
        "import",
        "let",
        "loop",
        "package",
        "namespace",
        "return",
        "var",
        "void",
        "while",
    ];
    if RESERVED.contains(&name) {
        return format!("__{name}__");
    }
    let name = name.replace("__", "__underscores__");
    let name = name.replace('.', "__dot__").replace('-', "__dash__");
    name.replace('/', "__slash__")
}

#[cfg(test)]
mod tests {
    use super::super::Schema;
    use super::*;

    fn told(schema: &Value, object: &Value, old: Option<&Value>) -> Vec<String> {
        let causes = Schema::compile(schema).judge(object, old);
        causes
            .iter()
            .map(|(field, _, why)| format!("{field}: {why}"))
            .collect()
    }

    fn spec(rules: Value) -> Value {
        json!({"type": "object", "properties": {"spec": {"type": "object",
            "x-kubernetes-validations": rules,
            "properties": {"min": {"type": "integer"}, "max": {"type": "integer"},
                "share": {"type": "number"}, "a-b": {"type": "string"}, "at": {"type": "string", "format": "date-time"},
                "names": {"type": "array", "items": {"type": "string"}}}}}})
    }

    #[test]
    fn a_rule_that_does_not_hold_is_told_with_its_message() {
        let schema = spec(json!([
            {"rule": "self.min <= self.max", "message": "min is more than max"},
            {"rule": "!has(self.share) || self.share < 1.0"},
            {"rule": "!has(self.a__dash__b) || self.a__dash__b != 'x'", "messageExpression": "'not ' + self.a__dash__b",
                "reason": "FieldValueForbidden", "fieldPath": ".a-b"},
        ]));
        let object = json!({"spec": {"min": 2, "max": 1, "share": 2, "a-b": "x"}});
        assert_eq!(
            told(&schema, &object, None),
            [
                "spec: Invalid value: \"object\": min is more than max",
                "spec: Invalid value: \"object\": failed rule: !has(self.share) || self.share < 1.0",
                "spec.a-b: Forbidden: not x"
            ]
        );
        assert_eq!(
            told(&schema, &json!({"spec": {"min": 1, "max": 1}}), None),
            Vec::<String>::new()
        );
        assert_eq!(
            told(&schema, &json!({"spec": {"min": 1}}), None),
            [
                "spec: Invalid value: \"object\": no such key: max evaluating rule: min is more than max"
            ]
        );
    }

    #[test]
    fn rules_compare_with_what_was_before() {
        let schema = spec(
            json!([{"rule": "self.min == oldSelf.min", "message": "min is immutable"},
            {"rule": "oldSelf.hasValue() || self.max < 10", "optionalOldSelf": true, "message": "begin small"}]),
        );
        let (one, two) = (
            json!({"spec": {"min": 1, "max": 11}}),
            json!({"spec": {"min": 2, "max": 11}}),
        );
        assert_eq!(
            told(&schema, &one, None),
            ["spec: Invalid value: \"object\": begin small"]
        );
        assert_eq!(
            told(&schema, &two, Some(&one)),
            ["spec: Invalid value: \"object\": min is immutable"]
        );
        assert_eq!(told(&schema, &one, Some(&one)), Vec::<String>::new());
    }

    #[test]
    fn rules_see_the_name_of_every_object() {
        let schema = json!({"type": "object",
            "properties": {"metadata": {"type": "object", "properties": {"name": {"type": "string", "maxLength": 3}}}},
            "x-kubernetes-validations": [{"rule": "self.metadata.name == 'one'", "message": "there is only one"}]});
        let named = |name: &str| json!({"kind": "K", "metadata": {"name": name, "labels": {}}});
        assert_eq!(told(&schema, &named("one"), None), Vec::<String>::new());
        assert_eq!(
            told(&schema, &named("two"), None),
            ["<nil>: Invalid value: \"object\": there is only one"]
        );
        assert_eq!(
            told(&schema, &named("three"), None)[0],
            "metadata.name: Too long: may not be more than 3 bytes"
        );
    }

    #[test]
    fn rules_are_not_asked_about_values_of_other_types() {
        let schema = spec(json!([{"rule": "self.min <= self.max"}]));
        let causes = told(&schema, &json!({"spec": {"min": "a", "max": 1}}), None);
        assert_eq!(
            causes,
            [
                "spec.min: Invalid value: \"string\": spec.min in body must be of type integer: \"string\"",
                "<nil>: Invalid value: null: some validation rules were not checked because the object was invalid; correct the existing errors to complete validation"
            ]
        );
    }
}
