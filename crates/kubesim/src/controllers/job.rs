//! Jobs: pods that are to succeed so many times.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::template::pod;
use crate::cluster::Cluster;
use crate::controller::{Controller, Cx, Key, Next};
use crate::error::ApiError;
use crate::event::{News, record};
use crate::object::{
    int, is_deleting, is_ready, is_true, name, namespace, set_condition, set_in_metadata, text,
    truth, uid,
};
use crate::registry::{Deletion, Write};
use crate::resource::GroupResource;
use crate::resource::builtin::{JOBS, PODS};
use crate::store::{Change, Stored};

const NAME: &str = "job-controller";
/// Pods that fail are replaced after a while, which doubles with each failure.
const BACK_OFF: i64 = 10;
const MAX_BACK_OFF: i64 = 600;

/// Keeps Jobs.
#[derive(Debug, Default)]
pub(super) struct Jobs;

impl Controller for Jobs {
    fn name(&self) -> &'static str {
        NAME
    }

    fn wakes(&self) -> Vec<GroupResource> {
        vec![JOBS, PODS]
    }

    fn keys(&self, _: &Cluster, change: &Change) -> Vec<Key> {
        if change.resource == JOBS {
            vec![Key::of(change)]
        } else {
            super::replica_set::owner_keys(change, "Job")
        }
    }

    fn reconcile(&mut self, cx: &mut Cx<'_>, key: &Key) -> Result<Next, ApiError> {
        let api = cx.cluster.api();
        let Some(job) = api.get(&JOBS, &key.namespace, &key.name) else {
            return Ok(Next::Change);
        };
        if is_deleting(&job) {
            return Ok(Next::Change);
        }
        if is_true(&job, "Complete") || is_true(&job, "Failed") {
            return expire(cx, &job);
        }
        if !job["spec"]["selector"].is_object() {
            return label(cx, &job);
        }
        Work {
            cx,
            pods: cx.cluster.store().owned(&PODS, uid(&job)),
            job,
            now: api.clock().now(),
        }
        .go_on()
    }
}

/// Gives a Job the selector and labels by which it knows its pods.
fn label(cx: &Cx<'_>, job: &Value) -> Result<Next, ApiError> {
    let own = uid(job).to_owned();
    cx.cluster
        .api()
        .modify(&JOBS, namespace(job), name(job), NAME, |job| {
            job["spec"]["selector"] =
                json!({"matchLabels": {"batch.kubernetes.io/controller-uid": own}});
            let job_name = name(job).to_owned();
            let template = &mut job["spec"]["template"];
            if !template["metadata"].is_object() {
                template["metadata"] = json!({});
            }
            for (key, value) in [
                ("batch.kubernetes.io/controller-uid", &own),
                ("batch.kubernetes.io/job-name", &job_name),
                ("controller-uid", &own),
                ("job-name", &job_name),
            ] {
                set_in_metadata(template, "labels", key, value);
            }
        })?;
    Ok(Next::Change)
}

/// Removes a Job some time after its end, when it says so.
fn expire(cx: &Cx<'_>, job: &Value) -> Result<Next, ApiError> {
    let Some(seconds) = int(job, "/spec/ttlSecondsAfterFinished") else {
        return Ok(Next::Change);
    };
    let conditions = crate::object::list(job, "/status/conditions").iter();
    let mut ends =
        conditions.filter(|condition| matches!(text(condition, "/type"), "Complete" | "Failed"));
    let end = ends.find_map(|condition| {
        text(condition, "/lastTransitionTime")
            .parse::<Timestamp>()
            .ok()
    });
    let now = cx.cluster.api().clock().now();
    let left = end.map_or(0, |end| end.as_second() + seconds - now.as_second());
    if left > 0 {
        return Ok(Next::After(Duration::from_secs(left.unsigned_abs())));
    }
    let deletion = Deletion {
        propagation: Some("Background".to_owned()),
        ..Deletion::default()
    };
    match cx
        .cluster
        .api()
        .delete(&JOBS, namespace(job), name(job), &deletion)
    {
        Err(error) if !error.is_not_found() => Err(error),
        _ => Ok(Next::Change),
    }
}

struct Work<'a, 'c> {
    cx: &'a Cx<'c>,
    job: Arc<Value>,
    pods: Vec<Arc<Stored>>,
    now: Timestamp,
}

impl Work<'_, '_> {
    fn count(&self, phase: &str) -> i64 {
        let found = self
            .pods
            .iter()
            .filter(|pod| text(&pod.value, "/status/phase") == phase);
        i64::try_from(found.count()).unwrap_or(i64::MAX)
    }

    fn active(&self) -> Vec<&Arc<Stored>> {
        let active =
            |pod: &&Arc<Stored>| !crate::object::is_over(&pod.value) && !is_deleting(&pod.value);
        self.pods.iter().filter(active).collect()
    }

    /// How often something failed: pods, and containers that came again in theirs.
    fn failures(&self) -> i64 {
        let restarts = |pod: &Arc<Stored>| -> i64 {
            let statuses = crate::object::list(&pod.value, "/status/containerStatuses").iter();
            statuses
                .filter_map(|status| int(status, "/restartCount"))
                .sum()
        };
        let again = text(&self.job, "/spec/template/spec/restartPolicy") == "OnFailure";
        let restarted: i64 = if again {
            self.pods.iter().map(restarts).sum()
        } else {
            0
        };
        self.count("Failed") + restarted
    }

    fn go_on(&self) -> Result<Next, ApiError> {
        let job = &self.job;
        let parallel = int(job, "/spec/parallelism").unwrap_or(1);
        let wanted = int(job, "/spec/completions");
        let limit = int(job, "/spec/backoffLimit").unwrap_or(6);
        let (succeeded, failures) = (self.count("Succeeded"), self.failures());
        let begun = text(job, "/status/startTime")
            .parse::<Timestamp>()
            .unwrap_or(self.now);
        let deadline = int(job, "/spec/activeDeadlineSeconds");
        let left = deadline.map(|seconds| begun.as_second() + seconds - self.now.as_second());
        if truth(job, "/spec/suspend") {
            self.stop()?;
            self.tell(&[("Suspended", "JobSuspended", "Job suspended")], None)?;
            return Ok(Next::Change);
        }
        if failures > limit {
            return self.fail(
                "BackoffLimitExceeded",
                "Job has reached the specified backoff limit",
            );
        }
        if left.is_some_and(|left| left <= 0) {
            return self.fail(
                "DeadlineExceeded",
                "Job was active longer than specified deadline",
            );
        }
        let active = i64::try_from(self.active().len()).unwrap_or(i64::MAX);
        let complete = wanted.map_or(succeeded > 0 && active == 0, |wanted| succeeded >= wanted);
        if complete {
            self.stop()?;
            record(
                self.cx.cluster,
                job,
                &News::normal(NAME, "Completed", "Job completed"),
            );
            let message = "Reached expected number of succeeded pods";
            self.tell(
                &[
                    ("SuccessCriteriaMet", "CompletionsReached", message),
                    ("Complete", "CompletionsReached", message),
                ],
                Some("completionTime"),
            )?;
            return Ok(Next::Change);
        }
        let room = match wanted {
            Some(wanted) => (wanted - succeeded).min(parallel),
            None if succeeded > 0 => active,
            None => parallel,
        };
        let mut next = left.map(|left| Duration::from_secs(left.unsigned_abs()));
        if active < room {
            if let Some(pause) = self.back_off() {
                next = Some(next.map_or(pause, |next| next.min(pause)));
            } else {
                for _ in active..room {
                    self.create()?;
                }
            }
        }
        self.tell(&[], None)?;
        Ok(next.map_or(Next::Change, Next::After))
    }

    /// How long the next pod has to wait after those that failed.
    fn back_off(&self) -> Option<Duration> {
        let failed = self.count("Failed");
        if failed == 0 {
            return None;
        }
        let ends = self
            .pods
            .iter()
            .filter(|pod| text(&pod.value, "/status/phase") == "Failed")
            .filter_map(|pod| {
                let statuses = crate::object::list(&pod.value, "/status/containerStatuses").iter();
                let ends = statuses.filter_map(|status| {
                    text(status, "/state/terminated/finishedAt")
                        .parse::<Timestamp>()
                        .ok()
                });
                ends.max()
            });
        let doubled = u32::try_from(failed - 1).unwrap_or(u32::MAX).min(6);
        let due = ends.max()?.as_second() + (BACK_OFF << doubled).min(MAX_BACK_OFF);
        let left = due - self.now.as_second();
        (left > 0).then(|| Duration::from_secs(left.unsigned_abs()))
    }

    fn create(&self) -> Result<(), ApiError> {
        let job = &self.job;
        let mut new = pod(job, &job["spec"]["template"], &format!("{}-", name(job)));
        if text(job, "/spec/completionMode") == "Indexed" {
            let live = self.cx.cluster.store().owned(&PODS, uid(job));
            let key = "batch.kubernetes.io/job-completion-index";
            let taken: Vec<&str> = live
                .iter()
                .filter(|pod| {
                    text(&pod.value, "/status/phase") != "Failed" && !is_deleting(&pod.value)
                })
                .filter_map(|pod| crate::object::annotation(&pod.value, key))
                .collect();
            let index = (0..)
                .map(|index: i64| index.to_string())
                .find(|index| !taken.contains(&index.as_str()));
            if let Some(index) = index {
                set_in_metadata(&mut new, "annotations", key, &index);
                set_in_metadata(&mut new, "labels", key, &index);
                new["spec"]["hostname"] = json!(format!("{}-{index}", name(job)));
            }
        }
        match self.cx.cluster.api().create(&PODS, new, &Write::by(NAME)) {
            Ok(pod) => {
                let message = format!("Created pod: {}", name(&pod.value));
                record(
                    self.cx.cluster,
                    job,
                    &News::normal(NAME, "SuccessfulCreate", &message),
                );
                Ok(())
            }
            Err(error) => {
                let message = format!("Error creating: {error}");
                record(
                    self.cx.cluster,
                    job,
                    &News::warning(NAME, "FailedCreate", &message),
                );
                Err(error)
            }
        }
    }

    /// Ends what still runs.
    fn stop(&self) -> Result<(), ApiError> {
        for pod in self.active() {
            let (place, pod_name) = pod.place();
            match self
                .cx
                .cluster
                .api()
                .delete(&PODS, &place, &pod_name, &Deletion::default())
            {
                Err(error) if !error.is_not_found() => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    fn fail(&self, reason: &str, message: &str) -> Result<Next, ApiError> {
        self.stop()?;
        record(
            self.cx.cluster,
            &self.job,
            &News::warning(NAME, reason, message),
        );
        self.tell(
            &[
                ("FailureTarget", reason, message),
                ("Failed", reason, message),
            ],
            None,
        )?;
        Ok(Next::Change)
    }

    fn tell(
        &self,
        conditions: &[(&str, &str, &str)],
        stamped: Option<&str>,
    ) -> Result<(), ApiError> {
        let api = self.cx.cluster.api();
        let pods = self.cx.cluster.store().owned(&PODS, uid(&self.job));
        let active: Vec<_> = pods
            .iter()
            .filter(|pod| !crate::object::is_over(&pod.value) && !is_deleting(&pod.value))
            .collect();
        let ready = active.iter().filter(|pod| is_ready(&pod.value)).count();
        let (succeeded, failed) = (self.count("Succeeded"), self.count("Failed"));
        let ended = conditions
            .iter()
            .any(|(kind, ..)| matches!(*kind, "Complete" | "Failed"));
        let active = if ended { 0 } else { active.len() };
        let stamp = crate::clock::stamp(self.now);
        let suspended = is_true(&self.job, "Suspended") && !truth(&self.job, "/spec/suspend");
        let written = api.modify(&JOBS, namespace(&self.job), name(&self.job), NAME, |job| {
            if !job["status"].is_object() {
                job["status"] = json!({});
            }
            let status = &mut job["status"];
            let number = |number: i64| usize::try_from(number).unwrap_or_default();
            let numbers = [("active", active), ("succeeded", number(succeeded)), ("failed", number(failed))];
            super::replica_set::counted(status, &numbers, "");
            status["ready"] = json!(if ended { 0 } else { ready });
            status["terminating"] = json!(0);
            if !status["startTime"].is_string() {
                status["startTime"] = json!(stamp);
            }
            for (kind, reason, message) in conditions {
                let condition = json!({"type": kind, "status": "True", "reason": reason, "message": message});
                set_condition(status, condition, &stamp, &["lastProbeTime"]);
            }
            if suspended {
                let resumed = json!({"type": "Suspended", "status": "False", "reason": "JobResumed", "message": "Job resumed"});
                set_condition(status, resumed, &stamp, &["lastProbeTime"]);
            }
            if let Some(field) = stamped {
                status[field] = json!(stamp);
            }
        });
        match written {
            Err(error) if !error.is_not_found() => Err(error),
            _ => Ok(()),
        }
    }
}
