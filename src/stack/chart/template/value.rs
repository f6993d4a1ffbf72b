//! Values of a template: maps and lists are shared, as in Go, so that `set` in one template is
//! seen by the next. Charts rely on it (Cilium keeps its certificate authority that way).

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use serde_json::Value as Json;

/// What a template computes with.
#[derive(Clone)]
pub(in crate::stack::chart) enum Value {
    /// The result of a lookup that found nothing: fields of it are absent too.
    Absent,
    /// A null in data: fields of it are an error.
    Nil,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Rc<str>),
    Bytes(Rc<[u8]>),
    List(List),
    Map(Map),
    Object(Rc<dyn Object>),
}

/// Something of the host with fields and methods, such as `.Files`.
pub(in crate::stack::chart) trait Object {
    /// Go's name of the type, for `typeOf` and messages.
    fn type_name(&self) -> &'static str;
    /// Calls a method; `None` where there is none of that name.
    fn method(&self, name: &str, args: &[Value]) -> Option<Result<Value, String>>;
    /// A field; `None` where there is none of that name.
    fn field(&self, name: &str) -> Option<Value>;
    /// The same as plain data: a map, a list or a text.
    fn data(&self) -> Value;
    /// What it prints as, where that is not its data.
    fn display(&self) -> Option<String> {
        None
    }
}

/// An immutable, shared list.
#[derive(Clone)]
pub(in crate::stack::chart) struct List(Rc<ListNode>);

struct ListNode(Vec<Value>);

/// A shared map, ordered by key.
#[derive(Clone)]
pub(in crate::stack::chart) struct Map(Rc<MapNode>);

type Entries = BTreeMap<Rc<str>, Value>;

struct MapNode(RefCell<Entries>);

impl Map {
    pub fn get(&self, key: &str) -> Option<Value> {
        self.0.0.borrow().get(key).cloned()
    }

    pub fn contains(&self, key: &str) -> bool {
        self.0.0.borrow().contains_key(key)
    }

    pub fn set(&self, key: impl Into<Rc<str>>, value: Value) {
        let old = self.0.0.borrow_mut().insert(key.into(), value);
        // Dropped only now: dropping a map may reach this one again.
        drop(old);
    }

    pub fn remove(&self, key: &str) {
        let old = self.0.0.borrow_mut().remove(key);
        drop(old);
    }

    pub fn len(&self) -> usize {
        self.0.0.borrow().len()
    }

    pub fn entries(&self) -> Vec<(Rc<str>, Value)> {
        let entries = self.0.0.borrow();
        entries
            .iter()
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect()
    }

    pub fn same(&self, other: &Map) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }
}

impl<K: Into<Rc<str>>> FromIterator<(K, Value)> for Map {
    fn from_iter<I: IntoIterator<Item = (K, Value)>>(entries: I) -> Self {
        let entries = entries.into_iter().map(|(k, v)| (k.into(), v)).collect();
        Map(Rc::new(MapNode(RefCell::new(entries))))
    }
}

impl std::ops::Deref for List {
    type Target = [Value];
    fn deref(&self) -> &[Value] {
        &self.0.0
    }
}

impl FromIterator<Value> for List {
    fn from_iter<I: IntoIterator<Item = Value>>(items: I) -> Self {
        List(Rc::new(ListNode(items.into_iter().collect())))
    }
}

impl Drop for ListNode {
    fn drop(&mut self) {
        bury(std::mem::take(&mut self.0));
    }
}

impl Drop for MapNode {
    fn drop(&mut self) {
        bury(std::mem::take(self.0.get_mut()).into_values());
    }
}

thread_local! {
    static GRAVE: RefCell<Option<Vec<Value>>> = const { RefCell::new(None) };
}

/// Drops nested values one after the other instead of recursively: a template can nest lists a
/// million deep, and no stack survives dropping that the usual way.
fn bury(values: impl IntoIterator<Item = Value>) {
    let nested: Vec<Value> = values
        .into_iter()
        .filter(|v| matches!(v, Value::List(_) | Value::Map(_)))
        .collect();
    if nested.is_empty() {
        return;
    }
    let outermost = GRAVE.with_borrow_mut(|grave| match grave {
        Some(waiting) => {
            waiting.extend(nested);
            None
        }
        None => {
            *grave = Some(Vec::new());
            Some(nested)
        }
    });
    let Some(mut batch) = outermost else { return };
    while !batch.is_empty() {
        drop(batch);
        batch = GRAVE
            .with_borrow_mut(|grave| grave.as_mut().map(std::mem::take))
            .unwrap_or_default();
    }
    GRAVE.set(None);
}

impl Value {
    pub fn text(text: impl Into<Rc<str>>) -> Value {
        Value::Text(text.into())
    }

    pub fn list(items: impl IntoIterator<Item = Value>) -> Value {
        Value::List(items.into_iter().collect())
    }

    pub fn texts<T: Into<Rc<str>>>(items: impl IntoIterator<Item = T>) -> Value {
        Value::list(items.into_iter().map(Value::text))
    }

    pub fn map<K: Into<Rc<str>>>(entries: impl IntoIterator<Item = (K, Value)>) -> Value {
        Value::Map(entries.into_iter().collect())
    }

    /// Go's truth: false, zero, and whatever is empty are not.
    pub fn truth(&self) -> bool {
        match self {
            Value::Absent | Value::Nil => false,
            Value::Bool(value) => *value,
            Value::Int(value) => *value != 0,
            Value::Float(value) => *value != 0.0,
            Value::Text(text) => !text.is_empty(),
            Value::Bytes(bytes) => !bytes.is_empty(),
            Value::List(list) => !list.is_empty(),
            Value::Map(map) => map.len() > 0,
            Value::Object(object) => match object.data() {
                Value::List(list) => !list.is_empty(),
                _ => true,
            },
        }
    }

    pub fn is_nil(&self) -> bool {
        matches!(self, Value::Absent | Value::Nil)
    }

    /// Go's name of the type (`%T`).
    pub fn type_name(&self) -> &'static str {
        match self {
            Value::Absent | Value::Nil => "<nil>",
            Value::Bool(_) => "bool",
            Value::Int(_) => "int",
            Value::Float(_) => "float64",
            Value::Text(_) => "string",
            Value::Bytes(_) => "[]uint8",
            Value::List(_) => "[]interface {}",
            Value::Map(_) => "map[string]interface {}",
            Value::Object(object) => object.type_name(),
        }
    }

    /// Go's kind of the type (`kindOf`).
    pub fn kind(&self) -> &'static str {
        match self {
            Value::Absent | Value::Nil => "invalid",
            Value::Bytes(_) | Value::List(_) => "slice",
            Value::Map(_) => "map",
            Value::Object(object) => match object.data() {
                Value::Map(_) if object.type_name() == "engine.files" => "map",
                Value::List(_) => "slice",
                _ => "struct",
            },
            other => other.type_name(),
        }
    }

    /// From data, with every number a float: how Helm reads values.
    pub fn from_helm(json: &Json) -> Value {
        Value::from_json(json, &|number| {
            Value::Float(number.as_f64().unwrap_or(f64::NAN))
        })
    }

    /// From data, with integers kept: how Kubernetes clients hold objects.
    pub fn from_object(json: &Json) -> Value {
        Value::from_json(json, &|number| match number.as_i64() {
            Some(integer) => Value::Int(integer),
            None => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
        })
    }

    fn from_json(json: &Json, number: &dyn Fn(&serde_json::Number) -> Value) -> Value {
        match json {
            Json::Null => Value::Nil,
            Json::Bool(value) => Value::Bool(*value),
            Json::Number(value) => number(value),
            Json::String(text) => Value::text(text.as_str()),
            Json::Array(items) => Value::list(items.iter().map(|i| Value::from_json(i, number))),
            Json::Object(map) => Value::map(
                map.iter()
                    .map(|(k, v)| (k.as_str(), Value::from_json(v, number))),
            ),
        }
    }

    /// As data; an error where it is too deep or too large to walk.
    pub fn to_json(&self) -> Result<Json, String> {
        self.json(&mut Walk::default())
    }

    fn json(&self, walk: &mut Walk) -> Result<Json, String> {
        walk.node(self, |walk| {
            Ok(match self {
                Value::Absent | Value::Nil => Json::Null,
                Value::Bool(value) => Json::Bool(*value),
                Value::Int(value) => Json::from(*value),
                Value::Float(value) => float_json(*value)?,
                Value::Text(text) => Json::from(text.as_ref()),
                Value::Bytes(bytes) => Json::from(super::functions::base64(bytes)),
                Value::List(list) => Json::Array(
                    list.iter()
                        .map(|v| v.json(walk))
                        .collect::<Result<_, _>>()?,
                ),
                Value::Map(map) => {
                    let entries = map.entries().into_iter();
                    let entries = entries.map(|(k, v)| Ok((k.to_string(), v.json(walk)?)));
                    Json::Object(entries.collect::<Result<_, String>>()?)
                }
                Value::Object(object) => object.data().json(walk)?,
            })
        })
    }

    /// Structural equality, as Go's `reflect.DeepEqual`.
    pub fn deep_equal(&self, other: &Value) -> Result<bool, String> {
        self.equal(other, &mut Walk::default())
    }

    fn equal(&self, other: &Value, walk: &mut Walk) -> Result<bool, String> {
        walk.node(self, |walk| {
            Ok(match (self, other) {
                (a, b) if a.is_nil() && b.is_nil() => true,
                (Value::Bool(a), Value::Bool(b)) => a == b,
                (Value::Int(a), Value::Int(b)) => a == b,
                (Value::Float(a), Value::Float(b)) => a == b,
                (Value::Text(a), Value::Text(b)) => a == b,
                (Value::Bytes(a), Value::Bytes(b)) => a == b,
                (Value::List(a), Value::List(b)) => {
                    a.len() == b.len() && all(a.iter().zip(b.iter()), |(a, b)| a.equal(b, walk))?
                }
                (Value::Map(a), Value::Map(b)) if a.same(b) => true,
                (Value::Map(a), Value::Map(b)) => {
                    a.len() == b.len()
                        && all(a.entries().iter().zip(b.entries().iter()), |(a, b)| {
                            Ok(a.0 == b.0 && a.1.equal(&b.1, walk)?)
                        })?
                }
                (Value::Object(a), Value::Object(b)) => {
                    a.type_name() == b.type_name() && a.data().equal(&b.data(), walk)?
                }
                _ => false,
            })
        })
    }

    /// A copy that shares no map with this value.
    pub fn deep_copy(&self) -> Result<Value, String> {
        self.copy(&mut Walk::default())
    }

    fn copy(&self, walk: &mut Walk) -> Result<Value, String> {
        walk.node(self, |walk| {
            Ok(match self {
                Value::List(list) => Value::List(
                    list.iter()
                        .map(|v| v.copy(walk))
                        .collect::<Result<_, _>>()?,
                ),
                Value::Map(map) => {
                    let entries = map.entries().into_iter();
                    let entries = entries.map(|(k, v)| Ok((k, v.copy(walk)?)));
                    Value::Map(
                        entries
                            .collect::<Result<Vec<_>, String>>()?
                            .into_iter()
                            .collect(),
                    )
                }
                other => other.clone(),
            })
        })
    }
}

fn all<T>(
    mut pairs: impl Iterator<Item = T>,
    mut equal: impl FnMut(T) -> Result<bool, String>,
) -> Result<bool, String> {
    pairs.try_fold(
        true,
        |so_far, pair| if so_far { equal(pair) } else { Ok(false) },
    )
}

/// How deep a value may nest, and how much of it is walked at once. Shared maps and lists make
/// values that are small in memory and endless to print.
const MAX_DEPTH: usize = 200;
const MAX_WALK: usize = 64 * 1024 * 1024;
/// What a node weighs besides its text: about what it takes in memory.
const NODE: usize = 64;

/// The budget of one walk through a value.
#[derive(Default)]
pub(in crate::stack::chart) struct Walk {
    depth: usize,
    bytes: usize,
}

impl Walk {
    /// Visits one node, and with `inside` what is below it.
    pub fn node<T>(
        &mut self,
        value: &Value,
        inside: impl FnOnce(&mut Walk) -> Result<T, String>,
    ) -> Result<T, String> {
        self.bytes += match value {
            Value::Text(text) => NODE + text.len(),
            Value::Bytes(bytes) => NODE + 4 * bytes.len(),
            _ => NODE,
        };
        if self.bytes > MAX_WALK {
            return Err(format!(
                "a value is larger than {MAX_WALK} bytes when written out"
            ));
        }
        if self.depth >= MAX_DEPTH {
            return Err(format!(
                "a value nests deeper than {MAX_DEPTH} levels or contains itself"
            ));
        }
        self.depth += 1;
        let result = inside(self);
        self.depth -= 1;
        result
    }
}

/// Whole floats are integers in JSON, as Go's encoder writes them.
fn float_json(value: f64) -> Result<Json, String> {
    if value.fract() == 0.0 && value.abs() < 9.0e15 {
        return Ok(Json::from(value as i64));
    }
    serde_json::Number::from_f64(value)
        .map(Json::Number)
        .ok_or_else(|| format!("{value} has no JSON form"))
}
