//! `stackgate report`: every view again from the stream, shards joined, and what each form escapes.

mod common;

use std::fs;
use std::os::unix::fs::symlink;

use common::TestContext;
use common::stream::{self, Stream, check};
use stackgate::record::{Change, Counts, Outcome, Phase, Verdict, What, read};
use stackgate::report::{Format, STREAM, Summary, write_all};

/// A working directory whose `reports/` has these runs.
fn with_runs(runs: &[(&str, &Stream)]) -> TestContext {
    let context = TestContext::new();
    for (name, stream) in runs {
        let events = fs::read_to_string(stream.folder.path().join(STREAM)).unwrap();
        context.write(&format!("reports/{name}/{STREAM}"), &events);
    }
    context
}

fn stdout(context: &TestContext, arguments: &str) -> String {
    let output = context
        .command()
        .args(arguments.split(' '))
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8(output.stdout).unwrap()
}

const FORMATS: [&str; 8] = [
    "junit", "json", "html", "scs", "markdown", "github", "gitlab", "plain",
];

#[test]
fn the_reports_are_equal_whether_made_live_after_a_kill_or_later() {
    let context = TestContext::new();
    let stacks = concat!(env!("CARGO_MANIFEST_DIR"), "/stacks-under-test");
    let run = format!(
        "run docker-demo --stacks {stacks} --engine embedded --seed 7 --fault addon-left-behind"
    );
    let output = context.command().args(run.split(' ')).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", context.show(&output));
    let live = context.path().join("reports/latest");
    let made = |name: &str| fs::read_to_string(live.join(name)).unwrap();
    for (format, file) in [
        ("junit", "junit.xml"),
        ("json", "summary.json"),
        ("html", "report.html"),
    ] {
        let again = stdout(&context, &format!("report latest --format {format}"));
        assert!(
            again == made(file),
            "{file} is another one when it is made again"
        );
        assert!(
            again.contains("rehearsal"),
            "{file} is silent on the rehearsal"
        );
    }
    // What was recorded of the objects is in it.
    assert!(made("report.html").contains("nodes by version"));
    // Of any beginning of the stream, as a kill leaves it, in any other place.
    let events = fs::read_to_string(live.join(STREAM)).unwrap();
    let first = events.find('\n').unwrap() + 1;
    for kept in [first, first + 20, events.len() / 3, events.len() * 2 / 3] {
        let views = ["one", "another/place"].map(|place| {
            let folder = context.path().join(format!("{place}-{kept}"));
            fs::create_dir_all(&folder).unwrap();
            fs::write(
                folder.join(STREAM),
                &events[..events.floor_char_boundary(kept)],
            )
            .unwrap();
            Format::ALL.map(|format| {
                let mut out = Vec::new();
                format.write(&folder, None, &mut out).unwrap();
                String::from_utf8(out).unwrap()
            })
        });
        assert!(views[0] == views[1], "after {kept} bytes");
        assert!(views[0].iter().all(|view| view.contains("docker-demo")));
    }
}

#[test]
fn a_rehearsal_says_so_in_every_view() {
    let context = with_runs(&[("docker-demo-7f3a09bc", &stream::rehearsed())]);
    for format in FORMATS {
        let view = stdout(&context, &format!("report 7f3a09bc --format {format}"));
        let sentence = match format {
            "json" => "\"rehearsal\": {\n    \"seed\": 7,",
            _ => "a rehearsal on simulated clusters, not a gate on real ones",
        };
        assert!(view.contains(sentence), "{format}: {view}");
    }
}

#[test]
fn without_a_format_all_of_them_are_made_and_the_run_is_told() {
    let context = with_runs(&[("docker-demo-7f3a09bc", &stream::failed_upgrade())]);
    insta::assert_snapshot!(context.run("report"), @r"
    exit code 0
    --- stdout
    gate closed: node image does not exist
      the same again: stackgate reproduce 7f3a09bc
      reports/docker-demo-7f3a09bc/junit.xml
      reports/docker-demo-7f3a09bc/summary.json
      reports/docker-demo-7f3a09bc/report.html
    --- stderr
    ");
    insta::assert_snapshot!(context.run("report 00000000"), @r"
    exit code 2
    --- stdout
    --- stderr
    error: failed to find the run '00000000' in reports
    hint: there are, the latest first: docker-demo-7f3a09bc
    ");
}

#[test]
fn a_view_goes_to_a_file_as_a_whole() {
    let context = with_runs(&[("docker-demo-7f3a09bc", &stream::failed_upgrade())]);
    symlink(
        "docker-demo-7f3a09bc",
        context.path().join("reports/latest"),
    )
    .unwrap();
    let said = context.run("report latest --format markdown --output comment.md");
    assert!(
        said.starts_with("exit code 0\n--- stdout\n--- stderr\n"),
        "{said}"
    );
    let comment = fs::read_to_string(context.path().join("comment.md")).unwrap();
    assert_eq!(comment, stdout(&context, "report latest --format markdown"));
}

#[test]
fn a_comment_has_the_verdict_first_and_what_changed() {
    let context = with_runs(&[("docker-demo-7f3a09bc", &stream::regressed())]);
    let comment = stdout(&context, "report latest --format markdown");
    let (told, _) = comment.split_once("<details>").unwrap();
    insta::assert_snapshot!(told, @r"
    ### ❌ gate closed: docker-demo 1-34-v1 → 1-35-v1

    addons-live regressed

    1 regressed, 1 still failing, 2 not comparable, 1 flaky, 1 kept, 1 accepted

    | check | before | after | change | why |
    | --- | --- | --- | --- | --- |
    | addons-live | pass | FAIL | regressed | DaemonSet kube-system/cni is still that of 1-34-v1 |
    | no-restarts | FAIL | FAIL | still failing | no-restarts is FAIL |
    | dns-resolves | ABORT | ABORT | not comparable | dns-resolves is ABORT |
    | storage-class | pass | flaky | flaky | storage-class is flaky |
    | etcd-encrypted | FAIL | FAIL | accepted | the demo does not encrypt, see README |
    ");
}

#[test]
fn github_gets_groups_annotations_at_the_stacks_file_and_a_summary() {
    let context = with_runs(&[("docker-demo-7f3a09bc", &stream::regressed())]);
    context.write("stacks-under-test/docker-demo/stack.yaml", "");
    let mut command = context.command();
    command.args(["report", "latest", "--format", "github"]);
    let output = command
        .env("GITHUB_STEP_SUMMARY", "summary.md")
        .output()
        .unwrap();
    let log = String::from_utf8(output.stdout).unwrap();
    assert_eq!(log.matches("::group::").count(), 9, "{log}");
    assert_eq!(log.matches("::endgroup::").count(), 9, "{log}");
    let annotations: Vec<_> = log.lines().filter(|line| line.contains(" file=")).collect();
    insta::assert_snapshot!(annotations.join("\n"), @r"
    ::error file=stacks-under-test/docker-demo/stack.yaml,title=docker-demo%3A gate closed::addons-live regressed
    ::error file=stacks-under-test/docker-demo/stack.yaml,title=addons-live%3A regressed::DaemonSet kube-system/cni is still that of 1-34-v1%0Aimage: cni:v1%0Aexpected: cni:v2
    ::error file=stacks-under-test/docker-demo/stack.yaml,title=dns-resolves%3A not comparable::dns-resolves is ABORT
    ::warning file=stacks-under-test/docker-demo/stack.yaml,title=no-restarts%3A still failing::no-restarts is FAIL
    ::warning file=stacks-under-test/docker-demo/stack.yaml,title=storage-class%3A flaky::storage-class is flaky
    ");
    let summary = fs::read_to_string(context.path().join("summary.md")).unwrap();
    assert!(
        summary.starts_with("### ❌ gate closed: docker-demo"),
        "{summary}"
    );
}

#[test]
fn gitlab_gets_a_section_for_each_phase_also_of_a_run_that_was_killed() {
    let mut stream = Stream::started();
    stream
        .pass(Phase::Preflight, "")
        .start(Phase::Management, 240);
    let context = with_runs(&[("docker-demo-7f3a09bc", &stream)]);
    let log = stdout(&context, "report latest --format gitlab");
    for name in ["preflight", "management"] {
        for mark in ["start", "end"] {
            let marks = log.matches(&format!("section_{mark}:")).count();
            assert!(log.contains(&format!(":{name}\r")) && marks == 2, "{log}");
        }
    }
    assert!(
        log.ends_with("no verdict: the run ended without a verdict\n  the same again: stackgate reproduce 7f3a09bc\n"),
        "{log}"
    );
}

#[test]
fn a_pass_after_a_retry_is_told_as_flaky_in_every_view() {
    let context = with_runs(&[("docker-demo-7f3a09bc", &stream::regressed())]);
    for (format, told) in [
        ("junit", "flaky: storage-class"),
        ("html", "flaky"),
        ("scs", "'WARNING: storage-class: storage-class is flaky'"),
        ("markdown", "| storage-class | pass | flaky | flaky |"),
        ("github", "storage-class%3A flaky"),
        ("gitlab", "flaky"),
        ("plain", "storage-class    pass     flaky"),
    ] {
        let report = stdout(&context, &format!("report latest --format {format}"));
        assert!(report.contains(told), "{format}: {report}");
    }
    let summary: serde_json::Value =
        serde_json::from_str(&stdout(&context, "report latest --format json")).unwrap();
    let checks = summary["checks"].as_array().unwrap();
    let flaky = checks
        .iter()
        .find(|check| check["id"] == "storage-class")
        .unwrap();
    assert_eq!(
        (&flaky["after"]["outcome"], &flaky["change"]),
        (&"flaky".into(), &"flaky".into())
    );
    assert_eq!(summary["counts"]["flaky"], 1);
}

#[test]
fn the_scs_report_has_both_rounds() {
    let context = with_runs(&[("docker-demo-7f3a09bc", &stream::regressed())]);
    let report = stdout(&context, "report latest --format scs");
    let results: Vec<_> = report
        .split("results:\n")
        .skip(1)
        .map(|round| round.split("      rc:").next().unwrap())
        .collect();
    insta::assert_snapshot!(results.join("--- after\n"), @r"
            nodes-ready: 1
            addons-live: 1
            no-restarts: -1
            etcd-encrypted: -1
            storage-class: 1
            dns-resolves: 0
    --- after
            nodes-ready: 1
            addons-live: -1
            no-restarts: -1
            etcd-encrypted: -1
            storage-class: 1
            dns-resolves: 0
    ");
}

/// A whole run of one check.
fn shard(run: &str, id: &str, after: Outcome) -> Stream {
    let mut stream = Stream::started();
    let kept = after == Outcome::Pass;
    stream
        .pass(Phase::Create, "two nodes")
        .start(Phase::CheckBefore, 60)
        .check(Phase::CheckBefore, id, Outcome::Pass)
        .finish(
            Phase::CheckBefore,
            stackgate::record::PhaseOutcome::Passed,
            "1 passed",
        )
        .start(Phase::CheckAfter, 60)
        .check(Phase::CheckAfter, id, after)
        .finish(
            Phase::CheckAfter,
            stackgate::record::PhaseOutcome::Passed,
            "",
        )
        .start(Phase::Verdict, 0);
    let (change, verdict) = if kept {
        (Change::Kept, Verdict::Open)
    } else {
        (Change::Regressed, Verdict::Closed)
    };
    let counts = Counts {
        kept: u32::from(kept),
        regressed: u32::from(!kept),
        ..Counts::default()
    };
    stream
        .compared(id, [Outcome::Pass, after], change)
        .verdict(verdict, &format!("{id} {change}"), counts)
        .finish(Phase::Verdict, stackgate::record::PhaseOutcome::Passed, "")
        .end(u8::from(!kept));
    let path = stream.folder.path().join(STREAM);
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("7f3a09bc", run)).unwrap();
    stream
}

#[test]
fn shards_are_joined_and_the_worst_counts() {
    let shards = [
        shard("0000000a", "one", Outcome::Pass),
        shard("0000000b", "two", Outcome::Fail),
        shard("0000000c", "three", Outcome::Pass),
    ];
    let names = ["demo-0000000a", "demo-0000000b", "demo-0000000c"];
    let runs: Vec<_> = names.into_iter().zip(&shards).collect();
    let context = with_runs(&runs);
    insta::assert_snapshot!(context.run("report merge 0000000a 0000000b 0000000c --output all"), @r"
    exit code 1
    --- stdout

      check   before   after
      two     pass     FAIL    regressed: two is FAIL
    gate closed: shard 0000000b: two regressed
      1 regressed, 2 kept
      all/junit.xml
      all/summary.json
      all/report.html
    --- stderr
    ");
    let all = context.path().join("all").join(STREAM);
    let summary = Summary::read(&all).unwrap();
    let ids: Vec<_> = summary
        .checks
        .iter()
        .map(|check| check.id.as_str())
        .collect();
    assert_eq!(ids, ["one", "two", "three"]);
    assert_eq!(summary.properties["shards"], "0000000a, 0000000b, 0000000c");
    assert_eq!((summary.exit_code, summary.seconds), (Some(1), Some(250.0)));
    let events: Vec<_> = read(&all).unwrap().map(Result::unwrap).collect();
    assert!(
        events
            .iter()
            .enumerate()
            .all(|(at, event)| event.seq == at as u64)
    );
    let verdicts = events
        .iter()
        .filter(|event| matches!(event.what, What::Verdict { .. }));
    assert_eq!(verdicts.count(), 1);
    // Open shards make an open gate, and what was joined is not overwritten.
    let said = context.run("report merge 0000000a 0000000c --output open");
    assert!(
        said.starts_with("exit code 0\n") && said.contains("2 shards, each with an open gate"),
        "{said}"
    );
    let said = context.run("report merge 0000000a --output open");
    assert!(
        said.starts_with("exit code 2\n") && said.contains("there is a run in open already"),
        "{said}"
    );
}

#[test]
fn what_is_no_shard_is_refused() {
    let twice = [
        shard("0000000a", "one", Outcome::Pass),
        shard("0000000b", "one", Outcome::Pass),
    ];
    let other = shard("0000000c", "three", Outcome::Pass);
    let path = other.folder.path().join(STREAM);
    let text = fs::read_to_string(&path)
        .unwrap()
        .replace("docker-demo-1-35-v1", "docker-demo-1-36-v1");
    fs::write(&path, text).unwrap();
    let context = with_runs(&[
        ("demo-0000000a", &twice[0]),
        ("demo-0000000b", &twice[1]),
        ("demo-0000000c", &other),
    ]);
    insta::assert_snapshot!(context.run("report merge 0000000a 0000000b --output all"), @r"
    exit code 2
    --- stdout
    --- stderr
    error: failed to join the runs
      because: check one was run by 0000000a and by 0000000b: expected shards with other checks each
    ");
    insta::assert_snapshot!(context.run("report merge 0000000a 0000000c --output all"), @r"
    exit code 2
    --- stdout
    --- stderr
    error: failed to join the runs
      because: reports/demo-0000000c/events.jsonl: its release after is docker-demo-1-36-v1, expected docker-demo-1-35-v1 as in the first run
    ");
    assert!(!context.path().join("all").exists());
}

#[test]
fn a_shard_that_was_killed_leaves_all_without_a_verdict() {
    let mut killed = Stream::started();
    killed
        .pass(Phase::Create, "")
        .start(Phase::CheckBefore, 60)
        .check(Phase::CheckBefore, "two", Outcome::Pass);
    let context = with_runs(&[
        ("demo-0000000a", &shard("0000000a", "one", Outcome::Pass)),
        ("demo-7f3a09bc", &killed),
    ]);
    let said = context.run("report merge 0000000a 7f3a09bc --output all");
    assert!(said.starts_with("exit code 3\n"), "{said}");
    assert!(
        said.contains("no verdict: shard 7f3a09bc: the run ended without a verdict"),
        "{said}"
    );
}

#[test]
fn a_summary_on_a_screen_is_no_longer_than_that() {
    let mut stream = Stream::started();
    for number in 0..200 {
        let id = format!("check-{number}");
        stream.push(What::Check(check(Phase::CheckAfter, &id, Outcome::Fail)));
        let change = if number == 0 {
            Change::Regressed
        } else {
            Change::StillFailing
        };
        stream.compared(&id, [Outcome::Fail; 2], change);
    }
    stream.end(1);
    let text = stream.closing();
    assert!(text.lines().count() < 60, "{text}");
    assert!(
        text.contains("and 160 more, less grave ones, in the reports"),
        "{text}"
    );
    let worst = text.lines().rfind(|line| line.contains("check-")).unwrap();
    assert!(worst.contains("regressed"), "{worst}");
}

#[test]
fn hostile_text_stays_text_on_the_page() {
    let mut stream = Stream::started();
    let hostile =
        "</script></style><img src=x onerror=alert(1)>\" onmouseover='alert(1)' &lt;\u{1b}[31m";
    let mut result = check(Phase::CheckAfter, hostile, Outcome::Fail);
    result.title = hostile.to_owned();
    result.message = hostile.to_owned();
    result.evidence = vec![hostile.to_owned()];
    stream
        .property(hostile, hostile)
        .start(Phase::CheckAfter, 9)
        .push(What::Check(result))
        .blocked(
            Phase::CheckAfter,
            hostile,
            stream::blocker(hostile, hostile),
        )
        .verdict(Verdict::Closed, hostile, Counts::default())
        .end(1);
    write_all(stream.folder.path()).unwrap();
    let page = fs::read_to_string(stream.folder.path().join("report.html")).unwrap();
    for markup in [
        "<img",
        "<script",
        "<style",
        "</script",
        "</style",
        "onmouseover='",
    ] {
        let own = usize::from(markup.contains("script") || markup.contains("style"));
        assert_eq!(page.matches(markup).count(), own, "{markup}");
    }
    assert!(
        !page.contains("http://") && !page.contains("https://"),
        "the page loads something"
    );
}
