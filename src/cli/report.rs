//! `stackgate report`: makes the views of a run again, from its stream.

use std::io::{BufWriter, ErrorKind, Write};
use std::path::Path;

use anyhow::{Context, Result, anyhow};

use super::args::{MergeArgs, ReportArgs, ReportCommand};
use super::exit::{Ending, Failure};
use super::{ci, runs};
use crate::report::terminal::{self, Screen};
use crate::report::{self, Format};

/// Makes one view, or all of them, or joins shards.
///
/// # Errors
/// When there is no such run, its stream cannot be read, or a view cannot be written.
pub fn run(args: ReportArgs, command: Vec<String>) -> Result<Ending, Failure> {
    if let Some(ReportCommand::Merge(args)) = args.command {
        return merge(&args, command);
    }
    let folder = runs::open(&args.run, &args.reports)?;
    let Some(format) = args.format.map(Format::from) else {
        if folder.is_unpacked() {
            let error = anyhow!("failed to write the views of a bundle: it has no folder");
            return Err(Failure::input(error).hint("add --format, for one view of it"));
        }
        return tell(&folder)
            .map(|()| Ending::Done)
            .map_err(Failure::infrastructure);
    };
    let made = match &args.output {
        Some(path) => to_file(&folder, format, path),
        None => to_stdout(&folder, format),
    };
    made.map_err(Failure::infrastructure)?;
    if format == Format::Github {
        ci::summarise(&folder).map_err(Failure::infrastructure)?;
    }
    Ok(Ending::Done)
}

fn tell(folder: &Path) -> Result<()> {
    let written = report::write_all(folder)?;
    super::print(&terminal::closing(folder, &written, Screen::stdout())?)
}

fn to_file(folder: &Path, format: Format, path: &Path) -> Result<()> {
    let file = ci::annotated_file(folder);
    report::write_file(path, |out| format.write(folder, file.as_deref(), out))
}

/// Who closes the pipe has read enough.
fn to_stdout(folder: &Path, format: Format) -> Result<()> {
    let file = ci::annotated_file(folder);
    let mut out = BufWriter::new(std::io::stdout().lock());
    let written = format
        .write(folder, file.as_deref(), &mut out)
        .and_then(|()| Ok(out.flush()?));
    let broken = |error: &anyhow::Error| {
        let io = |error: &std::io::Error| error.kind() == ErrorKind::BrokenPipe;
        let json = |error: &serde_json::Error| error.io_error_kind() == Some(ErrorKind::BrokenPipe);
        error.chain().any(|cause| {
            cause.downcast_ref().is_some_and(io) || cause.downcast_ref().is_some_and(json)
        })
    };
    match written {
        Err(error) if broken(&error) => Ok(()),
        written => written,
    }
}

/// A pipeline obeys the exit code of what was joined as that of a run.
fn merge(args: &MergeArgs, command: Vec<String>) -> Result<Ending, Failure> {
    let folders = args.runs.iter().map(|run| runs::open(run, &args.reports));
    let folders: Vec<_> = folders.collect::<Result<_, _>>()?;
    let streams: Vec<_> = folders
        .iter()
        .map(|folder| folder.join(report::STREAM))
        .collect();
    let streams: Vec<&Path> = streams.iter().map(|stream| &**stream).collect();
    let output = &args.output;
    if output.join(report::STREAM).exists() {
        let error = anyhow!(
            "failed to join the runs: there is a run in {} already",
            output.display()
        );
        return Err(Failure::input(error).hint("give another --output"));
    }
    let code = |verdict| Ending::Verdict(verdict).code();
    let merged = report::merge(&streams, command, code).context("failed to join the runs");
    let merged = merged.map_err(Failure::input)?;
    let made = || -> Result<()> {
        std::fs::create_dir_all(output)
            .with_context(|| format!("failed to create {}", output.display()))?;
        report::write_file(&output.join(report::STREAM), |out| {
            for event in &merged.events {
                serde_json::to_writer(&mut *out, event)?;
                out.write_all(b"\n")?;
            }
            Ok(())
        })?;
        tell(output)
    };
    made().map_err(Failure::infrastructure)?;
    Ok(Ending::Verdict(merged.verdict))
}
