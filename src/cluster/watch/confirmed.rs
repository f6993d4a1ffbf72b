//! The last list that said what is held. Hardly any list says anything else, and one that is written the same
//! need not be read.

use super::page::Outline;

/// That list.
#[derive(Default)]
pub(super) struct Confirmed {
    /// How many bytes its first page had.
    length: usize,
    /// Its objects as they were written, where it was as long as the one before, and one page.
    items: Option<Box<str>>,
    /// How often what is held had changed when it was found to say that; none for one that was not.
    held: Option<u64>,
}

impl Confirmed {
    /// Whether a list, by its first page, says the same as the last one did, and nothing has changed since; its
    /// version.
    pub(super) fn says(&mut self, page: &str, changes: u64) -> serde_json::Result<Option<String>> {
        if self.length != page.len() {
            (self.length, self.items, self.held) = (page.len(), None, None);
            return Ok(None);
        }
        let outline = Outline::of(page)?;
        let more = outline.metadata.continue_.as_deref().unwrap_or_default();
        let items = Some(outline.items()).filter(|_| more.is_empty());
        if items.is_some() && self.items.as_deref() == items && self.held == Some(changes) {
            return Ok(outline.metadata.resource_version);
        }
        (self.items, self.held) = (items.map(Box::from), None);
        Ok(None)
    }

    /// The list that was asked about last says what is held, which has changed so often by now.
    pub(super) const fn holds(&mut self, changes: u64) {
        self.held = Some(changes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_not_read_when_it_says_the_same_and_nothing_has_changed_since() {
        let page = |revision: u64, name: &str, more: &str| {
            let metadata =
                serde_json::json!({"resourceVersion": revision.to_string(), "continue": more});
            format!(r#"{{"metadata":{metadata},"items":[{{"metadata":{{"name":"{name}"}}}}]}}"#)
        };
        let mut confirmed = Confirmed::default();
        let mut says = |page: String, changes, holds: bool| {
            let says = confirmed.says(&page, changes).unwrap();
            if holds {
                confirmed.holds(changes);
            }
            says
        };
        assert_eq!(says(page(10, "a", ""), 0, true), None, "the first one");
        assert_eq!(
            says(page(11, "a", ""), 0, true),
            None,
            "it is kept from now on"
        );
        assert_eq!(says(page(12, "a", ""), 0, true).as_deref(), Some("12"));
        assert_eq!(says(page(13, "b", ""), 0, false), None);
        assert_eq!(
            says(page(14, "b", ""), 0, true),
            None,
            "it was not what is held"
        );
        assert_eq!(says(page(15, "b", ""), 0, true).as_deref(), Some("15"));
        assert_eq!(
            says(page(16, "b", ""), 1, true),
            None,
            "held is another thing"
        );
        assert_eq!(says(page(17, "b", ""), 1, true).as_deref(), Some("17"));
        for _ in 0..3 {
            assert_eq!(says(page(18, "b", "more"), 1, true), None, "a part of it");
        }
    }
}
