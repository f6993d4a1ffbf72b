//! The command line: one file per command, one exit code per ending.

mod again;
pub mod args;
mod bundle;
mod check;
mod ci;
mod clean;
pub mod conduct;
mod data;
mod diff;
mod doctor;
mod engine;
pub mod exit;
mod faults;
mod inputs;
mod judge;
mod kubeconfig;
mod lint;
mod management;
mod open;
mod operator;
mod pause;
pub mod rehearsal;
mod release;
mod replay;
mod report;
mod reproduce;
pub mod run;
mod runs;
mod scenarios;
mod schema;
mod scs_check;
mod signals;
mod simulate;
mod stacks;
mod suites;
mod usage;

use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;

use args::{Cli, Command, DataCommand, SuitesCommand};
use exit::{Ending, Exit, Failure};

/// Runs the command line and turns its ending into an exit code.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are answers, everything else is wrong usage. Nobody is left to be told
            // that the answer could not be written.
            let _ = error.print();
            let asked = !error.use_stderr();
            return if asked {
                Exit::Open.into()
            } else {
                scs_check::usage_code().unwrap_or(Exit::Usage.code()).into()
            };
        }
    };
    let ending = dispatch(cli).unwrap_or_else(Ending::Failed);
    if let Ending::Failed(failure) = &ending {
        tell(failure);
    }
    ending.code().into()
}

fn dispatch(cli: Cli) -> Result<Ending, Failure> {
    let done = |()| Ending::Done;
    match cli.command {
        Command::Run(args) => run::run(args, command_line()).map(Ending::Verdict),
        Command::Check(args) => check::run(*args, command_line()),
        Command::Doctor(args) => doctor::run(&args).map(done),
        Command::Clean(args) => clean::run(&args).map(done),
        Command::Lint(args) => lint::run(&args),
        Command::Release(command) => release::run(&command).map(done),
        Command::Report(args) => report::run(args, command_line()),
        Command::Replay(args) => replay::run(&args, command_line()),
        Command::Diff(args) => diff::run(&args),
        Command::Reproduce(args) => reproduce::run(args, command_line()),
        Command::Resume(args) => pause::resume(&args, command_line()),
        Command::Abort(args) => pause::abort(&args),
        Command::Bundle(args) => bundle::run(&args),
        Command::Simulate(args) => simulate::run(&args),
        Command::ScsCheck(args) => {
            let argv = std::env::args_os().skip(2);
            let argv = argv.map(|word| word.to_string_lossy().into_owned());
            scs_check::ending(&args, argv.collect())
        }
        Command::Faults(args) => faults::run(args.format).map(done),
        Command::Data(command) => match command {
            DataCommand::Refresh { output } => data::refresh(&output),
            DataCommand::Show => data::show(),
        }
        .map(done),
        Command::Suites(command) => match command {
            SuitesCommand::List => suites::list(),
            SuitesCommand::Show { name } => suites::show(&name),
            SuitesCommand::Explain { id } => suites::explain(&id),
            SuitesCommand::Lint { files } => suites::lint(&files),
        }
        .map(done),
        Command::Scenarios(command) => scenarios::run(&command).map(done),
        Command::Version => print(&format!("stackgate {}\n", env!("CARGO_PKG_VERSION")))
            .map(done)
            .map_err(Failure::infrastructure),
        Command::Schema { name } => schema::print(name).map(done),
    }
}

/// The command line, as given.
fn command_line() -> Vec<String> {
    let words = std::env::args_os().map(|word| word.to_string_lossy().into_owned());
    words.collect()
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    runtime_with(false)
}

/// One thread for everything; with virtual time, waiting takes no time, and the order of what happens
/// is always the same.
fn runtime_with(virtual_time: bool) -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(virtual_time)
        .build()
        .context("failed to start the runtime")
        .map_err(Failure::infrastructure)
}

/// Data goes to stdout. Who closes the pipe has read enough: that is not an error.
fn print(text: &str) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(error).context("failed to write to stdout")
        }
        _ => Ok(()),
    }
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./@:=+,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

/// A line beside the data.
fn note(line: &str) {
    let _ = std::io::stderr()
        .lock()
        .write_all(format!("{line}\n").as_bytes());
}

fn tell(failure: &Failure) {
    complain(&causes(&failure.error), &failure.hints);
}

/// The only place where errors are shown.
fn complain(error: &str, hints: &[String]) {
    let mut text = format!("error: {error}\n");
    for hint in hints {
        text.push_str(&format!("hint: {hint}\n"));
    }
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

/// An error and its causes, each on its own line.
fn causes(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1) {
        // Some errors repeat their cause in their own text.
        let cause = cause.to_string();
        if !text.contains(&cause) {
            text.push_str(&format!("\n  because: {}", cause.replace('\n', "\n  ")));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn an_error_is_shown_with_its_causes_and_no_cause_twice() {
        let error = anyhow!("no such file").context("failed to open x: no such file");
        assert_eq!(causes(&error), "failed to open x: no such file");
        let error = anyhow!("no such file")
            .context("failed to open x")
            .context("failed to start");
        let expected = "failed to start\n  because: failed to open x\n  because: no such file";
        assert_eq!(causes(&error), expected);
    }
}
