//! What a pod that asks prints: the answer, and how long each try of a row took.

use jiff::Timestamp;

/// How long it is waited after each try, in milliseconds; `ask.sh` does.
const PAUSE_MS: i64 = 1000;

/// A line, with the time at which it was printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line<'l> {
    /// When it was printed, in milliseconds since 1970 by its node's clock.
    pub printed_ms: i64,
    /// The probe.
    pub probe: &'l str,
    /// `ok`, or what went wrong.
    pub word: &'l str,
    /// How long each try took, in milliseconds, in their order; never empty.
    pub took: Vec<u32>,
}

impl<'l> Line<'l> {
    /// Reads a line of a log with timestamps; none where it is no such line.
    #[must_use]
    pub fn read(text: &'l str) -> Option<Self> {
        let (printed, rest) = text.split_once(' ')?;
        let printed: Timestamp = printed.parse().ok()?;
        let mut words = rest.split_ascii_whitespace();
        let (probe, word) = (words.next()?, words.next()?);
        let took: Option<Vec<u32>> = words.map(|number| number.parse().ok()).collect();
        let took = took.filter(|took| !took.is_empty())?;
        Some(Self {
            printed_ms: printed.as_millisecond(),
            probe,
            word,
            took,
        })
    }

    /// The tries with their beginnings and ends by the node's clock. The last one ended when the line was
    /// printed, each other one a pause before the next.
    #[must_use]
    pub fn tries(&self) -> Vec<(i64, i64)> {
        let mut end = self.printed_ms;
        let mut tries: Vec<(i64, i64)> = Vec::with_capacity(self.took.len());
        for took in self.took.iter().rev() {
            let start = end - i64::from(*took);
            tries.push((start, end));
            end = start - PAUSE_MS;
        }
        tries.reverse();
        tries
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_line_tells_when_each_try_began_and_ended() {
        let line = Line::read("1970-01-01T00:00:10.5Z service ok 20 30").unwrap();
        assert_eq!((line.probe, line.word), ("service", "ok"));
        assert_eq!(line.tries(), [(9450, 9470), (10_470, 10_500)]);
    }

    #[test]
    fn what_is_no_line_is_none() {
        for text in [
            "",
            "1970-01-01T00:00:10Z",
            "1970-01-01T00:00:10Z service ok",
            "1970-01-01T00:00:10Z service ok fast",
            "1970-01-01T00:00:10Z service ok -1",
            "yesterday service ok 1",
            "1970-01-01T00:00:10Z sh: dig: not found",
        ] {
            assert_eq!(Line::read(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in any::<String>()) {
            let _ = Line::read(&text).map(|line| line.tries());
        }
    }
}
