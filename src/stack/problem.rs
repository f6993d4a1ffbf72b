//! One thing wrong with one input file: where, what was expected, what to do now.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

/// One finding about one input file. Its text is plain: no colour, `file:line:column` first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file (or folder) that is wrong.
    pub file: PathBuf,
    /// Where in the file, when a place in its text is to blame.
    pub place: Option<Place>,
    /// What is wrong, as a lowercase fragment.
    pub message: String,
    /// What was expected in its place.
    pub expected: Option<String>,
    /// What to do now.
    pub help: Option<String>,
    /// Id of the rule of `stackgate lint` that it breaks, where it has one of its own.
    pub rule: Option<&'static str>,
}

/// A place in the text of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Line, counted from 1.
    pub line: usize,
    /// Column in characters, counted from 1.
    pub column: usize,
    /// Bytes of `source` to mark.
    span: Range<usize>,
    source: Arc<str>,
}

impl Problem {
    /// A problem of a file as a whole.
    pub fn new(file: &Path, message: impl Into<String>) -> Self {
        Self {
            file: file.to_owned(),
            place: None,
            message: message.into(),
            expected: None,
            help: None,
            rule: None,
        }
    }

    /// Names the place in the file.
    #[must_use]
    pub fn at(mut self, place: Option<Place>) -> Self {
        self.place = place;
        self
    }

    /// Says what was expected.
    #[must_use]
    pub fn expected(mut self, expected: impl Into<String>) -> Self {
        self.expected = Some(expected.into());
        self
    }

    /// Names the rule of `stackgate lint` that is broken.
    #[must_use]
    pub(crate) const fn breaks(mut self, rule: &'static str) -> Self {
        self.rule = Some(rule);
        self
    }

    /// Says what to do now.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl Place {
    /// The place at `offset` bytes into `source`, `length` bytes long; cut at the end of its line.
    pub(crate) fn new(source: &Arc<str>, offset: usize, length: usize) -> Self {
        let mut start = offset.min(source.len());
        while !source.is_char_boundary(start) {
            start -= 1;
        }
        let before = &source[..start];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let line_end = source[start..]
            .find('\n')
            .map_or(source.len(), |at| start + at);
        let mut end = (start + length).clamp(start, line_end);
        while !source.is_char_boundary(end) {
            end += 1;
        }
        Self {
            line: before.matches('\n').count() + 1,
            column: source[line_start..start].chars().count() + 1,
            span: start..end,
            source: Arc::clone(source),
        }
    }

    fn snippet(&self, label: Option<&str>) -> String {
        let marked = Snippet::source(self.source.as_ref()).annotation(
            AnnotationKind::Primary
                .span(self.span.clone())
                .label(label.map(str::to_owned)),
        );
        let report = [annotate_snippets::Group::with_level(Level::ERROR).element(marked)];
        Renderer::plain().render(&report)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(place) = &self.place {
            write!(f, ":{}:{}", place.line, place.column)?;
        }
        write!(f, ": {}", plain(&self.message))?;
        match (&self.place, &self.expected) {
            (Some(place), expected) => {
                let label = expected
                    .as_ref()
                    .map(|text| format!("expected {}", plain(text)));
                write!(f, "\n{}", place.snippet(label.as_deref()))?;
            }
            (None, Some(expected)) => write!(f, "\n  expected {}", plain(expected))?,
            (None, None) => {}
        }
        if let Some(help) = &self.help {
            write!(f, "\n  help: {help}")?;
        }
        Ok(())
    }
}

/// The text without what would steer a terminal: it may quote the input.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() && character != '\n' {
            plain.extend(character.escape_default());
        } else {
            plain.push(character);
        }
    }
    plain
}

/// Everything found wrong, in the order of reading; never empty when it is an error.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl Problems {
    pub(crate) fn push(&mut self, problem: Problem) {
        self.0.push(problem);
    }

    /// `Ok` when nothing was found.
    pub(crate) fn into_result(self) -> Result<(), Self> {
        if self.0.is_empty() { Ok(()) } else { Err(self) }
    }
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_file_line_column_and_marks_the_place() {
        let source: Arc<str> = "spec:\n  näme: wrong\n".into();
        let offset = source.find("wrong").unwrap_or_default();
        let problem = Problem::new(Path::new("a/stack.yaml"), "`wrong` is not a name")
            .at(Some(Place::new(&source, offset, 5)))
            .expected("a name")
            .help("choose another");
        let text = problem.to_string();
        assert!(
            text.starts_with("a/stack.yaml:2:9: `wrong` is not a name\n"),
            "{text}"
        );
        assert!(text.contains("2 |   näme: wrong\n"), "{text}");
        assert!(text.contains("^^^^^ expected a name"), "{text}");
        assert!(text.ends_with("\n  help: choose another"), "{text}");
    }

    #[test]
    fn quoted_input_does_not_steer_the_terminal() {
        let source: Arc<str> = "a: \u{1b}[31m\n".into();
        let problem = Problem::new(Path::new("x"), "`\u{1b}[31m` is red")
            .at(Some(Place::new(&source, 3, 5)))
            .expected("no\rcolour");
        let text = problem.to_string();
        assert!(
            text.contains("`\\u{1b}[31m` is red") && text.contains("no\\rcolour"),
            "{text}"
        );
        assert!(!text.contains(['\u{1b}', '\r']), "{text:?}");
    }

    #[test]
    fn a_place_beyond_the_text_is_its_end() {
        let source: Arc<str> = "ä".into();
        let place = Place::new(&source, 40, 7);
        assert_eq!((place.line, place.column), (1, 2));
        assert_eq!(Place::new(&source, 1, 0).column, 1);
    }
}
