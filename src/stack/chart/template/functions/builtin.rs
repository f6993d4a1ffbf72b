//! The functions that text/template itself has.

use std::cmp::Ordering;
use std::fmt::Write as _;

use super::{ANY, Function, Run, Value, pure, text_arg, wrong_type};
use crate::stack::chart::template::{format, printf};

pub(super) static FUNCTIONS: &[Function] = &[
    Function {
        name: "and",
        min: 1,
        max: ANY,
        run: Run::And,
    },
    Function {
        name: "or",
        min: 1,
        max: ANY,
        run: Run::Or,
    },
    pure("not", 1, 1, |a| Ok(Value::Bool(!a[0].truth()))),
    pure("eq", 1, ANY, eq),
    pure("ne", 2, 2, |a| eq(a).map(|v| Value::Bool(!v.truth()))),
    pure("lt", 2, 2, |a| less(&a[0], &a[1]).map(Value::Bool)),
    pure("le", 2, 2, |a| {
        Ok(Value::Bool(less(&a[0], &a[1])? || same(&a[0], &a[1])?))
    }),
    pure("gt", 2, 2, |a| {
        Ok(Value::Bool(!less(&a[0], &a[1])? && !same(&a[0], &a[1])?))
    }),
    pure("ge", 2, 2, |a| less(&a[0], &a[1]).map(|l| Value::Bool(!l))),
    pure("len", 1, 1, len),
    pure("index", 1, ANY, index),
    pure("print", 0, ANY, |a| format::print(a).map(Value::text)),
    pure("println", 0, ANY, println),
    pure("printf", 1, ANY, |a| {
        printf::sprintf(text_arg(a, 0)?, &a[1..]).map(Value::text)
    }),
    pure("html", 0, ANY, |a| {
        format::print(a).map(|t| Value::text(html(&t)))
    }),
    pure("js", 0, ANY, |a| {
        format::print(a).map(|t| Value::text(js(&t)))
    }),
    pure("urlquery", 0, ANY, |a| {
        format::print(a).map(|t| Value::text(urlquery(&t)))
    }),
];

fn eq(args: &[Value]) -> Result<Value, String> {
    if args.len() == 1 {
        return Err("missing argument for comparison".into());
    }
    for other in &args[1..] {
        if same(&args[0], other)? {
            return Ok(Value::Bool(true));
        }
    }
    Ok(Value::Bool(false))
}

fn is_basic(value: &Value) -> bool {
    matches!(
        value,
        Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Text(_)
    )
}

fn incompatible(a: &Value, b: &Value) -> String {
    format!(
        "incompatible types for comparison: {} and {}",
        a.type_name(),
        b.type_name()
    )
}

fn same(a: &Value, b: &Value) -> Result<bool, String> {
    Ok(match (a, b) {
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::Int(a), Value::Int(b)) => a == b,
        (Value::Float(a), Value::Float(b)) => a == b,
        (Value::Text(a), Value::Text(b)) => a == b,
        (Value::Object(a), Value::Object(b)) => a.data().deep_equal(&b.data())?,
        (a, b) if a.is_nil() || b.is_nil() => a.is_nil() && b.is_nil(),
        (a, b) if is_basic(a) || is_basic(b) => return Err(incompatible(a, b)),
        (a, b) => {
            return Err(format!(
                "non-comparable types {} and {}",
                a.type_name(),
                b.type_name()
            ));
        }
    })
}

fn less(a: &Value, b: &Value) -> Result<bool, String> {
    let order = match (a, b) {
        (Value::Int(a), Value::Int(b)) => a.partial_cmp(b),
        (Value::Float(a), Value::Float(b)) => a.partial_cmp(b),
        (Value::Text(a), Value::Text(b)) => a.partial_cmp(b),
        (a, b)
            if !is_basic(a)
                || !is_basic(b)
                || matches!((a, b), (Value::Bool(_), Value::Bool(_))) =>
        {
            return Err("invalid type for comparison".into());
        }
        (a, b) => return Err(incompatible(a, b)),
    };
    Ok(order == Some(Ordering::Less))
}

fn len(args: &[Value]) -> Result<Value, String> {
    let value = match &args[0] {
        Value::Object(object) => object.data(),
        other => other.clone(),
    };
    let length = match &value {
        Value::Text(text) => text.len(),
        Value::Bytes(bytes) => bytes.len(),
        Value::List(list) => list.len(),
        Value::Map(map) => map.len(),
        other if other.is_nil() => return Err("len of nil pointer".into()),
        other => return Err(format!("len of type {}", other.type_name())),
    };
    Ok(Value::Int(i64::try_from(length).unwrap_or(i64::MAX)))
}

fn index(args: &[Value]) -> Result<Value, String> {
    let mut value = args[0].clone();
    if value.is_nil() {
        return Err("index of untyped nil".into());
    }
    for key in &args[1..] {
        if let Value::Object(object) = &value {
            value = object.data();
        }
        value = match &value {
            Value::Map(map) => match key {
                Value::Text(key) => map.get(key).unwrap_or(Value::Nil),
                other => return Err(wrong_type(other, "string")),
            },
            Value::List(list) => element(list, key)?.clone(),
            Value::Text(text) => byte(text.as_bytes(), key)?,
            Value::Bytes(bytes) => byte(bytes, key)?,
            other if other.is_nil() => return Err("index of nil pointer".into()),
            other => return Err(format!("can't index item of type {}", other.type_name())),
        };
    }
    Ok(value)
}

fn byte(bytes: &[u8], key: &Value) -> Result<Value, String> {
    element(bytes, key).map(|byte| Value::Int(i64::from(*byte)))
}

fn element<'l, T>(list: &'l [T], key: &Value) -> Result<&'l T, String> {
    match key {
        Value::Int(i) => usize::try_from(*i)
            .ok()
            .and_then(|i| list.get(i))
            .ok_or_else(|| format!("index out of range: {i}")),
        other if other.is_nil() => Err("cannot index slice/array with nil".into()),
        other => Err(format!(
            "cannot index slice/array with type {}",
            other.type_name()
        )),
    }
}

fn println(args: &[Value]) -> Result<Value, String> {
    let parts: Result<Vec<String>, String> = args.iter().map(format::display).collect();
    Ok(Value::text(parts?.join(" ") + "\n"))
}

fn html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\0' => out.push('\u{fffd}'),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            c => out.push(c),
        }
    }
    out
}

fn js(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' | '\'' | '"' => out.extend(['\\', c]),
            '<' | '>' | '&' | '=' | '\0'..='\u{1f}' => {
                let _ = write!(out, "\\u{:04X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out
}

fn urlquery(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                out.push(char::from(byte))
            }
            b' ' => out.push('+'),
            other => {
                let _ = write!(out, "%{other:02X}");
            }
        }
    }
    out
}
