//! What became of the nodes, to be told beside what was lost meanwhile.

use std::collections::BTreeMap;

/// What is seen of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// It takes pods.
    There,
    /// It takes no more pods: it is drained.
    Drained,
    /// It is gone.
    Gone,
}

/// How long before and after something a node may have changed to be told beside it, in milliseconds.
const NEAR: i64 = 20_000;

/// When each node became what, in milliseconds of the run.
#[derive(Debug, Default)]
pub struct Nodes {
    since: BTreeMap<String, Vec<(i64, Seen)>>,
    /// The nodes that were there from the start have not come.
    first: Option<i64>,
}

impl Nodes {
    /// Notes what is seen of a node.
    pub fn saw(&mut self, name: &str, seen: Seen, now: i64) {
        let first = *self.first.get_or_insert(now);
        let known = self.since.entry(name.to_owned()).or_default();
        if known.last().map(|(_, last)| *last) == Some(seen) {
            return;
        }
        // What was there when one began to look may have been there for ever.
        let at = if known.is_empty() && now - first < 1000 {
            i64::MIN
        } else {
            now
        };
        known.push((at, seen));
    }

    /// What happened to a node in a span of time; a node that goes before one that comes.
    pub fn meanwhile(&self, from: i64, to: i64) -> String {
        let near = |at: i64| from.saturating_sub(NEAR) <= at && at <= to;
        let mut told = Vec::new();
        for (name, changes) in &self.since {
            for (number, (at, seen)) in changes.iter().enumerate() {
                let until = changes.get(number + 1).map_or(i64::MAX, |(next, _)| *next);
                let lasts = *at <= to && from <= until;
                match seen {
                    Seen::Drained if lasts => told.push((0, format!("node {name} was drained"))),
                    Seen::Gone if near(*at) => told.push((1, format!("node {name} was removed"))),
                    Seen::There if near(*at) => {
                        told.push((2, format!("node {name} had just joined")))
                    }
                    _ => {}
                }
            }
        }
        told.sort();
        told.truncate(2);
        told.into_iter()
            .map(|(_, words)| words)
            .collect::<Vec<_>>()
            .join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happened_at_the_time_is_told() {
        let mut nodes = Nodes::default();
        nodes.saw("old", Seen::There, 1000);
        nodes.saw("new", Seen::There, 100_000);
        nodes.saw("old", Seen::Drained, 110_000);
        nodes.saw("old", Seen::Drained, 111_000);
        nodes.saw("old", Seen::Gone, 140_000);
        assert_eq!(nodes.meanwhile(5000, 6000), "");
        assert_eq!(
            nodes.meanwhile(105_000, 106_000),
            "node new had just joined"
        );
        assert_eq!(
            nodes.meanwhile(115_000, 116_000),
            "node old was drained, node new had just joined"
        );
        assert_eq!(nodes.meanwhile(150_000, 151_000), "node old was removed");
        assert_eq!(nodes.meanwhile(170_000, 171_000), "");
    }
}
