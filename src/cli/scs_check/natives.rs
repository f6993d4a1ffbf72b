//! Checks of our own that take the place of a script of an SCS scope.

use std::path::Path;

use anyhow::{Context as _, Result, anyhow};
use jiff::tz::TimeZone;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::{Value, json};

use super::call::{self, Tests, Way};
use crate::checks::scs::{conformance, version_policy};
use crate::checks::{Answer, Shared, Target};
use crate::cluster::{Context, Interrupt};
use crate::record::{CheckResult, Clock, Outcome, Phase, Recorder, RunId, What, read};
use crate::stack::OkToFail;
use crate::suite::scs::{Call, Said, Substitute};
use crate::suite::{self, Acceptance, Memory, Place, Round, Suite};

/// All of them, with the codes of the scripts whose places they take.
pub(super) const NATIVES: &[Substitute] = &[
    Substitute {
        testcase: VERSION_POLICY,
        run: version_policy,
        fail: 0,
        abort: 1,
    },
    Substitute {
        testcase: CONFORMANCE,
        run: |call| tests(CONFORMANCE, call),
        fail: FAILED,
        abort: ABORTED,
    },
    Substitute {
        testcase: NETWORKING,
        run: |call| tests(NETWORKING, call),
        fail: FAILED,
        abort: ABORTED,
    },
];

const VERSION_POLICY: &str = "version-policy-check";
const CONFORMANCE: &str = "cncf-k8s-conformance";
const NETWORKING: &str = "kaas-networking-check";
/// What `run_sonobuoy.py` ends with.
const FAILED: i32 = 3;
const ABORTED: i32 = 112;
/// The suite that has the checks of these testcases.
const SUITE: &str = "scs-heavy";

fn version_policy(call: &Call) -> Option<Said> {
    let path = call::version_policy(call)?;
    Some(Box::pin(async move {
        let client = client(&path).await?;
        let today = Clock::system().now().to_zoned(TimeZone::UTC).date();
        let answer = version_policy::ask(&client, today).await?;
        Ok(lines(VERSION_POLICY, &answer))
    }))
}

fn tests(testcase: &'static str, call: &Call) -> Option<Said> {
    let tests = call::tests(call)?;
    let interrupt = call.interrupt.clone();
    Some(Box::pin(async move {
        if tests.way == Way::Dry {
            return Err(anyhow!("a dry run tests nothing, so nothing is judged"));
        }
        // Before the tests: they take hours.
        let ok_to_fail = OkToFail::read(&tests.ok_to_fail);
        let ok_to_fail = ok_to_fail.map_err(|problems| anyhow!("{problems}"))?;
        let client = client(&tests.kubeconfig).await?;
        let version = client.apiserver_version().await;
        let version = version.context("failed to get /version")?.git_version;
        let (result, mut told) = run(
            testcase,
            &tests,
            &ok_to_fail,
            (&client, &version),
            interrupt,
        )
        .await?;
        let answer = Answer {
            outcome: result.outcome,
            message: result.message,
            evidence: result.evidence,
        };
        told.extend(lines(testcase, &answer));
        Ok(told)
    }))
}

/// Runs the check of a testcase, and returns what was noted beside its result.
async fn run(
    testcase: &str,
    tests: &Tests,
    ok_to_fail: &[OkToFail],
    (client, version): (&Client, &str),
    interrupt: Interrupt,
) -> Result<(CheckResult, Vec<String>)> {
    let folder = tempfile::tempdir().context("failed to make a folder")?;
    // Suites of one's own are not meant, so they are looked for where there are none.
    let mut suite = Suite::load(SUITE, folder.path())?;
    suite.checks.retain(|check| {
        let standard = check.standard.as_ref();
        standard.is_some_and(|standard| standard.testcase.as_deref() == Some(testcase))
    });
    for check in &mut suite.checks {
        check.parameters = parameters(&tests.way, version);
    }
    let recorder = Recorder::create(&folder.path().join("run"), Clock::system(), Vec::new())?;
    let stream = recorder.path().to_owned();
    let context = Context::new(RunId::random(), recorder, interrupt, 1.0);
    context.enter(Phase::CheckBefore);
    let shared = Shared::default();
    let target = Target {
        ok_to_fail,
        ..Target::alone(&context, client, version, &shared)
    };
    let round = Round {
        suites: std::slice::from_ref(&suite),
        accepted: Acceptance {
            entries: &[],
            ok_to_fail,
        },
        phase: Phase::CheckBefore,
        place: &Place::default(),
        memory: &Memory::unasked(),
    };
    let result = suite::run(&target, round).await.pop();
    let result = result.with_context(|| format!("no check judges {testcase}"))?;
    let notes = read(&stream)?.filter_map(|event| match event.ok()?.what {
        What::Note { message } => Some(format!("WARNING: {message}")),
        _ => None,
    });
    Ok((result, notes.collect()))
}

/// The check's parameters.
fn parameters(way: &Way, version: &str) -> serde_json::Map<String, Value> {
    let set = match way {
        Way::With(set) => set.clone(),
        Way::Whole(set) => {
            let mut set = set.clone();
            set["minimum"] = json!(conformance::cases(version));
            set
        }
        Way::Dry => Value::Null,
    };
    set.as_object().cloned().unwrap_or_default()
}

/// A client of the cluster that a kubeconfig is for.
async fn client(path: &Path) -> Result<Client> {
    let place = path.display();
    let kubeconfig = Kubeconfig::read_from(path);
    let kubeconfig = kubeconfig.with_context(|| format!("failed to read {place}"))?;
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
    let config = config.with_context(|| format!("failed to read {place}"))?;
    Ok(Client::try_from(config)?)
}

/// An answer as a script would print it.
fn lines(testcase: &str, answer: &Answer) -> Vec<String> {
    let (level, word) = match answer.outcome {
        Outcome::Pass | Outcome::Flaky => ("INFO", "PASS"),
        Outcome::Fail => ("ERROR", "FAIL"),
        Outcome::Abort | Outcome::Skip => ("CRITICAL", "ABORT"),
    };
    let evidence = answer.evidence.iter().map(|line| {
        if let Some(warning) = line.strip_prefix("warning: ") {
            return format!("WARNING: {warning}");
        }
        // The SCS test tells each failed case as an error of its own.
        match line.strip_prefix("Case ") {
            Some(case) if answer.outcome == Outcome::Fail => format!("ERROR: FAILED: {case}"),
            _ => format!("INFO: {line}"),
        }
    });
    std::iter::once(format!("{level}: {}", answer.message))
        .chain(evidence)
        .chain([format!("{testcase}: {word}")])
        .collect()
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn an_answer_is_told_in_the_words_of_scripts() {
        let told = |outcome, evidence: &[&str]| {
            let answer = Answer {
                outcome,
                message: "why".to_owned(),
                evidence: evidence.iter().map(|line| (*line).to_owned()).collect(),
            };
            lines("a", &answer).join("|")
        };
        assert_eq!(
            told(Outcome::Pass, &["warning: soon", "by data of x"]),
            "INFO: why|WARNING: soon|INFO: by data of x|a: PASS"
        );
        assert_eq!(told(Outcome::Fail, &[]), "ERROR: why|a: FAIL");
        assert_eq!(
            told(Outcome::Fail, &["mode quick", "Case one: [FAILED] no"]),
            "ERROR: why|INFO: mode quick|ERROR: FAILED: one: [FAILED] no|a: FAIL"
        );
        assert_eq!(told(Outcome::Abort, &[]), "CRITICAL: why|a: ABORT");
    }

    #[test]
    fn each_testcase_has_its_check_and_a_whole_run_as_many_cases_as_a_certified_one() {
        let suite = Suite::load(SUITE, Path::new("/nowhere")).unwrap();
        for testcase in [CONFORMANCE, NETWORKING] {
            let own = suite.checks.iter().filter(|check| {
                let standard = check.standard.as_ref().unwrap();
                standard.testcase.as_deref() == Some(testcase)
            });
            assert_eq!(own.count(), 1, "{testcase}");
        }
        let whole = Way::Whole(json!({"focus": "x", "parallel": 4}));
        assert_eq!(parameters(&whole, "v1.35.0")["minimum"], json!(441));
    }
}
