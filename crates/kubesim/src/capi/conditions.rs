//! Conditions as Cluster API's v1beta2 objects bear them.

use serde_json::{Value, json};

use crate::object::text;

/// One condition's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// `True`, `False` or `Unknown`.
    pub status: &'static str,
    /// One word.
    pub reason: String,
    /// For people; empty for none.
    pub message: String,
}

impl State {
    /// True, without a message.
    #[must_use]
    pub fn yes(reason: &str) -> Self {
        Self::new("True", reason, "")
    }

    /// False.
    #[must_use]
    pub fn no(reason: &str, message: impl Into<String>) -> Self {
        Self::new("False", reason, message)
    }

    /// Unknown.
    #[must_use]
    pub fn unknown(reason: &str, message: impl Into<String>) -> Self {
        Self::new("Unknown", reason, message)
    }

    fn new(status: &'static str, reason: &str, message: impl Into<String>) -> Self {
        Self {
            status,
            reason: reason.to_owned(),
            message: message.into(),
        }
    }

    /// True with one reason, or False with another.
    #[must_use]
    pub fn either(holds: bool, yes: &str, no: &str) -> Self {
        if holds {
            Self::yes(yes)
        } else {
            Self::no(no, "")
        }
    }
}

/// Sets an object's condition; its time of transition moves with its status only. A True one is told in
/// the place of the older version too, where clients of v1beta1 look.
pub fn set(object: &mut Value, kind: &str, state: &State, now: &str) {
    let generation = object["metadata"]["generation"].clone();
    let new = json!({
        "type": kind, "status": state.status, "reason": state.reason, "message": state.message,
        "observedGeneration": generation, "lastTransitionTime": now,
    });
    put(&mut object["status"]["conditions"], new);
}

/// Sets a condition in the place of the older version.
pub fn set_older(object: &mut Value, kind: &str, state: &State, now: &str) {
    let mut new = json!({"type": kind, "status": state.status, "lastTransitionTime": now});
    if state.status != "True" {
        new["severity"] = json!("Info");
        new["reason"] = json!(state.reason);
        new["message"] = json!(state.message);
    }
    put(
        &mut object["status"]["deprecated"]["v1beta1"]["conditions"],
        new,
    );
}

fn put(conditions: &mut Value, mut new: Value) {
    if !conditions.is_array() {
        *conditions = json!([]);
    }
    let Some(conditions) = conditions.as_array_mut() else {
        return;
    };
    match conditions.iter_mut().find(|old| old["type"] == new["type"]) {
        Some(old) => {
            if old["status"] == new["status"] {
                new["lastTransitionTime"] = old["lastTransitionTime"].clone();
            }
            *old = new;
        }
        None => conditions.push(new),
    }
}

/// What a condition of an object says; nothing where it has none.
#[must_use]
pub fn get<'v>(object: &'v Value, kind: &str) -> Option<(&'v str, &'v str, &'v str)> {
    let condition = crate::object::condition(object, kind)?;
    Some((
        text(condition, "/status"),
        text(condition, "/reason"),
        text(condition, "/message"),
    ))
}

/// Sums up a condition of several objects: True when it is for all, else what the first ones say. With
/// no objects it is True for `none`.
#[must_use]
pub fn aggregate(objects: &[&Value], kind: &str, good: &str, bad: &str, none: &str) -> State {
    if objects.is_empty() {
        return State::yes(none);
    }
    let mut wrong = Vec::new();
    let mut unknown = Vec::new();
    for object in objects {
        let name = crate::object::name(object);
        let of = text(object, "/kind");
        match get(object, kind) {
            Some(("True", ..)) => {}
            Some(("False", _, message)) => {
                wrong.push(format!("* {of} {name}:{}", indented(message)))
            }
            Some((_, _, message)) => unknown.push(format!("* {of} {name}:{}", indented(message))),
            None => unknown.push(format!("* {of} {name}: Condition {kind} not yet reported")),
        }
    }
    if !wrong.is_empty() {
        return State::no(bad, wrong.join("\n"));
    }
    if unknown.is_empty() {
        State::yes(good)
    } else {
        State::unknown(&format!("{good}Unknown"), unknown.join("\n"))
    }
}

fn indented(message: &str) -> String {
    if message.starts_with('*') {
        format!("\n  {}", message.replace('\n', "\n  "))
    } else {
        format!(" {message}")
    }
}
