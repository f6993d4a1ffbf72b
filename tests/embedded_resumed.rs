//! A run whose process is gone is gone on with: simulated clusters that outlive the first of two runs of the gate.

mod common {
    #![expect(dead_code, reason = "each test binary uses its own part")]
    pub mod variant;
}

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::variant::{N2, agent};
use futures::future::BoxFuture;
use kube::api::{DynamicObject, ListParams};
use kube::{Api, Client};
use serde_json::Value;
use stackgate::cluster::{Context, Handshakes, Interrupt, Object, kinds};
use stackgate::engine::embedded::{EmbeddedEngine, EmbeddedOptions};
use stackgate::engine::{Engine, EngineError, Kept, Management, Opened, Problem};
use stackgate::gate::{self, Keep, Pauses, Plan, Point, Resumption};
use stackgate::record::{
    Blocker, Clock, Event, FORMAT, Finding, Phase, Recorder, Redactor, ReleaseRef, RunId, Verdict,
    What, read,
};
use stackgate::report::Summary;
use stackgate::scenario::Scenario;
use stackgate::stack::{Hooks, Machines, Stack};
use stackgate::suite::Suite;
use tokio::runtime::Runtime;

/// Clusters that the end of a run leaves alone, as `kill -9` does.
struct Outliving {
    engine: EmbeddedEngine,
    folder: PathBuf,
    management: Mutex<Option<(Client, String)>>,
}

impl Engine for Outliving {
    fn name(&self) -> &'static str {
        self.engine.name()
    }

    fn preflight(&self) -> BoxFuture<'_, Vec<Problem>> {
        self.engine.preflight()
    }

    fn management<'a>(
        &'a self,
        context: &'a Context,
    ) -> BoxFuture<'a, Result<Management, EngineError>> {
        Box::pin(async {
            let made = self.engine.management(context).await?;
            *self.management.lock().unwrap() = Some((made.client.clone(), made.namespace.clone()));
            Ok(made)
        })
    }

    fn rejoin<'a>(&'a self, _: &'a Context) -> BoxFuture<'a, Result<Management, EngineError>> {
        Box::pin(async {
            let (client, namespace) = self.management.lock().unwrap().clone().unwrap();
            Ok(Management {
                client,
                kubeconfig: PathBuf::new(),
                namespace,
            })
        })
    }

    fn private(&self) -> Option<PathBuf> {
        Some(self.folder.clone())
    }

    fn connect<'a>(&'a self, kubeconfig: &'a str) -> BoxFuture<'a, anyhow::Result<Client>> {
        self.engine.connect(kubeconfig)
    }

    fn handshakes(&self) -> Option<Arc<dyn Handshakes>> {
        self.engine.handshakes()
    }

    fn entered(&self, phase: Phase) {
        self.engine.entered(phase);
    }

    fn open<'a>(&'a self, _: &'a Path) -> BoxFuture<'a, anyhow::Result<Opened>> {
        Box::pin(async { Ok(Opened::default()) })
    }

    fn properties(&self) -> BoxFuture<'_, Vec<(String, String)>> {
        self.engine.properties()
    }

    fn investigate<'a>(
        &'a self,
        blockers: &'a [Blocker],
        machines: &'a [Arc<Object>],
    ) -> BoxFuture<'a, Option<Finding>> {
        self.engine.investigate(blockers, machines)
    }

    fn collect<'a>(
        &'a self,
        folder: &'a Path,
        redactor: &'a Redactor,
    ) -> BoxFuture<'a, anyhow::Result<()>> {
        self.engine.collect(folder, redactor)
    }

    fn teardown<'a>(&'a self, _: &'a Context, _: bool) -> BoxFuture<'a, anyhow::Result<Vec<Kept>>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn leftovers(&self) -> BoxFuture<'_, anyhow::Result<Vec<String>>> {
        Box::pin(async { Ok(Vec::new()) })
    }
}

/// The shipped stack, and what must become of the Machines.
fn demo(machines: Machines) -> Stack {
    let stacks = Path::new(env!("CARGO_MANIFEST_DIR")).join("stacks-under-test");
    let mut stack = Stack::load("docker-demo", &stacks).unwrap();
    stack.spec.upgrade.machines = machines;
    stack
}

/// The run ends as if its process were killed at a point.
fn plan(run: &RunId, killed_at: Option<Point>, stack: Stack) -> Plan {
    let suites = Suite::load_all(&stack.spec.suites, &stack.folder.join("suites")).unwrap();
    let pair = stack.open_releases().unwrap();
    let mut plan = Plan::new(stack, pair, suites, Keep::Never, run).unwrap();
    plan.pauses = Pauses {
        points: killed_at.into_iter().collect(),
        at_most: Duration::ZERO,
        virtual_time: true,
        keys: false,
    };
    plan
}

fn events(folder: &Path) -> Vec<Event> {
    let stream = folder.join("events.jsonl");
    read(&stream).unwrap().map(Result::unwrap).collect()
}

/// A run that was killed and gone on with.
struct Resumed {
    verdict: Verdict,
    reason: String,
    /// With which phase it went on.
    next: Phase,
    /// What the whole stream tells.
    events: Vec<Event>,
    summary: Summary,
    /// The Machines when it was killed.
    at_kill: BTreeSet<String>,
    /// Those that the first process kept as what the upgrade began with.
    kept: BTreeSet<String>,
}

/// What the first process has kept for the second.
const MEMORY: &str = "memory.json";

fn machines(runtime: &Runtime, engine: &Outliving) -> BTreeSet<String> {
    let made = engine.management.lock().unwrap().clone();
    let (client, namespace) = made.unwrap();
    let kind = kinds::MACHINE.resource();
    let api: Api<DynamicObject> = Api::namespaced_with(client, &namespace, &kind);
    let all = runtime.block_on(api.list(&ListParams::default())).unwrap();
    all.into_iter().filter_map(|one| one.metadata.uid).collect()
}

fn kept(folder: &Path) -> BTreeSet<String> {
    let Ok(kept) = std::fs::read(folder.join(MEMORY)) else {
        return BTreeSet::new();
    };
    let kept: Value = serde_json::from_slice(&kept).unwrap();
    let machines = kept["upgrade"]["machines"].as_array();
    let uids = machines.into_iter().flatten().map(|uid| uid.as_str());
    uids.map(|uid| uid.unwrap().to_owned()).collect()
}

fn resumed(killed_at: Point) -> Resumed {
    resumed_with(&[killed_at], || demo(Machines::Any), |_| {})
}

/// A run that is killed at each of these points and gone on with, after something has become of what was kept for that.
fn resumed_with(
    killed_at: &[Point],
    stack: impl Fn() -> Stack,
    meanwhile: impl Fn(&Path),
) -> Resumed {
    resumed_after(Duration::from_secs(1), killed_at, stack, meanwhile)
}

/// The same, where it has no process for so long.
fn resumed_after(
    away: Duration,
    killed_at: &[Point],
    stack: impl Fn() -> Stack,
    meanwhile: impl Fn(&Path),
) -> Resumed {
    let folder = tempfile::tempdir().unwrap();
    let private = tempfile::tempdir().unwrap();
    let run = RunId::of_seed(7);
    let first = plan(&run, Some(killed_at[0]), stack());
    let engine = Outliving {
        engine: EmbeddedEngine::new(EmbeddedOptions {
            run: run.clone(),
            seed: 7,
            faults: Vec::new(),
            missing_images: Vec::new(),
            workload_cluster: first.cluster.clone(),
            infrastructure: first.stack.spec.management.components.infrastructure,
        }),
        folder: private.path().to_owned(),
        management: Mutex::default(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    let _entered = runtime.enter();
    let clock = Clock::rehearsed();
    let release = |release: &stackgate::stack::Release| ReleaseRef {
        tag: release.tag.to_string(),
        kubernetes: release.kubernetes_version.to_string(),
    };
    {
        let recorder = Recorder::create(folder.path(), clock, vec![]).unwrap();
        let context = Context::new(run.clone(), recorder, Interrupt::default(), 1.0);
        context.emit(What::RunStarted {
            run: run.clone(),
            format: FORMAT,
            version: String::new(),
            stack: "docker-demo".to_owned(),
            from: release(&first.pair.from),
            to: release(&first.pair.to),
            engine: "kind".to_owned(),
            delivery: "direct".to_owned(),
            command: vec![],
            rehearsal: None,
        });
        runtime.block_on(gate::run(&first, &context, &engine));
    }
    let mut next = killed_at[1..].iter();
    let (at_kill, kept, resumption, ending) = loop {
        // The tasks of the run end when they are next at work.
        runtime.block_on(tokio::time::sleep(away));
        let at_kill = machines(&runtime, &engine);
        let kept = kept(private.path());
        meanwhile(private.path());
        tear(folder.path());
        let resumption = Resumption::of(events(folder.path())).unwrap();
        let recorder = Recorder::resume(folder.path(), resumption.events, clock, vec![]).unwrap();
        let context = Context::new(run.clone(), recorder, Interrupt::default(), 1.0);
        context.emit(What::Resumed {
            version: String::new(),
            phase: resumption.next,
        });
        let again = next.next().copied();
        let plan = plan(&run, again, stack());
        let ending = runtime.block_on(gate::resume(&plan, &context, &engine, &resumption));
        if again.is_none() {
            break (at_kill, kept, resumption, ending);
        }
    };
    Resumed {
        verdict: ending.verdict,
        reason: ending.reason,
        next: resumption.next,
        events: events(folder.path()),
        summary: Summary::read(&folder.path().join("events.jsonl")).unwrap(),
        at_kill,
        kept,
    }
}

/// Leaves what a killed process would have told: nothing of the pause, and nothing after it.
fn tear(folder: &Path) {
    let told = events(folder);
    let whole = told
        .iter()
        .position(|event| matches!(event.what, What::Paused(_)));
    let lines = told[..whole.unwrap()].iter();
    let lines: Vec<String> = lines
        .map(|event| serde_json::to_string(event).unwrap())
        .collect();
    let torn = lines.join("\n") + "\n{\"seq\":";
    std::fs::write(folder.join("events.jsonl"), torn).unwrap();
}

/// The checks with their outcomes before and after the upgrade.
fn answers(summary: &Summary) -> Vec<String> {
    let told = summary.checks.iter().map(|check| {
        let outcome = |answer: &Option<stackgate::report::summary::AnswerSummary>| {
            answer.as_ref().map(|answer| answer.outcome.to_string())
        };
        format!(
            "{} {:?} {:?}",
            check.id,
            outcome(&check.before),
            outcome(&check.after)
        )
    });
    let mut told: Vec<String> = told.collect();
    told.sort();
    told
}

#[test]
fn embedded_run_goes_on_from_the_last_finished_phase_to_the_same_answers() {
    use Phase::{CheckAfter, CheckBefore, Create, Upgrade};
    let second = Duration::from_secs;
    let mut all = Vec::new();
    for (killed_at, next) in [
        (Point::Within(Create, second(20)), Create),
        (Point::Before(CheckBefore), CheckBefore),
        (Point::Within(CheckBefore, second(2)), CheckBefore),
        (Point::Before(Upgrade), Upgrade),
        (Point::Within(Upgrade, second(40)), Upgrade),
        (Point::Within(CheckAfter, second(5)), CheckAfter),
        (Point::Before(Phase::Verdict), Phase::Verdict),
    ] {
        let Resumed {
            verdict,
            reason,
            next: found,
            events,
            summary,
            ..
        } = resumed(killed_at);
        assert_eq!(
            (verdict, found),
            (Verdict::Open, next),
            "{killed_at}: {reason}"
        );
        let numbered = events
            .iter()
            .enumerate()
            .all(|(at, event)| event.seq == at as u64);
        let forward = events.is_sorted_by_key(|event| event.elapsed_ms);
        assert!(numbered && forward, "{killed_at}");
        assert_eq!(summary.resumed, [next], "{killed_at}");
        all.push((killed_at, answers(&summary)));
    }
    let (_, expected) = &all[0];
    assert!(expected.len() > 10, "{expected:?}");
    for (killed_at, answers) in &all {
        assert_eq!(answers, expected, "{killed_at}");
    }
}

/// In the middle of the rollout: the control plane's Machine is new, the worker's is old.
const ROLLS: Point = Point::Within(Phase::Upgrade, Duration::from_secs(60));

#[test]
fn embedded_machines_are_judged_by_those_that_the_upgrade_began_with_however_often_its_process_ends()
 {
    let replaced = resumed_with(&[ROLLS], || demo(Machines::Replaced), |_| {});
    assert_eq!(replaced.verdict, Verdict::Open, "{}", replaced.reason);
    let Resumed { at_kill, kept, .. } = &replaced;
    let rolls = !at_kill.is_disjoint(kept) && !at_kill.is_subset(kept);
    assert!(rolls, "{at_kill:?} {kept:?}");
    // Half of what is to be kept is gone when it is gone on with.
    let kept = || demo(Machines::Kept);
    let before = resumed_with(&[Point::Before(Phase::Upgrade)], kept, |_| {});
    let within = resumed_with(&[ROLLS], kept, |_| {});
    let all = "replaced 2 of 2 Machines, and was to keep them";
    assert!(before.reason.contains(all), "{}", before.reason);
    assert_eq!(
        (within.verdict, &within.reason),
        (Verdict::Closed, &before.reason)
    );
}

#[test]
fn embedded_machines_that_nobody_remembers_leave_no_verdict_of_what_became_of_them() {
    let forget = |folder: &Path| std::fs::remove_file(folder.join(MEMORY)).unwrap();
    // As one was before it told of the upgrade.
    let older = |folder: &Path| {
        let file = folder.join(MEMORY);
        let mut kept: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        assert!(kept.as_object_mut().unwrap().remove("upgrade").is_some());
        std::fs::write(&file, kept.to_string()).unwrap();
    };
    for lose in [&forget as &dyn Fn(&Path), &older] {
        let ended = resumed_with(&[ROLLS], || demo(Machines::Replaced), lose);
        assert_eq!(ended.verdict, Verdict::None, "{}", ended.reason);
        let told = "it is not known any more with which Machines the upgrade began";
        assert!(ended.reason.contains(told), "{}", ended.reason);
    }
}

#[test]
fn embedded_hooks_that_nobody_could_see_leave_no_open_gate_issue_7() {
    let folder = tempfile::tempdir().unwrap();
    let stack = demo(Machines::Any);
    let pair = stack.open_releases().unwrap();
    let scenario = Scenario::load("class-only", &stack.folder).unwrap();
    let made = scenario.write(&stack, &pair, folder.path()).unwrap();
    let stack = || {
        let folders = made.parent().unwrap();
        Stack::load(&made.to_string_lossy(), folders).unwrap()
    };
    assert_eq!(stack().spec.upgrade.hooks, Hooks::Uncalled);
    // All Machines are replaced at once: it is over soon.
    let within = Point::Within(Phase::Upgrade, Duration::from_secs(20));
    let after = Point::Before(Phase::CheckAfter);
    for (killed_at, verdict) in [
        (vec![Point::Before(Phase::Upgrade)], Verdict::Open),
        (vec![within], Verdict::None),
        // What the second process knows, the third one has to know, too.
        (vec![within, after], Verdict::None),
        (vec![within, Point::Before(Phase::Verdict)], Verdict::None),
        (vec![after], Verdict::Open),
        (vec![Point::Before(Phase::Verdict)], Verdict::Open),
    ] {
        let ended = resumed_with(&killed_at, stack, |_| {});
        assert_eq!(ended.verdict, verdict, "{killed_at:?}: {}", ended.reason);
        let told = ended.reason.contains("whether a hook was called");
        assert_eq!(told, verdict == Verdict::None, "{}", ended.reason);
    }
    // Nobody knows whether the upgrade was seen as a whole.
    let forget = |folder: &Path| std::fs::remove_file(folder.join(MEMORY)).unwrap();
    let ended = resumed_with(&[Point::Before(Phase::Verdict)], stack, forget);
    assert_eq!(ended.verdict, Verdict::None, "{}", ended.reason);
}

#[test]
fn embedded_an_addon_without_nodes_is_known_to_whoever_goes_on_issue_7() {
    let folder = tempfile::tempdir().unwrap();
    let written = agent(N2, "example.org/pool: next").write_apart(folder.path());
    let stack = || Stack::load("docker-demo", written.parent().unwrap()).unwrap();
    let waits = [Point::Within(Phase::Upgrade, Duration::from_secs(3))];
    // It goes on for long enough after the process is gone.
    let ended = resumed_with(&waits, stack, |_| {});
    assert_eq!(ended.verdict, Verdict::Closed, "{}", ended.reason);
    let told = "DaemonSet kube-system/agent was without a ready Pod for";
    assert!(ended.reason.contains(told), "{}", ended.reason);
    let until_it_has_come = Duration::from_secs(60);
    // The node has come meanwhile: it was without, and nobody knows for how long.
    let ended = resumed_after(until_it_has_come, &waits, stack, |_| {});
    assert_eq!(ended.verdict, Verdict::None, "{}", ended.reason);
    let told = "DaemonSet kube-system/agent asks for nodes as only";
    assert!(ended.reason.contains(told), "{}", ended.reason);
    // One that kept nothing of it says so.
    let older = |folder: &Path| {
        let file = folder.join(MEMORY);
        let mut kept: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        let upgrade = kept["upgrade"].as_object_mut().unwrap();
        assert!(upgrade.remove("standing").is_some());
        std::fs::write(&file, kept.to_string()).unwrap();
    };
    let ended = resumed_after(until_it_has_come, &waits, stack, older);
    let said = |event: &Event| matches!(&event.what, What::Note { message } if message.contains("which addons had ready Pods"));
    assert!(ended.events.iter().any(said));
}
