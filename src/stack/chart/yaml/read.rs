//! YAML text to JSON values, the way `sigs.k8s.io/yaml` turns one into the other.

use std::collections::BTreeMap;

use serde_json::{Map, Number, Value};
use serde_saphyr::granit_parser::{Event, Options, Parser, ScalarStyle, ScanError, StrInput};

use super::resolve::{Plain, resolve};

/// Malformed YAML and the line where it is.
#[derive(Debug, Clone)]
pub(in crate::stack::chart) struct YamlError {
    /// One-based line in the text.
    pub line: usize,
    /// What is wrong.
    pub message: String,
}

/// Nodes of one document, aliases expanded; an alias bomb has billions.
const NODE_LIMIT: usize = 2_000_000;

/// Parses the first document of `text`; an empty text is null.
pub(in crate::stack::chart) fn parse(text: &str) -> Result<Value, YamlError> {
    let mut options = Options::default();
    options.set_emit_comments(false);
    let mut reader = Reader {
        parser: Parser::new_from_str_with_options(text, options),
        anchors: BTreeMap::new(),
        nodes: 0,
        line: 1,
    };
    loop {
        match reader.next()? {
            Event::StreamEnd => return Ok(Value::Null),
            Event::DocumentStart(..) => break,
            _ => {}
        }
    }
    let event = reader.next()?;
    if matches!(event, Event::DocumentEnd) {
        return Ok(Value::Null);
    }
    reader.node(event).map(|node| node.value)
}

struct Reader<'t> {
    parser: Parser<'t, StrInput<'t>>,
    anchors: BTreeMap<usize, Value>,
    nodes: usize,
    line: usize,
}

/// A value, and whether it came from the plain scalar `<<`.
struct Node {
    value: Value,
    merge: bool,
}

impl<'t> Reader<'t> {
    fn next(&mut self) -> Result<Event<'t>, YamlError> {
        match self.parser.next_event() {
            Some(Ok((event, span))) => {
                self.line = span.start.line();
                Ok(event)
            }
            Some(Err(error)) => Err(scan_error(&error)),
            None => Ok(Event::StreamEnd),
        }
    }

    fn error(&self, message: impl Into<String>) -> YamlError {
        YamlError {
            line: self.line,
            message: message.into(),
        }
    }

    fn count(&mut self, nodes: usize) -> Result<(), YamlError> {
        self.nodes += nodes;
        if self.nodes > NODE_LIMIT {
            return Err(self.error(format!("aliases expand to more than {NODE_LIMIT} nodes")));
        }
        Ok(())
    }

    // Recursion is bounded: the parser refuses documents nested deeper than 255 levels.
    fn node(&mut self, event: Event<'t>) -> Result<Node, YamlError> {
        self.count(1)?;
        let (value, anchor, merge) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let tag = tag
                    .as_deref()
                    .and_then(|t| t.core_suffix())
                    .map(str::to_owned);
                let plain = match (style, tag.as_deref()) {
                    (_, Some("str")) => Plain::Text,
                    (ScalarStyle::Plain, _) | (_, Some(_)) => resolve(&text),
                    _ => Plain::Text,
                };
                let value = self.scalar(plain, &text, tag.as_deref())?;
                (value, anchor, plain == Plain::Merge)
            }
            Event::SequenceStart(_, anchor, _) => {
                let mut items = Vec::new();
                loop {
                    match self.next()? {
                        Event::SequenceEnd => break,
                        event => items.push(self.node(event)?.value),
                    }
                }
                (Value::Array(items), anchor, false)
            }
            Event::MappingStart(_, anchor, _) => (self.mapping()?, anchor, false),
            Event::Alias(id) => {
                let Some(value) = self.anchors.get(&id).cloned() else {
                    return Err(self.error("alias refers to a node that is not complete"));
                };
                self.count(size(&value))?;
                (value, 0, false)
            }
            other => return Err(self.error(format!("unexpected {other:?}"))),
        };
        if anchor != 0 {
            self.anchors.insert(anchor, value.clone());
        }
        Ok(Node { value, merge })
    }

    fn scalar(&self, plain: Plain, text: &str, tag: Option<&str>) -> Result<Value, YamlError> {
        Ok(match plain {
            Plain::Null => Value::Null,
            Plain::Bool(value) => Value::Bool(value),
            Plain::Int(value) if tag == Some("float") => float(value as f64),
            Plain::Int(value) => value.into(),
            Plain::Uint(value) => value.into(),
            Plain::Float(value) if value.is_finite() => float(value),
            Plain::Float(_) => {
                return Err(
                    self.error(format!("{text} has no JSON form, expected a finite number"))
                );
            }
            Plain::Timestamp | Plain::Merge | Plain::Text => Value::String(text.to_owned()),
        })
    }

    fn mapping(&mut self) -> Result<Value, YamlError> {
        let mut map = Map::new();
        let mut merged: Vec<Value> = Vec::new();
        loop {
            let event = self.next()?;
            if matches!(event, Event::MappingEnd) {
                break;
            }
            let key = self.node(event)?;
            let event = self.next()?;
            let value = self.node(event)?.value;
            if key.merge {
                match value {
                    Value::Array(sources) => merged.extend(sources),
                    source => merged.push(source),
                }
                continue;
            }
            let key = match key.value {
                Value::String(key) => key,
                Value::Number(number) => number.to_string(),
                Value::Bool(value) => value.to_string(),
                Value::Null => "null".to_owned(),
                _ => return Err(self.error("a list or mapping cannot be a key, expected a string")),
            };
            map.insert(key, value);
        }
        for source in merged {
            let Value::Object(source) = source else {
                return Err(self.error("`<<` needs a mapping or a list of mappings"));
            };
            for (key, value) in source {
                map.entry(key).or_insert(value);
            }
        }
        Ok(Value::Object(map))
    }
}

/// A float that is a whole number becomes an integer, as it does on its way through JSON in Go.
fn float(value: f64) -> Value {
    if value.fract() == 0.0 && value.abs() < 9.0e18 {
        return Value::from(value as i64);
    }
    Number::from_f64(value).map_or(Value::Null, Value::Number)
}

fn size(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(size).sum::<usize>(),
        Value::Object(map) => 1 + map.values().map(size).sum::<usize>(),
        _ => 1,
    }
}

fn scan_error(error: &ScanError) -> YamlError {
    YamlError {
        line: error.marker().line(),
        message: error.info(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn read(text: &str) -> Value {
        parse(text).unwrap_or_else(|e| panic!("{text}: {e:?}"))
    }

    #[test]
    fn documents_become_what_kubernetes_sees() {
        assert_eq!(read(""), Value::Null);
        assert_eq!(read("# nothing\n"), Value::Null);
        assert_eq!(read("---\n"), Value::Null);
        assert_eq!(
            read("a: yes\nb: 'yes'\nc: 0644\nd: 1.0\ne:\n"),
            json!({"a": true, "b": "yes", "c": 420, "d": 1, "e": null})
        );
        assert_eq!(read("1: a\ntrue: b\n"), json!({"1": "a", "true": "b"}));
        assert_eq!(
            read("a: !!str 5\nb: 1e+06\nc: 2024-01-02\n"),
            json!({"a": "5", "b": 1_000_000, "c": "2024-01-02"})
        );
        assert_eq!(read("a: 1\n---\na: 2\n"), json!({"a": 1}));
        assert_eq!(read("a: 1\na: 2\n"), json!({"a": 2}));
    }

    #[test]
    fn anchors_and_merge_keys() {
        let text = "base: &b {x: 1, z: 2}\nuse:\n  <<: *b\n  z: 3\nlist: [*b]\n";
        assert_eq!(
            read(text),
            json!({
                "base": {"x": 1, "z": 2}, "use": {"x": 1, "z": 3}, "list": [{"x": 1, "z": 2}]
            })
        );
    }

    #[test]
    fn an_alias_bomb_is_refused() {
        let mut text = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
        for i in 1..9 {
            let refs = vec![format!("*a{}", i - 1); 10].join(",");
            text += &format!("a{i}: &a{i} [{refs}]\n");
        }
        assert!(parse(&text).unwrap_err().message.contains("aliases expand"));
    }

    #[test]
    fn errors_name_the_line() {
        let error = parse("a: 1\nb: [1, 2\nc: 3\n").unwrap_err();
        assert!(error.line >= 2, "{error:?}");
        let deep = "[".repeat(5000);
        assert!(parse(&deep).is_err());
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in "\\PC{0,200}") {
            let _ = parse(&text);
        }

        #[test]
        fn yamlish_text_never_panics(text in "[-a-z:{}\\[\\]&*!|>'\"#%@ \n0-9,?]{0,200}") {
            let _ = parse(&text);
        }
    }
}
