//! A run that stands still on request: what is told, who reaches its clusters meanwhile, and how it goes on. Real
//! binary, simulated clusters.

mod common;

use std::io::{BufRead, BufReader, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Stdio};

use common::TestContext;
use k8s_openapi::api::core::v1::Node;
use kube::api::ListParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use stackgate::record::{Decision, Event, Pause, Phase, PhaseOutcome, What, read};

/// A run with pauses, from outside.
struct Run {
    child: Child,
    stderr: BufReader<ChildStderr>,
    folder: PathBuf,
}

impl Run {
    fn start(context: &TestContext, arguments: &str) -> Self {
        let stacks = Path::new(env!("CARGO_MANIFEST_DIR")).join("stacks-under-test");
        let mut child = context
            .command()
            .args(["run", "docker-demo", "--engine", "embedded", "--seed", "7"])
            .arg("--stacks")
            .arg(stacks)
            .args(arguments.split(' '))
            // A killed run leaves the place where it was waited for.
            .env("TMPDIR", context.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        Self {
            child,
            stderr,
            folder: context.path().join("reports/latest"),
        }
    }

    /// Reads until it stands still, and returns what it says of that.
    fn stands(&mut self) -> Pause {
        let mut told = String::new();
        while !told.contains("    to tear down: ") {
            let count = self.stderr.read_line(&mut told).unwrap();
            assert!(count > 0, "it ended before it was paused:\n{told}");
        }
        let mut pauses = self
            .events()
            .into_iter()
            .filter_map(|event| match event.what {
                What::Paused(pause) => Some(pause),
                _ => None,
            });
        pauses.next_back().unwrap()
    }

    fn events(&self) -> Vec<Event> {
        let events = read(&self.folder.join("events.jsonl")).unwrap();
        events.map(Result::unwrap).collect()
    }

    /// The exit code, and everything that was said since it last stood still.
    fn ends(mut self) -> (Option<i32>, String, Vec<Event>) {
        let mut told = String::new();
        self.stderr.read_to_string(&mut told).unwrap();
        let code = self.child.wait().unwrap().code();
        let events = self.events();
        (code, told, events)
    }
}

fn ended(events: &[Event]) -> Vec<(Phase, Decision, &str)> {
    let ends = events.iter().filter_map(|event| match &event.what {
        What::PauseEnded {
            phase,
            decision,
            by,
            ..
        } => Some((*phase, *decision, by.as_str())),
        _ => None,
    });
    ends.collect()
}

/// How a phase ended, each time.
fn outcomes(events: &[Event], wanted: Phase) -> Vec<&PhaseOutcome> {
    let ends = events.iter().filter_map(|event| match &event.what {
        What::PhaseFinished { phase, outcome, .. } if *phase == wanted => Some(outcome),
        _ => None,
    });
    ends.collect()
}

fn summary(context: &TestContext) -> Value {
    let text = std::fs::read(context.path().join("reports/latest/summary.json")).unwrap();
    serde_json::from_slice(&text).unwrap()
}

/// Nodes by version of their kubelet, as a client with this kubeconfig sees them.
fn versions(kubeconfig: &str) -> Vec<String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let kubeconfig = Kubeconfig::read_from(kubeconfig).unwrap();
        let options = KubeConfigOptions::default();
        let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
        let client = Client::try_from(config.unwrap()).unwrap();
        let nodes: Api<Node> = Api::all(client);
        let nodes = nodes.list(&ListParams::default()).await.unwrap();
        let versions = nodes.into_iter().map(|node| {
            let info = node.status.unwrap().node_info.unwrap();
            info.kubelet_version
        });
        versions.collect()
    })
}

/// What a stream says of checks and of the verdict.
fn judged(events: &[Event]) -> Vec<String> {
    let told = events.iter().filter_map(|event| match &event.what {
        What::Check(check) => Some(format!("{} {} {}", check.phase, check.id, check.outcome)),
        What::ProbeFinished(probe) => Some(format!("{} {}", probe.probe, probe.outcome)),
        What::Verdict {
            verdict, reason, ..
        } => Some(format!("{verdict:?}: {reason}")),
        _ => None,
    });
    let mut told: Vec<String> = told.collect();
    told.sort();
    told
}

#[test]
fn hooks_that_nobody_could_see_in_a_pause_leave_no_open_gate_issue_7() {
    let context = TestContext::new();
    let mut run = Run::start(&context, "--scenario class-only --pause upgrade+20s");
    run.stands();
    let resumed = context.run("resume latest");
    assert!(resumed.starts_with("exit code"), "{resumed}");
    let (code, _, events) = run.ends();
    let judged = judged(&events);
    let told = "had no process or stood still is not known";
    let none = judged
        .iter()
        .any(|line| line.starts_with("None: ") && line.contains(told));
    assert!(code == Some(3) && none, "{judged:?}");
}

#[test]
fn a_paused_rehearsal_is_looked_at_and_goes_on_as_if_nothing_had_been() {
    let context = TestContext::new();
    let mut run = Run::start(&context, "--pause before:upgrade");
    let pause = run.stands();
    assert_eq!(
        (pause.phase, pause.place.as_str()),
        (Phase::Upgrade, "before upgrade")
    );
    assert!(
        !pause.keys && !pause.may_retry && pause.failed.is_empty(),
        "{pause:?}"
    );
    let names: Vec<&str> = pause
        .clusters
        .iter()
        .map(|one| one.cluster.as_str())
        .collect();
    assert_eq!(names, ["management", "workload"]);
    for reach in &pause.clusters {
        let mode = std::fs::metadata(&reach.file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{reach:?}");
    }
    let seen = versions(&pause.clusters[1].file);
    assert!(
        seen.len() >= 2 && seen.iter().all(|version| version.starts_with("v1.34.")),
        "{seen:?}"
    );
    let refused = context.run("resume latest --retry");
    assert!(
        refused.starts_with("exit code 3") && refused.contains("nothing to retry"),
        "{refused}"
    );
    let resumed = context.run("resume latest");
    assert!(resumed.starts_with("exit code 0"), "{resumed}");
    let (code, _, events) = run.ends();
    assert_eq!(code, Some(0));
    assert_eq!(
        ended(&events),
        [(Phase::Upgrade, Decision::GoesOn, "another process")]
    );
    // Virtual time stood still.
    let mut at = events
        .iter()
        .filter(|event| matches!(event.what, What::Paused(_) | What::PauseEnded { .. }));
    let (began, went_on) = (at.next().unwrap(), at.next().unwrap());
    assert_eq!(began.elapsed_ms, went_on.elapsed_ms);
    assert!(!Path::new(&pause.clusters[1].file).exists() && !Path::new(&pause.control).exists());
    let summary = summary(&context);
    assert_eq!(summary["pauses"][0]["decision"], "goesOn");
    let page = std::fs::read_to_string(context.path().join("reports/latest/report.html")).unwrap();
    assert!(
        page.contains("paused before upgrade for 0"),
        "the page says so"
    );

    let never = TestContext::new();
    let (_, _, unpaused) = Run::start(&never, "--timeout-scale 1").ends();
    assert_eq!(judged(&events), judged(&unpaused));

    let over = context.run("resume latest");
    assert!(
        over.starts_with("exit code 2")
            && over.contains("hint: run it again with: stackgate reproduce"),
        "{over}"
    );
}

#[test]
fn a_failure_is_paused_at_begun_again_and_torn_down() {
    let context = TestContext::new();
    let mut run = Run::start(
        &context,
        "--pause on-failure --fault image-pull-fails@upgrade",
    );
    let pause = run.stands();
    assert_eq!((pause.phase, pause.may_retry), (Phase::Upgrade, true));
    assert!(pause.failed[0].starts_with("upgrade: "), "{pause:?}");
    let again = context.run("resume latest --retry");
    assert!(again.starts_with("exit code 0"), "{again}");
    run.stands();
    let aborted = context.run("abort latest");
    assert!(aborted.starts_with("exit code 0"), "{aborted}");
    let (code, told, events) = run.ends();
    assert_eq!(code, Some(130), "{told}");
    let decisions: Vec<Decision> = ended(&events).into_iter().map(|(_, it, _)| it).collect();
    assert_eq!(decisions, [Decision::Retries, Decision::Aborts]);
    assert_eq!(
        outcomes(&events, Phase::Upgrade),
        [&PhaseOutcome::Failed; 2]
    );
    assert_eq!(outcomes(&events, Phase::Teardown), [&PhaseOutcome::Passed]);
    let summary = summary(&context);
    assert_eq!(summary["verdict"], "interrupted");
    // The cause was found twice, and is one.
    assert_eq!(
        summary["findings"].as_array().unwrap().len(),
        1,
        "{}",
        summary["findings"]
    );
}

#[test]
fn a_phase_is_held_up_in_its_middle_and_begun_again() {
    let context = TestContext::new();
    let mut run = Run::start(&context, "--pause upgrade+40s --pause check-before+1h");
    let pause = run.stands();
    assert_eq!(pause.place, "at upgrade+40s");
    assert!(context.run("resume --retry").starts_with("exit code 0"));
    let again = run.stands();
    assert_eq!(again.place, "at upgrade+40s");
    assert!(context.run("resume").starts_with("exit code 0"));
    let (code, told, events) = run.ends();
    assert_eq!(code, Some(0), "{told}");
    let upgrades = outcomes(&events, Phase::Upgrade);
    assert_eq!(upgrades, [&PhaseOutcome::Aborted, &PhaseOutcome::Passed]);
    let missed = events.iter().any(|event| {
        matches!(&event.what, What::Note { message } if message.starts_with("not paused at check-before+1h"))
    });
    assert!(missed, "what was missed is told");
}

#[test]
fn what_closes_the_gate_is_paused_at_and_keeps_it_closed_when_nobody_comes() {
    let context = TestContext::new();
    let run = Run::start(
        &context,
        "--pause on-failure --pause-for 1s --fault addon-left-behind@upgrade",
    );
    let (code, told, events) = run.ends();
    assert_eq!(code, Some(1), "{told}");
    assert_eq!(
        ended(&events),
        [(Phase::CheckAfter, Decision::Expires, "nobody")]
    );
}

#[test]
fn without_anybody_there_is_no_verdict_and_nothing_is_left() {
    let context = TestContext::new();
    let run = Run::start(&context, "--pause before:upgrade --pause-for 1s");
    let (code, told, events) = run.ends();
    assert_eq!(code, Some(3), "{told}");
    assert_eq!(
        ended(&events),
        [(Phase::Upgrade, Decision::Expires, "nobody")]
    );
    assert_eq!(outcomes(&events, Phase::Teardown), [&PhaseOutcome::Passed]);
    assert_eq!(
        summary(&context)["reason"],
        "check before: paused before upgrade, and nobody let it go on within 1 s"
    );
}

#[test]
fn a_signal_ends_a_pause() {
    let context = TestContext::new();
    let mut run = Run::start(&context, "--pause before:teardown --pause before:upgrade");
    run.stands();
    let pid = Pid::from_raw(run.child.id().try_into().unwrap());
    kill(pid, Signal::SIGTERM).unwrap();
    let (code, told, events) = run.ends();
    assert_eq!(code, Some(130), "{told}");
    let interrupted = (Phase::Upgrade, Decision::Aborts, "an interruption");
    // Who wants it to end is not held up a second time.
    assert_eq!(ended(&events)[0], interrupted);
    assert_eq!(ended(&events).len(), 1);
}

#[test]
fn what_is_no_point_is_refused_before_anything_starts() {
    let context = TestContext::new();
    for (arguments, told) in [
        (
            "--pause after:upgrade",
            "expected before:PHASE, PHASE+DURATION such as upgrade+40s, or on-failure",
        ),
        ("--pause before:preflight", "nothing is there yet"),
        ("--pause-for 1h", "--pause"),
        (
            "--pause on-failure --pause-for forever",
            "expected a duration from 1s to 7 days",
        ),
    ] {
        let shown = context.run(&format!("run docker-demo {arguments}"));
        assert!(
            shown.starts_with("exit code 2") && shown.contains(told),
            "{shown}"
        );
    }
    let shown = context.run("resume latest");
    assert!(
        shown.starts_with("exit code 2") && shown.contains("failed to find the run"),
        "{shown}"
    );
}

#[test]
fn a_killed_rehearsal_has_its_report_and_cannot_be_gone_on_with() {
    let context = TestContext::new();
    let mut run = Run::start(&context, "--pause before:upgrade");
    run.stands();
    run.child.kill().unwrap();
    run.child.wait().unwrap();
    let report = context.run("report latest --format markdown");
    assert!(report.contains("paused before upgrade"), "{report}");
    for (command, told) in [
        ("resume latest", "simulated clusters end with their process"),
        ("abort latest", "its process is gone"),
    ] {
        let shown = context.run(command);
        assert!(
            shown.starts_with("exit code 2") && shown.contains(told),
            "{shown}"
        );
    }
    let shown = context.run("resume latest");
    assert!(
        shown.contains("hint: run it again with: stackgate reproduce"),
        "{shown}"
    );
    let events = run.events();
    assert!(
        matches!(events.last().unwrap().what, What::Paused(_)),
        "nothing was appended"
    );
}

/// With its recording, which a kill may have torn as well.
#[test]
fn cli_a_killed_run_has_the_same_reports_whenever_and_wherever_they_are_made() {
    let context = TestContext::new();
    let mut run = Run::start(&context, "--pause before:check-after --pause-for 1h");
    run.stands();
    run.child.kill().unwrap();
    run.child.wait().unwrap();
    let told = context.run("report latest");
    assert!(told.starts_with("exit code 0"), "{told}");
    let elsewhere = context.path().join("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    for file in ["events.jsonl", "recording.jsonl.zst"] {
        std::fs::copy(run.folder.join(file), elsewhere.join(file)).unwrap();
    }
    assert!(context.run("report elsewhere").starts_with("exit code 0"));
    for file in ["junit.xml", "summary.json", "report.html"] {
        let one = std::fs::read_to_string(run.folder.join(file)).unwrap();
        let other = std::fs::read_to_string(elsewhere.join(file)).unwrap();
        assert!(one == other, "{file} is another one elsewhere");
        assert!(one.contains("upgrade"), "{file} is empty");
    }
    let summary: Value =
        serde_json::from_slice(&std::fs::read(run.folder.join("summary.json")).unwrap()).unwrap();
    assert_eq!(summary["verdict"], Value::Null);
}
