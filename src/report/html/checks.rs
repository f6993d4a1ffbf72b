//! The checks: a table of all of them before and after, and each that wants attention with its evidence.

use anyhow::Result;

use super::markup::Html;
use super::{Run, class, duration, is_quiet};
use crate::record::{Outcome, Phase};
use crate::report::overview::{PhaseView, State};
use crate::report::pairs::{Answer, Pair};
use crate::report::standing::Standing;
use crate::report::timeline::Group;
use crate::report::words;

/// How many failing checks have their evidence on the page.
const DETAILS: usize = 300;
/// How many lines of evidence of one check.
const LINES: usize = 200;
/// How many objects' states are told beside a failing check.
const OBJECTS: usize = 12;

/// Whether a check wants a reader's attention.
fn wants_attention(pair: &Pair) -> bool {
    let standing = Standing::of(&pair.latest().result);
    !matches!(
        standing,
        Standing::Passed | Standing::NotApplicable | Standing::Accepted
    )
}

/// Where a check's evidence is on the page.
fn anchor(at: usize) -> String {
    format!("check-{}", at + 1)
}

pub fn write_table(run: &Run<'_>, html: &mut Html<'_>) -> Result<()> {
    if run.checks == 0 {
        return Ok(());
    }
    html.within("section", &[("id", "checks"), ("aria-labelledby", "checks-title")], |html| {
        html.element("h2", &[("id", "checks-title")], "Checks before and after the upgrade")?;
        write_controls(run, html)?;
        html.within("div", &[("class", "wide"), ("tabindex", "0"), ("role", "region"), ("aria-labelledby", "checks-title")], |html| {
            html.within("table", &[("class", "checks")], |html| {
                html.literal(
                    "<thead><tr><th scope=\"col\">Check</th><th scope=\"col\">Force</th><th scope=\"col\">Before</th>\
                     <th scope=\"col\">After</th><th scope=\"col\">Change</th><th scope=\"col\">Why</th></tr></thead>\n<tbody>\n",
                )?;
                let mut detail = 0;
                for pair in run.noted {
                    let mut link = None;
                    if wants_attention(pair) && detail < DETAILS {
                        link = Some(format!("#{}", anchor(detail)));
                        detail += 1;
                    }
                    write_row(pair, link.as_deref(), html)?;
                }
                if run.noted.len() < run.checks {
                    for pair in run.pairs()? {
                        let pair = pair?;
                        if is_quiet(&pair) {
                            write_row(&pair, None, html)?;
                        }
                    }
                }
                html.literal("</tbody>")
            })
        })
    })
}

/// Only scripts can filter, so these are hidden until the page's script runs.
fn write_controls(run: &Run<'_>, html: &mut Html<'_>) -> Result<()> {
    html.within("div", &[("class", "controls"), ("hidden", "")], |html| {
        html.within("div", &[("class", "filters"), ("role", "group"), ("aria-label", "Filter by change")], |html| {
            let button = |html: &mut Html<'_>, key: &str, word: &str, count: usize| {
                html.within("button", &[("type", "button"), ("data-filter", key), ("aria-pressed", "false")], |html| {
                    html.text(word)?;
                    html.element("span", &[], &count.to_string())
                })
            };
            button(html, "all", "all", run.checks)?;
            for change in words::CHANGES {
                let (_, key, word) = words::change(change);
                let noted = run.noted.iter().filter(|pair| pair.change == change).count();
                let count = if change == Some(crate::record::Change::Kept) {
                    run.checks - run.noted.len()
                } else {
                    noted
                };
                if count > 0 {
                    button(html, key, word, count)?;
                }
            }
            Ok(())
        })?;
        html.literal("<label>Search <input type=\"search\" id=\"search\" autocomplete=\"off\" spellcheck=\"false\" placeholder=\"id, message, suite\"></label>")?;
        html.literal("<p role=\"status\" id=\"shown\"></p>")
    })?;
    html.literal("\n")
}

fn write_row(pair: &Pair, link: Option<&str>, html: &mut Html<'_>) -> Result<()> {
    let first = pair.first();
    let (tone, key, word) = words::change(pair.change);
    html.within("tr", &[("data-change", key)], |html| {
        html.within("th", &[("scope", "row")], |html| {
            match link {
                Some(link) => html.link(link, &first.id)?,
                None => html.text(&first.id)?,
            }
            html.element("small", &[], &first.title)
        })?;
        html.within("td", &[], |html| {
            html.text(&first.severity.to_string())?;
            html.element("small", &[], &first.suite)
        })?;
        write_outcome(pair.before.as_ref(), html)?;
        write_outcome(pair.after.as_ref(), html)?;
        html.within("td", &[], |html| {
            html.element("b", &[("class", class(Some(tone)))], word)
        })?;
        let why = match pair.accepted() {
            Some(reason) if pair.change == Some(crate::record::Change::Accepted) => reason,
            _ => &pair.latest().result.message,
        };
        html.element("td", &[], why)
    })?;
    html.literal("\n")
}

fn write_outcome(answer: Option<&Answer>, html: &mut Html<'_>) -> Result<()> {
    let outcome = answer.map(|answer| answer.result.outcome);
    let class = outcome.map_or("faint", |outcome| class(Some(words::outcome_tone(outcome))));
    html.within("td", &[], |html| {
        html.element("span", &[("class", class)], &words::outcome(outcome))
    })
}

/// Each phase and each check that wants attention, with what is known of why.
pub fn write_details(run: &Run<'_>, html: &mut Html<'_>) -> Result<()> {
    let pairs: Vec<&Pair> = run
        .noted
        .iter()
        .filter(|pair| wants_attention(pair))
        .collect();
    let phases: Vec<&PhaseView> = run
        .overview
        .phases
        .iter()
        .filter(|view| is_trouble(view))
        .collect();
    let findings = &run.overview.findings;
    if pairs.is_empty() && phases.is_empty() && findings.is_empty() {
        return Ok(());
    }
    html.within(
        "section",
        &[("id", "details"), ("aria-labelledby", "details-title")],
        |html| {
            html.element(
                "h2",
                &[("id", "details-title")],
                "What is not as it should be, and the evidence",
            )?;
            for view in phases {
                write_trouble(view, html)?;
            }
            for finding in findings {
                html.within("article", &[("class", "bad")], |html| {
                    html.within("h3", &[], |html| {
                        html.element("b", &[], "cause")?;
                        html.text(&format!(" {}", finding.cause))
                    })?;
                    html.element(
                        "p",
                        &[],
                        &format!("{}: {}", finding.object, finding.message),
                    )?;
                    write_lines(&finding.evidence, html)
                })?;
            }
            for (at, pair) in pairs.iter().take(DETAILS).enumerate() {
                write_detail(run, at, pair, html)?;
            }
            if let Some(more) = pairs.len().checked_sub(DETAILS).filter(|more| *more > 0) {
                let told = format!(
                    "The evidence of {more} more checks is in junit.xml and in events.jsonl."
                );
                html.element("p", &[], &told)?;
            }
            Ok(())
        },
    )
}

const fn is_trouble(view: &PhaseView) -> bool {
    matches!(view.state, State::Failed | State::Aborted | State::Running)
}

fn write_trouble(view: &PhaseView, html: &mut Html<'_>) -> Result<()> {
    let (tone, _, word) = words::state(view.state);
    html.within("article", &[("class", class(Some(tone)))], |html| {
        html.within("h3", &[], |html| {
            html.element("b", &[], word)?;
            html.text(&format!(" {}", view.phase))
        })?;
        html.element("p", &[], view.message.as_deref().unwrap_or_default())?;
        let Some((what, blockers)) = &view.blocked else {
            return Ok(());
        };
        html.element("h4", &[], &format!("Waiting for {what}"))?;
        let lines: Vec<String> = blockers.iter().map(ToString::to_string).collect();
        write_lines(&lines, html)
    })
}

fn write_detail(run: &Run<'_>, at: usize, pair: &Pair, html: &mut Html<'_>) -> Result<()> {
    let answer = pair.latest();
    let result = &answer.result;
    let tone = match Standing::of(result) {
        Standing::Failed => Some(words::Tone::Bad),
        _ => Some(words::Tone::Attention),
    };
    html.within(
        "article",
        &[("id", &anchor(at)), ("class", class(tone))],
        |html| {
            html.within("h3", &[], |html| {
                let (_, _, word) = words::change(pair.change);
                html.element("b", &[], word)?;
                html.text(&format!(" {}", result.id))
            })?;
            html.within("p", &[("class", "asked")], |html| {
                html.text(&format!(
                    "{} · {} · suite {} · {}",
                    result.title,
                    result.severity,
                    result.suite,
                    duration(result.seconds)
                ))?;
                if !result.surroundings.is_unknown() {
                    html.text(&format!(" · on {}", result.surroundings))?;
                }
                if let Some(standard) = &result.standard {
                    html.text(" · ")?;
                    let url = standard.url.as_deref().unwrap_or_default();
                    html.link(url, &standard.to_string())?;
                }
                Ok(())
            })?;
            if let (Some(before), Some(_)) = (&pair.before, &pair.after) {
                write_answer("before", before, html)?;
            }
            let side = if result.phase == Phase::CheckBefore {
                "before"
            } else {
                "after"
            };
            write_answer(side, answer, html)?;
            write_lines(&result.evidence, html)?;
            write_objects(run, answer, html)
        },
    )
}

fn write_answer(side: &str, answer: &Answer, html: &mut Html<'_>) -> Result<()> {
    let result = &answer.result;
    html.within("p", &[("class", "answer")], |html| {
        html.text(&format!("{side} "))?;
        let tone = class(Some(words::outcome_tone(result.outcome)));
        html.element("b", &[("class", tone)], &result.outcome.to_string())?;
        let silent = result.outcome == Outcome::Pass && result.message.is_empty();
        html.text(if silent { "" } else { " " })?;
        html.text(&result.message)
    })
}

fn write_lines(lines: &[String], html: &mut Html<'_>) -> Result<()> {
    if lines.is_empty() {
        return Ok(());
    }
    let mut text = lines[..lines.len().min(LINES)].join("\n");
    if let Some(more) = lines.len().checked_sub(LINES).filter(|more| *more > 0) {
        text.push_str(&format!("\n[{more} more lines in events.jsonl]"));
    }
    html.element("pre", &[("tabindex", "0")], &text)
}

/// What the timeline knows of the objects that an answer names, at its moment.
fn write_objects(run: &Run<'_>, answer: &Answer, html: &mut Html<'_>) -> Result<()> {
    let said = format!(
        "{} {}",
        answer.result.message,
        answer.result.evidence.join(" ")
    );
    let mut states = Vec::new();
    for Group { name, lanes, .. } in &run.timeline.groups {
        if ["phases", "causes and failed checks"].contains(name) {
            continue;
        }
        for lane in lanes {
            // The object's own name: behind its kind and its namespace.
            let object = lane.name.rsplit([' ', '/']).next().unwrap_or_default();
            if object.len() < 3 || !said.contains(object) {
                continue;
            }
            let then = |from: u64, to: u64| from <= answer.at_ms && answer.at_ms <= to;
            if let Some(span) = lane
                .spans
                .iter()
                .rev()
                .find(|span| then(span.from_ms, span.to_ms))
            {
                states.push(format!("{}: {}", lane.name, span.what));
            }
        }
    }
    if states.is_empty() {
        return Ok(());
    }
    html.element("h4", &[], "Objects at that moment")?;
    states.truncate(OBJECTS);
    html.within("ul", &[], |html| {
        states
            .iter()
            .try_for_each(|state| html.element("li", &[], state))
    })
}
