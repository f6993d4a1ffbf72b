//! The rest of the page: what was waited for longest, where it ran, and how to run it again.

use anyhow::Result;

use super::markup::Html;
use super::{Run, duration};
use crate::report::overview::Start;
use crate::report::summary::WaitSummary;
use crate::report::words;

/// How many waits are told.
const WAITS: usize = 10;

pub fn write(run: &Run<'_>, start: &Start, html: &mut Html<'_>) -> Result<()> {
    write_waits(run, html)?;
    write_environment(run, start, html)?;
    write_again(run, start, html)
}

fn write_waits(run: &Run<'_>, html: &mut Html<'_>) -> Result<()> {
    let waits: Vec<&WaitSummary> = run
        .overview
        .waits
        .iter()
        .filter(|wait| wait.seconds >= 0.05)
        .collect();
    if waits.is_empty() {
        return Ok(());
    }
    html.within("section", &[("aria-labelledby", "waits")], |html| {
        html.element("h2", &[("id", "waits")], "What was waited for longest")?;
        html.within("div", &[("class", "wide"), ("tabindex", "0"), ("role", "region"), ("aria-labelledby", "waits")], |html| {
            html.within("table", &[], |html| {
                html.literal(
                    "<thead><tr><th scope=\"col\" class=\"what\">What</th><th scope=\"col\">Phase</th><th scope=\"col\">Waited</th>\
                     <th scope=\"col\">What blocked it last</th></tr></thead>\n<tbody>",
                )?;
                for wait in waits.iter().take(WAITS) {
                    html.within("tr", &[], |html| {
                        html.element("th", &[("scope", "row")], &wait.what)?;
                        html.element("td", &[("class", "number")], wait.phase.name())?;
                        let given_up = if wait.satisfied { "" } else { ", given up" };
                        html.element("td", &[("class", "number")], &format!("{}{given_up}", duration(wait.seconds)))?;
                        html.element("td", &[], last_blocker(run, wait))
                    })?;
                }
                html.literal("</tbody>")
            })
        })
    })
}

fn last_blocker<'a>(run: &'a Run<'_>, wait: &WaitSummary) -> &'a str {
    let lanes = run.timeline.groups.iter().flat_map(|group| &group.lanes);
    let mut lanes = lanes.filter(|lane| lane.name == wait.what);
    let span = lanes.find_map(|lane| lane.spans.last());
    span.map_or("", |span| span.what.as_str())
}

fn write_environment(run: &Run<'_>, start: &Start, html: &mut Html<'_>) -> Result<()> {
    html.within("section", &[("aria-labelledby", "environment")], |html| {
        html.element("h2", &[("id", "environment")], "Environment")?;
        html.within("table", &[("class", "plain")], |html| {
            html.literal("<tbody>")?;
            let mut row = |name: &str, value: &str| {
                html.within("tr", &[], |html| {
                    html.element("th", &[("scope", "row")], name)?;
                    html.element("td", &[], value)
                })
            };
            row("stackgate", &start.version)?;
            row("engine", &start.engine)?;
            for (name, value) in &run.overview.properties {
                row(name, value)?;
            }
            if let Some(usage) = &run.overview.usage {
                let cost = format!(
                    "{} of processor time ({:.1} % of a core), {:.0} MiB at most, {} by the machine's clock",
                    duration(usage.cpu_seconds), usage.cpu_percent, usage.peak_rss_mib, duration(usage.wall_seconds)
                );
                row("cost of stackgate itself", &cost)?;
                if let Some(median) = usage.reaction_median_ms {
                    row("reaction to a watch event", &format!("{median:.1} ms (median)"))?;
                }
            }
            html.literal("</tbody>")
        })
    })
}

fn write_again(run: &Run<'_>, start: &Start, html: &mut Html<'_>) -> Result<()> {
    let again = words::again(start.rehearsal.as_ref(), &start.command, start.run.as_str());
    let again = again.unwrap_or_else(|| start.command.join(" "));
    html.within("section", &[("aria-labelledby", "again")], |html| {
        html.element("h2", &[("id", "again")], "The same again")?;
        if !again.is_empty() {
            html.element("pre", &[("tabindex", "0")], &again)?;
        }
        let told = match &start.rehearsal {
            Some(rehearsal) => format!("The seed {} gives the same stream of events.", rehearsal.seed),
            None => "Real clusters are never quite the same; the releases, the suites and the stack file are.".to_owned(),
        };
        html.element("p", &[], &told)?;
        let seq = run.overview.end_of_stream() + 1;
        let told = format!("This page was made from the {seq} events of events.jsonl; ");
        html.within("p", &[], |html| {
            html.text(&told)?;
            html.element("code", &[], &format!("stackgate report {} --format html", start.run))?;
            html.text(" makes it again.")
        })
    })
}
