//! Where in a template an object's field is written, as far as its text tells.

use std::sync::Arc;

use serde_json::Value;

use crate::stack::Place;

/// The last of `keys` that is found below the object's `kind`, each below the one before; without any of
/// them the line of the kind. A loop writes many objects with one text, so this is where to look, not a proof.
pub(super) fn find(text: &str, object: &Value, ordinal: usize, keys: &[&str]) -> Option<Place> {
    let kind = object["kind"].as_str()?;
    let lines: Vec<(usize, &str)> = lines(text).collect();
    let is_kind = |line: &str| {
        let value = line.strip_prefix("kind:").map(str::trim);
        value.map(|value| value.trim_matches(['"', '\''])) == Some(kind)
    };
    let written: Vec<usize> = (0..lines.len())
        .filter(|&at| is_kind(lines[at].1))
        .collect();
    let at = *written.get(ordinal).or_else(|| written.last())?;
    let separates = |line: &str| line.starts_with("---");
    let begin = (0..at).rev().find(|&line| separates(lines[line].1));
    let end = (at..lines.len()).find(|&line| separates(lines[line].1));
    let (begin, end) = (begin.map_or(0, |line| line + 1), end.unwrap_or(lines.len()));
    let mut found = at;
    let mut from = begin;
    for key in keys {
        let has = |line: usize| {
            let trimmed = lines[line].1.trim_start().trim_start_matches("- ");
            let rest = trimmed.strip_prefix(key);
            rest.is_some_and(|rest| rest.starts_with(':') || key.ends_with(':'))
        };
        if let Some(line) = (from..end).find(|&line| has(line)) {
            found = line;
            from = line + 1;
        }
    }
    let (offset, line) = lines[found];
    let indent = line.len() - line.trim_start().len();
    let source: Arc<str> = text.into();
    Some(Place::new(&source, offset + indent, line.trim().len()))
}

/// Lines with their offsets.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut offset = 0;
    text.split_inclusive('\n').map(move |line| {
        let at = offset;
        offset += line.len();
        (at, line.trim_end_matches(['\n', '\r']))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const TEXT: &str = "\
{{- if .Values.on }}
apiVersion: v1
kind: Service
metadata:
  name: a
---
apiVersion: v1
kind: Service
metadata:
  name: b
spec:
  selector: {a: b}
  ports:
  - name: x
---
kind: \"Role\"
spec:
  selector: {}
{{- end }}
";

    #[test]
    fn a_key_is_looked_for_in_the_objects_own_part() {
        let line = |kind: &str, ordinal, keys: &[&str]| {
            let object = json!({"kind": kind});
            find(TEXT, &object, ordinal, keys).map(|place| place.line)
        };
        assert_eq!(line("Service", 0, &["selector"]), Some(3));
        assert_eq!(line("Service", 1, &["spec", "selector"]), Some(12));
        assert_eq!(line("Service", 1, &["ports", "name"]), Some(14));
        // A loop gives more objects than are written.
        assert_eq!(line("Service", 7, &["metadata", "name"]), Some(10));
        assert_eq!(line("Role", 0, &["spec", "selector"]), Some(18));
        assert_eq!(line("Pod", 0, &[]), None);
    }
}
