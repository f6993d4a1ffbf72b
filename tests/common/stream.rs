//! Streams to make reports of, written as a run writes them, at times that never change.

use std::io::Write;
use std::path::PathBuf;

use jiff::{SignedDuration, Timestamp};
use stackgate::record::{
    Blocker, Change, CheckResult, Counts, Event, Finding, ObjectRef, Outcome, Phase, PhaseOutcome,
    ProbeBudget, ProbeGap, ProbeLatency, ProbeResult, ProbeWindow, Rehearsal, ReleaseRef, Severity,
    Usage, Verdict, What,
};

/// A run's folder with a stream that grows by one event per second.
pub struct Stream {
    pub folder: tempfile::TempDir,
    file: std::fs::File,
    next: u64,
}

impl Stream {
    /// A stream with the first event.
    pub fn started() -> Self {
        Self::of(None)
    }

    /// A stream with the first event, of a run on simulated clusters where there is a seed.
    pub fn of(rehearsal: Option<Rehearsal>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = std::fs::File::create(folder.path().join("events.jsonl")).unwrap();
        let mut stream = Self {
            folder,
            file,
            next: 0,
        };
        let release = |tag: &str, kubernetes: &str| ReleaseRef {
            tag: tag.to_owned(),
            kubernetes: kubernetes.to_owned(),
        };
        stream.push(What::RunStarted {
            run: "7f3a09bc".parse().unwrap(),
            format: 1,
            version: "0.1.0".to_owned(),
            stack: "docker-demo".to_owned(),
            from: release("docker-demo-1-34-v1", "v1.34.3"),
            to: release("docker-demo-1-35-v1", "v1.35.0"),
            engine: "kind".to_owned(),
            delivery: "direct".to_owned(),
            command: ["stackgate", "run", "docker-demo"]
                .map(str::to_owned)
                .into(),
            rehearsal,
        });
        stream
    }

    pub fn event(&self, what: What) -> Event {
        let start = Timestamp::from_second(1_790_000_000).unwrap();
        let at = start + SignedDuration::from_secs(i64::try_from(self.next).unwrap());
        Event {
            seq: self.next,
            at,
            elapsed_ms: self.next * 1000,
            what,
        }
    }

    pub fn push(&mut self, what: What) -> &mut Self {
        let event = self.event(what);
        self.next += 1;
        serde_json::to_writer(&mut self.file, &event).unwrap();
        self.file.write_all(b"\n").unwrap();
        self
    }

    pub fn property(&mut self, name: &str, value: &str) -> &mut Self {
        let (name, value) = (name.to_owned(), value.to_owned());
        self.push(What::Property { name, value })
    }

    pub fn start(&mut self, phase: Phase, deadline_s: u64) -> &mut Self {
        self.push(What::PhaseStarted { phase, deadline_s })
    }

    pub fn finish(&mut self, phase: Phase, outcome: PhaseOutcome, message: &str) -> &mut Self {
        let seconds = 12.5;
        let message = (!message.is_empty()).then(|| message.to_owned());
        self.push(What::PhaseFinished {
            phase,
            outcome,
            seconds,
            message,
        })
    }

    pub fn pass(&mut self, phase: Phase, message: &str) -> &mut Self {
        self.start(phase, 0)
            .finish(phase, PhaseOutcome::Passed, message)
    }

    pub fn skip(&mut self, phase: Phase, because: Phase) -> &mut Self {
        let outcome = PhaseOutcome::Skipped { because };
        let seconds = 0.0;
        self.push(What::PhaseFinished {
            phase,
            outcome,
            seconds,
            message: None,
        })
    }

    pub fn check(&mut self, phase: Phase, id: &str, outcome: Outcome) -> &mut Self {
        self.push(What::Check(check(phase, id, outcome)))
    }

    pub fn blocked(&mut self, phase: Phase, what: &str, blocker: Blocker) -> &mut Self {
        let what = what.to_owned();
        self.push(What::Blocked {
            phase,
            what,
            blockers: vec![blocker],
        })
    }

    pub fn compared(
        &mut self,
        id: &str,
        [before, after]: [Outcome; 2],
        change: Change,
    ) -> &mut Self {
        let (before, after) = (Some(before), Some(after));
        self.push(What::Compared {
            check: id.to_owned(),
            before,
            after,
            change,
        })
    }

    pub fn verdict(&mut self, verdict: Verdict, reason: &str, counts: Counts) -> &mut Self {
        self.push(What::Verdict {
            verdict,
            reason: reason.to_owned(),
            counts,
        })
    }

    pub fn end(&mut self, exit_code: u8) -> &mut Self {
        let usage = Usage {
            cpu_seconds: 1.25,
            cpu_percent: 0.5,
            wall_seconds: 412.0,
            peak_rss_mib: 80.0,
            reaction_median_ms: Some(3.0),
            reaction_max_ms: Some(21.0),
        };
        self.push(What::Usage(usage)).push(What::RunFinished {
            exit_code,
            seconds: 250.0,
        })
    }

    /// Makes every report.
    pub fn reports(&self) -> Vec<PathBuf> {
        stackgate::report::write_all(self.folder.path()).unwrap()
    }

    pub fn junit(&self) -> String {
        self.reports();
        std::fs::read_to_string(self.folder.path().join("junit.xml")).unwrap()
    }

    /// The last lines on a plain standard output.
    pub fn closing(&self) -> String {
        let screen = stackgate::report::terminal::Screen::PLAIN;
        let reports = self.reports();
        let text = stackgate::report::terminal::closing(self.folder.path(), &reports, screen);
        text.unwrap()
            .replace(&*self.folder.path().to_string_lossy(), "[run]")
    }
}

pub fn check(phase: Phase, id: &str, outcome: Outcome) -> CheckResult {
    CheckResult {
        phase,
        id: id.to_owned(),
        title: format!("asks about {id}"),
        suite: "health".to_owned(),
        severity: Severity::Must,
        outcome,
        message: format!("{id} is {outcome}"),
        evidence: vec![],
        seconds: 0.25,
        accepted: None,
        standard: None,
        excluded: false,
        surroundings: Default::default(),
    }
}

pub fn machine(name: &str) -> ObjectRef {
    ObjectRef {
        cluster: "management".to_owned(),
        kind: "Machine".to_owned(),
        namespace: Some("stackgate-7f3a09bc".to_owned()),
        name: name.to_owned(),
    }
}

pub fn blocker(name: &str, reason: &str) -> Blocker {
    Blocker {
        object: machine(name),
        condition: "NodeHealthy False".to_owned(),
        reason: reason.to_owned(),
        message: String::new(),
        since: None,
    }
}

/// A whole run that regresses one check, with every kind of answer in it.
pub fn regressed() -> Stream {
    let mut stream = Stream::started();
    stream
        .pass(Phase::Preflight, "")
        .property("provider", "docker")
        .property("kubernetes.after", "v1.35.0")
        .pass(Phase::Management, "kind v1.35.4 · Cluster API v1.12.5")
        .pass(Phase::Release, "")
        .start(Phase::Create, 600)
        .blocked(
            Phase::Create,
            "two nodes Ready",
            blocker("demo-cp", "WaitingForNodeRef"),
        );
    stream.push(What::WaitFinished {
        phase: Phase::Create,
        what: "two nodes Ready".to_owned(),
        satisfied: true,
        seconds: 60.5,
        reaction_ms: Some(3.0),
    });
    stream.finish(
        Phase::Create,
        PhaseOutcome::Passed,
        "1 control plane, 1 worker",
    );
    for (phase, addons) in [
        (Phase::CheckBefore, Outcome::Pass),
        (Phase::CheckAfter, Outcome::Fail),
    ] {
        stream
            .start(phase, 300)
            .check(phase, "nodes-ready", Outcome::Pass);
        let mut live = check(phase, "addons-live", addons);
        if addons == Outcome::Fail {
            live.message = "DaemonSet kube-system/cni is still that of 1-34-v1".to_owned();
            live.evidence = vec!["image: cni:v1".to_owned(), "expected: cni:v2".to_owned()];
        }
        let mut warning = check(phase, "no-restarts", Outcome::Fail);
        warning.severity = Severity::Should;
        let mut accepted = check(phase, "etcd-encrypted", Outcome::Fail);
        accepted.accepted = Some("the demo does not encrypt, see README".to_owned());
        let storage = if addons == Outcome::Fail {
            Outcome::Flaky
        } else {
            Outcome::Pass
        };
        let storage = check(phase, "storage-class", storage);
        for result in [live, warning, accepted, storage] {
            stream.push(What::Check(result));
        }
        stream
            .check(phase, "dns-resolves", Outcome::Abort)
            .check(phase, "gpu", Outcome::Skip);
        stream.finish(phase, PhaseOutcome::Passed, "1 passed");
        if phase == Phase::CheckBefore {
            stream.pass(Phase::Upgrade, "");
        }
    }
    use Outcome::{Abort, Fail, Flaky, Pass, Skip};
    stream
        .start(Phase::Verdict, 0)
        .compared("nodes-ready", [Pass, Pass], Change::Kept)
        .compared("addons-live", [Pass, Fail], Change::Regressed)
        .compared("no-restarts", [Fail, Fail], Change::StillFailing)
        .compared("etcd-encrypted", [Fail, Fail], Change::Accepted)
        .compared("storage-class", [Pass, Flaky], Change::Flaky)
        .compared("dns-resolves", [Abort, Abort], Change::NotComparable)
        .compared("gpu", [Skip, Skip], Change::NotComparable);
    let counts = Counts {
        kept: 1,
        flaky: 1,
        regressed: 1,
        still_failing: 1,
        accepted: 1,
        not_comparable: 2,
        ..Counts::default()
    };
    stream
        .verdict(Verdict::Closed, "addons-live regressed", counts)
        .finish(Phase::Verdict, PhaseOutcome::Passed, "")
        .pass(Phase::Teardown, "everything removed")
        .end(1);
    stream
}

/// A short run on simulated clusters, whose gate is open.
pub fn rehearsed() -> Stream {
    let mut stream = Stream::of(Some(Rehearsal {
        seed: 7,
        missing: vec!["Docker does not answer".to_owned()],
        faults: vec![],
        missing_images: vec![],
        reproduce: "stackgate run docker-demo --engine embedded --seed 7".to_owned(),
    }));
    for phase in [Phase::CheckBefore, Phase::CheckAfter] {
        stream
            .start(phase, 300)
            .check(phase, "nodes-ready", Outcome::Pass)
            .finish(phase, PhaseOutcome::Passed, "1 passed");
    }
    let counts = Counts {
        kept: 1,
        ..Counts::default()
    };
    stream
        .compared("nodes-ready", [Outcome::Pass; 2], Change::Kept)
        .verdict(Verdict::Open, "1 checks passed after the upgrade", counts)
        .end(0);
    stream
}

/// A run whose upgrade fails with a named cause.
pub fn failed_upgrade() -> Stream {
    let mut stream = Stream::started();
    for phase in [
        Phase::Preflight,
        Phase::Management,
        Phase::Release,
        Phase::Create,
    ] {
        stream.pass(phase, "");
    }
    stream
        .start(Phase::CheckBefore, 300)
        .check(Phase::CheckBefore, "nodes-ready", Outcome::Pass)
        .finish(Phase::CheckBefore, PhaseOutcome::Passed, "1 passed")
        .start(Phase::Upgrade, 900)
        .blocked(
            Phase::Upgrade,
            "every node at v1.35.0",
            blocker("demo-md-0", "WaitingForNodeRef"),
        );
    let message = "node image does not exist";
    stream.push(What::Finding(Finding {
        cause: "image-not-found".to_owned(),
        message: message.to_owned(),
        object: machine("demo-md-0"),
        evidence: vec!["docker: manifest unknown".to_owned()],
    }));
    stream
        .finish(Phase::Upgrade, PhaseOutcome::Failed, message)
        .skip(Phase::CheckAfter, Phase::Upgrade)
        .verdict(Verdict::Closed, message, Counts::default())
        .pass(Phase::Verdict, "")
        .pass(Phase::Teardown, "")
        .end(1);
    stream
}

/// A result of a probe that measured, and lost nothing.
pub fn probe(name: &str, outcome: Outcome) -> ProbeResult {
    ProbeResult {
        probe: name.to_owned(),
        title: format!("{name} is there"),
        outcome,
        message: format!("{name} is {outcome}"),
        budget: ProbeBudget {
            longest_gap_ms: 10_000,
            share_lost_percent: Some(2.0),
        },
        tries: 100,
        lost: 0,
        share_lost_percent: 0.0,
        longest_gap: None,
        unmeasured_ms: 0,
        latency: Some(ProbeLatency {
            median_ms: 12,
            p95_ms: 20,
            p99_ms: 31,
            slowest_ms: 40,
        }),
    }
}

/// A run in which checks stay as they are and a probe is over its budget.
pub fn probed() -> Stream {
    let mut stream = Stream::started();
    stream
        .start(Phase::CheckBefore, 300)
        .check(Phase::CheckBefore, "nodes-ready", Outcome::Pass);
    for name in ["service", "denied"] {
        stream.push(What::ProbeStarted {
            probe: name.to_owned(),
            title: format!("{name} is there"),
            budget: ProbeBudget::default(),
        });
    }
    stream
        .finish(Phase::CheckBefore, PhaseOutcome::Passed, "1 passed")
        .start(Phase::Upgrade, 900);
    let gap = ProbeGap {
        probe: "denied".to_owned(),
        from_ms: 6000,
        to_ms: 18_000,
        reason: "ok".to_owned(),
        seen_from: "demo-cp-1".to_owned(),
        meanwhile: "node demo-md-0 was drained".to_owned(),
    };
    stream.push(What::ProbeGap(gap.clone()));
    let window = |from_ms, lost, median_ms| ProbeWindow {
        from_ms,
        to_ms: from_ms + 10_000,
        tries: 10,
        lost,
        median_ms,
        slowest_ms: median_ms.map(|ms: u32| ms * 3),
    };
    for (probe, windows) in [
        (
            "service",
            vec![window(0, 0, Some(12)), window(10_000, 0, Some(20))],
        ),
        ("denied", vec![window(0, 4, None), window(10_000, 8, None)]),
    ] {
        let probe = probe.to_owned();
        stream.push(What::ProbeSamples { probe, windows });
    }
    let mut denied = probe("denied", Outcome::Fail);
    denied.message = "connections denied by a NetworkPolicy were let through for 12.0 s".to_owned();
    denied.budget = ProbeBudget::default();
    (denied.lost, denied.share_lost_percent) = (12, 12.0);
    (denied.longest_gap, denied.latency) = (Some(gap), None);
    let mut volume = probe("volume", Outcome::Skip);
    (volume.tries, volume.latency) = (0, None);
    volume.message = "there is no default StorageClass".to_owned();
    stream
        .finish(Phase::Upgrade, PhaseOutcome::Passed, "2 nodes at v1.35.0")
        .start(Phase::CheckAfter, 300)
        .check(Phase::CheckAfter, "nodes-ready", Outcome::Pass)
        .finish(Phase::CheckAfter, PhaseOutcome::Passed, "1 passed")
        .start(Phase::Verdict, 0);
    for result in [probe("service", Outcome::Pass), volume, denied.clone()] {
        stream.push(What::ProbeFinished(result));
    }
    stream.push(What::Finding(Finding {
        cause: "policy-not-enforced".to_owned(),
        message: denied.message.clone(),
        object: ObjectRef::new(
            "workload",
            "NetworkPolicy",
            "stackgate-probe-1",
            "only-the-open-port",
        ),
        evidence: vec![],
    }));
    let counts = Counts {
        kept: 1,
        ..Counts::default()
    };
    stream
        .compared("nodes-ready", [Outcome::Pass; 2], Change::Kept)
        .verdict(
            Verdict::Closed,
            &format!("probe denied: {}", denied.message),
            counts,
        )
        .finish(Phase::Verdict, PhaseOutcome::Passed, "")
        .end(1);
    stream
}
