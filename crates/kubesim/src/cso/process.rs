//! The operator as a process: what it keeps in memory and loses with it, its Pod, and what can be done to
//! it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::kinds::{MANAGER, NAMESPACE, POD};
use super::releases::Releases;
use crate::cluster::Cluster;
use crate::controller::{Controller, Cx, Key, Next};
use crate::error::ApiError;
use crate::object::{int, text};
use crate::registry::Write;
use crate::resource::GroupResource;
use crate::resource::builtin::{NAMESPACES, PODS};
use crate::store::{Change, lock};

/// How long it takes from the start of the container until it works.
const START: Duration = Duration::from_secs(3);
/// The kubelet's back-off for a container that fails: the first, and the longest.
const BACK_OFF: (Duration, Duration) = (Duration::from_secs(10), Duration::from_mins(5));

/// How long it takes to apply the one chart of a release without stages.
const APPLYING: Duration = Duration::from_secs(3);

/// For how long a registry lacks a release that it has again.
const OUTAGE: Duration = Duration::from_mins(1);

/// What can be made to go wrong with the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Fault {
    /// Objects that are noted as synced are not applied again (SovereignCloudStack/cluster-stacks#202).
    SkipsSynced,
    /// Charts of the release that is upgraded to cannot be templated, e.g. because a dependency is not
    /// vendored and there is no network.
    TemplatesFail,
    /// What the new release drops is not deleted.
    PrunesNothing,
    /// The first stage of an upgrade is taken for one that was dropped.
    PrunesFirstStage,
    /// The patch by which the hook before an upgrade is noted is cut off once, when it has taken `HelmChartApplied`
    /// away and not set the hook yet. It is taken for done all the same.
    LosesHook,
    /// It restarts once, between two stages of an upgrade, and the registry has the release before no more.
    RestartsMidway,
    /// It restarts once, between two stages of an upgrade, and the registry has the release before not for a minute.
    LocksUp,
    /// The hook is not cleared when its stages are done (cluster-stack-operator#212).
    KeepsHook,
    /// Reading the release before panics (cluster-stack-operator#337).
    Panics,
    /// The registry has no release that is not downloaded yet.
    DownloadFails,
    /// The provider's objects of releases, ready before, are so no more (cluster-stack-operator#59).
    ProviderFails,
    /// The ClusterStack tells of one usable version again and again, and of the latest one in dash form
    /// (cluster-stack-operator#57, #221).
    MiscountsVersions,
    /// Its webhooks admit everything.
    AdmitsAll,
}

#[derive(Default)]
struct Memory {
    /// The release directory, by tag.
    downloads: BTreeSet<String>,
    /// Hooks that were taken note of: cluster, namespace, class.
    hooks: BTreeSet<(String, String, String)>,
    /// Charts that are being applied, by namespace and name of the ClusterAddon: until when, and whether the one before
    /// was told to be applied at the beginning.
    applying: BTreeMap<(String, String), (Instant, bool)>,
    /// Whether the ClusterAddons' worker waits for the mutex around downloads that it holds itself.
    locked: bool,
}

#[derive(Default)]
struct Process {
    memory: Memory,
    faults: BTreeSet<Fault>,
    /// Those that have done something.
    happened: BTreeSet<Fault>,
    /// Whether a hook was called that it took for one it had seen.
    overlooked: bool,
    crashes: u32,
    /// The minor version of Cluster API, where classes are to be held against what it serves.
    cluster_api: Option<u32>,
    /// A release that the registry lacks, and until when; for ever where that is not given.
    lost: Option<(String, Option<Instant>)>,
    /// When it works again; none while it does.
    back: Option<Instant>,
}

struct Inner {
    releases: Arc<dyn Releases>,
    process: Mutex<Process>,
}

/// The operator; clones are the same.
#[derive(Clone)]
pub struct Operator(Arc<Inner>);

impl fmt::Debug for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Operator")
            .field("down_for", &self.down_for())
            .finish_non_exhaustive()
    }
}

impl Operator {
    /// An operator that has these releases in its reach.
    #[must_use]
    pub fn new(releases: Arc<dyn Releases>) -> Self {
        Self(Arc::new(Inner {
            releases,
            process: Mutex::default(),
        }))
    }

    pub(super) fn releases(&self) -> &dyn Releases {
        &*self.0.releases
    }

    /// From now on this goes wrong.
    pub fn inject(&self, fault: Fault) {
        lock(&self.0.process).faults.insert(fault);
    }

    /// From now on it does not any more.
    pub fn clear(&self, fault: Fault) {
        lock(&self.0.process).faults.remove(&fault);
    }

    /// Which minor version of Cluster API is to be gone by for what classes may be written in. What there is to read is
    /// served in both of its versions all the same.
    pub fn set_cluster_api(&self, minor: u32) {
        lock(&self.0.process).cluster_api = Some(minor);
    }

    pub(super) fn cluster_api(&self) -> Option<u32> {
        lock(&self.0.process).cluster_api
    }

    pub(super) fn has(&self, fault: Fault) -> bool {
        lock(&self.0.process).faults.contains(&fault)
    }

    /// Whether it is so now; from then on it is not any more. It counts as done.
    pub(super) fn once(&self, fault: Fault) -> bool {
        let mut process = lock(&self.0.process);
        let is = process.faults.remove(&fault);
        if is {
            process.happened.insert(fault);
        }
        is
    }

    /// It has done something.
    pub(super) fn note(&self, fault: Fault) {
        lock(&self.0.process).happened.insert(fault);
    }

    /// Whether it has ever done something. A fault may be in force and find nothing to harm.
    #[must_use]
    pub fn has_happened(&self, fault: Fault) -> bool {
        lock(&self.0.process).happened.contains(&fault)
    }

    /// Whether a hook was called that it took for one it had seen (see [`Operator::note_hook`]).
    #[must_use]
    pub fn has_overlooked_a_hook(&self) -> bool {
        lock(&self.0.process).overlooked
    }

    pub(super) fn overlook(&self) {
        lock(&self.0.process).overlooked = true;
    }

    /// For how long it does nothing yet; none while it works.
    pub(super) fn down_for(&self) -> Option<Duration> {
        let back = lock(&self.0.process).back?;
        Some(back.saturating_duration_since(Instant::now()))
    }

    pub(super) fn is_downloaded(&self, tag: &str) -> bool {
        lock(&self.0.process).memory.downloads.contains(tag)
    }

    /// Downloads a release.
    ///
    /// # Errors
    /// When the registry does not have it.
    pub(super) fn fetch(&self, tag: &str) -> Result<(), String> {
        let lost = lock(&self.0.process).lost.clone();
        let lost = lost.is_some_and(|(own, until)| {
            own == tag && until.is_none_or(|until| Instant::now() < until)
        });
        let fails = self.has(Fault::DownloadFails);
        if fails {
            self.note(Fault::DownloadFails);
        }
        if lost || fails {
            return Err(format!("failed to resolve {tag}: 404 Not Found"));
        }
        self.releases().metadata(tag)?;
        let downloads = &mut lock(&self.0.process).memory.downloads;
        downloads.insert(tag.to_owned());
        Ok(())
    }

    /// Applies the one chart of a ClusterAddon, which was told to be applied or not when that began.
    ///
    /// # Errors
    /// For how long it goes on.
    pub(super) fn applying(&self, addon: (&str, &str), was: bool) -> Result<bool, Duration> {
        let key = (addon.0.to_owned(), addon.1.to_owned());
        let applying = &mut lock(&self.0.process).memory.applying;
        let now = Instant::now();
        let (until, was) = *applying.entry(key.clone()).or_insert((now + APPLYING, was));
        if now < until {
            return Err(until - now);
        }
        applying.remove(&key);
        Ok(was)
    }

    /// The ClusterAddons' worker keeps its mutex, and so never comes to an end any more.
    pub(super) fn lock_up(&self) {
        lock(&self.0.process).memory.locked = true;
    }

    pub(super) fn is_locked_up(&self) -> bool {
        lock(&self.0.process).memory.locked
    }

    /// Takes note that a hook was called for a Cluster on its way to a class, as the operator does at
    /// the first call, in memory alone; whether that is new. A Cluster that was made anew under the same
    /// name meets the note of the one before.
    pub fn note_hook(&self, namespace: &str, cluster: &str, class: &str) -> bool {
        let key = (cluster.to_owned(), namespace.to_owned(), class.to_owned());
        lock(&self.0.process).memory.hooks.insert(key)
    }

    /// Its container is stopped and started again: memory and downloads are lost.
    pub fn restart(&self, management: &Cluster) {
        self.stop(management, START, None);
    }

    /// The same, and the registry lacks a release from now on.
    pub(super) fn restart_without(&self, management: &Cluster, tag: &str, fault: Fault) {
        let until = (fault == Fault::LocksUp).then(|| Instant::now() + OUTAGE);
        lock(&self.0.process).lost = Some((tag.to_owned(), until));
        self.restart(management);
    }

    /// It panics. Started again by the kubelet, with a growing pause.
    pub(super) fn panic(&self, management: &Cluster, why: &str) {
        let crashes = {
            let mut process = lock(&self.0.process);
            process.crashes += 1;
            process.crashes
        };
        let pause = BACK_OFF.0 * 2_u32.saturating_pow(crashes.saturating_sub(1).min(8));
        self.stop(management, pause.min(BACK_OFF.1) + START, Some(why));
    }

    fn stop(&self, management: &Cluster, pause: Duration, why: Option<&str>) {
        {
            let mut process = lock(&self.0.process);
            process.memory = Memory::default();
            process.back = Some(Instant::now() + pause);
        }
        let now = management.api().clock().stamp();
        let seconds = pause.saturating_sub(START).as_secs();
        let written = management.api().modify(&PODS, NAMESPACE, POD, MANAGER, |pod| {
            let container = &mut pod["status"]["containerStatuses"][0];
            let begun = container["state"]["running"]["startedAt"].clone();
            container["lastState"] = json!({"terminated": {
                "exitCode": if why.is_some() { 2 } else { 0 },
                "reason": if why.is_some() { "Error" } else { "Completed" },
                "message": why.unwrap_or_default(), "startedAt": begun, "finishedAt": now}});
            container["state"] = match why {
                Some(_) => json!({"waiting": {"reason": "CrashLoopBackOff", "message": format!(
                    "back-off {seconds}s restarting failed container=manager pod={POD}_{NAMESPACE}")}}),
                None => json!({"waiting": {"reason": "ContainerCreating"}}),
            };
            container["ready"] = json!(false);
            ready(pod, false, &now);
        });
        // Without its Pod it is a process all the same.
        drop(written);
    }

    fn started(&self) {
        lock(&self.0.process).back = None;
    }
}

/// Creates the operator's namespace and Pod, running.
///
/// # Errors
/// Those of the API.
pub(super) fn install(management: &Cluster) -> Result<(), ApiError> {
    let api = management.api();
    let write = Write::by("helm");
    let space = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}});
    api.create(&NAMESPACES, space, &write)?;
    let now = api.clock().stamp();
    let mut pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": POD, "namespace": NAMESPACE, "labels": {"control-plane": "cso-controller-manager"}},
        // The management cluster has no simulated node.
        "spec": {"schedulerName": "none", "containers": [
            {"name": "manager", "image": "ghcr.io/sovereigncloudstack/cso:v0.2.0-alpha.1"}]},
        "status": {"phase": "Running", "containerStatuses": [{
            "name": "manager", "ready": true, "restartCount": 0,
            "image": "ghcr.io/sovereigncloudstack/cso:v0.2.0-alpha.1",
            "state": {"running": {"startedAt": now}}}]},
    });
    ready(&mut pod, true, &now);
    api.create(&PODS, pod, &write).map(drop)
}

fn ready(pod: &mut Value, is: bool, now: &str) {
    for kind in ["Ready", "ContainersReady"] {
        let new = json!({"type": kind, "status": if is { "True" } else { "False" }});
        crate::object::set_condition(&mut pod["status"], new, now, &[]);
    }
}

/// Whether a change is that the operator works again: everything is news to it then.
pub(super) fn is_start(change: &Change) -> bool {
    let restarts = |pod: &Value| int(pod, "/status/containerStatuses/0/restartCount");
    change.resource == PODS
        && change.object.place() == (NAMESPACE.to_owned(), POD.to_owned())
        && change
            .previous
            .as_ref()
            .is_some_and(|before| restarts(&before.value) != restarts(&change.object.value))
}

/// Starts the operator again when its pause is over, as a kubelet does.
pub(super) struct Life(pub(super) Operator);

impl Controller for Life {
    fn name(&self) -> &'static str {
        "cso-life"
    }

    fn wakes(&self) -> Vec<GroupResource> {
        vec![PODS]
    }

    fn keys(&self, _: &Cluster, change: &Change) -> Vec<Key> {
        let own = change.object.place() == (NAMESPACE.to_owned(), POD.to_owned());
        own.then(|| Key::of(change)).into_iter().collect()
    }

    fn reconcile(&mut self, cx: &mut Cx<'_>, key: &Key) -> Result<Next, ApiError> {
        let Some(left) = self.0.down_for() else {
            return Ok(Next::Change);
        };
        if !left.is_zero() {
            return Ok(Next::After(left));
        }
        self.0.started();
        let now = cx.cluster.api().clock().stamp();
        cx.cluster
            .api()
            .modify(&PODS, &key.namespace, &key.name, MANAGER, |pod| {
                let container = &mut pod["status"]["containerStatuses"][0];
                let restarts = int(container, "/restartCount").unwrap_or(0);
                container["restartCount"] = json!(restarts + 1);
                container["state"] = json!({"running": {"startedAt": now}});
                container["ready"] = json!(true);
                ready(pod, true, &now);
            })?;
        Ok(Next::Change)
    }
}

/// Where a condition's words come from when the operator does not answer.
pub(super) fn unreachable(what: &str) -> String {
    format!(
        "Post \"https://cso-{what}.{NAMESPACE}.svc:443\": dial tcp: connect: connection refused"
    )
}

/// The name in an object's `spec.clusterRef`.
pub(super) fn cluster_of(addon: &Value) -> &str {
    text(addon, "/spec/clusterRef/name")
}
