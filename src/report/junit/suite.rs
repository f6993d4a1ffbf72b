//! A phase as a suite: its name, numbers and properties.

use std::io::{self, Write};

use super::case::{Case, Mark, seconds};
use super::xml::Xml;
use crate::record::Phase;
use crate::report::overview::{Overview, PhaseView};
use crate::report::{text, words};

/// The class of a phase's cases: stable as long as the stack keeps its name.
pub fn class_name(overview: &Overview, phase: Phase) -> String {
    let stack = overview
        .start
        .as_ref()
        .map_or("stackgate", |start| &start.stack);
    format!("{stack}.{}", overview.label(phase).replace(' ', "-"))
}

/// Opens the suite, with its numbers: those of its checks and of the phase's own case.
pub fn open(
    overview: &Overview,
    view: &PhaseView,
    whole: &Case,
    xml: &mut Xml<impl Write>,
) -> io::Result<()> {
    let is = |mark| usize::from(whole.mark == mark);
    let tally = view.tally;
    let at = view
        .started
        .map(|(at, _)| at)
        .or_else(|| overview.start.as_ref().map(|s| s.at));
    let package = overview
        .start
        .as_ref()
        .map_or("stackgate", |start| &start.stack);
    xml.open(
        "testsuite",
        &[
            ("name", overview.label(view.phase)),
            ("package", package),
            ("id", &(view.phase as usize).to_string()),
            // The name of the machine says nothing about the stack, and is nobody else's business.
            ("hostname", "localhost"),
            // UTC; Ant's schema allows no zone.
            (
                "timestamp",
                &at.unwrap_or_default()
                    .strftime("%Y-%m-%dT%H:%M:%S")
                    .to_string(),
            ),
            ("tests", &(tally.checks + 1).to_string()),
            (
                "failures",
                &(tally.failures + is(Mark::Failure)).to_string(),
            ),
            ("errors", &(tally.errors + is(Mark::Error)).to_string()),
            ("skipped", &(tally.skipped + is(Mark::Skipped)).to_string()),
            ("time", &seconds(view.seconds)),
        ],
    )
}

/// Facts about the run. Every suite carries them, since consumers take suites apart.
pub fn shared_properties(overview: &Overview) -> Vec<(String, String)> {
    let mut properties = Vec::new();
    let mut add = |name: &str, value: &dyn ToString| {
        properties.push((name.to_owned(), value.to_string()));
    };
    if let Some(start) = &overview.start {
        add("stackgate.version", &start.version);
        add("run", &start.run);
        add("started", &start.at);
        add("stack", &start.stack);
        if overview.only_checks() {
            add("kubernetes", &start.to.kubernetes);
        } else {
            add("release.before", &start.from.tag);
            add("release.after", &start.to.tag);
            add("kubernetes.before", &start.from.kubernetes);
            add("kubernetes.after", &start.to.kubernetes);
        }
        add("engine", &start.engine);
        add("delivery", &start.delivery);
        if let Some(rehearsal) = &start.rehearsal {
            add("rehearsal", &rehearsal.sentence());
            add("seed", &rehearsal.seed);
        }
        let again = words::again(start.rehearsal.as_ref(), &start.command, start.run.as_str());
        if let Some(again) = again {
            add("reproduce", &again);
        }
    }
    if let Some((_, _, counts)) = overview
        .verdict
        .as_ref()
        .filter(|_| !overview.only_checks())
    {
        add("comparison.kept", &counts.kept);
        add("comparison.fixed", &counts.fixed);
        add("comparison.flaky", &counts.flaky);
        add("comparison.regressed", &counts.regressed);
        add("comparison.still-failing", &counts.still_failing);
        add("comparison.accepted", &counts.accepted);
        add("comparison.not-comparable", &counts.not_comparable);
    }
    if let Some((code, total)) = overview.end {
        add("exit-code", &code);
        add("seconds", &seconds(total));
    }
    // What was observed outranks what was announced.
    properties.retain(|(name, _)| overview.properties.iter().all(|(known, _)| known != name));
    properties.extend(overview.properties.iter().cloned());
    properties
}

/// Writes the run's properties and the phase's own.
pub fn write_properties(
    view: &PhaseView,
    shared: &[(String, String)],
    xml: &mut Xml<impl Write>,
) -> io::Result<()> {
    let deadline = view
        .started
        .map(|(_, seconds)| seconds)
        .filter(|&seconds| seconds > 0);
    let deadline = deadline.map(|seconds| ("deadline-seconds".to_owned(), seconds.to_string()));
    xml.open("properties", &[])?;
    for (name, value) in shared.iter().chain(&deadline) {
        // A schema demands a name.
        let name = if text::one_line(name).is_empty() {
            "unnamed"
        } else {
            name
        };
        xml.empty("property", &[("name", name), ("value", value)])?;
    }
    xml.close("properties")
}
