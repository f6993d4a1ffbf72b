//! Structural schemas, as definitions give them to their kinds: compiled once for each definition, and
//! then used to prune, to default and to judge objects. What a schema leaves open costs nothing.

mod cause;
mod fields;
mod formats;
mod judge;
mod library;
mod lists;
mod numbers;
mod paths;
mod rules;
mod structural;

use std::collections::BTreeMap;

use regex::Regex;
use serde_json::Value;

pub(crate) use cause::{Cause, invalid, required, unsupported};
pub(crate) use paths::Path;
use rules::Rule;
pub(crate) use structural::check;

use crate::object::list;

/// A type of JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Boolean,
    Integer,
    Number,
    Text,
    Array,
    Object,
}

impl Kind {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "boolean" => Self::Boolean,
            "integer" => Self::Integer,
            "number" => Self::Number,
            "string" => Self::Text,
            "array" => Self::Array,
            "object" => Self::Object,
            _ => return None,
        })
    }
}

/// How the items of a list are told apart.
#[derive(Clone, Debug, Default, PartialEq)]
enum Items {
    #[default]
    Atomic,
    Set,
    Map(Vec<String>),
}

/// Properties that a schema does not name.
#[derive(Debug, Default)]
enum Additional {
    #[default]
    None,
    Any,
    Schema(Box<Node>),
}

/// What holds for a value itself.
#[derive(Debug, Default)]
struct Bounds {
    required: Vec<String>,
    /// The allowed values; none for all.
    allowed: Option<Vec<Value>>,
    pattern: Option<(String, Option<Regex>)>,
    format: String,
    length: (Option<u64>, Option<u64>),
    items: (Option<u64>, Option<u64>),
    properties: (Option<u64>, Option<u64>),
    minimum: Option<(f64, bool)>,
    maximum: Option<(f64, bool)>,
    multiple: Option<f64>,
    unique: bool,
}

/// What a schema has to do anything for, itself or somewhere below.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Duties {
    /// Values can be wrong.
    judges: bool,
    /// Fields can be unknown.
    prunes: bool,
    /// There are defaults.
    defaults: bool,
    /// There are rules.
    rules: bool,
    /// There are lists whose items differ.
    lists: bool,
}

impl Duties {
    fn and(&mut self, other: Self) {
        self.judges |= other.judges;
        self.prunes |= other.prunes;
        self.defaults |= other.defaults;
        self.rules |= other.rules;
        self.lists |= other.lists;
    }
}

/// A schema, compiled.
#[derive(Debug, Default)]
struct Node {
    /// Which types a value may have; all when there are none.
    kinds: Vec<Kind>,
    /// The type as the schema names it, which messages quote.
    type_name: String,
    nullable: bool,
    /// Unknown fields stay.
    preserve: bool,
    /// An object of its own, with `apiVersion`, `kind` and `metadata`.
    embedded: bool,
    properties: BTreeMap<String, Node>,
    additional: Additional,
    items: Option<Box<Node>>,
    default: Option<Value>,
    list: Items,
    bounds: Bounds,
    all_of: Vec<Node>,
    any_of: Vec<Node>,
    one_of: Vec<Node>,
    not: Option<Box<Node>>,
    rules: Vec<Rule>,
    duties: Duties,
}

/// The schema of one version of a kind.
#[derive(Debug, Default)]
pub(crate) struct Schema {
    root: Node,
}

impl Schema {
    /// Compiles an `openAPIV3Schema`; what is no schema allows everything.
    pub fn compile(schema: &Value) -> Self {
        let mut root = Node::compile(schema);
        // Every object is one.
        let says_more = !root.properties.is_empty() || root.bounds_anything() || root.joins();
        if root.kinds == [Kind::Object] && !says_more {
            root.duties.judges = false;
        }
        // These are judged elsewhere; of the metadata a schema can bound the name.
        root.properties.remove("apiVersion");
        root.properties.remove("kind");
        let metadata = root.properties.get("metadata");
        if metadata.is_some_and(|metadata| metadata.properties.is_empty()) {
            root.properties.remove("metadata");
        }
        root.embedded = true;
        Self { root }
    }

    /// Whether it allows everything.
    pub fn is_open(&self) -> bool {
        self.root.duties == Duties::default()
    }
}

impl Node {
    fn compile(schema: &Value) -> Self {
        let flag = |name: &str| schema[name] == true;
        let type_name = schema["type"].as_str().unwrap_or_default().to_owned();
        let mut kinds: Vec<Kind> = Kind::named(&type_name).into_iter().collect();
        if flag("x-kubernetes-int-or-string") {
            kinds = vec![Kind::Integer, Kind::Text];
        }
        let many = |name: &str| -> Vec<Self> {
            let parts = list(schema, &format!("/{name}"));
            parts.iter().map(Self::compile).collect()
        };
        let fields = schema["properties"].as_object().into_iter().flatten();
        let mut node = Self {
            kinds,
            type_name,
            nullable: flag("nullable"),
            preserve: flag("x-kubernetes-preserve-unknown-fields"),
            embedded: flag("x-kubernetes-embedded-resource"),
            properties: fields
                .map(|(name, schema)| (name.clone(), Self::compile(schema)))
                .collect(),
            additional: match &schema["additionalProperties"] {
                Value::Bool(true) => Additional::Any,
                schema @ Value::Object(_) => Additional::Schema(Box::new(Self::compile(schema))),
                _ => Additional::None,
            },
            items: schema
                .get("items")
                .filter(|items| items.is_object())
                .map(|items| Box::new(Self::compile(items))),
            default: schema
                .get("default")
                .filter(|value| !value.is_null())
                .cloned(),
            list: items(schema),
            bounds: bounds(schema),
            all_of: many("allOf"),
            any_of: many("anyOf"),
            one_of: many("oneOf"),
            not: schema
                .get("not")
                .filter(|not| not.is_object())
                .map(|not| Box::new(Self::compile(not))),
            rules: list(schema, "/x-kubernetes-validations")
                .iter()
                .filter_map(|rule| Rule::compile(rule).ok())
                .collect(),
            duties: Duties::default(),
        };
        node.duties = node.own_duties();
        node
    }

    /// The schemas right below that a value's fields and items have.
    fn below(&self) -> impl Iterator<Item = &Self> {
        let additional = match &self.additional {
            Additional::Schema(node) => Some(&**node),
            Additional::None | Additional::Any => None,
        };
        let fields = self.properties.values();
        fields.chain(additional).chain(self.items.as_deref())
    }

    fn joins(&self) -> bool {
        let parts = [&self.all_of, &self.any_of, &self.one_of];
        parts.iter().any(|parts| !parts.is_empty()) || self.not.is_some()
    }

    fn bounds_anything(&self) -> bool {
        let Bounds {
            required,
            allowed,
            pattern,
            format,
            length,
            items,
            properties,
            minimum,
            maximum,
            multiple,
            unique,
        } = &self.bounds;
        let sizes = [length, items, properties];
        !required.is_empty()
            || allowed.is_some()
            || pattern.is_some()
            || formats::is_known(format)
            || sizes.iter().any(|(least, most)| least.or(*most).is_some())
            || minimum.or(*maximum).is_some()
            || multiple.is_some()
            || *unique
    }

    fn own_duties(&self) -> Duties {
        let holds_objects = self.kinds.is_empty() || self.kinds.contains(&Kind::Object);
        let mut duties = Duties {
            judges: !self.kinds.is_empty() || self.bounds_anything() || self.joins(),
            prunes: holds_objects && !self.preserve && !matches!(self.additional, Additional::Any),
            defaults: false,
            rules: !self.rules.is_empty(),
            lists: self.list != Items::Atomic,
        };
        for node in self.below() {
            duties.and(node.duties);
            // A null is taken away, or replaced.
            duties.defaults |= node.default.is_some() || !node.nullable && !node.kinds.is_empty();
        }
        for node in &self.all_of {
            duties.rules |= node.duties.rules;
        }
        duties
    }
}

fn items(schema: &Value) -> Items {
    match schema["x-kubernetes-list-type"].as_str() {
        Some("set") => Items::Set,
        Some("map") => {
            let keys = list(schema, "/x-kubernetes-list-map-keys").iter();
            Items::Map(keys.filter_map(Value::as_str).map(str::to_owned).collect())
        }
        _ => Items::Atomic,
    }
}

fn bounds(schema: &Value) -> Bounds {
    let size = |name: &str| schema[name].as_u64();
    let limit = |name: &str, exclusive: &str| {
        let limit = schema[name].as_f64()?;
        Some((limit, schema[exclusive] == true))
    };
    let words = list(schema, "/required").iter().filter_map(Value::as_str);
    let pattern = schema["pattern"].as_str().filter(|text| !text.is_empty());
    Bounds {
        required: words.map(str::to_owned).collect(),
        allowed: schema["enum"]
            .as_array()
            .filter(|values| !values.is_empty())
            .cloned(),
        pattern: pattern.map(|text| (text.to_owned(), Regex::new(text).ok())),
        format: schema["format"].as_str().unwrap_or_default().to_owned(),
        length: (size("minLength"), size("maxLength")),
        items: (size("minItems"), size("maxItems")),
        properties: (size("minProperties"), size("maxProperties")),
        minimum: limit("minimum", "exclusiveMinimum"),
        maximum: limit("maximum", "exclusiveMaximum"),
        multiple: schema["multipleOf"].as_f64(),
        unique: schema["uniqueItems"] == true,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_schema_leaves_open_has_no_duties() {
        let open = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
        assert_eq!(Schema::compile(&open).root.duties, Duties::default());
        let field = json!({"type": "object", "properties": {"spec": {"type": "integer"}}});
        let duties = Schema::compile(&field).root.duties;
        assert!(duties.judges && duties.prunes && !duties.rules && !duties.lists);
    }
}
