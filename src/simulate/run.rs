//! One rehearsal of a scenario, without anybody watching.

use std::path::Path;

use anyhow::{Context as _, Result};
use tokio::runtime::Builder;

use super::invariants;
use super::scenario::Scenario;
use crate::cluster::{Context, Interrupt};
use crate::engine::Engine as _;
use crate::engine::embedded::{EmbeddedEngine, EmbeddedOptions};
use crate::gate::{self, Keep, Plan};
use crate::record::{Clock, FORMAT, Recorder, Rehearsal, ReleaseRef, RunId, Usage, Verdict, What};
use crate::report;
use crate::stack::{Release, Stack};
use crate::suite::Suite;

/// How a run ended.
#[derive(Clone, Debug)]
pub struct Finished {
    /// What was run.
    pub scenario: Scenario,
    /// The verdict.
    pub verdict: Verdict,
    /// Its reason.
    pub reason: String,
    /// What must hold of every run and does not of this one.
    pub violations: Vec<String>,
    /// How long it took by its own clock, in seconds.
    pub seconds: f64,
}

/// The command that rehearses a scenario again.
#[must_use]
pub fn reproduce(seed: u64) -> String {
    format!("stackgate run --simulated --seed {seed}")
}

/// Rehearses the scenario of a seed and judges it. With `twice`, a second time, which must give the same
/// stream of events. `exit_code` is what a process would end with.
///
/// # Errors
/// When the scenario cannot be written or is refused as input: a mistake of this program.
pub fn rehearse(seed: u64, twice: bool, exit_code: fn(Verdict) -> u8) -> Result<Finished> {
    let scenario = Scenario::of_seed(seed);
    let folder = tempfile::tempdir().context("failed to make a folder for the run")?;
    let stack = scenario.write(folder.path())?;
    let first = folder.path().join("first");
    let (ending, seconds) = once(&scenario, &stack, &first, exit_code)?;
    report::write_all(&first)?;
    let mut violations = invariants::violations(&scenario, ending.verdict, &first);
    if twice {
        let second = folder.path().join("second");
        once(&scenario, &stack, &second, exit_code)?;
        let (one, other) = (invariants::essence(&first)?, invariants::essence(&second)?);
        let differs = one.iter().zip(&other).position(|(one, other)| one != other);
        if let Some(at) = differs {
            violations.push(format!(
                "the same seed gives another stream from event {at} on: {} / {}",
                one[at], other[at]
            ));
        } else if one.len() != other.len() {
            violations.push(format!(
                "the same seed gives {} events, then {}",
                one.len(),
                other.len()
            ));
        }
    }
    Ok(Finished {
        scenario,
        verdict: ending.verdict,
        reason: ending.reason,
        violations,
        seconds,
    })
}

/// One run in a runtime of its own, its stream in `folder`; its ending, and its seconds.
fn once(
    scenario: &Scenario,
    stack: &Path,
    folder: &Path,
    exit_code: fn(Verdict) -> u8,
) -> Result<(gate::Ending, f64)> {
    let stacks = stack.parent().unwrap_or(stack);
    let stack = Stack::load(&stack.to_string_lossy(), stacks)?;
    let suites = Suite::load_all(&stack.spec.suites, &stack.folder.join("suites"))?;
    let pair = stack.open_releases()?;
    let run = RunId::of_seed(scenario.seed);
    let plan = Plan::new(stack, pair, suites, Keep::Never, &run)?;
    let engine = EmbeddedEngine::new(EmbeddedOptions {
        run: run.clone(),
        seed: scenario.seed,
        faults: scenario.faults.clone(),
        workload_cluster: plan.cluster.clone(),
    });
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .context("failed to start the runtime")?;
    let _clock = runtime.enter();
    let recorder = Recorder::create(folder, Clock::rehearsed(), vec![])?;
    let clock = recorder.clock();
    let context = Context::new(run.clone(), recorder, Interrupt::default(), 1.0);
    let reference = |release: &Release| ReleaseRef {
        tag: release.tag.to_string(),
        kubernetes: release.kubernetes_version.to_string(),
    };
    context.emit(What::RunStarted {
        run,
        format: FORMAT,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        stack: plan.stack.name.to_string(),
        from: reference(&plan.pair.from),
        to: reference(&plan.pair.to),
        engine: engine.name().to_owned(),
        delivery: "direct".to_owned(),
        command: Vec::new(),
        rehearsal: Some(Rehearsal {
            seed: scenario.seed,
            missing: Vec::new(),
            faults: scenario.faults.iter().map(ToString::to_string).collect(),
            reproduce: reproduce(scenario.seed),
        }),
    });
    let ending = runtime.block_on(gate::run(&plan, &context, &engine));
    // The cost is the whole simulation's; a single run has none of its own to tell.
    context.emit(What::Usage(Usage::default()));
    let seconds = clock.elapsed().as_secs_f64();
    context.emit(What::RunFinished {
        exit_code: exit_code(ending.verdict),
        seconds,
    });
    Ok((ending, seconds))
}
