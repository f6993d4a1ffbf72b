//! `junit.xml`: one suite per phase, one case per phase and per check, from the stream on disk.
//!
//! A suite's numbers stand before its cases, so the stream is read twice: once for the numbers, once
//! for the cases of each phase that has checks. Nothing in memory grows with the number of cases.
//! Names, and what counts as what, are told in docs/decisions/0001-junit.md.

mod case;
mod suite;
mod xml;

use std::io::Write;
use std::path::Path;

use anyhow::Result;

use super::overview::{Overview, PhaseView};
use crate::record::{self, Head, Phase, What};
use case::Case;
pub use xml::Xml;

/// Writes the report of the stream as far as it goes.
///
/// # Errors
/// When the stream cannot be read, or `out` cannot be written.
pub fn write(stream: &Path, out: &mut dyn Write) -> Result<()> {
    let overview = Overview::read(stream)?;
    let shared = suite::shared_properties(&overview);
    let mut xml = Xml::new(out)?;
    xml.open("testsuites", &[])?;
    for view in overview.told_phases() {
        write_suite(stream, &overview, view, &shared, &mut xml)?;
    }
    xml.close("testsuites")?;
    Ok(xml.finish()?)
}

fn write_suite(
    stream: &Path,
    overview: &Overview,
    view: &PhaseView,
    shared: &[(String, String)],
    xml: &mut Xml<impl Write>,
) -> Result<()> {
    let class = suite::class_name(overview, view.phase);
    let whole = case::of_phase(overview, view);
    suite::open(overview, view, &whole, xml)?;
    suite::write_properties(view, shared, xml)?;
    whole.write(&class, xml)?;
    if view.tally.checks > 0 {
        // The stream may have grown since its first reading; the numbers are of then.
        let scope = overview.scope();
        let phase = Some(view.phase);
        let wanted = move |head: &Head<'_>| match head.kind {
            "check" => head.phase == phase,
            kind => kind == "probeFinished",
        };
        for event in record::read_if(stream, wanted)? {
            let event = event?;
            if event.seq > scope.end {
                break;
            }
            if !scope.counts(&event) {
                continue;
            }
            match &event.what {
                What::Check(check) => Case::of_check(check).write(&class, xml)?,
                What::ProbeFinished(result) if view.phase == Phase::Upgrade => {
                    Case::of_probe(result).write(&class, xml)?;
                }
                _ => {}
            }
        }
    }
    xml.text("system-out", &[], &view.log.text())?;
    // Ant's schema demands it.
    xml.text("system-err", &[], "")?;
    Ok(xml.close("testsuite")?)
}
