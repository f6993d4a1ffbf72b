//! Where in an object: fields, indices and keys, as messages name them.

use std::fmt;

/// A place in an object. Each step down gives what [`Path::leave`] needs to come back.
#[derive(Clone, Debug, Default)]
pub(crate) struct Path(String);

impl Path {
    /// Goes to a field.
    pub fn field(&mut self, name: &str) -> usize {
        let here = self.0.len();
        if here > 0 {
            self.0.push('.');
        }
        self.0.push_str(name);
        here
    }

    /// Goes to an item.
    pub fn index(&mut self, index: usize) -> usize {
        let here = self.0.len();
        self.bracketed(&index.to_string());
        here
    }

    /// Goes to a key of a map.
    pub fn key(&mut self, key: &str) -> usize {
        let here = self.0.len();
        self.bracketed(key);
        here
    }

    fn bracketed(&mut self, text: &str) {
        self.0.push('[');
        self.0.push_str(text);
        self.0.push(']');
    }

    /// Goes back.
    pub fn leave(&mut self, there: usize) {
        self.0.truncate(there);
    }

    /// A field right below, as text.
    pub fn with(&self, name: &str) -> String {
        if self.0.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.0)
        }
    }

    /// The place as text.
    pub fn text(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
