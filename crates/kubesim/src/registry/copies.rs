//! Copies of objects that a change left as they were: controllers look at the same objects again and again,
//! and hardly ever have anything to change.

use std::collections::BTreeMap;

use serde_json::Value;

/// How many copies are kept; the oldest go first.
const MOST: usize = 256;

/// Copies by the revision of their object, which no other object has.
#[derive(Debug, Default)]
pub(super) struct Copies(BTreeMap<u64, Value>);

impl Copies {
    /// The copy of the object at a revision, if there is one.
    pub fn take(&mut self, revision: u64) -> Option<Value> {
        self.0.remove(&revision)
    }

    /// Keeps a copy for the next one who would change the object.
    pub fn keep(&mut self, revision: u64, copy: Value) {
        self.0.insert(revision, copy);
        if self.0.len() > MOST {
            self.0.pop_first();
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_copy_is_taken_once_and_old_ones_go() {
        let mut copies = Copies::default();
        for revision in 0..=256 {
            copies.keep(revision, json!(revision));
        }
        assert_eq!(copies.take(0), None);
        assert_eq!(copies.take(1), Some(json!(1)));
        assert_eq!(copies.take(1), None);
    }
}
