//! `stackgate reproduce RUN|BUNDLE`: the same inputs, seed and faults again.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use tempfile::TempDir;

use super::args::{
    DeliveryKind, EngineKind, ExistingArgs, Keep, RehearsalArgs, RunArgs, RunEngineArgs, StacksArgs,
};
use super::bundle::{SUFFIX, unpack};
use super::exit::{Ending, Failure};
use super::inputs::{Asked, Inputs};
use super::{run, runs};

#[derive(Debug, Args)]
pub struct ReproduceArgs {
    /// What is run again: a run's folder, its id, `latest`, or a bundle (.tar.zst)
    #[arg(value_name = "RUN|BUNDLE", default_value = "latest")]
    pub run: String,
    /// Where clusters come from this time [default: as in the run]
    #[arg(long, value_enum)]
    pub engine: Option<EngineKind>,
    /// Whether to keep the clusters at the end
    #[arg(long, value_enum, default_value_t = Keep::Never)]
    pub keep: Keep,
    #[command(flatten)]
    pub existing: ExistingArgs,
    /// Where runs are found by id, and where the new run's folder goes
    #[arg(long, value_name = "DIR", default_value = "reports")]
    pub reports: PathBuf,
}

/// Runs the gate again as it was run.
///
/// # Errors
/// When there is no such run, what it was made of is not there any more, or it cannot be run here.
pub fn run(args: &ReproduceArgs, command: Vec<String>) -> Result<Ending, Failure> {
    // A bundle is unpacked for as long as the run lasts.
    let (folder, _unpacked) = find(args)?;
    let Inputs { asked, stacks } = Inputs::read(&folder).map_err(Failure::input)?;
    let engine = match args.engine {
        Some(engine) => engine,
        None => value("engine", &asked.engine)?,
    };
    let embedded = engine == EngineKind::Embedded;
    for line in differences(&asked, engine, &Asked::here()) {
        super::note(&line);
    }
    let faults = asked.faults.iter().filter(|_| embedded);
    let faults = faults
        .map(|fault| {
            fault
                .parse()
                .map_err(|error| Failure::input(anyhow::anyhow!("{error}")))
        })
        .collect::<Result<_, _>>()?;
    let now = asked.today.parse().map_err(Failure::input)?;
    let args = RunArgs {
        stack: Some(stacks.join(&asked.stack)),
        engine: RunEngineArgs {
            engine: Some(engine),
        },
        delivery: Some(value::<DeliveryKind>("delivery", &asked.delivery)?),
        management: Vec::new(),
        existing: args.existing.clone(),
        keep: args.keep,
        rehearsal: RehearsalArgs {
            seed: asked.seed.filter(|_| embedded),
            real_time: false,
            simulated: false,
            faults,
        },
        no_lint: asked.no_lint,
        timeout_scale: asked.timeout_scale,
        reports: args.reports.clone(),
        open: false,
        now: Some(now),
        stacks: StacksArgs {
            stacks: Some(stacks),
        },
    };
    run::run(args, command).map(Ending::Verdict)
}

fn find(args: &ReproduceArgs) -> Result<(PathBuf, Option<TempDir>), Failure> {
    if !args.run.ends_with(SUFFIX) {
        return Ok((runs::find(&args.run, &args.reports)?, None));
    }
    let into = tempfile::tempdir().map_err(Failure::infrastructure)?;
    let folder = unpack(Path::new(&args.run), into.path()).map_err(Failure::input)?;
    Ok((folder, Some(into)))
}

fn value<T: ValueEnum>(what: &str, text: &str) -> Result<T, Failure> {
    T::from_str(text, false).map_err(|_| {
        Failure::input(anyhow::anyhow!(
            "failed to run it again: there is no {what} '{text}'"
        ))
    })
}

/// What is not as it was when the run was recorded, a line each.
fn differences(asked: &Asked, engine: EngineKind, here: &str) -> Vec<String> {
    let version = env!("CARGO_PKG_VERSION");
    let mut lines = Vec::new();
    let mut tell = |what: &str, then: &str, now: &str| {
        if then != now {
            lines.push(format!("differs: {what} was {then}, is {now}"));
        }
    };
    tell("stackgate", &asked.version, version);
    tell("the engine", &asked.engine, engine.name());
    tell("the machine", &asked.machine, here);
    if engine == EngineKind::Kind && !asked.faults.is_empty() {
        lines.push(format!(
            "differs: {} was injected; real clusters have their own accidents",
            asked.faults.join(", ")
        ));
    }
    if lines.is_empty() {
        lines.push("nothing differs from the run that is run again".to_owned());
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_told_before_anything_starts() {
        let mut asked = Asked {
            no_lint: false,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            machine: "linux x86_64".to_owned(),
            stack: "demo".to_owned(),
            engine: "kind".to_owned(),
            delivery: "direct".to_owned(),
            seed: None,
            faults: vec![],
            timeout_scale: 1.0,
            today: "2026-01-01".to_owned(),
            files: std::collections::BTreeMap::new(),
        };
        let told = |asked: &Asked, engine| differences(asked, engine, "linux x86_64").join("\n");
        assert_eq!(
            told(&asked, EngineKind::Kind),
            "nothing differs from the run that is run again"
        );
        assert_eq!(
            told(&asked, EngineKind::Embedded),
            "differs: the engine was kind, is embedded"
        );
        asked.engine = "embedded".to_owned();
        asked.faults = vec!["slow@upgrade".to_owned()];
        assert!(
            told(&asked, EngineKind::Kind)
                .ends_with("slow@upgrade was injected; real clusters have their own accidents")
        );
    }
}
