//! Server-side apply of many objects: in an order that works, side by side, patient with what is
//! expected for a while in a young cluster, and at once clear about everything else.

use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::kinds::CUSTOM_RESOURCE_DEFINITION;
use super::patience::{Failure, judge};
use super::reach::WEBHOOK_AWAY;
use super::resolve::{ResolveError, Resolver};
use super::{Context, Interrupted, Kind, Object, Progress, View, WaitError, wait};
use crate::record::{Blocker, ObjectRef, Phase};

/// The field manager of everything that stackgate applies.
pub const FIELD_MANAGER: &str = "stackgate";
/// How many objects are on their way at the same time.
const PARALLEL: usize = 16;
/// How long one request may take; a webhook has at most 30 s of it.
const REQUEST: Duration = Duration::from_secs(40);
/// For how long a webhook may be away: its Pod may have to come first, with its image and its certificate.
const WEBHOOK: Duration = Duration::from_secs(300);
/// The pauses between attempts: the first, and the longest.
const PAUSE: (Duration, Duration) = (Duration::from_millis(30), Duration::from_millis(300));

/// How objects are applied, deleted or tried.
#[derive(Clone, Copy, Debug)]
pub struct Apply<'a> {
    /// After how long (scaled by the context) it is given up; for all objects together.
    pub deadline: Duration,
    /// Where namespaced objects go that name no namespace; `default` without it.
    pub namespace: Option<&'a str>,
    /// Labels that every object gets.
    pub labels: &'a [(&'a str, &'a str)],
    /// Where the objects come from, in the reader's words, e.g. `chart cluster-class of docker-demo-1-34-v1`.
    pub source: &'a str,
}

/// Why objects could not be applied.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The API server, or an admission webhook, does not take the object.
    #[error("failed to {verb} {object} of {origin}: {message}")]
    Refused {
        /// `apply`, `delete`, `read`, `try`.
        verb: &'static str,
        /// The object.
        object: ObjectRef,
        /// Where it comes from.
        origin: String,
        /// What the server said.
        message: String,
    },
    /// What is expected to pass has not passed in time.
    #[error(
        "failed to {verb} {object} of {origin} within {seconds:.0} s; the last answer: {message}"
    )]
    Deadline {
        /// `apply`, `delete`, `read`, `try`.
        verb: &'static str,
        /// The object.
        object: ObjectRef,
        /// Where it comes from.
        origin: String,
        /// How long it was tried.
        seconds: f64,
        /// The last answer.
        message: String,
    },
    /// The definitions of custom resources did not become established.
    #[error(transparent)]
    Wait(#[from] WaitError),
    /// Somebody asked to stop.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

/// Applies objects to one cluster; remembers its kinds.
pub struct Applier {
    cluster: &'static str,
    client: Client,
    resolver: Resolver,
}

impl Applier {
    /// For the cluster (`management` or `workload`) that the client talks to.
    #[must_use]
    pub fn new(cluster: &'static str, client: Client) -> Self {
        Self {
            cluster,
            resolver: Resolver::new(client.clone()),
            client,
        }
    }

    /// Applies objects: namespaces and definitions of custom resources first (and waits until these
    /// are established), then what workloads refer to, then workloads, then admission webhooks.
    /// Fields that another manager owns are taken over.
    ///
    /// # Errors
    /// At once when an object is refused; after the deadline when the reason was expected to pass; when
    /// the run is interrupted.
    pub async fn apply(
        &self,
        context: &Context,
        objects: &[Value],
        options: Apply<'_>,
    ) -> Result<(), ApplyError> {
        let started = Instant::now();
        let mut ordered: Vec<&Value> = objects.iter().collect();
        ordered.sort_by_key(|object| rank(object));
        for rank in ordered.chunk_by(|a, b| rank(a) == rank(b)) {
            let all: Vec<_> = rank
                .iter()
                .map(|object| self.apply_one(context, object, options, started, false))
                .collect();
            let mut applied = futures::stream::iter(all).buffer_unordered(PARALLEL);
            while applied.try_next().await?.is_some() {}
            self.established(context, rank, options, started).await?;
        }
        Ok(())
    }

    /// Asks the API server, with its admission webhooks, what applying an object would make of it,
    /// and changes nothing.
    ///
    /// # Errors
    /// As for [`Applier::apply`].
    pub async fn dry_run(
        &self,
        context: &Context,
        object: &Value,
        options: Apply<'_>,
    ) -> Result<Object, ApplyError> {
        self.apply_one(context, object, options, Instant::now(), true)
            .await
    }

    /// Deletes objects, in the reverse of the order in which they are applied; what is absent is fine.
    /// Returns when the API server has accepted it: an object with finalizers is still there then.
    ///
    /// # Errors
    /// As for [`Applier::apply`].
    pub async fn delete(
        &self,
        context: &Context,
        objects: &[Value],
        options: Apply<'_>,
    ) -> Result<(), ApplyError> {
        let started = Instant::now();
        let mut ordered: Vec<&Value> = objects.iter().collect();
        ordered.sort_by_key(|object| std::cmp::Reverse(rank(object)));
        for rank in ordered.chunk_by(|a, b| rank(a) == rank(b)) {
            let all: Vec<_> = rank
                .iter()
                .map(|object| self.delete_one(context, object, options, started))
                .collect();
            let mut deleted = futures::stream::iter(all).buffer_unordered(PARALLEL);
            while deleted.try_next().await?.is_some() {}
        }
        Ok(())
    }

    /// The live object for a given one (its kind, namespace and name), if there is one.
    ///
    /// # Errors
    /// As for [`Applier::apply`].
    pub async fn get(
        &self,
        context: &Context,
        object: &Value,
        options: Apply<'_>,
    ) -> Result<Option<Object>, ApplyError> {
        let attempt = || async {
            let (api, _) = match self.api(object, options).await {
                Err(Unresolved::Absent(_)) => return Ok(None),
                Err(Unresolved::Failed(failure)) => return Err(failure),
                Ok(found) => found,
            };
            match api.get_opt(name(object)?).await {
                Ok(found) => Ok(found.map(|found| self.object(found))),
                Err(error) => Err(judge(&error)),
            }
        };
        self.patiently("read", context, object, options, Instant::now(), attempt)
            .await
    }

    /// The kind of an object as a view can watch it, or none while the API server does not serve it.
    ///
    /// # Errors
    /// When the API server cannot be asked, or the object is none.
    pub async fn kind(&self, object: &Value) -> anyhow::Result<Option<Kind>> {
        self.resolver.kind(object).await
    }

    async fn apply_one(
        &self,
        context: &Context,
        object: &Value,
        options: Apply<'_>,
        started: Instant,
        dry_run: bool,
    ) -> Result<Object, ApplyError> {
        let mut parameters = PatchParams::apply(FIELD_MANAGER).force();
        parameters.dry_run = dry_run;
        let attempt = || async {
            let (api, namespace) = match self.api(object, options).await {
                Ok(found) => found,
                Err(Unresolved::Absent(failure) | Unresolved::Failed(failure)) => {
                    return Err(failure);
                }
            };
            let prepared = prepare(object, namespace.as_deref(), options.labels);
            match api
                .patch(name(object)?, &parameters, &Patch::Apply(&prepared))
                .await
            {
                Ok(applied) => Ok(self.object(applied)),
                Err(error) => Err(judge(&error)),
            }
        };
        let verb = if dry_run { "try" } else { "apply" };
        self.patiently(verb, context, object, options, started, attempt)
            .await
    }

    async fn delete_one(
        &self,
        context: &Context,
        object: &Value,
        options: Apply<'_>,
        started: Instant,
    ) -> Result<(), ApplyError> {
        let attempt = || async {
            let (api, _) = match self.api(object, options).await {
                Err(Unresolved::Absent(_)) => return Ok(()),
                Err(Unresolved::Failed(failure)) => return Err(failure),
                Ok(found) => found,
            };
            match api.delete(name(object)?, &DeleteParams::background()).await {
                Ok(_) => Ok(()),
                Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
                Err(error) => Err(judge(&error)),
            }
        };
        self.patiently("delete", context, object, options, started, attempt)
            .await
    }

    async fn api(
        &self,
        object: &Value,
        options: Apply<'_>,
    ) -> Result<(Api<DynamicObject>, Option<String>), Unresolved> {
        let default = options.namespace.unwrap_or("default");
        self.resolver
            .api(object, default)
            .await
            .map_err(|error| match error {
                ResolveError::Malformed(why) => {
                    Unresolved::Failed(Failure::Lasting(why.to_owned()))
                }
                ResolveError::Api(error) => Unresolved::Failed(judge(&error)),
                // Kinds that come with Kubernetes are served from the start.
                ResolveError::NotServed {
                    ref api_version, ..
                } if is_built_in(api_version) => {
                    Unresolved::Absent(Failure::Lasting(error.to_string()))
                }
                ResolveError::NotServed { .. } => {
                    Unresolved::Absent(Failure::Passing(error.to_string()))
                }
            })
    }

    fn object(&self, mut object: DynamicObject) -> Object {
        object.metadata.managed_fields = None;
        Object::new(
            self.cluster,
            serde_json::to_value(&object).unwrap_or_default(),
        )
    }

    /// Repeats an attempt while its failure is one that passes, until the deadline; for a webhook that is away all the
    /// time, no longer than one takes to come.
    async fn patiently<T, F: Future<Output = Result<T, Failure>>>(
        &self,
        verb: &'static str,
        context: &Context,
        object: &Value,
        options: Apply<'_>,
        started: Instant,
        mut attempt: impl FnMut() -> F,
    ) -> Result<T, ApplyError> {
        let deadline = context.scaled(options.deadline);
        let until = started + deadline;
        let reference = self.reference(object, options);
        let origin = options.source.to_owned();
        let mut pause = PAUSE.0;
        let mut last = "none".to_owned();
        let mut away: Option<Instant> = None;
        loop {
            let limit = until.min(Instant::now() + REQUEST);
            let outcome = tokio::select! {
                biased;
                () = context.interrupt.raised() => return Err(Interrupted.into()),
                outcome = tokio::time::timeout_at(limit, attempt()) => outcome,
            };
            match outcome {
                Ok(Ok(done)) => return Ok(done),
                Ok(Err(Failure::Lasting(message))) => {
                    return Err(ApplyError::Refused {
                        verb,
                        object: reference,
                        origin,
                        message,
                    });
                }
                Ok(Err(Failure::Passing(message))) => {
                    let now = message.contains(WEBHOOK_AWAY).then(Instant::now);
                    away = now.map(|now| away.unwrap_or(now));
                    last = message;
                }
                Err(_) => last = format!("{last}; then no answer"),
            }
            tokio::select! {
                biased;
                () = context.interrupt.raised() => return Err(Interrupted.into()),
                () = tokio::time::sleep_until(until.min(Instant::now() + pause)) => {}
            }
            let patience = context.scaled(WEBHOOK);
            // While a cluster grows, its Pod may wait for a node.
            let grows = context.phase() == Phase::Create;
            let gone = !grows && away.is_some_and(|since| since.elapsed() >= patience);
            if gone || Instant::now() >= until {
                return Err(ApplyError::Deadline {
                    verb,
                    object: reference,
                    origin,
                    seconds: if gone { patience } else { deadline }.as_secs_f64(),
                    message: last,
                });
            }
            pause = (pause * 2).min(PAUSE.1);
        }
    }

    fn reference(&self, object: &Value, options: Apply<'_>) -> ObjectRef {
        let mut reference = Object::new(self.cluster, object.clone()).reference();
        if reference.namespace.is_none() {
            reference.namespace = options.namespace.map(str::to_owned);
        }
        reference
    }

    /// Waits until the definitions of custom resources among the objects are established.
    async fn established(
        &self,
        context: &Context,
        objects: &[&Value],
        options: Apply<'_>,
        started: Instant,
    ) -> Result<(), ApplyError> {
        let names: Vec<&str> = objects
            .iter()
            .filter(|object| object["kind"] == *CUSTOM_RESOURCE_DEFINITION.kind)
            .filter_map(|object| object["metadata"]["name"].as_str())
            .collect();
        if names.is_empty() {
            return Ok(());
        }
        let view = View::start(
            self.cluster,
            &self.client,
            &[(CUSTOM_RESOURCE_DEFINITION, "")],
        );
        let what = format!("definitions of custom resources of {}", options.source);
        let left = context
            .scaled(options.deadline)
            .saturating_sub(started.elapsed());
        let left = context.unscaled(left);
        wait(context, &what, left, &[&view], None, || {
            // One at a time: they come in dozens within a second or two.
            let last = names.iter().rev().find_map(|name| {
                let Some(definition) = view.get(&CUSTOM_RESOURCE_DEFINITION, "", name) else {
                    let json = json!({"kind": CUSTOM_RESOURCE_DEFINITION.kind, "metadata": {"name": name}});
                    return Some(Object::new(self.cluster, json).blocker("not established"));
                };
                definition.unless_true("Established").map(|blocker| {
                    // Why a name is not accepted is worth telling; that it is not yet, is not.
                    match definition.condition("NamesAccepted") {
                        Some(names) if names.status == "False" => Blocker {
                            reason: names.reason,
                            message: names.message,
                            ..blocker
                        },
                        _ => definition.blocker("not established"),
                    }
                })
            });
            Progress::unless(last.into_iter().collect())
        })
        .await?;
        Ok(())
    }
}

/// Why an object has no path.
enum Unresolved {
    /// Its kind is not served.
    Absent(Failure),
    /// It could not be found out.
    Failed(Failure),
}

fn name(object: &Value) -> Result<&str, Failure> {
    object["metadata"]["name"]
        .as_str()
        .filter(|name| !name.is_empty())
        .ok_or_else(|| {
            Failure::Lasting("it has no metadata.name; expected a Kubernetes object".to_owned())
        })
}

/// The object with its namespace and the run's labels.
fn prepare(object: &Value, namespace: Option<&str>, labels: &[(&str, &str)]) -> Value {
    let mut prepared = object.clone();
    if let Some(namespace) = namespace {
        prepared["metadata"]["namespace"] = json!(namespace);
    }
    if !labels.is_empty() && !prepared["metadata"]["labels"].is_object() {
        prepared["metadata"]["labels"] = json!({});
    }
    for (key, value) in labels {
        prepared["metadata"]["labels"][*key] = json!(value);
    }
    prepared
}

/// The position in the order of applying. A workload's Pods are made at once, and are put off for
/// seconds when what they refer to is missing; a webhook is in the way of what comes after it.
fn rank(object: &Value) -> u8 {
    match object["kind"].as_str().unwrap_or_default() {
        "Namespace" | "CustomResourceDefinition" => 0,
        "Deployment" | "DaemonSet" | "StatefulSet" | "ReplicaSet" | "Job" | "CronJob" | "Pod" => 2,
        "MutatingWebhookConfiguration"
        | "ValidatingWebhookConfiguration"
        | "ValidatingAdmissionPolicyBinding"
        | "APIService" => 3,
        _ => 1,
    }
}

/// Whether a group is one that Kubernetes itself serves: only these have names without a dot.
fn is_built_in(api_version: &str) -> bool {
    api_version
        .split_once('/')
        .is_none_or(|(group, _)| !group.contains('.'))
}

#[cfg(test)]
mod tests;
