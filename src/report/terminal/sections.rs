//! Markers in a CI server's log that let a reader fold each phase.

use std::borrow::Cow;

use crate::record::{Event, PhaseOutcome, What};

/// Which markers a log has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sections {
    /// None.
    #[default]
    None,
    /// GitHub's: `::group::`.
    Github,
    /// GitLab's: `section_start:`.
    Gitlab,
}

impl Sections {
    /// Those of the CI server that this process runs under.
    #[must_use]
    pub fn of_environment() -> Self {
        let is_true = |name: &str| std::env::var_os(name).is_some_and(|value| value == "true");
        if is_true("GITHUB_ACTIONS") {
            Self::Github
        } else if is_true("GITLAB_CI") {
            Self::Gitlab
        } else {
            Self::None
        }
    }

    /// An event's lines with the markers that belong to it. How a phase ended stands below its section,
    /// where it is seen when that is folded.
    #[must_use]
    pub fn mark(self, event: &Event, lines: Vec<String>) -> Vec<String> {
        let lines = lines
            .into_iter()
            .map(|line| self.harmless(&line).into_owned());
        let at = event.at.as_second();
        let (first, rest) = match (&event.what, self) {
            (_, Self::None) => (None, None),
            (What::PhaseStarted { phase, .. }, _) => (Some(*phase), None),
            (
                What::PhaseFinished {
                    outcome: PhaseOutcome::Skipped { .. },
                    ..
                },
                _,
            ) => (None, None),
            (What::PhaseFinished { phase, .. }, _) => (None, Some(*phase)),
            _ => (None, None),
        };
        if let Some(phase) = rest {
            return std::iter::once(self.end(at, phase.name()))
                .chain(lines)
                .collect();
        }
        let Some(phase) = first else {
            return lines.collect();
        };
        let title: Vec<String> = lines.collect();
        let title = title.join(" ");
        let title = title.trim().trim_start_matches("… ");
        vec![self.start(at, phase.name(), title)]
    }

    fn start(self, at: i64, name: &str, title: &str) -> String {
        match self {
            Self::None => title.to_owned(),
            Self::Github => format!("::group::{title}"),
            Self::Gitlab => {
                let name = name.replace(' ', "-");
                format!("\u{1b}[0Ksection_start:{at}:{name}\r\u{1b}[0K{title}")
            }
        }
    }

    /// Ends a section.
    #[must_use]
    pub fn end(self, at: i64, name: &str) -> String {
        match self {
            Self::None => String::new(),
            Self::Github => "::endgroup::".to_owned(),
            Self::Gitlab => {
                let name = name.replace(' ', "-");
                format!("\u{1b}[0Ksection_end:{at}:{name}\r\u{1b}[0K")
            }
        }
    }

    /// The line, so that the CI server takes no command from it: text of a cluster is in it. GitHub takes
    /// `::` behind white space at a line's start, and `##[` anywhere.
    #[must_use]
    pub fn harmless(self, line: &str) -> Cow<'_, str> {
        if self != Self::Github {
            return Cow::Borrowed(line);
        }
        let mut line = Cow::Borrowed(line);
        if line.contains("##[") {
            line = Cow::Owned(line.replace("##[", "## ["));
        }
        if line.trim_start().starts_with("::") {
            line = Cow::Owned(line.replacen("::", ": :", 1));
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::record::Phase;

    fn marked(sections: Sections, what: What, line: &str) -> Vec<String> {
        let event = Event {
            seq: 0,
            at: Timestamp::from_second(1_790_000_000).unwrap(),
            elapsed_ms: 0,
            what,
        };
        sections.mark(&event, vec![line.to_owned()])
    }

    fn started() -> What {
        What::PhaseStarted {
            phase: Phase::CheckBefore,
            deadline_s: 60,
        }
    }

    fn finished() -> What {
        What::PhaseFinished {
            phase: Phase::CheckBefore,
            outcome: PhaseOutcome::Passed,
            seconds: 1.0,
            message: None,
        }
    }

    #[test]
    fn each_server_folds_a_phase_in_its_own_way() {
        let line = "  … check before  at most 01:00";
        assert_eq!(marked(Sections::None, started(), line), [line]);
        let github = marked(Sections::Github, started(), line);
        assert_eq!(github, ["::group::check before  at most 01:00"]);
        assert_eq!(
            marked(Sections::Github, finished(), "  ✓"),
            ["::endgroup::", "  ✓"]
        );
        let gitlab = marked(Sections::Gitlab, started(), line);
        let expected =
            "\u{1b}[0Ksection_start:1790000000:check-before\r\u{1b}[0Kcheck before  at most 01:00";
        assert_eq!(gitlab, [expected]);
        let ended = "\u{1b}[0Ksection_end:1790000000:check-before\r\u{1b}[0K";
        assert_eq!(marked(Sections::Gitlab, finished(), "  ✓"), [ended, "  ✓"]);
    }

    #[test]
    fn a_clusters_text_gives_github_no_command() {
        let note = |line: &str| {
            let message = String::new();
            marked(Sections::Github, What::Note { message }, line).remove(0)
        };
        assert_eq!(note("    ::add-mask::x"), "    : :add-mask::x");
        assert_eq!(note("a ##[error]b"), "a ## [error]b");
        assert_eq!(note("a::b"), "a::b");
        assert_eq!(Sections::Gitlab.harmless("::x"), "::x");
    }
}
