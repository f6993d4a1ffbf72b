//! scs-0201 and scs-0219, in full: Kubernetes' own conformance tests, run as its conformance image in one
//! pod, and judged by the report that it writes.

mod judge;
mod junit;
mod pod;
mod settings;

use std::convert::Infallible;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use k8s_openapi::api::core::v1::{Namespace, Pod};
use k8s_openapi::api::rbac::v1::ClusterRoleBinding;
use kube::api::{Api, ListParams, LogParams, PostParams};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::super::judgement::unread;
use super::super::sandbox::{Sandbox, TESTED};
use super::super::{Answer, Native, Parameters, Target, needs, pods};
use crate::cluster::{Progress, View, WaitError, kinds, wait};
use judge::{Exit, Ran};
use junit::Report;
use pod::{POD, RESULTS, Stage, TESTS, Tally};
pub use settings::cases;
use settings::{Asked, Mode, Settings};

/// Under which name the run keeps the patterns of `okToFail` that name cases.
pub const NAMED_CASES: &str = "okToFail names cases";

/// Kubernetes' conformance tests.
pub const CONFORMANCE: Native = Native {
    name: "scs-0201-conformance",
    timeout: Duration::from_secs(15 * 60),
    parameters: Parameters::of::<Settings>(),
    needs: NEEDS,
    run: |target| Box::pin(run(target, "scs-0201-conformance", Mode::Quick)),
};

/// Those of them, and others, that are about NetworkPolicies.
pub const NETWORKING: Native = Native {
    name: "scs-0219-networking",
    timeout: Duration::from_secs(15 * 60),
    parameters: Parameters::of::<Settings>(),
    needs: NEEDS,
    run: |target| Box::pin(run(target, "scs-0219-networking", Mode::NetworkPolicy)),
};

const NEEDS: &[needs::Needs] = &[
    needs::SANDBOX,
    needs::RUN_TESTS,
    needs::CREATE_PODS,
    needs::PODS,
    needs::POD_LOGS,
];
/// How long the pod may take to run, the pull of a large image included.
const START: Duration = Duration::from_secs(600);
/// How long the tests may take, as the image itself has it; a check's own deadline is shorter.
const LONGEST: Duration = Duration::from_secs(24 * 3600);
/// How often it is looked how far the tests are.
const LOOK: Duration = Duration::from_secs(30);
/// How long the report may take to be handed out once the tests have ended.
const HANDED_OUT: Duration = Duration::from_secs(120);
/// How many lines of the tests' log are told when there is no report.
const LOG: i64 = 20;

async fn run(target: &Target<'_>, check: &'static str, mode: Mode) -> Result<Answer> {
    let asked = target
        .parameters::<Settings>()?
        .asked(mode, target.kubernetes);
    nobody_else_tests(target).await?;
    let sandbox = Sandbox::for_tests(target, check).await?;
    let (namespace, uid) = (sandbox.namespace.clone(), sandbox.uid.clone());
    let one = One {
        target,
        check,
        asked: &asked,
        namespace: &namespace,
    };
    sandbox.around(one.run(&uid)).await
}

/// Two runs of the tests at once fail each other's cases, and what one leaves is removed by the other.
async fn nobody_else_tests(target: &Target<'_>) -> Result<()> {
    let api: Api<Namespace> = Api::all(target.workload.clone());
    let listed = api.list(&ListParams::default().labels(TESTED)).await;
    let namespaces = listed.context("failed to list the namespaces")?.items;
    let others: Vec<String> = namespaces
        .into_iter()
        .filter(|one| one.metadata.deletion_timestamp.is_none())
        .filter_map(|one| one.metadata.name)
        .collect();
    if !others.is_empty() {
        bail!(
            "another run of the e2e tests is at work, or has left its namespaces: {}; wait for it, or remove them",
            others.join(", ")
        );
    }
    Ok(())
}

/// One run of the tests.
struct One<'a> {
    target: &'a Target<'a>,
    check: &'static str,
    asked: &'a Asked,
    namespace: &'a str,
}

impl One<'_> {
    async fn run(&self, uid: &str) -> Result<Answer> {
        self.create(uid).await?;
        let view = View::start(
            "workload",
            self.target.workload,
            &[(kinds::POD, self.namespace)],
        );
        self.begun(&view).await?;
        let exit = self.ended(&view).await?;
        let log = self.log(RESULTS, None).await?;
        let (tally, report) = pod::results(&log);
        let report = report.and_then(|text| {
            Report::read(&text).map_err(|error| format!("their report cannot be read: {error}"))
        });
        let flakes = pod::flakes(&log);
        let log = match &report {
            Ok(report) => {
                self.tell_idle(report);
                Vec::new()
            }
            // It only illustrates; that there is no report is known without it.
            Err(_) => {
                let lines = self.log(TESTS, Some(LOG)).await.unwrap_or_default();
                lines.lines().map(str::to_owned).collect()
            }
        };
        let ran = Ran {
            asked: self.asked,
            exit,
            report,
            flaky: tally.flaky,
            flakes,
            log,
            ok_to_fail: self.target.ok_to_fail,
        };
        Ok(ran.judge())
    }

    async fn create(&self, uid: &str) -> Result<()> {
        let (target, params) = (self.target, PostParams::default());
        let binding = pod::binding(target, self.check, self.namespace, uid);
        let binding: ClusterRoleBinding = serde_json::from_value(binding)?;
        Api::all(target.workload.clone())
            .create(&params, &binding)
            .await
            .context("failed to let the conformance tests do what they do")?;
        let pod: Pod = serde_json::from_value(pod::object(target, self.check, self.asked))?;
        Api::namespaced(target.workload.clone(), self.namespace)
            .create(&params, &pod)
            .await
            .context("failed to create the pod of the conformance tests")?;
        Ok(())
    }

    /// Waits until the tests run.
    async fn begun(&self, view: &View) -> Result<()> {
        let what = format!("check {}: pod {POD} runs", self.check);
        let waited = wait(self.target.context, &what, START, &[view], None, || {
            let Some(pod) = view.get(&kinds::POD, self.namespace, POD) else {
                return Progress::Blocked(unread(&[view]));
            };
            let ended = matches!(pod.str("/status/phase"), "Failed" | "Succeeded");
            if ended || pod::stage(&pod, TESTS) != Stage::Waits {
                return Progress::Done(());
            }
            let trouble = pods::trouble(&pod);
            Progress::Blocked(vec![
                trouble.unwrap_or_else(|| pod.blocker("has not begun")),
            ])
        })
        .await;
        match waited {
            Err(WaitError::Deadline { blockers, .. })
                if view
                    .get(&kinds::POD, self.namespace, POD)
                    .is_some_and(|pod| pods::lacks_image(&pod)) =>
            {
                let image = &self.asked.image;
                let trouble = blockers.first().map(ToString::to_string);
                bail!(
                    "the image {image} is not to be had: {}",
                    trouble.unwrap_or_default()
                )
            }
            waited => Ok(waited?),
        }
    }

    /// Waits until the tests have ended and their report is handed out, and tells how far they are.
    async fn ended(&self, view: &View) -> Result<Exit> {
        let tally = Mutex::new(Tally::default());
        let what = format!("check {}: the conformance tests", self.check);
        let (mut since, views) = (None, [view]);
        let waited = wait(self.target.context, &what, LONGEST, &views, None, || {
            let blind = unread(&views);
            let Some(pod) = view.get(&kinds::POD, self.namespace, POD) else {
                if blind.is_empty() {
                    return Progress::Done(Err("their pod is gone".to_owned()));
                }
                return Progress::Blocked(blind);
            };
            let how_far = lock(&tally).blocker(self.namespace);
            match (pod::stage(&pod, TESTS), pod::stage(&pod, RESULTS)) {
                (Stage::Ended(exit), Stage::Ended(_)) => Progress::Done(Ok(exit)),
                // Killed from outside, the tests do not say that they are done.
                (Stage::Ended(exit), _) => {
                    let since: Instant = *since.get_or_insert_with(Instant::now);
                    if since.elapsed() < self.target.context.scaled(HANDED_OUT) {
                        return Progress::Blocked(vec![
                            pod.blocker("has not handed out the report"),
                        ]);
                    }
                    Progress::Done(Ok(exit))
                }
                _ if pod.str("/status/phase") == "Failed" => Progress::Done(Err(format!(
                    "their pod failed: {} {}",
                    pod.str("/status/reason"),
                    pod.str("/status/message")
                ))),
                (_, Stage::Ended(_)) => Progress::Done(Err(
                    "the container that hands out their report ended before them".to_owned(),
                )),
                _ => Progress::Blocked(vec![how_far]),
            }
        });
        let ended = tokio::select! {
            biased;
            ended = waited => ended?,
            never = self.follow(&tally) => match never {},
        };
        ended.map_err(|why| anyhow::anyhow!("the conformance tests did not come to an end: {why}"))
    }

    /// Looks from time to time how far the tests are.
    async fn follow(&self, tally: &Mutex<Tally>) -> Infallible {
        loop {
            tokio::time::sleep(LOOK).await;
            // What is not to be read now is read the next time: it is told and not judged.
            let last = self.log(RESULTS, Some(1)).await.unwrap_or_default();
            if let Some(now) = last.lines().last().and_then(Tally::read) {
                *lock(tally) = now;
            }
        }
    }

    async fn log(&self, container: &str, tail: Option<i64>) -> Result<String> {
        let api: Api<Pod> = Api::namespaced(self.target.workload.clone(), self.namespace);
        let params = LogParams {
            container: Some(container.to_owned()),
            tail_lines: tail,
            ..LogParams::default()
        };
        let log = api.logs(POD, &params).await;
        log.with_context(|| format!("failed to read the log of container {container}"))
    }

    /// Tells which acceptances no case needs, and keeps which of them are about cases at all.
    fn tell_idle(&self, report: &Report) {
        let (context, ok_to_fail) = (self.target.context, self.target.ok_to_fail);
        for note in judge::idle(report, ok_to_fail) {
            context.note(note);
        }
        let known = context.remembered(NAMED_CASES);
        let mut named: Vec<Value> = known
            .and_then(|known| known.as_array().cloned())
            .unwrap_or_default();
        let more = ok_to_fail
            .iter()
            .filter(|one| report.cases().any(|case| one.regex.is_match(&case.name)))
            .map(|one| json!(one.regex.to_string()));
        named.extend(more);
        context.remember(NAMED_CASES, Value::Array(named));
    }
}

fn lock(tally: &Mutex<Tally>) -> std::sync::MutexGuard<'_, Tally> {
    tally.lock().unwrap_or_else(PoisonError::into_inner)
}
