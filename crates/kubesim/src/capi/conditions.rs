//! Conditions as Cluster API's v1beta2 objects bear them.

use serde_json::{Value, json};

use crate::object::{at, field, is_of, slot, text};

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
    let generation = at(object, "/metadata/generation").cloned();
    let generation = generation.unwrap_or_default();
    let (status, reason, message) = (state.status, &state.reason, &state.message);
    let texts = [("status", status), ("reason", reason), ("message", message)];
    let same =
        |old: &Value| says(old, 6, &texts) && field(old, "observedGeneration") == Some(&generation);
    put(
        slot(slot(object, "status"), "conditions"),
        kind,
        status,
        same,
        |since| {
            json!({
                "type": kind, "status": status, "reason": reason, "message": message,
                "observedGeneration": generation, "lastTransitionTime": since.unwrap_or(now),
            })
        },
    );
}

/// Sets a condition in the place of the older version.
pub fn set_older(object: &mut Value, kind: &str, state: &State, now: &str) {
    let (status, reason, message) = (state.status, &state.reason, &state.message);
    let holds = status == "True";
    let same = |old: &Value| {
        if holds {
            says(old, 3, &[("status", status)])
        } else {
            let severity = ("severity", "Info");
            says(
                old,
                6,
                &[
                    ("status", status),
                    severity,
                    ("reason", reason),
                    ("message", message),
                ],
            )
        }
    };
    let older = slot(slot(slot(object, "status"), "deprecated"), "v1beta1");
    let conditions = slot(older, "conditions");
    put(conditions, kind, status, same, |since| {
        let since = since.unwrap_or(now);
        let mut new = json!({"type": kind, "status": status, "lastTransitionTime": since});
        if !holds {
            new["severity"] = json!("Info");
            new["reason"] = json!(reason);
            new["message"] = json!(message);
        }
        new
    });
}

/// Whether a condition has so many fields, these among them.
fn says(condition: &Value, fields: usize, texts: &[(&str, &str)]) -> bool {
    condition.as_object().is_some_and(|all| all.len() == fields)
        && texts
            .iter()
            .all(|(name, text)| field(condition, name).is_some_and(|own| own == text))
}

/// Puts a condition in the place of the one of its type, unless that is the same: most of what controllers
/// tell is known. `make` is given since when the status is what it is, where that is known.
fn put(
    conditions: &mut Value,
    kind: &str,
    status: &str,
    same: impl Fn(&Value) -> bool,
    make: impl FnOnce(Option<&str>) -> Value,
) {
    if !conditions.is_array() {
        *conditions = json!([]);
    }
    let Some(conditions) = conditions.as_array_mut() else {
        return;
    };
    match conditions.iter_mut().find(|old| is_of(old, kind)) {
        Some(old) if same(old) => {}
        Some(old) => {
            let since = (text(old, "/status") == status).then(|| text(old, "/lastTransitionTime"));
            *old = make(since);
        }
        None => conditions.push(make(None)),
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

/// How many different messages an aggregate tells, and of how many objects by name.
const SHOWN: usize = 3;

/// Sums up a condition of several objects of one kind: True when it is for all, else what they say, each
/// message once with those that say it. With no objects it is True for `none`.
#[must_use]
pub fn aggregate(objects: &[&Value], kind: &str, good: &str, bad: &str, none: &str) -> State {
    if objects.is_empty() {
        return State::yes(none);
    }
    let issues = told(objects, kind, "True");
    let is_false = |(_, _, certain): &(String, Vec<&str>, bool)| *certain;
    let certain = issues.iter().any(is_false);
    let message = lines(objects, issues);
    if certain {
        State::no(bad, message)
    } else if message.is_empty() {
        State::yes(good)
    } else {
        State::unknown(&format!("{good}Unknown"), message)
    }
}

/// Sums up a condition that is bad news, e.g. `RollingOut`, of objects of several kinds: True where it
/// is for any.
#[must_use]
pub fn any(groups: &[Vec<&Value>], kind: &str) -> State {
    let mut certain = false;
    let mut found = Vec::new();
    for objects in groups {
        let issues = told(objects, kind, "False");
        let true_of =
            |object: &&Value| get(object, kind).is_some_and(|(status, ..)| status == "True");
        certain |= objects.iter().any(true_of);
        found.extend((!issues.is_empty()).then(|| lines(objects, issues)));
    }
    if certain {
        State::new("True", kind, found.join("\n"))
    } else if found.is_empty() {
        State::no(&format!("Not{kind}"), "")
    } else {
        State::unknown(&format!("{kind}Unknown"), found.join("\n"))
    }
}

/// The messages of those whose condition is not as it should be, with who says them and whether that is
/// certain; certain ones first, then those that most say.
fn told<'v>(objects: &[&'v Value], kind: &str, good: &str) -> Vec<(String, Vec<&'v str>, bool)> {
    let mut messages: Vec<(String, Vec<&str>, bool)> = Vec::new();
    for object in objects {
        let (message, certain) = match get(object, kind) {
            Some((status, ..)) if status == good => continue,
            Some((status, _, message)) => (message.to_owned(), status != "Unknown"),
            None => (format!("Condition {kind} not yet reported"), false),
        };
        let name = crate::object::name(object);
        match messages.iter_mut().find(|(known, ..)| *known == message) {
            Some((_, names, is_certain)) => {
                names.push(name);
                *is_certain |= certain;
            }
            None => messages.push((message, vec![name], certain)),
        }
    }
    for (_, names, _) in &mut messages {
        names.sort_unstable();
    }
    messages.sort_by(|(_, one, one_certain), (_, other, other_certain)| {
        let by_weight = other_certain
            .cmp(one_certain)
            .then(other.len().cmp(&one.len()));
        by_weight.then_with(|| one.cmp(other))
    });
    messages
}

/// Messages as lines, with the names of those who say them.
fn lines(objects: &[&Value], messages: Vec<(String, Vec<&str>, bool)>) -> String {
    let of = objects.first().map_or("", |object| text(object, "/kind"));
    let mut lines = Vec::new();
    let (mut issues, mut unknown) = (0, 0);
    for (index, (message, names, certain)) in messages.into_iter().enumerate() {
        if index >= SHOWN {
            *(if certain { &mut issues } else { &mut unknown }) += names.len();
            continue;
        }
        let shown = names
            .iter()
            .take(SHOWN)
            .copied()
            .collect::<Vec<_>>()
            .join(", ");
        let who = match names.len() {
            1 => format!("{of} {shown}"),
            2 | 3 => format!("{of}s {shown}"),
            more => format!("{of}s {shown}, ... ({} more)", more - SHOWN),
        };
        lines.push(format!("* {who}:{}", indented(&message)));
    }
    for (more, what) in [
        (issues, "with other issues"),
        (unknown, "with status unknown"),
    ] {
        match more {
            0 => {}
            1 => lines.push(format!("And 1 {of} {what}")),
            more => lines.push(format!("And {more} {of}s {what}")),
        }
    }
    lines.join("\n")
}

/// Whether a line is an item of a list.
fn is_item(line: &str) -> bool {
    line.trim_start().starts_with("* ")
}

/// A message behind a colon: on the same line, or, where it has several lines or is a list, below it.
#[must_use]
pub fn indented(message: &str) -> String {
    if !message.contains('\n') && !is_item(message) {
        return format!(" {message}");
    }
    let all_items = message.lines().all(is_item);
    let below = |line: &str| match (all_items, is_item(line)) {
        (true, _) => format!("\n  {line}"),
        (false, true) => format!("\n    {line}"),
        (false, false) => format!("\n  * {line}"),
    };
    message.split('\n').map(below).collect()
}

/// What an owner of Machines says while it replaces some: how many, and for which reasons.
#[must_use]
pub fn rolling_out(machines: &[&Value]) -> State {
    let outdated: Vec<&str> = machines
        .iter()
        .filter_map(|machine| get(machine, "UpToDate"))
        .filter_map(|(status, _, message)| (status == "False").then_some(message))
        .collect();
    if outdated.is_empty() {
        return State::no("NotRollingOut", "");
    }
    let mut reasons: Vec<&str> = outdated
        .iter()
        .flat_map(|message| message.lines())
        .collect();
    reasons.sort_unstable_by_key(|reason| (!reason.starts_with("* Version"), *reason));
    reasons.dedup();
    let count = outdated.len();
    let mut message = format!("Rolling out {count} not up-to-date replicas");
    for reason in reasons {
        message.push('\n');
        message.push_str(reason);
    }
    State::new("True", "RollingOut", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(name: &str, status: &str, message: &str) -> Value {
        json!({"kind": "Machine", "metadata": {"name": name},
            "status": {"conditions": [{"type": "Ready", "status": status, "reason": "R", "message": message}]}})
    }

    fn summed(machines: &[Value]) -> State {
        let machines: Vec<&Value> = machines.iter().collect();
        aggregate(&machines, "Ready", "Ready", "NotReady", "NoReplicas")
    }

    #[test]
    fn the_same_message_is_told_once_with_all_who_say_it() {
        let machines = [
            machine("c", "False", "* NodeHealthy: x"),
            machine("a", "False", "* NodeHealthy: x"),
            machine("b", "Unknown", "later"),
            machine("d", "True", ""),
        ];
        let state = summed(&machines);
        assert_eq!((state.status, state.reason.as_str()), ("False", "NotReady"));
        assert_eq!(
            state.message,
            "* Machines a, c:\n  * NodeHealthy: x\n* Machine b: later"
        );
        assert_eq!(summed(&machines[2..]).reason, "ReadyUnknown");
        assert_eq!(summed(&machines[3..]), State::yes("Ready"));
        assert_eq!(summed(&[]).reason, "NoReplicas");
    }

    #[test]
    fn a_list_below_a_sentence_is_indented_deeper() {
        let message = "Rolling out 1 not up-to-date replicas\n* Version v1.34.3, v1.35.0 required";
        assert_eq!(
            indented(message),
            "\n  * Rolling out 1 not up-to-date replicas\n    * Version v1.34.3, v1.35.0 required"
        );
        assert_eq!(indented("plain"), " plain");
    }

    #[test]
    fn a_rollout_tells_its_reasons_once_the_version_first() {
        let machine = |message: &str| json!({"status": {"conditions": [{"type": "UpToDate", "status": "False", "reason": "NotUpToDate", "message": message}]}});
        let one = machine("* DockerMachine is not up-to-date\n* Version v1.34.3, v1.35.0 required");
        let state = rolling_out(&[&one, &one]);
        assert_eq!(
            state.message,
            "Rolling out 2 not up-to-date replicas\n* Version v1.34.3, v1.35.0 required\n* DockerMachine is not up-to-date"
        );
        assert_eq!(rolling_out(&[]).reason, "NotRollingOut");
    }
}
