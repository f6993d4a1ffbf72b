//! `stackgate lint STACK`: what can be known of an upgrade without a cluster.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::args::StacksArgs;
use super::exit::{Ending, Failure};
use super::stacks;
use crate::lint;
use crate::record::{Severity, Verdict};
use crate::stack::ReleaseTag;

#[derive(Debug, Args)]
pub struct LintArgs {
    /// The stack under test: a folder with stack.yaml, or the name of one in the stacks folder
    #[arg(value_name = "STACK")]
    pub stack: PathBuf,
    /// Release N [default: as stack.yaml says]
    #[arg(long, value_name = "TAG")]
    pub from: Option<ReleaseTag>,
    /// Release N+1 [default: as stack.yaml says]
    #[arg(long, value_name = "TAG")]
    pub to: Option<ReleaseTag>,
    /// How the findings are printed
    #[arg(long, value_enum, default_value_t = LintFormat::Plain)]
    pub format: LintFormat,
    #[command(flatten)]
    pub stacks: StacksArgs,
}

/// How findings are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LintFormat {
    /// For people
    Plain,
    /// For programs
    Json,
    /// For code scanning
    Sarif,
    /// For CI servers that show test results
    Junit,
}

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
    let _obtained = stacks::obtain(&mut stack)?;
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
