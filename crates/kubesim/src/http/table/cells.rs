//! What cells have in common: ages, labels, lists that are cut short.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::selector::Labels;

/// Name and age.
pub fn name_and_age(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![name(object), age(object, now)]
}

/// `metadata.name`.
pub fn name(object: &Value) -> Value {
    object["metadata"]["name"].clone()
}

/// The age of an object.
pub fn age(object: &Value, now: Timestamp) -> Value {
    json!(since(&object["metadata"]["creationTimestamp"], now))
}

/// How long ago a time is.
pub fn since(time: &Value, now: Timestamp) -> String {
    timestamp(time).map_or_else(
        || "<unknown>".to_owned(),
        |time| human(now.duration_since(time)),
    )
}

/// A time as objects say it.
pub fn timestamp(time: &Value) -> Option<Timestamp> {
    time.as_str()?.parse().ok()
}

/// A duration in the few characters that a column has room for.
pub fn human(duration: SignedDuration) -> String {
    let two = |major: i64, unit: &str, minor: i64, small: &str| {
        if minor == 0 {
            format!("{major}{unit}")
        } else {
            format!("{major}{unit}{minor}{small}")
        }
    };
    let seconds = duration.as_secs();
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    match () {
        () if seconds < -1 => "<invalid>".to_owned(),
        () if seconds < 0 => "0s".to_owned(),
        () if seconds < 120 => format!("{seconds}s"),
        () if minutes < 10 => two(minutes, "m", seconds % 60, "s"),
        () if minutes < 180 => format!("{minutes}m"),
        () if hours < 8 => two(hours, "h", minutes % 60, "m"),
        () if hours < 48 => format!("{hours}h"),
        () if hours < 192 => two(hours / 24, "d", hours % 24, "h"),
        () if hours < 24 * 365 * 2 => format!("{}d", hours / 24),
        () if hours < 24 * 365 * 8 => two(hours / 24 / 365, "y", hours / 24 % 365, "d"),
        () => format!("{}y", hours / 24 / 365),
    }
}

/// Text at a pointer, or what stands for none.
pub fn text(object: &Value, pointer: &str, none: &str) -> Value {
    match object.pointer(pointer) {
        Some(Value::String(text)) if !text.is_empty() => json!(text),
        Some(value) if value.is_number() || value.is_boolean() => json!(value.to_string()),
        _ => json!(none),
    }
}

/// A number at a pointer.
pub fn number(object: &Value, pointer: &str) -> i64 {
    object
        .pointer(pointer)
        .and_then(Value::as_i64)
        .unwrap_or_default()
}

/// The elements at a pointer.
pub fn elements<'a>(object: &'a Value, pointer: &str) -> &'a [Value] {
    object
        .pointer(pointer)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// How many fields an object at a pointer has.
pub fn fields(object: &Value, pointer: &str) -> usize {
    object
        .pointer(pointer)
        .and_then(Value::as_object)
        .map_or(0, serde_json::Map::len)
}

/// `a=b,c=d`, sorted.
pub fn labels(labels: &Value) -> String {
    let mut shown: Vec<String> = labels
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect();
    if shown.is_empty() {
        return "<none>".to_owned();
    }
    shown.sort();
    shown.join(",")
}

/// A label selector.
pub fn selector(selector: &Value) -> String {
    let shown = Labels::of(selector).map(|selector| selector.to_string());
    match shown {
        Some(shown) if !shown.is_empty() => shown,
        _ => "<none>".to_owned(),
    }
}

/// Names and images of containers.
pub fn containers(object: &Value, pointer: &str) -> [Value; 2] {
    ["name", "image"].map(|field| {
        let each = elements(object, pointer).iter();
        json!(join(each.map(|container| {
            container[field].as_str().unwrap_or_default()
        })))
    })
}

/// Words with commas between.
pub fn join<'a>(words: impl Iterator<Item = &'a str>) -> String {
    words.collect::<Vec<_>>().join(",")
}

/// At most three, and how many more there are.
pub fn three(words: &[String], none: &str) -> String {
    match words.len() {
        0 => none.to_owned(),
        1..=3 => words.join(","),
        more => format!("{} + {} more...", words[..3].join(","), more - 3),
    }
}

/// Whether a condition is there and true.
pub fn is_true(object: &Value, kind: &str) -> bool {
    let mut conditions = elements(object, "/status/conditions").iter();
    conditions.any(|condition| condition["type"] == kind && condition["status"] == "True")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_told_in_few_characters() {
        for (seconds, shown) in [
            (-5, "<invalid>"),
            (-1, "0s"),
            (119, "119s"),
            (120, "2m"),
            (200, "3m20s"),
            (600, "10m"),
            (3 * 3600, "3h"),
            (3 * 3600 + 300, "3h5m"),
            (30 * 3600, "30h"),
            (50 * 3600, "2d2h"),
            (9 * 86400, "9d"),
            (800 * 86400, "2y70d"),
            (9 * 365 * 86400, "9y"),
        ] {
            assert_eq!(
                human(SignedDuration::from_secs(seconds)),
                shown,
                "{seconds}"
            );
        }
    }
}
