//! `stackgate run STACK`: the gate on one stack.

use std::path::PathBuf;

use anyhow::anyhow;

use super::args::{EngineKind, RunArgs};
use super::conduct::Conduct;
use super::engine::own_suites;
use super::exit::Failure;
use super::stacks;
use crate::engine::Engine;
use crate::engine::kind::kept_name_problem;
use crate::gate::{self, Keep, Plan};
use crate::record::{ReleaseRef, RunId, Verdict};
use crate::stack::Release;
use crate::suite::Suite;

/// What is to be run, with nothing left to interpret.
#[derive(Debug)]
pub struct Run {
    /// The folder of the stack under test.
    pub stack: PathBuf,
    /// Where the shipped stacks are, when it was said.
    pub stacks: Option<PathBuf>,
    /// Where clusters come from.
    pub engine: EngineKind,
    /// Where the management cluster comes from, and whether it stays.
    pub management: Management,
    /// Whether clusters stay after the run.
    pub keep: Keep,
    /// Multiplies every deadline.
    pub timeout_scale: f64,
    /// Where the run's folder goes.
    pub reports: PathBuf,
    /// Where what becomes of watched objects goes.
    pub history: Option<PathBuf>,
}

/// Where the management cluster comes from, and whether it stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Management {
    /// It is made for this run and removed with it.
    Fresh,
    /// It is made, and stays under this name.
    Keep(String),
    /// It stayed under this name.
    Reuse(String),
}

/// Runs the gate.
///
/// # Errors
/// When the input is wrong (nothing was created then), or the run could not be carried out at all.
pub fn run(args: RunArgs, command: Vec<String>) -> Result<Verdict, Failure> {
    let run = Run::resolve(args)?;
    let id = RunId::random();
    let (plan, engine) = prepare(&run, &id)?;
    let reference = |release: &Release| ReleaseRef {
        tag: release.tag.to_string(),
        kubernetes: release.kubernetes_version.to_string(),
    };
    let conduct = Conduct {
        folder: run.reports.join(&plan.cluster),
        run: id,
        timeout_scale: run.timeout_scale,
        stack: plan.stack.name.to_string(),
        from: reference(&plan.pair.from),
        to: reference(&plan.pair.to),
        engine: engine.name().to_owned(),
        delivery: "direct".to_owned(),
        command,
        history: run.history,
        rehearsal: None,
        virtual_time: false,
    };
    conduct.run(async |context| gate::run(&plan, &context, &*engine).await)
}

/// Reads and judges everything that was given, and makes the engine; creates nothing.
fn prepare(run: &Run, id: &RunId) -> Result<(Plan, Box<dyn Engine>), Failure> {
    let stack = stacks::read(&run.stack, run.stacks.as_deref())?;
    let suites =
        Suite::load_all(&stack.spec.suites, &own_suites(&stack)).map_err(Failure::input)?;
    let pair = stack.open_releases().map_err(Failure::input)?;
    let plan = Plan::new(stack, pair, suites, run.keep, id).map_err(Failure::input)?;
    let engine = super::engine::make(run.engine, &plan.stack, id, &plan.cluster, &run.management)?;
    Ok((plan, engine))
}

impl Run {
    /// Resolves what was typed.
    ///
    /// # Errors
    /// When it contradicts itself, or there is no such stack.
    pub fn resolve(args: RunArgs) -> Result<Self, Failure> {
        let (management, surplus) = Management::resolve(&args.management)?;
        let stack = match (args.stack, surplus) {
            (Some(stack), None) => stack,
            (None, Some(stack)) => PathBuf::from(stack),
            (Some(_), Some(name)) => {
                let error = anyhow!("failed to understand --management fresh {name}");
                return Err(Failure::input(error).hint("fresh takes no name; keep and reuse do"));
            }
            (None, None) => {
                let error = anyhow!("failed to start: no STACK was given");
                return Err(Failure::input(error).hint("usage: stackgate run STACK [OPTIONS]"));
            }
        };
        Ok(Self {
            stack: stacks::find(&stack, args.stacks.stacks.as_deref())?,
            stacks: args.stacks.stacks,
            engine: args.engine.engine,
            management,
            keep: args.keep.into(),
            timeout_scale: args.timeout_scale,
            reports: args.reports,
            history: args.history,
        })
    }
}

impl Management {
    /// The mode, and a value that it did not use.
    fn resolve(values: &[String]) -> Result<(Self, Option<String>), Failure> {
        match values {
            [] => Ok((Self::Fresh, None)),
            [mode, rest @ ..] if mode == "fresh" => Ok((Self::Fresh, rest.first().cloned())),
            [mode, name] if mode == "keep" => Ok((Self::Keep(cluster_name(name)?), None)),
            [mode, name] if mode == "reuse" => Ok((Self::Reuse(cluster_name(name)?), None)),
            _ => {
                let given = values.join(" ");
                let error = anyhow!("failed to understand --management {given}");
                Err(Failure::input(error).hint("expected fresh, keep NAME or reuse NAME"))
            }
        }
    }
}

/// Containers are named after it, so the engine has the rule.
fn cluster_name(name: &str) -> Result<String, Failure> {
    match kept_name_problem(name) {
        None => Ok(name.to_owned()),
        Some(problem) => {
            Err(Failure::input(anyhow!(problem)).hint("choose another name, e.g. warm"))
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::super::args::{Cli, Command};
    use super::*;

    fn resolve(line: &str) -> Result<Run, Failure> {
        let folder = tempfile::tempdir().unwrap();
        let stack = folder.path().join("demo");
        std::fs::create_dir(&stack).unwrap();
        std::fs::write(stack.join("stack.yaml"), "").unwrap();
        let stacks = folder.path().to_str().unwrap();
        let words = ["stackgate", "run", "--stacks", stacks];
        let cli = Cli::try_parse_from(words.into_iter().chain(line.split(' '))).unwrap();
        match cli.command {
            Command::Run(args) => Run::resolve(args),
            other => panic!("{other:?} is not a run"),
        }
    }

    #[test]
    fn a_management_mode_is_resolved_wherever_the_stack_stands() {
        let name = || "warm-1".to_owned();
        for (line, expected) in [
            ("demo", Management::Fresh),
            ("demo --management fresh", Management::Fresh),
            ("--management fresh demo", Management::Fresh),
            ("--management keep warm-1 demo", Management::Keep(name())),
            ("demo --management reuse warm-1", Management::Reuse(name())),
        ] {
            let run = resolve(line).unwrap_or_else(|failure| panic!("{line}: {failure:?}"));
            assert_eq!(run.management, expected, "{line}");
            assert!(run.stack.ends_with("demo"), "{line}");
        }
    }

    #[test]
    fn a_management_mode_that_makes_no_sense_is_refused_with_the_way_out() {
        for (line, hint) in [
            (
                "demo --management keep",
                "expected fresh, keep NAME or reuse NAME",
            ),
            (
                "demo --management warm x",
                "expected fresh, keep NAME or reuse NAME",
            ),
            ("demo --management fresh x", "fresh takes no name"),
            ("--management keep demo", "usage: stackgate run STACK"),
            ("--management fresh", "usage: stackgate run STACK"),
            ("demo --management keep A_b", "lower-case letters"),
            ("demo --management keep -", "no hyphen at the ends"),
        ] {
            let Err(failure) = resolve(line) else {
                panic!("{line} was taken")
            };
            let shown = format!("{} {}", failure.error, failure.hints.join(" "));
            assert!(shown.contains(hint), "{line}: {shown}");
        }
    }
}
