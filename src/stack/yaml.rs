//! YAML text to values, keeping the places of all nodes, so that every finding can name its line.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::de::{Deserialize, DeserializeOwned, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Error, Location, MessageFormatter, Spanned, UserMessageFormatter};

use super::problem::{Place, Problem, Problems};

/// Largest YAML file that is read, in bytes; none of ours comes near.
const SIZE_LIMIT: u64 = 4 << 20;

/// One YAML file: its text and the places of its nodes.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    path: PathBuf,
    text: Arc<str>,
    root: Option<Spanned<Node>>,
}

impl Source {
    /// Reads a file; a missing one, one of absurd size, or one that is not UTF-8 is a problem.
    pub(crate) fn read(path: &Path) -> Result<Self, Problems> {
        let failed = |error: &dyn fmt::Display| {
            Problem::new(path, format!("cannot be read: {error}")).expected("a YAML file")
        };
        let metadata = std::fs::metadata(path).map_err(|error| failed(&error))?;
        if metadata.len() > SIZE_LIMIT {
            let message = format!("is {} bytes long", metadata.len());
            return Err(Problem::new(path, message)
                .expected(format!("a YAML file of at most {SIZE_LIMIT} bytes"))
                .into());
        }
        let text = std::fs::read_to_string(path).map_err(|error| failed(&error))?;
        Ok(Self::new(path, &text))
    }

    /// A source whose text is at hand, e.g. from an archive.
    pub(crate) fn new(path: &Path, text: &str) -> Self {
        Self {
            path: path.to_owned(),
            text: text.into(),
            // A syntax error has no tree; `parse` reports it.
            root: serde_saphyr::from_str(text).ok(),
        }
    }

    /// The text as it was read.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The text as one value of type `T`.
    pub(crate) fn parse<T: DeserializeOwned>(&self) -> Result<T, Problems> {
        serde_saphyr::from_str(&self.text).map_err(|error| self.explain(&error).into())
    }

    /// A problem of this file at the node that `path` leads to, or at its nearest ancestor.
    pub(crate) fn problem(&self, path: &[&str], message: impl Into<String>) -> Problem {
        Problem::new(&self.path, message).at(self.place_of(path))
    }

    /// A problem in a text of several words or lines, such as an expression, at the node that `path`
    /// leads to: `line` is the text's own line there, `column` counts its characters from 1.
    pub(crate) fn problem_within(
        &self,
        path: &[&str],
        line: &str,
        column: usize,
        message: impl Into<String>,
    ) -> Problem {
        let problem = self.problem(path, message);
        let Some(start) = self.node(path).and_then(|node| self.start(node.referenced)) else {
            return problem;
        };
        // Quotes, folds and indents may stand in between, so the line is searched for.
        let line = line.trim_end();
        let Some(at) = self.text.get(start..).and_then(|rest| rest.find(line)) else {
            return problem;
        };
        let before: usize = line
            .chars()
            .take(column.saturating_sub(1))
            .map(char::len_utf8)
            .sum();
        problem.at(Some(Place::new(&self.text, start + at + before, 1)))
    }

    fn node(&self, path: &[&str]) -> Option<&Spanned<Node>> {
        let mut node = self.root.as_ref()?;
        for key in path {
            match node.value.child(key) {
                Some(child) => node = child,
                None => break,
            }
        }
        Some(node)
    }

    fn place_of(&self, path: &[&str]) -> Option<Place> {
        self.place(self.node(path)?.referenced)
    }

    fn start(&self, location: Location) -> Option<usize> {
        match location.span().byte_offset() {
            Some(offset) => usize::try_from(offset).ok(),
            // The parser's own errors know line and column alone.
            None => self.offset(location.line(), location.column()),
        }
    }

    fn place(&self, location: Location) -> Option<Place> {
        if location == Location::UNKNOWN {
            return None;
        }
        let span = location.span();
        let length = usize::try_from(span.byte_len().unwrap_or(1)).ok()?;
        Some(Place::new(&self.text, self.start(location)?, length))
    }

    fn offset(&self, line: u64, column: u64) -> Option<usize> {
        let before = usize::try_from(line).ok()?.checked_sub(1)?;
        let lines = self.text.split_inclusive('\n');
        let start: usize = lines.clone().take(before).map(str::len).sum();
        let text = lines.clone().nth(before).unwrap_or_default();
        let characters = usize::try_from(column).ok()?.saturating_sub(1);
        Some(
            start
                + text
                    .chars()
                    .take(characters)
                    .map(char::len_utf8)
                    .sum::<usize>(),
        )
    }

    fn explain(&self, error: &Error) -> Problem {
        let error = error.without_snippet();
        let message = in_words(error);
        let place = error.location().and_then(|location| self.place(location));
        let field = self
            .root
            .as_ref()
            .zip(error.location())
            .and_then(|(root, location)| {
                let mut path = Vec::new();
                root.value
                    .path_to(location, &mut path)
                    .then(|| path.join("."))
            });
        let message = match field {
            Some(field) if !field.is_empty() => format!("`{field}`: {message}"),
            _ => message,
        };
        Problem::new(&self.path, message).at(place)
    }
}

/// The message of an error in the words of a user, not of serde.
fn in_words(error: &Error) -> String {
    match error {
        Error::InvalidScalar { ty, .. } if ty.starts_with(['u', 'i']) => {
            "expected a whole number, not negative and not too large".to_owned()
        }
        Error::Unexpected { expected, .. } => match *expected {
            "string scalar" => "expected text".to_owned(),
            "sequence start" => "expected a list".to_owned(),
            "mapping start" => "expected a mapping".to_owned(),
            other => format!("expected {other}"),
        },
        Error::NullIntoString { .. } => "there is no value, expected text".to_owned(),
        other => UserMessageFormatter.format_message(other).into_owned(),
    }
}

/// Any YAML node, reduced to what is needed to find places.
#[derive(Debug, Clone)]
enum Node {
    Scalar,
    Sequence(Vec<Spanned<Node>>),
    Mapping(Vec<(Spanned<String>, Spanned<Node>)>),
}

impl Node {
    fn child(&self, key: &str) -> Option<&Spanned<Node>> {
        match self {
            Self::Scalar => None,
            Self::Sequence(items) => items.get(key.parse::<usize>().ok()?),
            Self::Mapping(entries) => entries
                .iter()
                .find(|(name, _)| name.value == key)
                .map(|(_, value)| value),
        }
    }

    /// Collects the keys that lead to the node at `location`, or to the mapping that has a key
    /// there; false when there is neither.
    fn path_to(&self, location: Location, path: &mut Vec<String>) -> bool {
        let here = |other: Location| {
            (other.line(), other.column()) == (location.line(), location.column())
        };
        let children: Vec<(String, &Spanned<Node>)> = match self {
            Self::Scalar => return false,
            Self::Sequence(items) => {
                let items = items.iter().enumerate();
                items
                    .map(|(index, item)| (index.to_string(), item))
                    .collect()
            }
            Self::Mapping(entries) => {
                if entries.iter().any(|(name, _)| here(name.referenced)) {
                    return true;
                }
                let entries = entries.iter();
                entries
                    .map(|(name, value)| (name.value.clone(), value))
                    .collect()
            }
        };
        for (name, child) in children {
            path.push(name);
            if here(child.referenced) || child.value.path_to(location, path) {
                return true;
            }
            path.pop();
        }
        false
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

/// Scalars of every type are the same to us.
macro_rules! scalars {
    ($($visit:ident: $type:ty),+) => {
        $(fn $visit<E>(self, _: $type) -> Result<Node, E> { Ok(Node::Scalar) })+
    };
}

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    scalars!(visit_bool: bool, visit_i64: i64, visit_i128: i128, visit_u64: u64, visit_u128: u128, visit_f64: f64, visit_str: &str, visit_bytes: &[u8]);

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        Node::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = sequence.next_element()? {
            items.push(item);
        }
        Ok(Node::Sequence(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut mapping: A) -> Result<Node, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = mapping.next_entry()? {
            entries.push(entry);
        }
        Ok(Node::Mapping(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> Source {
        Source::new(Path::new("x.yaml"), text)
    }

    #[test]
    fn a_path_leads_to_the_line_of_its_value() {
        let source = source("a:\n  b:\n  - c: 1\n  - c: 2\n");
        let problem = source.problem(&["a", "b", "1", "c"], "wrong");
        assert!(
            problem.to_string().starts_with("x.yaml:4:8: wrong"),
            "{problem}"
        );
    }

    #[test]
    fn a_path_that_ends_nowhere_leads_to_the_nearest_ancestor() {
        let source = source("a:\n  b: {c: 1}\n");
        let problem = source.problem(&["a", "b", "missing", "x"], "wrong");
        assert!(
            problem.to_string().starts_with("x.yaml:2:6: wrong"),
            "{problem}"
        );
    }

    #[test]
    fn a_wrong_type_names_the_field() {
        let problems = source("a:\n  b: text\n")
            .parse::<std::collections::BTreeMap<String, std::collections::BTreeMap<String, u16>>>()
            .unwrap_err();
        let text = problems.to_string();
        assert!(text.starts_with("x.yaml:2:6: `a.b`: "), "{text}");
    }

    #[test]
    fn a_place_within_a_text_is_found_whatever_its_style() {
        for (text, place) in [
            ("e: a && b\n", "x.yaml:1:9: "),
            ("e: 'a && b'\n", "x.yaml:1:10: "),
            ("f: a && b\ne: |\n  x\n  a && b\n", "x.yaml:4:8: "),
        ] {
            let problem = source(text).problem_within(&["e"], "a && b", 6, "wrong");
            assert!(problem.to_string().starts_with(place), "{problem}");
        }
        let problem = source("e: a\n").problem_within(&["e"], "gone", 2, "wrong");
        assert!(problem.to_string().starts_with("x.yaml:1:4: "), "{problem}");
    }

    #[test]
    fn a_syntax_error_has_its_line() {
        let text = source("a: 1\nb: [\n")
            .parse::<serde_json::Value>()
            .unwrap_err()
            .to_string();
        assert!(text.starts_with("x.yaml:"), "{text}");
        assert!(text.contains(" |"), "{text}");
    }
}
