//! The top of the page: what the run says in one sentence, the first cause, and how far it came.

use anyhow::Result;

use super::markup::Html;
use super::{Run, class, duration};
use crate::record::{Change, Finding, Rehearsal};
use crate::report::overview::{PhaseView, Start, State};
use crate::report::summary::NO_VERDICT;
use crate::report::words;

/// How much of the first cause's evidence stands at the top; the rest is further down.
const EVIDENCE: usize = 6;

pub fn write(run: &Run<'_>, start: &Start, html: &mut Html<'_>) -> Result<()> {
    if let Some(rehearsal) = &start.rehearsal {
        write_rehearsal(rehearsal, html)?;
    }
    if let Some(sentence) = run.overview.pauses.sentence() {
        write_pauses(&sentence, html)?;
    }
    let told = run.overview.verdict.as_ref();
    let reason = told.map_or(NO_VERDICT, |(_, reason, _)| reason);
    let (tone, word) = run.overview.verdict_in_words();
    html.within("header", &[("class", class(Some(tone)))], |html| {
        html.within("p", &[("class", "what")], |html| {
            let (from, to) = (
                words::short(&start.stack, &start.from),
                words::short(&start.stack, &start.to),
            );
            html.element("strong", &[], &start.stack)?;
            html.text(&format!(" {from} → {to}"))?;
            html.element("span", &[], &format!("run {}", start.run))
        })?;
        html.within("h1", &[], |html| {
            let mark = match class(Some(tone)) {
                "good" => "✓",
                "bad" => "✗",
                _ => "!",
            };
            html.element("span", &[("class", "mark"), ("aria-hidden", "true")], mark)?;
            let rehearsed = if start.rehearsal.is_some() {
                " (rehearsal)"
            } else {
                ""
            };
            html.text(&format!("{}{rehearsed}", capital(word)))
        })?;
        html.element("p", &[("class", "reason")], reason)
    })?;
    if let Some(finding) = run.overview.findings.first() {
        write_cause(finding, reason, html)?;
    }
    write_phases(run, html)?;
    write_facts(run, start, html)
}

fn write_rehearsal(rehearsal: &Rehearsal, html: &mut Html<'_>) -> Result<()> {
    html.within(
        "aside",
        &[("class", "rehearsal"), ("aria-label", "Rehearsal")],
        |html| {
            html.element("strong", &[], "Rehearsal")?;
            html.text(&format!(" — {}.", rehearsal.sentence()))
        },
    )
}

fn write_pauses(sentence: &str, html: &mut Html<'_>) -> Result<()> {
    html.within(
        "aside",
        &[("class", "rehearsal"), ("aria-label", "Pauses")],
        |html| {
            html.element("strong", &[], "Held up")?;
            html.text(&format!(" — {sentence}."))
        },
    )
}

fn write_cause(finding: &Finding, reason: &str, html: &mut Html<'_>) -> Result<()> {
    html.within(
        "section",
        &[("class", "cause"), ("aria-labelledby", "cause")],
        |html| {
            html.element("h2", &[("id", "cause")], "First cause")?;
            html.within("p", &[], |html| {
                html.element("code", &[], &finding.cause)?;
                // What was just read is not said again.
                let message = Some(&finding.message).filter(|message| !reason.contains(*message));
                let message = message.map(|message| format!(": {message}"));
                html.text(&format!(
                    " {}{}",
                    finding.object,
                    message.unwrap_or_default()
                ))
            })?;
            let lines: Vec<&str> = finding
                .evidence
                .iter()
                .take(EVIDENCE)
                .map(String::as_str)
                .collect();
            if lines.is_empty() {
                return Ok(());
            }
            html.element("pre", &[], &lines.join("\n"))
        },
    )
}

fn write_phases(run: &Run<'_>, html: &mut Html<'_>) -> Result<()> {
    html.within(
        "ol",
        &[("class", "phases"), ("aria-label", "Phases")],
        |html| {
            run.overview
                .phases
                .iter()
                .try_for_each(|view| write_phase(view, html))
        },
    )
}

fn write_phase(view: &PhaseView, html: &mut Html<'_>) -> Result<()> {
    let (tone, mark, word) = words::state(view.state);
    let message = view.message.as_deref().unwrap_or_default();
    let told = if message.is_empty() {
        word.to_owned()
    } else {
        format!("{word}: {message}")
    };
    html.within(
        "li",
        &[("class", class(Some(tone))), ("title", &told)],
        |html| {
            html.element("span", &[("class", "mark"), ("aria-hidden", "true")], mark)?;
            html.element("b", &[], view.phase.name())?;
            let time = match view.state {
                State::Skipped(_) | State::NotReached => word.to_owned(),
                State::Passed => duration(view.seconds),
                _ => format!("{word}, {}", duration(view.seconds)),
            };
            html.element("span", &[], &time)
        },
    )
}

fn write_facts(run: &Run<'_>, start: &Start, html: &mut Html<'_>) -> Result<()> {
    html.within("div", &[("class", "counts")], |html| {
        let Some((_, _, counts)) = &run.overview.verdict else {
            return Ok(());
        };
        for change in words::CHANGES.into_iter().flatten() {
            let count = words::count(counts, change);
            // What is none is told only where that is the point.
            if count == 0 && change != Change::Regressed {
                continue;
            }
            if counts == &crate::record::Counts::default() {
                continue;
            }
            let (tone, key, word) = words::change(Some(change));
            let class = if count == 0 {
                "faint"
            } else {
                class(Some(tone))
            };
            html.within(
                "a",
                &[("class", class), ("href", &format!("#filter={key}"))],
                |html| {
                    html.element("b", &[], &count.to_string())?;
                    html.text(&format!(" {word}"))
                },
            )?;
        }
        Ok(())
    })?;
    html.within("dl", &[("class", "facts")], |html| {
        let mut fact = |name: &str, value: &str| {
            html.within("div", &[], |html| {
                html.element("dt", &[], name)?;
                html.element("dd", &[], value)
            })
        };
        fact(
            "from",
            &format!("{} ({})", start.from.tag, start.from.kubernetes),
        )?;
        fact("to", &format!("{} ({})", start.to.tag, start.to.kubernetes))?;
        fact("engine", &start.engine)?;
        fact("delivery", &start.delivery)?;
        fact(
            "started",
            &start.at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
        )?;
        match run.overview.end {
            Some((code, seconds)) => {
                fact("took", &duration(seconds))?;
                fact("exit code", &code.to_string())
            }
            None => fact("ended", "without telling: it was killed, or goes on"),
        }
    })
}

fn capital(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(chars).collect()
    })
}
