//! `report.html`: a run on one page, in one file that loads nothing, light and dark, readable without
//! scripts and on paper.
//!
//! What is in its sections comes from the stream alone (and from the recording, where one lies beside it); a
//! section without data is left out. The checks that are as they were are streamed past, so that
//! what is in memory grows only with what is not.

mod checks;
mod lanes;
mod markup;
mod probes;
mod rest;
mod top;

use std::io::Write;
use std::path::Path;

use anyhow::Result;

use super::overview::Overview;
use super::pairs::{Pair, Pairs};
use super::timeline::{Drawing, Timeline};
use super::words::{self, Tone};
use crate::record::Change;
use markup::Html;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");
/// Nothing is loaded, and nothing runs but what stands here: the hashes are those of the two files.
const POLICY: &str = concat!(
    "default-src 'none'; base-uri 'none'; form-action 'none'; ",
    "style-src 'sha256-ZhRzE20AlCGhqWBFM9YaVFmW4dHDVhL7DmA5XfLxkzQ='; ",
    "script-src 'sha256-sC43C3mIIHUBpqFMmGf7pznReTStI6ZVRftl/2GQ0Zk='"
);

/// What every section tells about.
struct Run<'a> {
    stream: &'a Path,
    overview: &'a Overview,
    timeline: &'a Timeline,
    /// The checks that are not as they were, or not compared, the worst first.
    noted: &'a [Pair],
    /// How many checks there are.
    checks: usize,
}

impl Run<'_> {
    fn pairs(&self) -> Result<Pairs> {
        Pairs::read(self.stream, self.overview.scope())
    }
}

/// Whether a check is as it was, which is told in one line.
fn is_quiet(pair: &Pair) -> bool {
    pair.change == Some(Change::Kept)
}

/// Writes the page of a stream as far as it goes.
///
/// # Errors
/// When the stream or the recording cannot be read, or `out` cannot be written.
pub fn write(stream: &Path, recording: Option<&Path>, out: &mut dyn Write) -> Result<()> {
    let mut drawing = Drawing::default();
    let overview = Overview::read_along(stream, |event| drawing.take(event))?;
    let start = overview.start(stream)?;
    let timeline = drawing.finish(recording)?;
    let (mut noted, mut checks) = (Vec::new(), 0);
    for pair in Pairs::read(stream, overview.scope())? {
        let pair = pair?;
        checks += 1;
        if !is_quiet(&pair) {
            noted.push(pair);
        }
    }
    let order = |pair: &Pair| {
        words::CHANGES
            .iter()
            .position(|change| *change == pair.change)
    };
    noted.sort_by_key(order);
    let run = Run {
        stream,
        overview: &overview,
        timeline: &timeline,
        noted: &noted,
        checks,
    };
    let (_, verdict) = overview.verdict_in_words();
    let (from, to) = (
        words::short(&start.stack, &start.from),
        words::short(&start.stack, &start.to),
    );
    let title = format!("{verdict}: {} {from} → {to}", start.stack);

    let mut html = Html::new(out);
    html.literal("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n")?;
    html.void(
        "meta",
        &[
            ("http-equiv", "Content-Security-Policy"),
            ("content", POLICY),
        ],
    )?;
    html.literal("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n")?;
    html.literal("<meta name=\"color-scheme\" content=\"light dark\">\n")?;
    html.element("title", &[], &title)?;
    html.literal("<style>")?;
    html.literal(STYLE)?;
    html.literal("</style></head>\n<body>\n")?;
    html.literal("<a class=\"skip\" href=\"#main\">Skip to the verdict</a>\n")?;
    html.within("main", &[("id", "main")], |html| {
        top::write(&run, start, html)?;
        checks::write_table(&run, html)?;
        probes::write(&run, html)?;
        lanes::write(&run, html)?;
        checks::write_details(&run, html)?;
        rest::write(&run, start, html)
    })?;
    html.literal("\n<script>")?;
    html.literal(SCRIPT)?;
    html.literal("</script></body></html>\n")
}

/// The class that gives a tone its colour.
const fn class(tone: Option<Tone>) -> &'static str {
    match tone {
        Some(Tone::Good) => "good",
        Some(Tone::Bad) => "bad",
        Some(Tone::Attention) => "attention",
        Some(Tone::Faint) => "faint",
        None => "plain",
    }
}

/// A duration as a reader takes it in: tenths of a second matter only to short ones.
fn duration(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 0.0 {
        return "-".to_owned();
    }
    if seconds < 100.0 {
        return format!("{seconds:.1} s");
    }
    let whole = seconds.round() as u64;
    let (hours, minutes, seconds) = (whole / 3600, whole / 60 % 60, whole % 60);
    match hours {
        0 => format!("{minutes} min {seconds:02} s"),
        _ => format!("{hours} h {minutes:02} min"),
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use sha2::{Digest, Sha256};

    use super::*;

    #[test]
    fn the_policy_allows_exactly_the_style_and_the_script_of_the_page() {
        for text in [STYLE, SCRIPT] {
            let hash = STANDARD.encode(Sha256::digest(text.as_bytes()));
            assert!(
                POLICY.contains(&format!("'sha256-{hash}'")),
                "the hash is {hash}"
            );
        }
        assert!(!POLICY.contains("unsafe") && !POLICY.contains("http"));
    }

    #[test]
    fn a_duration_is_as_exact_as_it_is_long() {
        let told = [0.04, 99.94, 100.0, 3599.6, 7260.0, f64::NAN].map(duration);
        let expected = [
            "0.0 s",
            "99.9 s",
            "1 min 40 s",
            "1 h 00 min",
            "2 h 01 min",
            "-",
        ];
        assert_eq!(told, expected);
    }
}
