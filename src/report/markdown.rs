//! The run as a comment on a pull request, or as a step's summary: GitHub's and GitLab's Markdown.

use std::io::Write;
use std::path::Path;

use anyhow::Result;

use super::overview::{Overview, State};
use super::pairs::{Pair, Pairs};
use super::probes;
use super::summary::NO_VERDICT;
use super::text::{limited, one_line};
use super::words;
use crate::record::Change;

/// How many checks are listed. A comment holds 64 KiB.
const ROWS: usize = 50;
/// How long a text may be in it.
const TEXT: usize = 400;
/// How many lines of evidence of the first cause.
const EVIDENCE: usize = 10;

/// Writes the comment.
///
/// # Errors
/// When the stream cannot be read, or `out` cannot be written.
pub fn write(stream: &Path, out: &mut dyn Write) -> Result<()> {
    let overview = Overview::read(stream)?;
    let start = overview.start(stream)?;
    let told = overview.verdict.as_ref();
    let (tone, word) = overview.verdict_in_words();
    let mark = match tone {
        words::Tone::Good => "✅",
        words::Tone::Bad => "❌",
        _ => "⚠️",
    };
    let (from, to) = (
        words::short(&start.stack, &start.from),
        words::short(&start.stack, &start.to),
    );
    let rehearsed = if start.rehearsal.is_some() {
        " (rehearsal)"
    } else {
        ""
    };
    writeln!(
        out,
        "### {mark} {word}{rehearsed}: {} {} → {}\n",
        plain(&start.stack),
        plain(&from),
        plain(&to)
    )?;
    if let Some(rehearsal) = &start.rehearsal {
        writeln!(out, "> **Rehearsal:** {}\n", plain(&rehearsal.sentence()))?;
    }
    if let Some(sentence) = overview.pauses.sentence() {
        writeln!(out, "> **Held up:** {}\n", plain(&sentence))?;
    }
    writeln!(
        out,
        "{}\n",
        plain(told.map_or(NO_VERDICT, |(_, reason, _)| reason))
    )?;
    if let Some(finding) = overview.findings.first() {
        let (object, message) = (plain(&finding.object.to_string()), plain(&finding.message));
        writeln!(
            out,
            "**First cause:** {} — {object}: {message}\n",
            plain(&finding.cause)
        )?;
        write_lines(&finding.evidence, out)?;
    }
    if let Some(counts) = told
        .map(|(_, _, counts)| words::counts(counts))
        .filter(|text| !text.is_empty())
    {
        writeln!(out, "{counts}\n")?;
    }
    write_checks(stream, &overview, out)?;
    write_probes(&overview, out)?;
    write_phases(&overview, out)?;
    let seconds = overview.end.map(|(_, seconds)| format!(", {seconds:.0} s"));
    let (engine, run) = (plain(&start.engine), &start.run);
    write!(
        out,
        "<sub>engine {engine}, run {run}{}, ",
        seconds.unwrap_or_default()
    )?;
    writeln!(out, "stackgate {}</sub>", plain(&start.version))?;
    let again = words::again(start.rehearsal.as_ref(), &start.command, run.as_str());
    if let Some(again) = again {
        writeln!(out, "\nThe same again:\n")?;
        write_lines(&[again], out)?;
    }
    Ok(())
}

fn write_checks(stream: &Path, overview: &Overview, out: &mut dyn Write) -> Result<()> {
    let mut rows: Vec<Pair> = Vec::new();
    for pair in Pairs::read(stream, overview.scope())? {
        let pair = pair?;
        // What is as it was, or applies to neither side, is in the numbers.
        let applies = [&pair.before, &pair.after]
            .into_iter()
            .flatten()
            .any(|answer| answer.result.outcome != crate::record::Outcome::Skip);
        if applies && !matches!(pair.change, Some(Change::Kept) | None) {
            rows.push(pair);
        }
    }
    if rows.is_empty() {
        return Ok(());
    }
    rows.sort_by_key(|pair| {
        words::CHANGES
            .iter()
            .position(|change| *change == pair.change)
    });
    writeln!(
        out,
        "| check | before | after | change | why |\n| --- | --- | --- | --- | --- |"
    )?;
    for pair in rows.iter().take(ROWS) {
        let outcome = |answer: &Option<super::pairs::Answer>| {
            words::outcome(answer.as_ref().map(|answer| answer.result.outcome))
        };
        let (_, _, change) = words::change(pair.change);
        let why = match (pair.change, pair.accepted()) {
            (Some(Change::Accepted), Some(reason)) => reason,
            _ => &pair.latest().result.message,
        };
        let (id, why) = (plain(&pair.first().id), plain(why));
        writeln!(
            out,
            "| {id} | {} | {} | {change} | {why} |",
            outcome(&pair.before),
            outcome(&pair.after)
        )?;
    }
    if let Some(more) = rows.len().checked_sub(ROWS).filter(|more| *more > 0) {
        writeln!(out, "\n{more} more are in report.html.")?;
    }
    Ok(writeln!(out)?)
}

fn write_probes(overview: &Overview, out: &mut dyn Write) -> Result<()> {
    if overview.probes.results().next().is_none() {
        return Ok(());
    }
    writeln!(
        out,
        "| probe | | longest gap | lost | allowed | |\n| --- | --- | ---: | ---: | --- | --- |"
    )?;
    for result in overview.probes.results() {
        let (gap, lost) = match result.tries {
            0 => ("-".to_owned(), "-".to_owned()),
            tries => (
                probes::longest(result),
                format!("{} of {tries}", result.lost),
            ),
        };
        writeln!(
            out,
            "| {} | {} | {gap} | {lost} | {} | {} |",
            plain(&result.probe),
            result.outcome,
            probes::budget(&result.budget),
            plain(&result.message)
        )?;
    }
    Ok(writeln!(out)?)
}

fn write_phases(overview: &Overview, out: &mut dyn Write) -> Result<()> {
    writeln!(out, "<details><summary>Phases</summary>\n")?;
    writeln!(out, "| phase | | took | |\n| --- | --- | ---: | --- |")?;
    for view in &overview.phases {
        let (_, _, word) = words::state(view.state);
        let word = match view.state {
            State::Skipped(because) => format!("skipped because of {because}"),
            _ => word.to_owned(),
        };
        let message = plain(view.message.as_deref().unwrap_or_default());
        writeln!(
            out,
            "| {} | {word} | {:.1} s | {message} |",
            view.phase, view.seconds
        )?;
    }
    Ok(writeln!(out, "\n</details>\n")?)
}

/// Lines as they are, in a block that none of them can end.
fn write_lines(lines: &[String], out: &mut dyn Write) -> Result<()> {
    if lines.is_empty() {
        return Ok(());
    }
    let lines: Vec<String> = lines
        .iter()
        .take(EVIDENCE)
        .map(|line| limited(&one_line(line), TEXT).into_owned())
        .collect();
    let longest = lines
        .iter()
        .map(|line| runs_of_backticks(line))
        .max()
        .unwrap_or_default();
    let fence = "`".repeat(longest.max(2) + 1);
    Ok(writeln!(
        out,
        "{fence}text\n{}\n{fence}\n",
        lines.join("\n")
    )?)
}

fn runs_of_backticks(line: &str) -> usize {
    line.split(|c| c != '`')
        .map(str::len)
        .max()
        .unwrap_or_default()
}

/// Text that stays text: no markup, no HTML, nobody mentioned, no column ended.
fn plain(text: &str) -> String {
    let line = one_line(text);
    let line = limited(&line, TEXT);
    let mut plain = String::with_capacity(line.len());
    for c in line.chars() {
        match c {
            '&' => plain.push_str("&amp;"),
            '<' => plain.push_str("&lt;"),
            '>' => plain.push_str("&gt;"),
            // What stands between the sign and a name keeps it from being one.
            '@' => plain.push_str("@<!-- -->"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '#' | '~' | '!' | '$' => {
                plain.push('\\');
                plain.push(c);
            }
            _ => plain.push(c),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn text_stays_text() {
        let hostile = "@everyone | <img src=x> [a](b) `c` **d**\n# e";
        let expected =
            "@<!-- -->everyone \\| &lt;img src=x&gt; \\[a\\](b) \\`c\\` \\*\\*d\\*\\* \\# e";
        assert_eq!(plain(hostile), expected);
    }

    #[test]
    fn a_block_is_ended_by_none_of_its_lines() {
        let mut out = Vec::new();
        write_lines(&["```".to_owned(), "a ```` b".to_owned()], &mut out).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "`````text\n```\na ```` b\n`````\n\n"
        );
    }

    proptest! {
        #[test]
        fn no_text_ends_a_cell_or_begins_an_element(text in any::<String>()) {
            let plain = plain(&text).replace("@<!-- -->", "@");
            prop_assert!(!plain.contains(['<', '>', '\n']));
            prop_assert!(!plain.replace("\\\\", "").replace("\\|", "").contains('|'));
        }
    }
}
