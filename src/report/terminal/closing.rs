//! The last lines of a run: what changed, the verdict, and where the reports are.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::screen::Screen;
use crate::record::{Change, NO_DELIVERY, Outcome, ProbeResult};
use crate::report::STREAM;
use crate::report::pauses;
use crate::report::summary::{CheckSummary, Summary};
use crate::report::text::{cut, one_line};
use crate::report::words::{self, Tone, weight};

/// How many checks are told where nobody knows the height of the screen.
const ROWS: usize = 40;
/// How many lines stand around the checks: the verdict, what it is about, where the reports are.
const AROUND: usize = 16;

/// The last lines of the run in `folder`, for standard output.
///
/// # Errors
/// When its stream cannot be read.
pub fn closing(folder: &Path, reports: &[PathBuf], screen: Screen) -> Result<String> {
    closing_of(&folder.join(STREAM), reports, screen)
}

pub(super) fn closing_of(stream: &Path, reports: &[PathBuf], screen: Screen) -> Result<String> {
    let summary = Summary::read(stream)?;
    let mut text = if summary.delivery == NO_DELIVERY {
        answers(&summary.checks, screen)
    } else {
        table(&summary.checks, screen)
    };
    text.push_str(&measured(&summary.probes, screen));
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
    let height = screen
        .rows()
        .map_or(ROWS, |rows| rows.saturating_sub(AROUND));
    // The worst are the last, next to the verdict.
    let left_out = rows.len().saturating_sub(height.max(5));
    let (rows, ids) = (&rows[left_out..], &ids[left_out..]);
    let widths = ids.iter().map(|id| console::measure_text_width(id));
    let width = widths.max().unwrap_or(0).max("check".len());
    let mut text = format!("  {:<width$}   before   after\n", "check");
    if left_out > 0 {
        text.push_str(&format!(
            "  and {left_out} more, less grave ones, in the reports\n"
        ));
    }
    for ((check, change), id) in rows.iter().zip(ids) {
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
        let before = words::outcome(check.before.as_ref().map(|answer| answer.outcome));
        let after = words::outcome(check.after.as_ref().map(|answer| answer.outcome));
        let after = screen.paint(tone, &format!("{after:<5}"));
        let id = console::pad_str(id, width, console::Alignment::Left, None);
        let colon = if why.is_empty() { "" } else { ": " };
        let line = format!("  {id}   {before:<6}   {after}   {change}{colon}{why}");
        text.push_str(&cut(&line, screen.columns().unwrap_or(usize::MAX)));
        text.push('\n');
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
    let grave = |outcome| match outcome {
        Outcome::Pass | Outcome::Skip => 0,
        Outcome::Flaky => 1,
        Outcome::Abort => 2,
        Outcome::Fail => 3,
    };
    // Those that ended alike in the order of their ids, since they end in another one each time.
    rows.sort_by_key(|(check, answer)| (grave(answer.outcome), &check.id));
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

/// What was measured without a pause, one line each; failures last.
fn measured(results: &[ProbeResult], screen: Screen) -> String {
    let mut rows: Vec<&ProbeResult> = results.iter().collect();
    rows.sort_by_key(|result| result.outcome == Outcome::Fail);
    let widths = rows.iter().map(|result| result.probe.len());
    let width = widths.max().unwrap_or(0);
    let mut text = String::new();
    for result in rows {
        let (outcome, name) = (result.outcome, one_line(&result.probe));
        let outcome = screen.paint(words::outcome_tone(outcome), &format!("{outcome:<5}"));
        let why = one_line(&result.message);
        let line = format!("  probe {name:<width$}   {outcome}   {why}");
        text.push_str(&cut(&line, screen.columns().unwrap_or(usize::MAX)));
        text.push('\n');
    }
    text
}

fn verdict(summary: &Summary, screen: Screen) -> String {
    let only_checks = summary.delivery == NO_DELIVERY;
    let (tone, word) = words::verdict(summary.verdict, only_checks);
    let word = screen.paint(tone, word);
    let counts = words::counts(&summary.counts);
    let mut text = match &summary.rehearsal {
        None => format!("{word}: {}", one_line(&summary.reason)),
        Some(_) => format!("{word} (rehearsal): {}", one_line(&summary.reason)),
    };
    if !counts.is_empty() {
        text.push_str(&format!("\n  {counts}"));
    }
    if let Some(sentence) = pauses::sentence(&summary.pauses, &summary.resumed) {
        text.push_str(&format!("\n  {}", one_line(&sentence)));
    }
    if let Some(rehearsal) = &summary.rehearsal {
        text.push_str(&format!("\n  {}", one_line(&rehearsal.sentence())));
    }
    let again = words::again(summary.rehearsal.as_ref(), &summary.command, &summary.run);
    if let Some(again) = again {
        text.push_str(&format!("\n  the same again: {}", one_line(&again)));
    }
    text
}
