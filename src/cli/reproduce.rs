//! `stackgate reproduce RUN|BUNDLE`: the same inputs, seed and faults again.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::args::{DeliveryKind, EngineKind, Keep, RunArgs, RunEngineArgs, StacksArgs};
use super::exit::{Ending, Failure};
use super::inputs::{Asked, Inputs, Withheld};
use super::management::ExistingArgs;
use super::pause::PauseArgs;
use super::rehearsal::RehearsalArgs;
use super::run::{self, Begins, Then};
use super::runs;
use crate::record::{Past, RECORDING};
use crate::replay::{self, Times};
use crate::report::STREAM;
use crate::report::overview::Overview;

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
    /// The management cluster, where it is not to be as in the run: as for `stackgate run`
    #[arg(long, num_args = 1..=2, value_names = ["MODE", "NAME"])]
    pub management: Vec<String>,
    /// The folder of the stack that was run: files are taken from there that hold a Secret's value, which no
    /// run's folder does
    #[arg(long, value_name = "STACK")]
    pub originals: Option<PathBuf>,
    #[command(flatten)]
    pub pause: PauseArgs,
    /// Where runs are found by id, and where the new run's folder goes
    #[arg(long, value_name = "DIR", default_value = "reports")]
    pub reports: PathBuf,
}

/// Runs the gate again as it was run.
///
/// # Errors
/// When there is no such run, what it was made of is not there any more, or it cannot be run here.
pub fn run(args: ReproduceArgs, command: Vec<String>) -> Result<Ending, Failure> {
    let folder = runs::open(&args.run, &args.reports)?;
    let inputs = Inputs::read(&folder, args.originals.as_deref()).map_err(withheld)?;
    let asked = &inputs.asked;
    let engine = match args.engine {
        Some(engine) => engine,
        None => value("engine", &asked.engine)?,
    };
    let embedded = engine == EngineKind::Embedded;
    let mut differs = differences(asked, engine, &Asked::here());
    let management = match (args.management.is_empty(), embedded) {
        (false, _) => args.management,
        (true, true) => Vec::new(),
        (true, false) => management_again(&asked.management),
    };
    if !embedded && management != asked.management {
        let words = |words: &[String]| match words {
            [] => "as stack.yaml says".to_owned(),
            words => words.join(" "),
        };
        let (was, is) = (words(&asked.management), words(&management));
        differs.push(format!("the management cluster was {was}, is {is}"));
    }
    let overview = Overview::read(&folder.join(STREAM)).map_err(Failure::input)?;
    if let Some(paused) = overview.pauses.sentence() {
        differs.push(format!("the run was {paused}, and is not done again"));
    }
    let mut again = as_asked(&inputs, engine)?;
    if embedded && value::<EngineKind>("engine", &asked.engine)? != engine {
        match images_of(&folder)? {
            Some(images) => {
                for image in images {
                    differs.push(format!(
                        "image {image} could not be pulled, so that no registry of this rehearsal has it"
                    ));
                    again.rehearsal.missing_images.push(image);
                }
            }
            None => differs.push(
                "nothing was recorded of clusters: whether images could not be pulled is not known, and this rehearsal \
                 has all"
                    .to_owned(),
            ),
        }
    }
    let then = Then {
        facts: overview.properties,
        differs,
    };
    let args = RunArgs {
        management,
        keep: args.keep,
        pause: args.pause,
        existing: args.existing,
        reports: args.reports,
        ..again
    };
    run::begin(args, command, Begins::Again(then)).map(Ending::Verdict)
}

/// The command line of the run that these inputs are of, with another engine where that is another one.
///
/// # Errors
/// When this version of stackgate does not know something that was asked for.
pub fn as_asked(inputs: &Inputs, engine: EngineKind) -> Result<RunArgs, Failure> {
    let (asked, stacks) = (&inputs.asked, &inputs.stacks);
    let embedded = engine == EngineKind::Embedded;
    let faults = asked.faults.iter().filter(|_| embedded);
    let faults = faults
        .map(|fault| {
            fault
                .parse()
                .map_err(|error| Failure::input(anyhow::anyhow!("{error}")))
        })
        .collect::<Result<_, _>>()?;
    let now = asked.today.parse().map_err(Failure::input)?;
    Ok(RunArgs {
        stack: Some(stacks.join(&asked.stack)),
        engine: RunEngineArgs {
            engine: Some(engine),
        },
        delivery: Some(value::<DeliveryKind>("delivery", &asked.delivery)?),
        existing: ExistingArgs::default(),
        management: asked.management.clone(),
        keep: value::<Keep>("way to keep clusters", &asked.keep)?,
        rehearsal: RehearsalArgs {
            seed: asked.seed.filter(|_| embedded),
            real_time: asked.real_time && embedded,
            simulated: false,
            faults,
            missing_images: if embedded {
                asked.missing_images.clone()
            } else {
                Vec::new()
            },
        },
        pause: PauseArgs::default(),
        no_lint: asked.no_lint,
        scenario: None,
        timeout_scale: asked.timeout_scale,
        reports: PathBuf::from("reports"),
        open: false,
        now: Some(now),
        stacks: StacksArgs {
            stacks: Some(stacks.clone()),
        },
    })
}

/// The management cluster as it was. One that was made to be kept is made to go: it may be there still, and whether
/// it stays does not change what happens in it.
fn management_again(words: &[String]) -> Vec<String> {
    match words {
        [mode, _] if mode == "keep" => vec!["kind".to_owned()],
        words => words.to_vec(),
    }
}

/// What simulated clusters cannot know of real ones, unless it was recorded: the images that could not be pulled when
/// the verdict was given.
fn images_of(folder: &Path) -> Result<Option<Vec<String>>, Failure> {
    let path = folder.join(RECORDING);
    if !path.exists() {
        return Ok(None);
    }
    let past = Past::open(&path).map_err(Failure::input)?;
    if past.epoch().is_none() {
        return Ok(None);
    }
    let times = Times::read(&folder.join(STREAM), &past).map_err(Failure::input)?;
    let images = replay::missing_images(&past, times.usual()).map_err(Failure::input)?;
    Ok(Some(images.into_iter().collect()))
}

/// Says what to do about files that are not all there.
pub fn withheld(error: anyhow::Error) -> Failure {
    let hint = error
        .is::<Withheld>()
        .then_some("give the folder of the stack that was run: --originals STACK; each file's SHA-256 is compared");
    let failure = Failure::input(error);
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

pub fn value<T: ValueEnum>(what: &str, text: &str) -> Result<T, Failure> {
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
            lines.push(format!("{what} was {then}, is {now}"));
        }
    };
    tell("stackgate", &asked.version, version);
    tell("the engine", &asked.engine, engine.name());
    tell("the machine", &asked.machine, here);
    let real = engine != EngineKind::Embedded;
    if real && !asked.faults.is_empty() {
        lines.push(format!(
            "{} was injected; real clusters have their own accidents",
            asked.faults.join(", ")
        ));
    }
    if real && !asked.missing_images.is_empty() {
        lines.push(format!(
            "no registry of the rehearsal had {}; real ones may",
            asked.missing_images.join(", ")
        ));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_management_cluster_is_made_as_it_was_and_never_to_be_kept() {
        let again = |words: &str| {
            let words: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
            management_again(&words).join(" ")
        };
        for (then, now) in [
            ("", ""),
            ("light", "light"),
            ("kind", "kind"),
            ("keep warm", "kind"),
            ("reuse warm", "reuse warm"),
        ] {
            assert_eq!(again(then), now, "{then}");
        }
    }

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
            missing_images: vec![],
            timeout_scale: 1.0,
            today: "2026-01-01".to_owned(),
            management: vec![],
            keep: "never".to_owned(),
            real_time: false,
            files: std::collections::BTreeMap::new(),
            redacted: std::collections::BTreeSet::new(),
        };
        let told = |asked: &Asked, engine| differences(asked, engine, "linux x86_64").join("\n");
        assert_eq!(told(&asked, EngineKind::Kind), "");
        assert_eq!(
            told(&asked, EngineKind::Embedded),
            "the engine was kind, is embedded"
        );
        asked.engine = "embedded".to_owned();
        asked.faults = vec!["slow@upgrade".to_owned()];
        assert!(
            told(&asked, EngineKind::Kind)
                .ends_with("slow@upgrade was injected; real clusters have their own accidents")
        );
    }
}
