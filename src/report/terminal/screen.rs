//! What can be shown where: is it a terminal, how wide, with colour.

use std::io::IsTerminal;

use console::{Style, Term};

use crate::report::words::Tone;

/// Where something is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Screen {
    /// Whether it is a terminal that lines can be drawn anew on.
    pub is_terminal: bool,
    /// Whether it shows colour. Colour never carries anything alone.
    pub colour: bool,
}

impl Screen {
    /// Neither a terminal nor colour: a file, a pipe, a CI's log.
    pub const PLAIN: Self = Self {
        is_terminal: false,
        colour: false,
    };

    /// Standard error.
    #[must_use]
    pub fn stderr() -> Self {
        Self::of(std::io::stderr().is_terminal())
    }

    /// Standard output.
    #[must_use]
    pub fn stdout() -> Self {
        Self::of(std::io::stdout().is_terminal())
    }

    /// `NO_COLOR` with any value but the empty one switches colour off (no-color.org); a dumb terminal
    /// can neither show it nor draw anew.
    fn of(is_terminal: bool) -> Self {
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let is_terminal = is_terminal && !dumb;
        Self {
            is_terminal,
            colour: is_terminal && !set("NO_COLOR"),
        }
    }

    /// The columns of standard error, when it is a terminal.
    pub(super) fn columns(self) -> Option<usize> {
        let (_, columns) = Term::stderr().size_checked().filter(|_| self.is_terminal)?;
        Some(columns.into())
    }

    /// The lines of the screen, when there is one.
    pub(super) fn rows(self) -> Option<usize> {
        let (rows, _) = Term::stdout().size_checked().filter(|_| self.is_terminal)?;
        Some(rows.into())
    }

    /// The text in its tone.
    pub(super) fn paint(self, tone: Tone, text: &str) -> String {
        let style = match tone {
            Tone::Good => Style::new().green(),
            Tone::Bad => Style::new().red().bold(),
            Tone::Attention => Style::new().yellow(),
            Tone::Faint => Style::new().dim(),
        };
        style.force_styling(self.colour).apply_to(text).to_string()
    }
}
