//! The last lines of a phase, as many as a report has room for.

use std::collections::VecDeque;

use super::text;

/// The last lines of a phase.
#[derive(Clone, Debug, Default)]
pub struct Log {
    lines: VecDeque<String>,
    dropped: usize,
}

impl Log {
    const LINES: usize = 200;
    const BYTES: usize = 1000;

    pub(super) fn push(&mut self, elapsed_ms: u64, line: &str) {
        if self.lines.len() == Self::LINES {
            self.lines.pop_front();
            self.dropped += 1;
        }
        let line = text::one_line(line);
        let line = text::limited(&line, Self::BYTES);
        self.lines
            .push_back(format!("{} {line}", text::clock(elapsed_ms / 1000)));
    }

    /// The lines as one text, each with the time since the run's start.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = match self.dropped {
            0 => String::new(),
            dropped => format!("[{dropped} earlier lines in events.jsonl]\n"),
        };
        for line in &self.lines {
            text.push_str(line);
            text.push('\n');
        }
        text
    }
}
