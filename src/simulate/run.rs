//! One rehearsal of a scenario, without anybody watching.

use std::path::Path;

use anyhow::{Context as _, Result};
use tokio::runtime::Builder;

use super::invariants::{self, Ended};
use super::scenario::Scenario;
use crate::cluster::{Context, Interrupt};
use crate::engine::Engine as _;
use crate::engine::embedded::{EmbeddedEngine, EmbeddedOptions};
use crate::gate::{self, Keep, Plan};
use crate::record::{Clock, FORMAT, Recorder, Rehearsal, ReleaseRef, RunId, Usage, Verdict, What};
use crate::report;
use crate::stack::{Delivery, Release, Stack};
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

/// Rehearses the scenario of a seed and judges it. With `twice`, also by its page, and by a second time, which
/// must give the same stream of events. `exit_code` is what a process would end with.
///
/// What no other run is judged by is not made: neither the page nor a recording of its clusters.
///
/// # Errors
/// When the scenario cannot be written or is refused as input: a mistake of this program.
pub fn rehearse(seed: u64, twice: bool, exit_code: fn(Verdict) -> u8) -> Result<Finished> {
    let scenario = Scenario::of_seed(seed);
    let folder = tempfile::tempdir().context("failed to make a folder for the run")?;
    let stack = scenario.write(folder.path())?;
    let first = folder.path().join("first");
    let one = once(&scenario, &stack, &first, exit_code)?;
    if twice {
        report::write_all(&first)?;
    } else {
        report::write_for_machines(&first)?;
    }
    let mut violations = invariants::violations(&Ended {
        scenario: &scenario,
        verdict: one.ending.verdict,
        unmet: &one.unmet,
        left: &one.left,
        folder: &first,
        has_page: twice,
    });
    if twice {
        let second = folder.path().join("second");
        once(&scenario, &stack, &second, exit_code)?;
        let (one, other) = (invariants::essence(&first)?, invariants::essence(&second)?);
        violations.extend(invariants::difference(&one, &other));
    }
    Ok(Finished {
        scenario,
        verdict: one.ending.verdict,
        reason: one.ending.reason,
        violations,
        seconds: one.seconds,
    })
}

/// What became of one run.
struct Once {
    ending: gate::Ending,
    /// How long it took by its own clock, in seconds.
    seconds: f64,
    /// Faults that never happened.
    unmet: Vec<String>,
    /// What is still there of it.
    left: Vec<String>,
}

/// One run in a runtime of its own, its stream in `folder`.
fn once(
    scenario: &Scenario,
    stack: &Path,
    folder: &Path,
    exit_code: fn(Verdict) -> u8,
) -> Result<Once> {
    let stacks = stack.parent().unwrap_or(stack);
    let stack = Stack::load(&stack.to_string_lossy(), stacks)?;
    let suites = Suite::load_all(&stack.spec.suites, &stack.folder.join("suites"))?;
    let pair = stack.open_releases()?;
    let run = RunId::of_seed(scenario.seed);
    let plan = Plan::new(stack, pair, suites, Keep::Never, &run)?;
    let mut engine = EmbeddedEngine::new(EmbeddedOptions {
        run: run.clone(),
        seed: scenario.seed,
        faults: scenario.faults.clone(),
        missing_images: Vec::new(),
        workload_cluster: plan.cluster.clone(),
        infrastructure: plan.stack.spec.management.components.infrastructure,
    });
    if plan.stack.spec.delivery == Delivery::Operator {
        let releases = [plan.pair.from.clone(), plan.pair.to.clone()];
        let cluster_api = plan.stack.spec.management.components.cluster_api;
        engine = engine.with_operator(&releases, cluster_api);
    }
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
        delivery: plan.stack.spec.delivery.name().to_owned(),
        command: Vec::new(),
        rehearsal: Some(Rehearsal {
            seed: scenario.seed,
            missing: Vec::new(),
            faults: scenario.faults.iter().map(ToString::to_string).collect(),
            missing_images: Vec::new(),
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
    let unmet = engine.unmet();
    drop((engine, context));
    let left = runtime.block_on(still_running());
    Ok(Once {
        ending,
        seconds,
        unmet,
        left,
    })
}

/// Tasks that outlive their run: watches, controllers, servers.
async fn still_running() -> Vec<String> {
    // Those that were told to end do so when they are next at work.
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let alive = tokio::runtime::Handle::current()
        .metrics()
        .num_alive_tasks();
    let told = format!("{alive} tasks that go on after the run");
    (alive > 0).then_some(told).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_task_that_outlives_its_run_is_told() {
        assert_eq!(still_running().await, Vec::<String>::new());
        let forgotten = tokio::spawn(std::future::pending::<()>());
        assert_eq!(still_running().await, ["1 tasks that go on after the run"]);
        forgotten.abort();
        assert_eq!(still_running().await, Vec::<String>::new());
    }
}
