//! Each way in which a run could look like a pass that is none, by stored reports.

use super::*;
use crate::checks::scs::conformance::settings::{Mode, Settings};
use serde_json::json;

const PASSED: &str = include_str!("../results/all-passed.xml");
const FAILED: &str = include_str!("../results/one-failed.xml");
const NOTHING: &str = include_str!("../results/nothing-ran.xml");
const SET_UP: &str = include_str!("../results/setup-failed.xml");
const TORN_DOWN: &str = include_str!("../results/teardown-failed.xml");
const INTERRUPTED: &str = include_str!("../results/interrupted.xml");

fn asked() -> Asked {
    let settings: Settings =
        serde_json::from_value(json!({"focus": "Pods|DNS", "minimum": 3})).unwrap();
    settings.asked(Mode::Quick, "v1.35.0")
}

fn entry(regex: &str) -> OkToFail {
    OkToFail {
        regex: regex.parse().unwrap(),
        reason: "upstream".to_owned(),
    }
}

fn judged(report: &str, code: i64, ok_to_fail: &[OkToFail]) -> Answer {
    let ran = Ran {
        asked: &asked(),
        exit: Exit {
            code,
            reason: String::new(),
        },
        report: Report::read(report),
        flaky: 0,
        flakes: Vec::new(),
        log: Vec::new(),
        ok_to_fail,
    };
    ran.judge()
}

#[track_caller]
fn aborts(report: &str, code: i64, told: &str) {
    let answer = judged(report, code, &[entry("DNS")]);
    assert_eq!(answer.outcome, Outcome::Abort, "{}", answer.message);
    assert!(answer.message.contains(told), "{}", answer.message);
}

#[test]
fn all_that_was_asked_for_has_to_pass() {
    let answer = judged(PASSED, 0, &[]);
    assert_eq!(answer.outcome, Outcome::Pass, "{}", answer.message);
    assert_eq!(answer.message, "3 of 3 cases passed");
    // Mode, focus, skip and the rest are in the result.
    assert_eq!(answer.evidence, [asked().told()]);
}

#[test]
fn a_failed_case_fails_and_is_named_with_what_it_says() {
    let answer = judged(FAILED, 1, &[entry("sig-storage")]);
    assert_eq!(answer.outcome, Outcome::Fail);
    assert_eq!(
        answer.message,
        "1 failed, 2 passed, 0 failed as accepted: Case [sig-network] DNS should provide DNS for the cluster [Conformance]: [FAILED] Unable to read wheezy_udp@kubernetes: <timeout> In [It] at: test/e2e/network/dns_common.go:476"
    );
    assert_eq!(answer.evidence.len(), 2);
    // Neither does the container's word help.
    assert_eq!(judged(FAILED, 0, &[]).outcome, Outcome::Fail);
}

#[test]
fn an_exempted_failure_passes_and_is_told_with_its_reason() {
    let answer = judged(FAILED, 1, &[entry("DNS .* cluster")]);
    assert_eq!(answer.outcome, Outcome::Pass, "{}", answer.message);
    assert_eq!(answer.message, "2 of 3 cases passed, 1 failed as accepted");
    assert_eq!(
        answer.evidence[1],
        "accepted: [sig-network] DNS should provide DNS for the cluster [Conformance] (upstream)"
    );
}

#[test]
fn without_a_report_nothing_passes_whatever_the_container_says() {
    for code in [0, 1, 137] {
        let ran = Ran {
            asked: &asked(),
            exit: Exit {
                code,
                reason: "OOMKilled".to_owned(),
            },
            report: Err("wrote no junit_01.xml".to_owned()),
            flaky: 0,
            flakes: Vec::new(),
            log: vec!["F1127 cannot reach the API server".to_owned()],
            ok_to_fail: &[],
        };
        let answer = ran.judge();
        assert_eq!(answer.outcome, Outcome::Abort);
        let told = format!(
            "could not be judged: the tests ended with exit code {code}, OOMKilled, and wrote no junit_01.xml"
        );
        assert_eq!(answer.message, told);
        assert_eq!(answer.evidence[1], "F1127 cannot reach the API server");
    }
}

#[test]
fn a_run_without_cases_is_no_pass() {
    aborts(NOTHING, 0, "no case passed");
    aborts("<testsuites/>", 0, "there is no suite in it");
}

#[test]
fn too_few_cases_are_no_pass() {
    let skipped =
        "status=\"skipped\" time=\"2.1\"><skipped message=\"skipped - needs 2 nodes\"></skipped>";
    let fewer = PASSED
        .replacen("status=\"passed\" time=\"2.1\">", skipped, 1)
        .replace("skipped=\"1\"", "skipped=\"2\"");
    aborts(
        &fewer,
        0,
        "2 cases ran and 1 left themselves out, where at least 3 should run",
    );
    let answer = judged(&fewer, 0, &[]);
    assert!(
        answer.evidence[1].contains(
            "DNS should provide DNS for the cluster [Conformance]: skipped - needs 2 nodes"
        )
    );
}

#[test]
fn a_dry_run_is_no_pass() {
    let dry = PASSED.replace("\"DryRun\" value=\"false\"", "\"DryRun\" value=\"true\"");
    aborts(&dry, 0, "a dry run is `true`, not `false`");
}

#[test]
fn another_run_than_was_asked_for_is_no_pass() {
    for (from, to, told) in [
        (
            "value=\"Pods|DNS\"",
            "value=\"Pods\"",
            "the focus is `Pods`, not `Pods|DNS`",
        ),
        (
            "\"SkipStrings\" value=\"\"",
            "\"SkipStrings\" value=\"\\[Serial\\]\"",
            "what is skipped is `\\[Serial\\]`",
        ),
        (
            "\"FlakeAttempts\" value=\"0\"",
            "\"FlakeAttempts\" value=\"2\"",
            "the number of attempts is `2`",
        ),
        (
            "\"ParallelTotal\" value=\"1\"",
            "\"ParallelTotal\" value=\"4\"",
            "the number of processes is `4`",
        ),
        ("\"DryRun\"", "\"Other\"", "does not tell a dry run"),
    ] {
        let other = PASSED.replace(from, to);
        assert_ne!(other, PASSED);
        aborts(&other, 0, told);
    }
}

#[test]
fn a_set_up_that_fails_shows_nothing_and_one_after_the_cases_fails() {
    aborts(
        SET_UP,
        1,
        "no case ran, since [SynchronizedBeforeSuite] failed",
    );
    // No entry accepts what is not a case.
    let answer = judged(TORN_DOWN, 1, &[entry("AfterSuite")]);
    assert_eq!(answer.outcome, Outcome::Fail);
    assert!(
        answer
            .message
            .contains("Suite [SynchronizedAfterSuite]: [FAILED] Failed to remove namespaces"),
        "{}",
        answer.message
    );
}

#[test]
fn what_did_not_come_to_an_end_is_no_pass_though_it_is_exempted() {
    aborts(INTERRUPTED, 1, "1 case(s) did not come to an end");
    let unknown = PASSED.replacen("status=\"passed\"", "status=\"unknown\"", 1);
    aborts(&unknown, 0, "did not come to an end");
    let late = PASSED.replace(
        "\"SpecialSuiteFailureReason\" value=\"\"",
        "\"SpecialSuiteFailureReason\" value=\"Suite Timeout Elapsed\"",
    );
    aborts(&late, 0, "Suite Timeout Elapsed");
}

#[test]
fn a_report_that_is_not_whole_is_no_pass() {
    let announced = PASSED.replace("tests=\"6\"", "tests=\"7\"");
    aborts(&announced, 0, "the file announces 7 nodes");
    let cut = PASSED.split("</testsuite>").next().unwrap();
    aborts(cut, 0, "it ends within <testsuite>");
}

#[test]
fn a_container_that_contradicts_its_report_is_no_pass() {
    aborts(PASSED, 1, "exit code 1, and 0 case(s) failed");
    aborts(PASSED, 137, "exit code 137");
    aborts(FAILED, 0, "exit code 0, and 1 case(s) failed");
    aborts(FAILED, 137, "exit code 137");
    let fails = PASSED.replace(
        "\"SuiteSucceeded\" value=\"true\"",
        "\"SuiteSucceeded\" value=\"false\"",
    );
    aborts(&fails, 1, "the suite says `false`");
}

#[test]
fn a_pass_at_the_second_attempt_is_flaky() {
    let ran = Ran {
        asked: &asked(),
        exit: Exit {
            code: 0,
            reason: String::new(),
        },
        report: Report::read(PASSED),
        flaky: 1,
        flakes: vec!["[sig-network] DNS should resolve".to_owned()],
        log: Vec::new(),
        ok_to_fail: &[],
    };
    let answer = ran.judge();
    assert_eq!(answer.outcome, Outcome::Flaky);
    assert!(answer.message.ends_with("1 of them only when tried again"));
    let named = "passed only when tried again: [sig-network] DNS should resolve";
    assert!(answer.evidence.iter().any(|line| line == named));
}

#[test]
fn an_entry_whose_cases_all_pass_is_idle() {
    let report = Report::read(FAILED).unwrap();
    let entries = ["Pods should be", "DNS", "sig-storage", "no such"].map(entry);
    let idle = idle(&report, &entries);
    assert_eq!(
        idle,
        ["okToFail: every case that `Pods should be` names (upstream) passes: remove the entry"]
    );
}

#[test]
fn many_failures_are_bounded() {
    let case = "<testcase name=\"[It] a\" status=\"failed\"><failure>no</failure></testcase>";
    let many = PASSED.replace(
        "      </testsuite>",
        &format!("{}</testsuite>", case.repeat(100)),
    );
    let answer = judged(&many, 1, &[]);
    assert!(answer.message.starts_with("100 failed, 3 passed"));
    assert!(answer.evidence.len() < 60, "{}", answer.evidence.len());
}
