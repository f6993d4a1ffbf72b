//! JSON values to YAML text, byte for byte as go-yaml v2 writes it.
//!
//! Charts put `sha256sum` of `toYaml` into annotations, so equal objects are not enough: quoting,
//! key order and the folding of long lines must be the same too. No YAML library for Rust writes
//! that dialect, hence this one.

use serde_json::Value;

use super::style::{Style, escape, is_break, is_printable, natural, style};

/// Indentation per level, and the width after which go-yaml folds at the next space.
const INDENT: usize = 2;
const WIDTH: usize = 80;
/// Keys longer than this are written as `? key`.
const SIMPLE_KEY: usize = 128;

/// `value` as a YAML document that ends in a line break.
pub(in crate::stack::chart) fn to_yaml(value: &Value) -> String {
    let mut out = Emitter {
        out: String::new(),
        column: 0,
    };
    out.node(value, None, Context::Root);
    if !out.out.ends_with('\n') {
        out.line();
    }
    out.out
}

#[derive(Clone, Copy, PartialEq)]
enum Context {
    Root,
    /// After `- `.
    Item,
    /// After `key:`.
    Value,
    /// Before the `:` of a mapping.
    Key,
}

struct Emitter {
    out: String,
    column: usize,
}

impl Emitter {
    fn put(&mut self, text: &str) {
        self.out.push_str(text);
        self.column += text.chars().count();
    }

    fn line(&mut self) {
        self.out.push('\n');
        self.column = 0;
    }

    /// Begins a new entry at `indent`, on this line if it is still empty up to there.
    fn indent(&mut self, indent: usize) {
        let only_indicators = self.out[self.out.len() - self.current_line().len()..]
            .bytes()
            .all(|b| b == b' ' || b == b'-');
        if self.column > indent || (self.column > 0 && !only_indicators) {
            self.line();
        }
        while self.column < indent {
            self.put(" ");
        }
    }

    fn current_line(&self) -> &str {
        self.out.rsplit('\n').next().unwrap_or("")
    }

    /// `indent` is that of the collection around the node; `None` at the root.
    fn node(&mut self, value: &Value, indent: Option<usize>, context: Context) {
        match value {
            Value::Object(map) if !map.is_empty() => {
                let mut entries: Vec<_> = map.iter().collect();
                entries.sort_by(|a, b| natural(a.0, b.0));
                let indent = indent.map_or(0, |i| i + INDENT);
                for (key, value) in entries {
                    self.indent(indent);
                    self.entry(key, value, indent);
                }
            }
            Value::Array(items) if !items.is_empty() => {
                let indent = match (indent, context) {
                    (None, _) => 0,
                    (Some(i), Context::Value) => i,
                    (Some(i), _) => i + INDENT,
                };
                for item in items {
                    self.indent(indent);
                    self.put("-");
                    self.node(item, Some(indent), Context::Item);
                }
            }
            Value::Object(_) => self.word("{}"),
            Value::Array(_) => self.word("[]"),
            Value::Null => self.word("null"),
            Value::Bool(true) => self.word("true"),
            Value::Bool(false) => self.word("false"),
            Value::Number(number) => self.word(&number_text(number)),
            Value::String(text) => self.scalar(text, indent, context),
        }
    }

    fn entry(&mut self, key: &str, value: &Value, indent: usize) {
        let simple = !key.contains(is_break) && key.len() <= SIMPLE_KEY;
        if simple {
            self.scalar(key, Some(indent), Context::Key);
            self.put(":");
        } else {
            self.put("?");
            self.scalar(key, Some(indent), Context::Item);
            self.indent(indent);
            self.put(":");
        }
        self.node(
            value,
            Some(indent),
            if simple {
                Context::Value
            } else {
                Context::Item
            },
        );
    }

    /// Writes a space, unless the line is empty or ends in one, and then `text`.
    fn word(&mut self, text: &str) {
        self.space();
        self.put(text);
    }

    fn space(&mut self) {
        if self.column > 0 && !self.out.ends_with(' ') {
            self.put(" ");
        }
    }

    fn scalar(&mut self, text: &str, indent: Option<usize>, context: Context) {
        let simple_key = context == Context::Key;
        let indent = indent.map_or(INDENT, |i| i + INDENT);
        match style(text, simple_key) {
            Style::Plain => {
                self.space();
                self.folded(text, indent, !simple_key, |out, c| {
                    out.put(c.encode_utf8(&mut [0; 4]))
                });
            }
            Style::Single => {
                self.word("'");
                self.folded(text, indent, !simple_key, |out, c| {
                    if c == '\'' {
                        out.put("'");
                    }
                    out.put(c.encode_utf8(&mut [0; 4]));
                });
                self.put("'");
            }
            Style::Double => {
                self.word("\"");
                self.double(text, indent, !simple_key);
                self.put("\"");
            }
            Style::Literal => self.literal(text, indent),
        }
    }

    /// Plain and single-quoted text: folds at a single space beyond the width.
    fn folded(&mut self, text: &str, indent: usize, fold: bool, write: impl Fn(&mut Self, char)) {
        let chars: Vec<char> = text.chars().collect();
        let (mut spaces, mut breaks) = (false, false);
        for (i, &c) in chars.iter().enumerate() {
            if c == ' ' {
                let inside = i > 0 && i + 1 < chars.len();
                if fold && !spaces && inside && self.column > WIDTH && chars[i + 1] != ' ' {
                    self.line();
                    self.put(&" ".repeat(indent));
                } else {
                    self.put(" ");
                }
                spaces = true;
            } else if is_break(c) {
                if !breaks && c == '\n' {
                    self.line();
                }
                self.line();
                breaks = true;
            } else {
                if breaks {
                    self.put(&" ".repeat(indent));
                }
                write(self, c);
                (spaces, breaks) = (false, false);
            }
        }
    }

    fn double(&mut self, text: &str, indent: usize, fold: bool) {
        let chars: Vec<char> = text.chars().collect();
        let mut spaces = false;
        for (i, &c) in chars.iter().enumerate() {
            if c == ' ' {
                let inside = i > 0 && i + 1 < chars.len();
                if fold && !spaces && inside && self.column > WIDTH {
                    self.line();
                    self.put(&" ".repeat(indent));
                    if chars[i + 1] == ' ' {
                        self.put("\\");
                    }
                } else {
                    self.put(" ");
                }
                spaces = true;
                continue;
            }
            spaces = false;
            if !is_printable(c) || is_break(c) || c == '"' || c == '\\' || c == '\u{feff}' {
                self.put(&escape(c));
            } else {
                self.put(c.encode_utf8(&mut [0; 4]));
            }
        }
    }

    fn literal(&mut self, text: &str, indent: usize) {
        self.word("|");
        if text.starts_with([' ', '\n']) {
            self.put(&INDENT.to_string());
        }
        let mut from_end = text.chars().rev();
        match (from_end.next().is_some_and(is_break), from_end.next()) {
            (false, _) => self.put("-"),
            (true, None) => self.put("+"),
            (true, Some(before)) if is_break(before) => self.put("+"),
            (true, Some(_)) => {}
        }
        self.line();
        for (i, line) in text.split('\n').enumerate() {
            if i > 0 {
                self.line();
            }
            if !line.is_empty() {
                self.put(&" ".repeat(indent));
                self.put(line);
            }
        }
    }
}

fn number_text(number: &serde_json::Number) -> String {
    if number.is_f64()
        && let Some(value) = number.as_f64()
    {
        return super::super::template::format::float(value);
    }
    number.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn collections_are_laid_out_like_go_yaml() {
        let value = json!({
            "b": {"z": [1, {"k": "v", "a": [[1, 2], []]}], "x": {}},
            "a": null, "a10": 1, "a2": true, "list": ["x"], "text": "one\ntwo\n"
        });
        insta::assert_snapshot!(to_yaml(&value), @r"
        a: null
        a2: true
        a10: 1
        b:
          x: {}
          z:
          - 1
          - a:
            - - 1
              - 2
            - []
            k: v
        list:
        - x
        text: |
          one
          two
        ");
    }

    #[test]
    fn strings_are_quoted_like_go_yaml() {
        for (text, expected) in [
            ("plain text", "plain text\n"),
            ("", "\"\"\n"),
            ("true", "\"true\"\n"),
            ("yes", "\"yes\"\n"),
            ("012", "\"012\"\n"),
            ("1.5", "\"1.5\"\n"),
            ("2024-01-02", "\"2024-01-02\"\n"),
            ("12:30", "\"12:30\"\n"),
            ("*star", "'*star'\n"),
            ("it's: here", "'it''s: here'\n"),
            (" padded ", "' padded '\n"),
            ("a #b", "'a #b'\n"),
            ("a#b", "a#b\n"),
            ("key: ", "'key: '\n"),
            ("- a", "'- a'\n"),
            ("-a", "-a\n"),
            ("tab\there", "\"tab\\there\"\n"),
            ("a\nb", "|-\n  a\n  b\n"),
            ("a\n\n", "|+\n  a\n\n"),
            (" a\nb\n", "|2\n   a\n  b\n"),
            ("a \nb", "\"a \\nb\"\n"),
            ("ünï", "ünï\n"),
            ("\u{1F600}", "\"\\U0001F600\"\n"),
        ] {
            assert_eq!(to_yaml(&json!(text)), expected, "{text:?}");
        }
    }

    #[test]
    fn long_lines_fold_after_eighty_columns() {
        let text = "word ".repeat(30).trim_end().to_owned();
        let yaml = to_yaml(&json!({ "key": text }));
        assert_eq!(yaml.lines().count(), 2, "{yaml}");
        assert!(
            yaml.lines().nth(1).is_some_and(|l| l.starts_with("  word")),
            "{yaml}"
        );
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "\\PC{0,30}".prop_map(Value::from),
            "[ \na:#'\"-]{0,12}".prop_map(Value::from),
            "[a-z ]{60,200}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            // go-yaml writes the key `<<` plain, too, and takes it for a merge key when it reads it again.
            let key = "[a-z0-9 :#-]{0,10}|\\PC{0,6}";
            let key = key.prop_filter("a merge key", |key| key != "<<");
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map(key, inner, 0..5)
                    .prop_map(|m| Value::Object(m.into_iter().collect())),
            ]
        })
    }

    #[test]
    fn breaks_of_yaml_1_1_alone_are_read_back() {
        for text in ["\u{2028}", "a\u{2028}b", "\u{85}", "a\r\nb", "\u{2029} \n"] {
            let value = json!({text: [text]});
            assert_eq!(super::super::parse(&to_yaml(&value)).unwrap(), value);
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(value in any_json()) {
            let yaml = to_yaml(&value);
            let read = super::super::parse(&yaml);
            prop_assert_eq!(read.map_err(|e| format!("{e:?}\n{yaml}")), Ok(value));
        }
    }
}
