//! Reports made from streams on disk, read back as a CI server reads them.

mod common;

use std::io::Write;
use std::process::{Command, Stdio};

use common::junit::parse;
use common::stream::{self, Stream, check};
use proptest::prelude::*;
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus};
use stackgate::record::{Counts, Outcome, Phase, PhaseOutcome, Verdict, What};

fn case<'a>(report: &'a Report, suite: &str, name: &str) -> &'a TestCase {
    let suite = report
        .test_suites
        .iter()
        .find(|s| s.name.as_str() == suite)
        .expect("the suite");
    suite
        .test_cases
        .iter()
        .find(|c| c.name.as_str() == name)
        .expect("the case")
}

/// How a case counts, its type and its message.
fn shown(report: &Report, suite: &str, name: &str) -> String {
    let text = |text: &Option<quick_junit::XmlString>| {
        text.as_ref()
            .map_or(String::new(), |text| text.as_str().to_owned())
    };
    match &case(report, suite, name).status {
        TestCaseStatus::Success { .. } => "passed".to_owned(),
        TestCaseStatus::Skipped { message, .. } => format!("skipped: {}", text(message)),
        TestCaseStatus::NonSuccess {
            kind, message, ty, ..
        } => {
            let kind = match kind {
                NonSuccessKind::Failure => "failure",
                NonSuccessKind::Error => "error",
            };
            format!("{kind}, {}: {}", text(ty), text(message))
        }
    }
}

/// The numbers in front of the cases are those of the cases.
fn assert_numbers(report: &Report) {
    for suite in &report.test_suites {
        let count = |wanted: fn(&TestCaseStatus) -> bool| {
            suite
                .test_cases
                .iter()
                .filter(|case| wanted(&case.status))
                .count()
        };
        let skipped = count(|status| matches!(status, TestCaseStatus::Skipped { .. }));
        let kind = |wanted| {
            let is = |case: &&TestCase| match &case.status {
                TestCaseStatus::NonSuccess { kind, .. } => *kind == wanted,
                _ => false,
            };
            suite.test_cases.iter().filter(is).count()
        };
        let told = (suite.tests, suite.skipped, suite.failures, suite.errors);
        let failures = kind(NonSuccessKind::Failure);
        let counted = (
            suite.test_cases.len(),
            skipped,
            failures,
            kind(NonSuccessKind::Error),
        );
        assert_eq!(told, counted, "{}", suite.name.as_str());
    }
}

#[test]
fn every_answer_counts_as_what_it_is() {
    let report = parse(&stream::regressed().junit());
    assert_numbers(&report);
    let names: Vec<_> = report
        .test_suites
        .iter()
        .map(|suite| suite.name.as_str())
        .collect();
    assert_eq!(names, Phase::ALL.map(Phase::name));
    let answers: Vec<_> = [
        ("check after", "check after"),
        ("check after", "nodes-ready"),
        ("check before", "addons-live"),
        ("check after", "addons-live"),
        ("check after", "no-restarts"),
        ("check after", "etcd-encrypted"),
        ("check after", "storage-class"),
        ("check after", "dns-resolves"),
        ("check after", "gpu"),
        ("verdict", "verdict"),
    ]
    .map(|(suite, name)| format!("{suite} / {name}: {}", shown(&report, suite, name)))
    .into();
    insta::assert_snapshot!(answers.join("\n"), @"
    check after / check after: passed
    check after / nodes-ready: passed
    check before / addons-live: passed
    check after / addons-live: failure, addons-live: DaemonSet kube-system/cni is still that of 1-34-v1
    check after / no-restarts: skipped: warning, SHOULD is not met: no-restarts is FAIL
    check after / etcd-encrypted: skipped: fails, accepted: the demo does not encrypt, see README
    check after / storage-class: skipped: flaky: storage-class is flaky
    check after / dns-resolves: error, dns-resolves: dns-resolves is ABORT
    check after / gpu: skipped: gpu is skip
    verdict / verdict: failure, gate-closed: addons-live regressed
    ");
}

#[test]
fn a_failure_carries_its_evidence_and_every_suite_the_runs_properties() {
    let report = parse(&stream::regressed().junit());
    let after = case(&report, "check after", "addons-live");
    assert_eq!(
        after.classname.as_ref().unwrap().as_str(),
        "docker-demo.check-after"
    );
    let TestCaseStatus::NonSuccess {
        description: Some(text),
        ..
    } = &after.status
    else {
        panic!("{:?}", after.status)
    };
    insta::assert_snapshot!(text.as_str(), @"
    addons-live (MUST, suite health): asks about addons-live
    DaemonSet kube-system/cni is still that of 1-34-v1
    image: cni:v1
    expected: cni:v2
    ");
    let create = &report.test_suites[3];
    let properties: Vec<_> = create
        .properties
        .iter()
        .map(|property| format!("{} = {}", property.name.as_str(), property.value.as_str()))
        .collect();
    insta::assert_snapshot!(properties.join("\n"), @"
    stackgate.version = 0.1.0
    run = 7f3a09bc
    started = 2026-09-21T14:13:20Z
    stack = docker-demo
    release.before = docker-demo-1-34-v1
    release.after = docker-demo-1-35-v1
    kubernetes.before = v1.34.3
    engine = kind
    delivery = direct
    reproduce = stackgate reproduce 7f3a09bc
    comparison.kept = 1
    comparison.fixed = 0
    comparison.flaky = 1
    comparison.regressed = 1
    comparison.still-failing = 1
    comparison.accepted = 1
    comparison.not-comparable = 2
    exit-code = 1
    seconds = 250.000
    provider = docker
    kubernetes.after = v1.35.0
    deadline-seconds = 600
    ");
    insta::assert_snapshot!(create.system_out.as_ref().unwrap().as_str(), @"
    00:10 waiting for two nodes Ready: Machine stackgate-7f3a09bc/demo-cp: NodeHealthy False, WaitingForNodeRef
    00:11 waited 60.5 s: two nodes Ready
    ");
}

#[test]
fn a_failed_phase_names_the_cause_and_skips_what_follows_because_of_it() {
    let stream = stream::failed_upgrade();
    let report = parse(&stream.junit());
    assert_numbers(&report);
    let expected = "failure, image-not-found: node image does not exist";
    assert_eq!(shown(&report, "upgrade", "upgrade"), expected);
    let expected = "skipped: because of upgrade";
    assert_eq!(shown(&report, "check after", "check after"), expected);
    let TestCaseStatus::NonSuccess {
        description: Some(text),
        ..
    } = &case(&report, "upgrade", "upgrade").status
    else {
        panic!("no evidence")
    };
    insta::assert_snapshot!(text.as_str(), @"
    Machine stackgate-7f3a09bc/demo-md-0: node image does not exist
    docker: manifest unknown
    waiting for every node at v1.35.0:
      Machine stackgate-7f3a09bc/demo-md-0: NodeHealthy False, WaitingForNodeRef
    ");
    insta::assert_snapshot!(stream.closing(), @"
    gate closed: node image does not exist
      the same again: stackgate reproduce 7f3a09bc
      [run]/junit.xml
      [run]/summary.json
      [run]/report.html
    ");
}

#[test]
fn a_killed_run_has_a_report_that_says_where_it_ended() {
    let mut stream = Stream::started();
    stream
        .pass(Phase::Preflight, "")
        .start(Phase::Management, 240)
        .check(Phase::CheckBefore, "early", Outcome::Pass);
    let torn = stream.folder.path().join("events.jsonl");
    let mut file = std::fs::OpenOptions::new().append(true).open(torn).unwrap();
    file.write_all(br#"{"seq":4,"at":"2026-"#).unwrap();
    let report = parse(&stream.junit());
    assert_numbers(&report);
    assert_eq!(shown(&report, "preflight", "preflight"), "passed");
    let expected = "error, run-ended-here: the run ended here";
    assert_eq!(shown(&report, "management", "management"), expected);
    let expected = "skipped: the run ended before this phase";
    assert_eq!(shown(&report, "upgrade", "upgrade"), expected);
    let expected = "error, no-verdict: the run ended without a verdict";
    assert_eq!(shown(&report, "verdict", "verdict"), expected);
    assert!(
        stream
            .closing()
            .contains("no verdict: the run ended without a verdict")
    );
}

#[test]
fn a_gate_that_is_not_open_is_never_all_green() {
    use Verdict::{Closed, Interrupted, NothingRan, Open};
    for verdict in [Open, Closed, Verdict::None, NothingRan, Interrupted] {
        let mut stream = Stream::started();
        for phase in Phase::ALL {
            stream.pass(phase, "");
        }
        stream
            .verdict(verdict, "for a reason", Counts::default())
            .end(0);
        let report = parse(&stream.junit());
        let red: usize = report
            .test_suites
            .iter()
            .map(|s| s.failures + s.errors)
            .sum();
        assert_eq!(red == 0, verdict == Open, "{verdict:?}");
    }
}

#[test]
fn every_report_is_valid_against_the_schema() {
    let schema = concat!(env!("CARGO_MANIFEST_DIR"), "/schemas/junit.xsd");
    let xmllint = || {
        let mut command = Command::new("xmllint");
        command.args(["--noout", "--schema", schema]);
        command
    };
    if Command::new("xmllint").arg("--version").output().is_err() {
        eprintln!("skipped: xmllint is not installed (Debian: libxml2-utils)");
        return;
    }
    let hostile = hostile_stream("\0]]>&<\u{fffe}\u{1b}[1m\u{9b}\u{85}\r\n\"'");
    for stream in [
        Stream::started(),
        stream::regressed(),
        stream::failed_upgrade(),
        hostile,
    ] {
        stream.reports();
        let output = xmllint()
            .arg(stream.folder.path().join("junit.xml"))
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    // The schema is worth something only if it refuses.
    let mut child = xmllint()
        .arg("-")
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let wrong = b"<testsuites><testsuite name='x'/></testsuites>";
    child.stdin.take().unwrap().write_all(wrong).unwrap();
    assert!(!child.wait().unwrap().success());
}

/// The same text wherever text from a cluster can be.
fn hostile_stream(text: &str) -> Stream {
    let mut stream = Stream::started();
    let mut result = check(Phase::CheckBefore, "hostile", Outcome::Fail);
    result.message = text.to_owned();
    result.title = text.to_owned();
    result.evidence = vec![text.to_owned(), text.to_owned()];
    stream.property(text, text);
    stream
        .start(Phase::CheckBefore, 300)
        .push(What::Note {
            message: text.to_owned(),
        })
        .push(What::Check(result))
        .blocked(Phase::CheckBefore, text, stream::blocker(text, text))
        .finish(Phase::CheckBefore, PhaseOutcome::Failed, text)
        .verdict(Verdict::Closed, text, Counts::default())
        .end(1);
    stream
}

#[test]
fn hostile_text_stays_text() {
    let stream = hostile_stream("a]]>b</failure>&amp;\u{1b}[31mred\u{1b}[0m nul\0 \u{ffff}end");
    let xml = stream.junit();
    let harmless = |c: char| !c.is_control() || c == '\n';
    assert!(xml.chars().all(harmless), "{xml}");
    let report = parse(&xml);
    assert_numbers(&report);
    let expected = "failure, hostile: a]]>b</failure>&amp;red nul end";
    assert_eq!(shown(&report, "check before", "hostile"), expected);
    let screen = stream.closing();
    assert!(screen.chars().all(harmless), "{screen:?}");
}

#[test]
fn a_message_of_a_megabyte_is_cut_and_says_so() {
    let stream = hostile_stream(&"x".repeat(1 << 20));
    let xml = stream.junit();
    assert!(xml.len() < 300_000, "{}", xml.len());
    let report = parse(&xml);
    let message = shown(&report, "check before", "hostile");
    assert!(
        message.ends_with("more bytes in events.jsonl]"),
        "{}",
        message.len()
    );
}

#[test]
fn a_summary_reads_back_and_has_everything() {
    let stream = stream::regressed();
    stream.reports();
    let text = std::fs::read_to_string(stream.folder.path().join("summary.json")).unwrap();
    let summary: stackgate::report::Summary = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (summary.verdict, summary.exit_code),
        (Some(Verdict::Closed), Some(1))
    );
    assert_eq!((summary.checks.len(), summary.waits.len()), (7, 1));
    let live = &summary.checks[1];
    let outcomes = [&live.before, &live.after].map(|answer| answer.as_ref().unwrap().outcome);
    assert_eq!(outcomes, [Outcome::Pass, Outcome::Fail]);
    assert_eq!(summary.usage.unwrap().reaction_max_ms, Some(21.0));
    assert_eq!(summary.properties["provider"], "docker");
    insta::assert_snapshot!(stream.closing(), @"
      check            before   after
      etcd-encrypted   FAIL     FAIL    accepted: the demo does not encrypt, see README
      storage-class    pass     flaky   flaky: storage-class is flaky
      dns-resolves     ABORT    ABORT   not comparable: dns-resolves is ABORT
      gpu              skip     skip    not comparable: gpu is skip
      no-restarts      FAIL     FAIL    still failing: no-restarts is FAIL
      addons-live      pass     FAIL    regressed: DaemonSet kube-system/cni is still that of 1-34-v1
    gate closed: addons-live regressed
      1 regressed, 1 still failing, 2 not comparable, 1 flaky, 1 kept, 1 accepted
      the same again: stackgate reproduce 7f3a09bc
      [run]/junit.xml
      [run]/summary.json
      [run]/report.html
    ");
}

#[test]
fn a_probe_is_a_case_of_the_upgrade_and_a_line_at_the_end() {
    let stream = stream::probed();
    let report = parse(&stream.junit());
    assert_numbers(&report);
    let told = |name| shown(&report, "upgrade", name);
    assert_eq!(told("probe service"), "passed");
    assert_eq!(
        told("probe volume"),
        "skipped: there is no default StorageClass"
    );
    let let_through = "connections denied by a NetworkPolicy were let through for 12.0 s";
    assert_eq!(
        told("probe denied"),
        format!("failure, denied: {let_through}")
    );
    stream.reports();
    let text = std::fs::read_to_string(stream.folder.path().join("summary.json")).unwrap();
    let summary: stackgate::report::Summary = serde_json::from_str(&text).unwrap();
    assert_eq!(summary.probes.len(), 3);
    assert_eq!(summary.probe_gaps[0].length_ms(), 12_000);
    assert_eq!(summary.findings[0].cause, "policy-not-enforced");
    insta::assert_snapshot!(stream.closing(), @"
      probe service   pass    service is pass
      probe volume    skip    there is no default StorageClass
      probe denied    FAIL    connections denied by a NetworkPolicy were let through for 12.0 s
    gate closed: probe denied: connections denied by a NetworkPolicy were let through for 12.0 s
      1 kept
      the same again: stackgate reproduce 7f3a09bc
      [run]/junit.xml
      [run]/summary.json
      [run]/report.html
    ");
}

#[test]
fn the_schema_of_the_summary_is_the_one_that_is_checked_in() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/schemas/summary.schema.json");
    let made = stackgate::report::Summary::schema();
    if std::env::var_os("UPDATE_SCHEMAS").is_some() {
        std::fs::write(path, &made).unwrap();
    }
    let checked_in = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        made == checked_in,
        "schemas/summary.schema.json is old: run with UPDATE_SCHEMAS=1"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn any_text_makes_a_readable_report(text in any::<String>()) {
        let report = parse(&hostile_stream(&text).junit());
        assert_numbers(&report);
        prop_assert_eq!(report.test_suites.len(), Phase::ALL.len());
    }
}
