//! The checks alone, of a cluster that is there: nothing is made, delivered or upgraded.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use kube::Client;

use super::phases::{Done, Phases};
use super::run::Ending;
use super::trouble::Trouble;
use crate::checks::{self, Shared, Target};
use crate::cluster::{Context, Handshakes, Requests};
use crate::record::{CheckResult, Counts, Effect, Outcome, Phase, Verdict, What};
use crate::stack::{Accepted, OkToFail};
use crate::suite::{self, Acceptance, Memory, Place, Round, Suite};

/// How long the API server may take to say which version it is.
const PREFLIGHT: Duration = Duration::from_secs(30);
/// How long all checks together may take; each has its own deadline.
pub(super) const CHECKS: Duration = Duration::from_secs(30 * 60);

/// What is asked of which cluster.
#[derive(Debug)]
pub struct CheckPlan {
    /// The suites.
    pub suites: Vec<Suite>,
    /// Failures that are accepted, by check.
    pub accepted: Vec<Accepted>,
    /// Failures that are accepted, by the names of tests.
    pub ok_to_fail: Vec<OkToFail>,
    /// Where the cluster comes from, and what may be done there; what kind of cluster it is is looked up.
    pub place: Place,
    /// The way to the cluster's servers beside its API, where there is one.
    pub handshakes: Option<Arc<dyn Handshakes>>,
}

/// Asks the checks, once, and judges by their answers.
pub async fn check(plan: &CheckPlan, client: &Client, context: &Context) -> Ending {
    let phases = Phases::new(context, None);
    let requests = Requests::default();
    let client = &requests.counted(client);
    let asked = async {
        let version = phases
            .run(Phase::Preflight, PREFLIGHT, version(client))
            .await?;
        let ask = ask(plan, client, context, &version, &requests);
        phases
            .run(Phase::CheckBefore, CHECKS + suite::heavy(&plan.suites), ask)
            .await
    };
    let (verdict, reason) = match asked.await {
        Ok(results) => verdict(&results, &plan.place),
        Err(Trouble::Interrupted | Trouble::Aborted(_)) => {
            (Verdict::Interrupted, Trouble::Interrupted.to_string())
        }
        Err(trouble) => (Verdict::None, trouble.to_string()),
    };
    let judge = async {
        context.emit(What::Verdict {
            verdict,
            reason: reason.clone(),
            counts: Counts::default(),
        });
        Ok(((), None))
    };
    // It only tells, so it cannot end badly.
    let _ = phases.run(Phase::Verdict, PREFLIGHT, judge).await;
    Ending {
        verdict,
        reason,
        kept: Vec::new(),
    }
}

async fn version(client: &Client) -> Result<Done<String>, Trouble> {
    let asked = client.apiserver_version().await;
    let told = asked.context("failed to ask the API server for its version");
    let version = told.map_err(Trouble::Infrastructure)?.git_version;
    let message = format!("Kubernetes {version}");
    Ok((version, Some(message)))
}

async fn ask(
    plan: &CheckPlan,
    client: &Client,
    context: &Context,
    version: &str,
    requests: &Requests,
) -> Result<Done<Vec<CheckResult>>, Trouble> {
    let shared = Shared::with(plan.handshakes.clone());
    let target = Target {
        ok_to_fail: &plan.ok_to_fail,
        ..Target::alone(context, client, version, &shared)
    };
    let at_work = shared.pace.work();
    let surroundings = checks::surroundings::see(&target).await;
    drop(at_work);
    for (name, value) in [
        ("provider", &surroundings.provider),
        ("cni", &surroundings.cni),
        ("node-image", &surroundings.node_image),
        ("topology", &surroundings.topology),
    ] {
        if !value.is_empty() {
            context.property(name, value);
        }
    }
    let place = Place {
        surroundings,
        ..plan.place.clone()
    };
    let round = Round {
        suites: &plan.suites,
        accepted: Acceptance {
            entries: &plan.accepted,
            ok_to_fail: &plan.ok_to_fail,
        },
        phase: Phase::CheckBefore,
        place: &place,
        memory: &Memory::unasked(),
    };
    // It heeds an interruption by itself, and removes what its checks had created.
    let results = suite::run(&target, round).await;
    let own = shared.pace.own().as_secs_f64();
    context.property("checks.own-seconds", format!("{own:.3}"));
    context.property("checks.requests", requests.so_far().to_string());
    if context.interrupt.is_raised() {
        return Err(Trouble::Interrupted);
    }
    let message = suite::tally(&results);
    Ok((results, Some(message)))
}

/// What follows from the answers, with the reason in one sentence.
///
/// Closed: a MUST check fails and nobody accepts it. No verdict: a MUST check could not be judged.
/// Nothing ran: no check has an answer.
#[must_use]
pub fn verdict(results: &[CheckResult], place: &Place) -> (Verdict, String) {
    let first = |outcome: Outcome| {
        let mut counting = results
            .iter()
            .filter(|result| result.effect() == Effect::Closes && result.accepted.is_none());
        counting.find(|result| result.outcome == outcome)
    };
    let told = |result: &CheckResult| format!("{}: {}", result.id, result.message);
    if let Some(failed) = first(Outcome::Fail) {
        return (Verdict::Closed, told(failed));
    }
    if let Some(aborted) = first(Outcome::Abort) {
        return (Verdict::None, told(aborted));
    }
    let answered = |result: &&CheckResult| result.outcome != Outcome::Skip;
    if results.iter().filter(answered).count() == 0 {
        return (Verdict::NothingRan, "no check had an answer".to_owned());
    }
    let mut reason = suite::tally(results);
    let left_out = results.iter().filter(|result| {
        place.read_only && result.excluded && result.message.ends_with(suite::READ_ONLY)
    });
    let left_out = left_out.count();
    if left_out > 0 {
        reason.push_str(&format!(", {left_out} of them by {}", suite::READ_ONLY));
    }
    (Verdict::Open, reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Severity, Standard, StandardStatus, Surroundings};

    fn result(id: &str, severity: Severity, outcome: Outcome) -> CheckResult {
        CheckResult {
            phase: Phase::CheckBefore,
            id: id.to_owned(),
            title: String::new(),
            suite: String::new(),
            severity,
            outcome,
            message: "so".to_owned(),
            evidence: vec![],
            seconds: 0.0,
            accepted: None,
            standard: None,
            surroundings: Surroundings::default(),
            excluded: false,
        }
    }

    fn judged(results: &[CheckResult]) -> (Verdict, String) {
        verdict(results, &Place::default())
    }

    #[test]
    fn a_must_decides_and_a_failure_more_than_what_could_not_be_judged() {
        use Outcome::{Abort, Fail, Flaky, Pass};
        use Severity::{Must, Should};
        let pass = || result("a", Must, Pass);
        for (other, expected, reason) in [
            (result("b", Must, Flaky), Verdict::Open, "1 passed, 1 flaky"),
            (
                result("b", Should, Fail),
                Verdict::Open,
                "1 passed, 1 failed",
            ),
            (
                result("b", Should, Abort),
                Verdict::Open,
                "1 passed, 1 not judged",
            ),
            (result("b", Must, Fail), Verdict::Closed, "b: so"),
            (result("b", Must, Abort), Verdict::None, "b: so"),
        ] {
            assert_eq!(judged(&[pass(), other]), (expected, reason.to_owned()));
        }
        let both = [result("b", Must, Abort), result("c", Must, Fail)];
        assert_eq!(judged(&both).0, Verdict::Closed);
    }

    #[test]
    fn an_accepted_failure_and_one_of_a_draft_leave_it_open() {
        let mut accepted = result("b", Severity::Must, Outcome::Fail);
        accepted.accepted = Some("known".to_owned());
        assert_eq!(
            judged(&[accepted]),
            (Verdict::Open, "1 accepted".to_owned())
        );
        let mut draft = result("b", Severity::Must, Outcome::Fail);
        draft.standard = Some(Standard {
            name: "scs-0217".to_owned(),
            version: "v1".to_owned(),
            status: StandardStatus::Draft,
            url: None,
            testcase: None,
        });
        assert_eq!(judged(&[draft]).0, Verdict::Open);
    }

    #[test]
    fn without_an_answer_nothing_ran_and_what_is_left_out_is_told() {
        let skipped = || CheckResult {
            excluded: true,
            message: "creates pods; --read-only".to_owned(),
            ..result("b", Severity::Must, Outcome::Skip)
        };
        assert_eq!(judged(&[]).0, Verdict::NothingRan);
        assert_eq!(judged(&[skipped()]).0, Verdict::NothingRan);
        let place = Place {
            read_only: true,
            ..Place::default()
        };
        let pass = result("a", Severity::Must, Outcome::Pass);
        let told = verdict(&[pass, skipped()], &place);
        let expected = "1 passed, 1 skipped, 1 of them by --read-only".to_owned();
        assert_eq!(told, (Verdict::Open, expected));
    }
}
