//! Functions about emptiness.

use super::{ANY, Function, Value, pure, wrong_type};

pub(super) static FUNCTIONS: &[Function] = &[
    pure("default", 1, ANY, |a| {
        Ok(match a.get(1) {
            Some(given) if !empty(given) => given.clone(),
            _ => a[0].clone(),
        })
    }),
    pure("empty", 1, 1, |a| Ok(Value::Bool(empty(&a[0])))),
    pure("coalesce", 0, ANY, |a| {
        Ok(a.iter().find(|v| !empty(v)).cloned().unwrap_or(Value::Nil))
    }),
    pure("all", 0, ANY, |a| Ok(Value::Bool(!a.iter().any(empty)))),
    pure("any", 0, ANY, |a| Ok(Value::Bool(!a.iter().all(empty)))),
    pure("ternary", 3, 3, |a| match &a[2] {
        Value::Bool(true) => Ok(a[0].clone()),
        Value::Bool(false) => Ok(a[1].clone()),
        other => Err(wrong_type(other, "bool")),
    }),
];

pub(super) fn empty(value: &Value) -> bool {
    !value.truth()
}
