//! `stackgate scenarios`, and `run --scenario`: releases made of a stack's own for each.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::anyhow;
use clap::Subcommand;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use super::args::{EngineKind, RunArgs, StacksArgs};
use super::exit::Failure;
use super::management::EXISTING;
use super::{runs, signals, stacks};
use crate::engine::existing;
use crate::record::Verdict;
use crate::report::STREAM;
use crate::report::overview::Overview;
use crate::scenario::{self, Scenario, ScenarioError};
use crate::source::Obtained;
use crate::stack::{Delivery, Pair, Stack};

#[derive(Debug, Subcommand)]
pub enum ScenariosCommand {
    /// List the scenarios, and which of them cannot be made of a stack
    List {
        /// The stack, whose own scenarios are listed, too
        #[arg(value_name = "STACK")]
        stack: Option<PathBuf>,
        #[command(flatten)]
        stacks: StacksArgs,
    },
}

/// Prints what was asked for.
///
/// # Errors
/// When there is no such stack, a scenario's file is wrong, or the stack's releases cannot be had or read: the scenarios
/// are listed all the same then.
pub fn run(command: &ScenariosCommand) -> Result<(), Failure> {
    let ScenariosCommand::List { stack, stacks } = command;
    let stacks = stacks.stacks.as_deref();
    let folder = match stack {
        Some(stack) => Some(stacks::find(stack, stacks)?),
        None => None,
    };
    // Without a stack there is no place where scenarios of its own could be.
    let nowhere = Path::new("/dev/null");
    let place = folder.as_deref().unwrap_or(nowhere);
    let (origin, mut failed) = match folder.as_deref().map(|it| Origin::read(it, stacks)) {
        Some(Ok(origin)) => (Some(origin), None),
        Some(Err(failure)) => (None, Some(failure)),
        None => (None, None),
    };
    let names = scenario::names(place);
    let width = names.iter().map(String::len).max().unwrap_or_default();
    let mut text = String::new();
    for name in &names {
        let scenario = Scenario::load(name, place).map_err(Failure::input)?;
        text.push_str(&format!("{name:<width$}  {}\n", scenario.spec.description));
        match origin.as_ref().map(|origin| origin.make(&scenario, None)) {
            Some(Err(failure)) if is_unfit(&failure) => {
                text.push_str(&format!("{:<width$}  {}\n", "", failure.error));
            }
            Some(Err(failure)) => failed = failed.or(Some(failure)),
            Some(Ok(_)) | None => {}
        }
    }
    super::print(&text).map_err(Failure::infrastructure)?;
    failed.map_or(Ok(()), Err)
}

/// Names the folder of a stack that was made for the scenario of this run, by a process that runs through several.
const MADE: &str = "STACKGATE_SCENARIO_MADE";

/// The stack of a scenario: its folder, and the one that it lies in, which may go when the run has ended.
pub struct Made {
    pub stack: PathBuf,
    pub folder: Option<TempDir>,
}

/// Makes the stack of a scenario in a folder of its own.
///
/// # Errors
/// When there is no such scenario, its file is wrong, it cannot be made of the stack, or it is about another delivery
/// than the one that is asked for.
pub fn make(
    name: &str,
    stack: &Path,
    stacks: Option<&Path>,
    delivery: Option<Delivery>,
) -> Result<Made, Failure> {
    if let Some(made) = std::env::var_os(MADE) {
        return named(made.into(), name, &stacks::read(stack, stacks)?);
    }
    let scenario = load(name, stack)?;
    Origin::read(stack, stacks)?.make(&scenario, delivery)
}

/// The stack that [`MADE`] names, where it is the one that is asked for: the variable may be somebody else's.
fn named(made: PathBuf, scenario: &str, stack: &Stack) -> Result<Made, Failure> {
    let found = Stack::load(&made.to_string_lossy(), made.parent().unwrap_or(&made));
    let is_asked_for = found
        .is_ok_and(|found| found.scenario.as_deref() == Some(scenario) && found.name == stack.name);
    if is_asked_for {
        return Ok(Made {
            stack: made,
            folder: None,
        });
    }
    let error = anyhow!(
        "failed to start: {MADE} names {}, expected what was made of {} for scenario {scenario}",
        made.display(),
        stack.name
    );
    Err(Failure::input(error)
        .hint("unset it: only --scenario all sets it, for the runs that it starts"))
}

fn load(name: &str, stack: &Path) -> Result<Scenario, Failure> {
    Scenario::load(name, stack).map_err(|error| {
        Failure::input(error).hint("`stackgate scenarios list` lists them with what each shows")
    })
}

/// A stack of which scenarios are made, with its releases.
struct Origin {
    stack: Stack,
    pair: Pair,
    /// They go with this.
    _obtained: Option<Obtained>,
}

impl Origin {
    fn read(folder: &Path, stacks: Option<&Path>) -> Result<Self, Failure> {
        let mut stack = stacks::read(folder, stacks)?;
        let obtained = stacks::obtain(&mut stack)?;
        let pair = stack.open_releases().map_err(Failure::input)?;
        Ok(Self {
            stack,
            pair,
            _obtained: obtained,
        })
    }

    fn make(&self, scenario: &Scenario, delivery: Option<Delivery>) -> Result<Made, Failure> {
        let about = scenario.spec.delivery.map(Delivery::from);
        if let (Some(about), Some(delivery)) = (about, delivery)
            && about != delivery
        {
            return Err(Failure::input(ScenarioError::Unfit {
                scenario: scenario.name.to_string(),
                stack: self.stack.name.to_string(),
                why: format!(
                    "it is about delivery {}, and {} is asked for",
                    about.name(),
                    delivery.name()
                ),
            }));
        }
        let folder = tempfile::tempdir().map_err(Failure::infrastructure)?;
        let stack = scenario
            .write(&self.stack, &self.pair, folder.path())
            .map_err(Failure::input)?;
        Ok(Made {
            stack,
            folder: Some(folder),
        })
    }
}

/// Runs through all scenarios that can be made of a stack, each as a process of its own: so each has a run of its own,
/// and nothing of one is left for the next.
///
/// # Errors
/// When the input is wrong; nothing was created then.
pub fn all(args: &RunArgs) -> Result<Verdict, Failure> {
    let stacks = args.stacks.stacks.as_deref();
    let stack = stacks::find(args.stack.as_deref().unwrap_or(Path::new("")), stacks)?;
    let mut lines = Vec::new();
    let mut fitting = Vec::new();
    let origin = Origin::read(&stack, stacks)?;
    for name in scenario::names(&stack) {
        let scenario = load(&name, &stack)?;
        if let Some(why) = refusal(args, &scenario) {
            lines.push((name, None, why));
            continue;
        }
        match origin.make(&scenario, args.delivery.map(Into::into)) {
            Ok(made) => fitting.push((name, made)),
            Err(failure) if is_unfit(&failure) => {
                lines.push((name, None, failure.error.to_string()))
            }
            Err(failure) => return Err(failure),
        }
    }
    let mut worst = Verdict::NothingRan;
    let mut stopped = false;
    for (number, (name, made)) in fitting.iter().enumerate() {
        if stopped {
            lines.push((
                name.clone(),
                None,
                "not begun: somebody stopped the runs".to_owned(),
            ));
            continue;
        }
        super::note(&format!(
            "scenario {name} ({} of {})",
            number + 1,
            fitting.len()
        ));
        let before = latest(&args.reports);
        let ended = super::runtime()?.block_on(as_process(name, &made.stack))?;
        stopped = ended.stopped;
        if ended.refused {
            let error = anyhow!(
                "scenario {name} was refused, as it stands above, and none after it was begun"
            );
            return Err(Failure::input(error));
        }
        let verdict = ended.verdict;
        if number == 0 || verdict.weight() > worst.weight() {
            worst = verdict;
        }
        let told = told(before.as_deref(), latest(&args.reports));
        lines.push((name.clone(), Some(verdict), told));
    }
    if stopped && worst.weight() < Verdict::Interrupted.weight() {
        worst = Verdict::Interrupted;
    }
    super::print(&table(&lines, worst)).map_err(Failure::infrastructure)?;
    Ok(worst)
}

/// Why a scenario cannot be run where it is asked for: it would harm a management cluster that is somebody's.
fn refusal(args: &RunArgs, scenario: &Scenario) -> Option<String> {
    let engine = args.engine.engine == Some(EngineKind::Existing);
    let existing = engine || args.management.first().is_some_and(|mode| mode == EXISTING);
    let disturbance = scenario.spec.upgrade.disturbance.filter(|_| existing);
    disturbance.map(existing::refusal)
}

/// Whether a scenario has nothing to do with a stack, and everything else is in order.
fn is_unfit(failure: &Failure) -> bool {
    let error = failure.error.downcast_ref::<ScenarioError>();
    matches!(error, Some(ScenarioError::Unfit { .. }))
}

/// How the run of a scenario ended.
struct Ended {
    verdict: Verdict,
    /// Whether somebody wants to stop.
    stopped: bool,
    /// Whether its input is wrong, which is that of all.
    refused: bool,
}

/// Runs this program with the same words for one scenario, whose stack is made. Signals are handed on.
async fn as_process(name: &str, made: &Path) -> Result<Ended, Failure> {
    let words = one_of_all(std::env::args_os().skip(1), name);
    let program = std::env::current_exe().map_err(Failure::infrastructure)?;
    let mut handlers = signals::handlers().map_err(Failure::infrastructure)?;
    let mut run = tokio::process::Command::new(program)
        .args(words)
        .env(MADE, made)
        // Keys are for whoever looks at one run.
        .stdin(Stdio::null())
        // A terminal's Ctrl-C reaches this process alone, and each signal that one once.
        .process_group(0)
        .spawn()
        .map_err(Failure::infrastructure)?;
    let mut stopped = false;
    loop {
        tokio::select! {
            biased;
            status = run.wait() => {
                let status = status.map_err(Failure::infrastructure)?;
                let verdict = verdict(status.code());
                let refused = status.code() == Some(2);
                return Ok(Ended { verdict, stopped, refused });
            }
            () = signals::next(&mut handlers) => {
                stopped = true;
                let id = run.id().and_then(|id| i32::try_from(id).ok());
                // Who has just ended need not be told.
                let _ = id.map(|id| kill(Pid::from_raw(id), Signal::SIGTERM));
            }
        }
    }
}

/// What an exit code says.
const fn verdict(code: Option<i32>) -> Verdict {
    match code {
        Some(0) => Verdict::Open,
        Some(1) => Verdict::Closed,
        Some(4) => Verdict::NothingRan,
        Some(130) => Verdict::Interrupted,
        _ => Verdict::None,
    }
}

/// The words of a command line for all, as those for one.
fn one_of_all(words: impl Iterator<Item = OsString>, name: &str) -> Vec<OsString> {
    let mut own = Vec::new();
    let mut named = false;
    for word in words {
        let joined = word == "--scenario=all";
        own.push(match (joined, named) {
            (true, _) => format!("--scenario={name}").into(),
            (_, true) => name.into(),
            _ => word.clone(),
        });
        named = word == "--scenario";
    }
    own
}

/// The folder of the run that was started last.
fn latest(reports: &Path) -> Option<PathBuf> {
    let found = runs::find(runs::LATEST, reports).ok()?;
    found.canonicalize().ok()
}

/// The reason and the folder of the run that has just ended; `before` is the one before it.
fn told(before: Option<&Path>, latest: Option<PathBuf>) -> String {
    let own = latest.filter(|folder| Some(folder.as_path()) != before);
    let told = own.and_then(|folder| {
        let told = Overview::read(&folder.join(STREAM)).ok()?.verdict?;
        Some(format!("{}   {}", told.1, folder.display()))
    });
    told.unwrap_or_else(|| "it ended before it had a verdict; see above".to_owned())
}

/// A line for each, and the verdict of all.
fn table(lines: &[(String, Option<Verdict>, String)], worst: Verdict) -> String {
    let width = lines
        .iter()
        .map(|(name, ..)| name.len())
        .max()
        .unwrap_or_default();
    let mut text = String::from("\nscenarios\n");
    for (name, verdict, told) in lines {
        let (mark, word) = verdict.map_or(("-", "not run"), |one| (mark(one), word(one)));
        text.push_str(&format!("  {mark} {name:<width$}  {word:<12} {told}\n"));
    }
    let ran = lines
        .iter()
        .filter(|(_, verdict, _)| verdict.is_some())
        .count();
    text.push_str(&format!(
        "all scenarios: {} ({ran} of {} ran)\n",
        word(worst),
        lines.len()
    ));
    text
}

const fn mark(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Open => "✓",
        Verdict::Closed => "✗",
        Verdict::None | Verdict::NothingRan | Verdict::Interrupted => "?",
    }
}

const fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Open => "gate open",
        Verdict::Closed => "gate closed",
        Verdict::None => "no verdict",
        Verdict::NothingRan => "nothing ran",
        Verdict::Interrupted => "interrupted",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_for_all_become_those_for_one() {
        for (given, one) in [
            (
                "run demo --scenario all --seed 1",
                "run demo --scenario budget --seed 1",
            ),
            ("run --scenario=all demo", "run --scenario=budget demo"),
            ("run all --scenario all", "run all --scenario budget"),
        ] {
            let words = one_of_all(given.split(' ').map(OsString::from), "budget");
            assert_eq!(words.join(" ".as_ref()), one);
        }
    }

    #[test]
    fn what_somebodys_cluster_would_suffer_from_is_not_run_there() {
        #[derive(clap::Parser)]
        struct Words {
            #[command(flatten)]
            run: RunArgs,
        }
        let refused = |words: &str, name: &str| {
            let words = ["run", "demo"].into_iter().chain(words.split(' '));
            let run = <Words as clap::Parser>::try_parse_from(words).unwrap().run;
            let scenario = Scenario::load(name, Path::new("/nowhere")).unwrap();
            refusal(&run, &scenario).is_some()
        };
        for words in ["--engine existing", "--management existing"] {
            for name in [
                "operator-restarted-at-addons",
                "operator-restarted-at-machines",
                "worker-unready",
            ] {
                assert!(refused(words, name), "{words} {name}");
            }
            assert!(!refused(words, "budget"));
        }
        assert!(!refused("--engine kind", "worker-unready"));
    }

    #[test]
    fn an_exit_code_is_the_verdict_that_it_stands_for() {
        use super::super::exit::Ending;
        for one in [
            Verdict::Open,
            Verdict::Closed,
            Verdict::None,
            Verdict::NothingRan,
            Verdict::Interrupted,
        ] {
            let code = Ending::Verdict(one).code();
            assert_eq!(verdict(Some(code.into())), one);
        }
        // One that was killed.
        assert_eq!(verdict(None), Verdict::None);
    }
}
