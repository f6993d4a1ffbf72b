//! Finding what is at a place without a copy of its words: objects are looked up more often than anything else
//! happens to them.

use std::borrow::Borrow;
use std::cmp::Ordering;

use super::Place;

/// A namespace and a name, ordered as places are.
pub(super) trait At {
    fn words(&self) -> (&str, &str);
}

impl At for Place {
    fn words(&self) -> (&str, &str) {
        (&self.0, &self.1)
    }
}

impl At for (&str, &str) {
    fn words(&self) -> (&str, &str) {
        *self
    }
}

impl<'a> Borrow<dyn At + 'a> for Place {
    fn borrow(&self) -> &(dyn At + 'a) {
        self
    }
}

impl PartialEq for dyn At + '_ {
    fn eq(&self, other: &Self) -> bool {
        self.words() == other.words()
    }
}

impl Eq for dyn At + '_ {}

impl PartialOrd for dyn At + '_ {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for dyn At + '_ {
    fn cmp(&self, other: &Self) -> Ordering {
        self.words().cmp(&other.words())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn what_is_found_by_borrowed_words_is_what_is_found_by_the_place_itself() {
        let words = ["", "a", "ab", "b"];
        let places = words
            .iter()
            .flat_map(|one| words.map(|other| (*one, other)));
        let known: BTreeMap<Place, (&str, &str)> = places
            .map(|(one, other)| ((one.to_owned(), other.to_owned()), (one, other)))
            .collect();
        for (place, words) in &known {
            assert_eq!(known.get(words as &dyn At), known.get(place));
        }
        assert_eq!(known.get(&("a", "c") as &dyn At), None);
    }
}
