//! What is measured without a pause from before the upgrade to after it, one file per probe.
//!
//! Each has a budget ([`crate::stack::Probes`]). What is asked from within the cluster is asked by two pods that the
//! upgrade moves like any other; while one is away, the other goes on, and what nobody asked was not lost.

mod api;
mod denied;
mod dns;
mod follow;
mod judge;
mod line;
mod measured;
mod network;
mod nodes;
mod pods;
mod series;
mod service;
mod volume;

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use kube::Client;
use kube::api::{Api, DeleteParams};
use tokio::task::JoinSet;

pub use judge::verdict;

use crate::checks::sandbox;
use crate::cluster::{Applier, Apply, ApplyError, Context, View, kinds};
use crate::record::{Finding, ProbeBudget, ProbeResult};
use crate::stack::{ClusterSpec, ProbeLimits, Spec};
use measured::{Course, Measured, Stage};
use pods::Place;

/// One thing that is measured.
#[derive(Debug)]
pub struct Probe {
    /// Its name, as in `stack.yaml`.
    pub name: &'static str,
    /// What has to be so.
    title: &'static str,
    /// The name of the cause when it is over its budget.
    cause: &'static str,
    /// Kind and name of the object that it is about.
    about: (&'static str, &'static str),
    /// Whether it is about something that must not happen.
    forbids: bool,
    /// Whether who asks is itself what has to be there: while it is away, that is lost.
    moves: bool,
    /// What happened when something was lost, to be followed by "for 12 s".
    lost: &'static str,
    /// The longest gap that is allowed where the stack does not say.
    longest_gap: fn(&ClusterSpec) -> Duration,
    /// The share of tries, in percent, that may be lost where the stack does not say.
    share_lost: Option<f64>,
    /// Whether a try with this word is lost.
    is_lost: fn(&str) -> bool,
    /// What the pods that ask are told to ask; none where no pod asks.
    ask: Option<fn(&Place) -> String>,
}

/// Every probe, in the order in which they are told.
static ALL: [&Probe; 5] = [
    &api::PROBE,
    &service::PROBE,
    &dns::PROBE,
    &volume::PROBE,
    &denied::PROBE,
];

/// How long the pods that ask may take to start and to have their first answers, image pull included.
const START: Duration = Duration::from_secs(90);
/// How long the API server may take to have its first answer.
const ANSWER: Duration = Duration::from_secs(20);
/// How long a network may take to follow a NetworkPolicy.
const ENFORCED: Duration = Duration::from_secs(20);
/// How long a removal may take to be accepted.
const REMOVAL: Duration = Duration::from_secs(10);

/// The probes of a run, while they measure. Dropping it ends them, and leaves their namespace.
pub struct Probing {
    measured: Measured,
    client: Client,
    place: Place,
    state: Mutex<Running>,
}

#[derive(Default)]
struct Running {
    tasks: JoinSet<()>,
    /// Whether there may be something to remove.
    created: bool,
    /// When the upgrade had ended, in milliseconds of the run.
    upgraded: Option<i64>,
}

/// What the probes have shown.
#[derive(Clone, Debug, Default)]
pub struct Shown {
    /// Each probe's result.
    pub results: Vec<ProbeResult>,
    /// The causes by name of what is over its budget.
    pub findings: Vec<Finding>,
}

impl Probing {
    /// Probes that have not begun. Where they do not see the `whole` upgrade, a share of lost tries says nothing of it,
    /// and only gaps are judged.
    #[must_use]
    pub fn new(context: &Context, client: &Client, spec: &Spec, whole: bool) -> Self {
        let limits = |probe: &Probe| {
            let probes = &spec.probes;
            match probe.name {
                "api" => &probes.api,
                "service" => &probes.service,
                "dns" => &probes.dns,
                "volume" => &probes.volume,
                _ => &probes.denied,
            }
        };
        let courses = ALL.iter().map(|probe| {
            let limits = limits(probe);
            let stage = match &limits.skip {
                Some(why) => Stage::Skipped(format!("skipped by stack.yaml: {why}")),
                None => Stage::Trying,
            };
            let mut budget = budget(probe, limits, &spec.cluster);
            budget.share_lost_percent = budget.share_lost_percent.filter(|_| whole);
            Course::new(probe, budget, stage)
        });
        Self {
            measured: Measured::new(context.clone(), courses.collect()),
            client: client.clone(),
            place: Place {
                namespace: format!("{}{}", sandbox::PROBES, context.fresh_id()),
                domain: spec.cluster.network.service_domain.to_string(),
            },
            state: Mutex::default(),
        }
    }

    /// Begins to measure: returns when each probe counts, or is known not to be measurable, and why. The view is
    /// of the workload cluster's pods and nodes.
    pub async fn begin(&self, workload: &View) {
        let interrupt = self.measured.context().interrupt.clone();
        tokio::select! {
            biased;
            () = interrupt.raised() => {}
            _ = futures::future::join(self.begin_here(), self.begin_there(workload)) => {}
        }
    }

    async fn begin_here(&self) {
        let name = api::PROBE.name;
        if !self.measured.is_trying(name) {
            return;
        }
        self.spawn(api::ask(self.client.clone(), self.measured.clone()));
        self.first_answers(&[name], ANSWER).await;
    }

    async fn begin_there(&self, workload: &View) {
        let asked: Vec<&Probe> = ALL
            .iter()
            .copied()
            .filter(|probe| probe.ask.is_some() && self.measured.is_trying(probe.name))
            .collect();
        let volume = volume::PROBE.name;
        let kept = self.measured.is_trying(volume);
        let suits = match kept {
            true => volume::suits(&self.client).await,
            false => Ok(()),
        };
        if let Err(error) = &suits {
            self.measured.skip(volume, |_| format!("{error:#}"));
        }
        let kept = kept && suits.is_ok();
        if asked.is_empty() && !kept {
            return;
        }
        self.lock().created = true;
        let mut objects = self.place.ground();
        if !asked.is_empty() {
            objects.extend(self.place.objects(&asked));
        }
        if kept {
            objects.extend(volume::writer());
        }
        if let Err(error) = self.apply(&objects).await {
            for probe in ALL
                .iter()
                .filter(|probe| probe.ask.is_some() || probe.moves)
            {
                let why = format!("what measures it could not be created: {error}");
                self.measured.skip(probe.name, |_| why);
            }
            return;
        }
        let view = workload.part(&[kinds::POD, kinds::NODE]);
        let namespace = self.place.namespace.clone();
        self.spawn(follow::pods(
            self.client.clone(),
            view,
            namespace,
            self.measured.clone(),
        ));
        let answered: Vec<&str> = asked
            .iter()
            .filter(|probe| !probe.forbids)
            .map(|probe| probe.name)
            .collect();
        let denied = async {
            if self.measured.is_trying(denied::PROBE.name) {
                self.deny().await;
            }
        };
        let keep = async {
            if kept {
                self.keep(workload).await;
            }
        };
        futures::future::join3(self.first_answers(&answered, START), denied, keep).await;
    }

    /// Writes data to a volume, and has it read from then on.
    async fn keep(&self, workload: &View) {
        let name = volume::PROBE.name;
        let (context, view) = (self.measured.context(), workload.part(&[kinds::POD]));
        let written = volume::written(context, &self.client, &self.place, &view, START).await;
        if let Err(error) = written {
            self.measured.skip(name, |_| format!("{error:#}"));
            return;
        }
        if let Err(error) = self.apply(&[volume::keeper()]).await {
            let why = format!("the pod that reads it could not be created: {error}");
            self.measured.skip(name, |_| why);
            return;
        }
        self.first_answers(&[name], START).await;
    }

    /// Waits until each of these was answered, and lets it count from then on.
    async fn first_answers(&self, probes: &[&str], within: Duration) {
        let answered = |probe: &str| {
            let ok = |course: &mut Course| course.words.values().any(|word| word == "ok");
            self.measured.with(probe, ok).unwrap_or(false)
        };
        self.until(within, || probes.iter().all(|probe| answered(probe)))
            .await;
        for probe in probes {
            if answered(probe) {
                self.measured.begin(probe);
            }
            self.measured.skip(probe, |course| {
                let word = course.words.values().next();
                let why = word.map_or("nobody who could ask came to run", String::as_str);
                format!("it had no answer before the upgrade either: {why}")
            });
        }
    }

    /// Denies what was let through, and waits until it is denied: only then it can be said that it stays so.
    async fn deny(&self) {
        let name = denied::PROBE.name;
        let let_through = |askers: usize| {
            let look = |course: &mut Course| {
                let words = course.words.values();
                words.filter(|word| *word == "ok").count() >= askers
            };
            self.measured.with(name, look).unwrap_or(false)
        };
        let denied = || {
            let look = |course: &mut Course| {
                let mut words = course.words.values();
                !course.words.is_empty() && words.all(|word| word != "ok")
            };
            self.measured.with(name, look).unwrap_or(false)
        };
        // Who is heard late seems to have asked late: one that nobody had heard yet when its connection was denied
        // would seem to have been let through afterwards.
        let all = pods::ASKERS as usize;
        if !self.until(START, || let_through(all)).await && !let_through(1) {
            let why = "the connection was not let through without any NetworkPolicy either";
            self.measured.skip(name, |_| why.to_owned());
            return;
        }
        if let Err(error) = self.apply(&[self.place.policy()]).await {
            let why = format!("the NetworkPolicy could not be created: {error}");
            self.measured.skip(name, |_| why);
            return;
        }
        if self.until(ENFORCED, denied).await {
            self.measured.begin(name);
        } else {
            let scaled = self.measured.context().scaled(ENFORCED).as_secs();
            let why = format!(
                "the cluster's network does not enforce NetworkPolicies: {scaled} s after one denied a connection, it was still let through"
            );
            self.measured.skip(name, |_| why);
        }
    }

    async fn until(&self, within: Duration, so: impl Fn() -> bool) -> bool {
        let scaled = self.measured.context().scaled(within);
        let waited = tokio::time::timeout(scaled, async {
            loop {
                let news = self.measured.news();
                if so() {
                    return;
                }
                news.await;
            }
        });
        waited.await.is_ok() || so()
    }

    async fn apply(&self, objects: &[serde_json::Value]) -> Result<(), ApplyError> {
        let context = self.measured.context();
        let options = Apply {
            deadline: START,
            namespace: Some(&self.place.namespace),
            labels: &[("stackgate/run", context.run.as_str())],
            source: "the probes",
        };
        let applier = Applier::new("workload", self.client.clone());
        applier.apply(context, objects, options).await
    }

    /// Who is to be told when the run stands still, with `true`, and when it goes on: what happens meanwhile does
    /// not count.
    pub fn stillness(&self) -> impl Fn(bool) + 'static {
        let measured = self.measured.clone();
        move |still| measured.stands(still)
    }

    /// The upgrade has ended: what is measured from now on is measured after it.
    pub fn upgraded(&self) {
        self.lock().upgraded = Some(self.measured.now_ms());
    }

    /// Ends all measuring, tells what was measured, and removes what measured it.
    pub async fn finish(&self) -> Shown {
        let (created, upgraded) = {
            let mut state = self.lock();
            state.tasks = JoinSet::new();
            (std::mem::take(&mut state.created), state.upgraded)
        };
        let results = self.measured.finish(upgraded);
        let skipped = |result: &ProbeResult| self.measured.skipped(result);
        let findings = judge::findings(&results, &self.place.namespace, skipped);
        if created {
            self.remove().await;
        }
        Shown { results, findings }
    }

    async fn remove(&self) {
        let context = self.measured.context();
        let api: Api<Namespace> = Api::all(self.client.clone());
        let (name, params) = (self.place.namespace.as_str(), DeleteParams::background());
        let asked = api.delete(name, &params);
        let why = match tokio::time::timeout(context.scaled(REMOVAL), asked).await {
            Ok(Ok(_)) => return,
            Ok(Err(kube::Error::Api(status))) if status.code == 404 => return,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "the API server does not answer".to_owned(),
        };
        context.note(format!(
            "failed to remove the probes' namespace {name}: {why}; it goes with the cluster, or by: kubectl delete namespace {name}"
        ));
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.lock().tasks.spawn(task);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Running> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn budget(probe: &Probe, limits: &ProbeLimits, cluster: &ClusterSpec) -> ProbeBudget {
    let gap = limits.longest_gap.map(Duration::from);
    let gap = gap.unwrap_or_else(|| (probe.longest_gap)(cluster));
    ProbeBudget {
        longest_gap_ms: u64::try_from(gap.as_millis()).unwrap_or(u64::MAX),
        share_lost_percent: limits.share_lost.or(probe.share_lost),
    }
}
