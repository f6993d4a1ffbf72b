//! The last lines of a run: what changed, the verdict, and where the reports are.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::screen::{Screen, Tone};
use crate::record::{Change, Counts, NO_DELIVERY, Outcome, Verdict};
use crate::report::STREAM;
use crate::report::summary::{CheckSummary, Summary};
use crate::report::text::one_line;

/// The last lines of the run in `folder`, for standard output.
///
/// # Errors
/// When its stream cannot be read.
pub fn closing(folder: &Path, reports: &[PathBuf], screen: Screen) -> Result<String> {
    let summary = Summary::read(&folder.join(STREAM))?;
    let mut text = if summary.delivery == NO_DELIVERY {
        answers(&summary.checks, screen)
    } else {
        table(&summary.checks, screen)
    };
    if !text.is_empty() {
        text.insert(0, '\n');
    }
    text.push_str(&verdict(&summary, screen));
    text.push('\n');
    for report in reports {
        text.push_str(&format!("  {}\n", report.display()));
    }
    Ok(text)
}

/// What is not as it was, failures last: next to the verdict, where the reader looks first.
fn table(checks: &[CheckSummary], screen: Screen) -> String {
    let mut rows: Vec<(&CheckSummary, Change)> = checks
        .iter()
        .filter_map(|check| Some((check, check.change?)))
        .filter(|(_, change)| *change != Change::Kept)
        .collect();
    rows.sort_by_key(|(_, change)| weight(*change));
    if rows.is_empty() {
        return String::new();
    }
    let ids: Vec<String> = rows.iter().map(|(check, _)| one_line(&check.id)).collect();
    let widths = ids.iter().map(|id| console::measure_text_width(id));
    let width = widths.max().unwrap_or(0).max("check".len());
    let mut text = format!("  {:<width$}   before   after\n", "check");
    for ((check, change), id) in rows.iter().zip(&ids) {
        let answer = check.after.as_ref().or(check.before.as_ref());
        let why = match (change, &check.accepted) {
            (Change::Accepted, Some(reason)) => one_line(reason),
            (Change::Fixed, _) => String::new(),
            _ => answer
                .map(|answer| one_line(&answer.message))
                .unwrap_or_default(),
        };
        let tone = match weight(*change) {
            0 => Tone::Good,
            1 => Tone::Faint,
            2 => Tone::Attention,
            _ => Tone::Bad,
        };
        let before = shown(check.before.as_ref().map(|answer| answer.outcome));
        let after = shown(check.after.as_ref().map(|answer| answer.outcome));
        let after = screen.paint(tone, &format!("{after:<5}"));
        let id = console::pad_str(id, width, console::Alignment::Left, None);
        let colon = if why.is_empty() { "" } else { ": " };
        text.push_str(&format!(
            "  {id}   {before:<6}   {after}   {change}{colon}{why}\n"
        ));
    }
    text
}

/// What did not pass of the checks alone, failures last.
fn answers(checks: &[CheckSummary], screen: Screen) -> String {
    let mut rows: Vec<_> = checks
        .iter()
        .filter_map(|check| Some((check, check.before.as_ref()?)))
        .filter(|(_, answer)| answer.outcome != Outcome::Pass)
        .collect();
    let weight = |outcome| match outcome {
        Outcome::Pass | Outcome::Skip => 0,
        Outcome::Flaky => 1,
        Outcome::Abort => 2,
        Outcome::Fail => 3,
    };
    // Those that ended alike in the order of their ids, since they end in another one each time.
    rows.sort_by_key(|(check, answer)| (weight(answer.outcome), &check.id));
    let ids: Vec<String> = rows.iter().map(|(check, _)| one_line(&check.id)).collect();
    let widths = ids.iter().map(|id| console::measure_text_width(id));
    let width = widths.max().unwrap_or(0);
    let mut text = String::new();
    for ((check, answer), id) in rows.iter().zip(&ids) {
        let (tone, why) = match (answer.outcome, &check.accepted) {
            (Outcome::Fail, Some(reason)) => (Tone::Faint, format!("accepted: {reason}")),
            (Outcome::Fail, None) => (Tone::Bad, answer.message.clone()),
            (Outcome::Skip, _) => (Tone::Faint, answer.message.clone()),
            _ => (Tone::Attention, answer.message.clone()),
        };
        let outcome = screen.paint(tone, &format!("{:<5}", answer.outcome));
        let severity = check.severity;
        let id = console::pad_str(id, width, console::Alignment::Left, None);
        text.push_str(&format!(
            "  {id}   {outcome}   {severity:<6}   {}\n",
            one_line(&why)
        ));
    }
    text
}

const fn weight(change: Change) -> u8 {
    match change {
        Change::Kept | Change::Fixed => 0,
        Change::Accepted => 1,
        Change::NotComparable | Change::Flaky => 2,
        Change::StillFailing => 3,
        Change::Regressed => 4,
    }
}

fn shown(outcome: Option<Outcome>) -> String {
    outcome.map_or_else(|| "-".to_owned(), |outcome| outcome.to_string())
}

fn verdict(summary: &Summary, screen: Screen) -> String {
    let only_checks = summary.delivery == NO_DELIVERY;
    let (tone, word) = match summary.verdict {
        Some(Verdict::Open) if only_checks => (Tone::Good, "check passed"),
        Some(Verdict::Open) => (Tone::Good, "gate open"),
        Some(Verdict::Closed) if only_checks => (Tone::Bad, "check failed"),
        Some(Verdict::Closed) => (Tone::Bad, "gate closed"),
        Some(Verdict::None | Verdict::NothingRan) | None => (Tone::Attention, "no verdict"),
        Some(Verdict::Interrupted) => (Tone::Attention, "interrupted"),
    };
    let word = screen.paint(tone, word);
    let counts = counts(&summary.counts);
    let mut text = match &summary.rehearsal {
        None => format!("{word}: {}", one_line(&summary.reason)),
        Some(_) => format!("{word} (rehearsal): {}", one_line(&summary.reason)),
    };
    if !counts.is_empty() {
        text.push_str(&format!("\n  {counts}"));
    }
    if let Some(rehearsal) = &summary.rehearsal {
        let (sentence, again) = (one_line(&rehearsal.sentence()), &rehearsal.reproduce);
        text.push_str(&format!("\n  {sentence}\n  the same again: {again}"));
    }
    text
}

/// The comparison in words, without what is none.
fn counts(counts: &Counts) -> String {
    let Counts {
        kept,
        fixed,
        flaky,
        regressed,
        still_failing,
        accepted,
        not_comparable,
    } = *counts;
    [
        (regressed, "regressed"),
        (still_failing, "still failing"),
        (not_comparable, "not comparable"),
        (flaky, "flaky"),
        (fixed, "fixed"),
        (kept, "kept"),
        (accepted, "accepted"),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, word)| format!("{count} {word}"))
    .collect::<Vec<_>>()
    .join(", ")
}
