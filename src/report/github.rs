//! Annotations for GitHub: what closes the gate, and what is worth a look, beside the code.

use std::io::Write;
use std::path::Path;

use anyhow::Result;

use super::overview::Overview;
use super::pairs::Pairs;
use super::standing::Standing;
use super::summary::NO_VERDICT;
use super::text::{limited, one_line, plain};
use super::words;
use crate::record::Verdict;

/// GitHub shows ten errors and ten warnings of a step, and drops the rest silently.
const EACH: usize = 10;
/// How long a message may be.
const BYTES: usize = 4000;

/// Writes the annotations, the gravest first. They are put to `file`, which is relative to the
/// repository's root, where there is one.
///
/// # Errors
/// When the stream cannot be read, or `out` cannot be written.
pub fn write(stream: &Path, file: Option<&str>, out: &mut dyn Write) -> Result<()> {
    let overview = Overview::read(stream)?;
    let start = overview.start(stream)?;
    let rehearsed = if start.rehearsal.is_some() {
        " (rehearsal)"
    } else {
        ""
    };
    let mut errors: Vec<(String, String)> = Vec::new();
    let mut warnings: Vec<(String, String)> = Vec::new();
    let (_, word) = overview.verdict_in_words();
    let title = format!("{}: {word}{rehearsed}", start.stack);
    match &overview.verdict {
        Some((Verdict::Open, ..)) => {}
        Some((_, reason, _)) => errors.push((title, reason.clone())),
        None => errors.push((title, NO_VERDICT.to_owned())),
    }
    for finding in &overview.findings {
        let mut message = format!("{}: {}", finding.object, finding.message);
        for line in &finding.evidence {
            message.push('\n');
            message.push_str(line);
        }
        errors.push((format!("{}{rehearsed}", finding.cause), message));
    }
    for pair in Pairs::read(stream, overview.scope())? {
        let pair = pair?;
        let result = &pair.latest().result;
        let (_, _, change) = words::change(pair.change);
        let mut message = result.message.clone();
        for line in &result.evidence {
            message.push('\n');
            message.push_str(line);
        }
        let told = (format!("{}: {change}{rehearsed}", result.id), message);
        match Standing::of(result) {
            Standing::Failed | Standing::Aborted => errors.push(told),
            Standing::Warning | Standing::Flaky => warnings.push(told),
            Standing::Passed | Standing::Accepted | Standing::NotApplicable => {}
        }
        // More than can be shown are counted, not kept.
        fold(&mut errors);
        fold(&mut warnings);
    }
    for (level, annotations) in [("error", errors), ("warning", warnings)] {
        for (title, message) in annotations {
            let file = file.map(|file| format!("file={},", property(file)));
            let (file, title) = (file.unwrap_or_default(), property(&title));
            writeln!(out, "::{level} {file}title={title}::{}", data(&message))?;
        }
    }
    Ok(())
}

/// The last that is shown tells that there are more.
fn fold(annotations: &mut Vec<(String, String)>) {
    if annotations.len() > EACH {
        annotations.truncate(EACH - 1);
        let more = "there are more than GitHub shows".to_owned();
        annotations.push((
            more,
            "all of them are in report.html and junit.xml".to_owned(),
        ));
    }
}

/// What follows the second pair of colons.
fn data(text: &str) -> String {
    let text = plain(text);
    let text = limited(&text, BYTES);
    text.replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

/// What stands between commas.
fn property(text: &str) -> String {
    data(&one_line(text))
        .replace(':', "%3A")
        .replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn texts_are_escaped_as_the_runner_reads_them() {
        assert_eq!(data("50%\n::error::x"), "50%25%0A::error::x");
        assert_eq!(property("a: b, c\nd"), "a%3A b%2C c d");
    }

    #[test]
    fn what_github_would_drop_is_counted() {
        let mut many = vec![(String::new(), String::new()); EACH];
        fold(&mut many);
        assert!(many.iter().all(|(title, _)| title.is_empty()));
        many.push((String::new(), String::new()));
        fold(&mut many);
        assert_eq!(
            (many.len(), &*many[9].0),
            (EACH, "there are more than GitHub shows")
        );
        many.push((String::new(), String::new()));
        fold(&mut many);
        assert_eq!(
            (many.len(), &*many[9].0),
            (EACH, "there are more than GitHub shows")
        );
    }

    proptest! {
        #[test]
        fn no_text_makes_a_second_line(text in any::<String>()) {
            prop_assert!(!data(&text).contains(['\n', '\r']));
            prop_assert!(!property(&text).contains([':', ',', '\n']));
        }
    }
}
