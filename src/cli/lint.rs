//! `stackgate lint STACK`: what can be known of an upgrade without a cluster.

use super::args::{LintArgs, LintFormat};
use super::exit::{Ending, Failure};
use super::stacks;
use crate::lint;
use crate::record::{Severity, Verdict};
use crate::source;

/// Judges the releases of a stack, and closes the gate by a MUST that is broken.
///
/// # Errors
/// When the stack's file is wrong. Whatever is wrong with a release is a finding.
pub fn run(args: &LintArgs) -> Result<Ending, Failure> {
    let stacks_dir = args.stacks.stacks.as_deref();
    let folder = stacks::find(&args.stack, stacks_dir)?;
    let mut stack = stacks::read(&folder, stacks_dir)?;
    let releases = &mut stack.spec.releases;
    if let Some(tag) = &args.from {
        releases.from = tag.clone();
    }
    if let Some(tag) = &args.to {
        releases.to = tag.clone();
    }
    // They go when this does.
    let _obtained = super::runtime()?
        .block_on(source::obtain(&mut stack))
        .map_err(super::release::failure)?;
    let releases = &stack.spec.releases;
    let report = lint::releases(&stack, &releases.from, &releases.to);
    let text = match args.format {
        LintFormat::Plain => lint::output::terminal(&report),
        LintFormat::Json => lint::output::json(&report).map_err(Failure::infrastructure)?,
        LintFormat::Sarif => lint::output::sarif(&report).map_err(Failure::infrastructure)?,
        LintFormat::Junit => {
            let xml = lint::output::junit(&report).map_err(Failure::infrastructure)?;
            String::from_utf8(xml).map_err(Failure::infrastructure)?
        }
    };
    super::print(&text).map_err(Failure::infrastructure)?;
    let closed = report.count(Severity::Must) > 0;
    Ok(Ending::Verdict(if closed {
        Verdict::Closed
    } else {
        Verdict::Open
    }))
}
