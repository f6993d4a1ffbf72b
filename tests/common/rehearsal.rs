//! A run of the gate on simulated clusters, in this process.

use std::path::Path;

use stackgate::cluster::{Context, Interrupt};
use stackgate::engine::embedded::faults::Injected;
use stackgate::engine::embedded::{EmbeddedEngine, EmbeddedOptions};
use stackgate::gate::{self, Keep, Plan};
use stackgate::record::{self, Clock, Event, Finding, Recorder, RunId, Verdict, What};
use stackgate::stack::{Delivery, Stack};
use stackgate::suite::Suite;

/// How a run ended, and what it told.
pub struct Rehearsed {
    pub verdict: Verdict,
    pub reason: String,
    pub events: Vec<Event>,
}

impl Rehearsed {
    /// The causes that were found, in their order.
    pub fn findings(&self) -> Vec<&Finding> {
        let told = self.events.iter();
        told.filter_map(|event| match &event.what {
            What::Finding(finding) => Some(finding),
            _ => None,
        })
        .collect()
    }
}

/// Rehearses the stack in a folder. The same arguments give the same events.
pub fn rehearse(stack: &Path, delivery: Delivery, seed: u64, faults: &[&str]) -> Rehearsed {
    let folder = tempfile::tempdir().unwrap();
    let mut stack = Stack::load(&stack.to_string_lossy(), stack.parent().unwrap()).unwrap();
    stack.spec.delivery = delivery;
    let suites = Suite::load_all(&stack.spec.suites, &stack.folder.join("suites")).unwrap();
    let pair = stack.open_releases().unwrap();
    let run = RunId::of_seed(seed);
    let plan = Plan::new(stack, pair, suites, Keep::Never, &run).unwrap();
    let faults: Vec<Injected> = faults.iter().map(|name| name.parse().unwrap()).collect();
    let mut engine = EmbeddedEngine::new(EmbeddedOptions {
        run: run.clone(),
        seed,
        faults,
        missing_images: Vec::new(),
        workload_cluster: plan.cluster.clone(),
        infrastructure: plan.stack.spec.management.components.infrastructure,
    });
    if delivery == Delivery::Operator {
        let releases = [plan.pair.from.clone(), plan.pair.to.clone()];
        let cluster_api = plan.stack.spec.management.components.cluster_api;
        engine = engine.with_operator(&releases, cluster_api);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let entered = runtime.enter();
    let recorder = Recorder::create(folder.path(), Clock::rehearsed(), vec![]).unwrap();
    let context = Context::new(run, recorder, Interrupt::default(), 1.0);
    let ending = runtime.block_on(gate::run(&plan, &context, &engine));
    drop(entered);
    let stream = folder.path().join(stackgate::report::STREAM);
    Rehearsed {
        verdict: ending.verdict,
        reason: ending.reason,
        events: record::read(&stream).unwrap().map(Result::unwrap).collect(),
    }
}
