//! Leaving nothing behind: at the end of a run, and for runs that did not get to their end.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use bollard::Docker;
use bollard::errors::Error;
use bollard::query_parameters::RemoveVolumeOptions;
use futures::future::{join_all, try_join_all};

use super::docker::{self, Node};
use super::kept::{self, Clusters};
use super::light;
use super::names::{Claims, NETWORK, is_kept, kept_cluster, of_run, owns, run_of};
use super::record::RunRecord;
use crate::engine::private::PrivateFolder;
use crate::engine::process::{self, Process};
use crate::record::RunId;

/// How often what was removed is looked for again: a manager on its way out may make one more.
const ROUNDS: u32 = 20;
/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(250);
/// In the private folder of the run that has to remove the network, if nobody else uses it.
const NETWORK_MARK: &str = "made-network";

/// What a run knows of itself when its folder is gone.
#[derive(Clone, Debug, Default)]
pub(super) struct Traces {
    /// The management cluster that stays, with the run's namespace in it.
    pub(super) kept: Option<String>,
    /// Whether the run makes Docker's network.
    pub(super) network: bool,
    /// The volumes of the containers that were removed.
    pub(super) volumes: BTreeSet<String>,
}

impl Traces {
    /// Where the run's namespace outlives its containers.
    pub(super) fn clusters(&self) -> Clusters {
        self.kept.clone().map_or(Clusters::None, Clusters::One)
    }
}

/// Notes that the run will make the network, unless it is there; returns whether it will.
pub(super) async fn mark_network(docker: &Docker, folder: &PrivateFolder) -> Result<bool> {
    let missing = !docker::network_exists(docker, NETWORK).await?;
    if missing {
        folder.write(NETWORK_MARK, b"")?;
    }
    Ok(missing)
}

/// Whether the run made the network, or was about to.
pub(super) fn is_network_marked(folder: &PrivateFolder) -> bool {
    folder.file(NETWORK_MARK).exists()
}

/// Another run whose record says that the management cluster of that name is its own, be it under way
/// or not.
pub(super) fn claimant(
    records: Vec<(RunId, RunRecord)>,
    run: &RunId,
    cluster: &str,
) -> Option<RunId> {
    records
        .into_iter()
        .find(|(other, record)| {
            other != run && record.removes_management && record.management == cluster
        })
        .map(|(other, _)| other)
}

/// What belongs to a run, as far as its record tells.
pub(super) fn claims(run: &RunId, named: bool) -> Claims {
    let record: Option<RunRecord> = PrivateFolder::of(run).load();
    let mut recorded = BTreeSet::new();
    if let Some(record) = record {
        recorded.insert(record.workload);
        if record.removes_management {
            recorded.insert(record.management);
        }
    }
    Claims {
        recorded,
        by_suffix: named,
    }
}

/// The node containers of a run.
pub(super) async fn owned(docker: &Docker, run: &RunId, claims: &Claims) -> Result<Vec<Node>> {
    let nodes = docker::nodes(docker).await?;
    let mut claims = claims.clone();
    claims.by_suffix |= nodes.iter().any(|node| node.cluster == of_run(run));
    Ok(nodes
        .into_iter()
        .filter(|node| owns(run, &claims, &node.cluster))
        .collect())
}

/// Removes a run's containers with their volumes, management first so that nothing is made anew, and
/// looks again until there is none. Returns what was removed.
pub(super) async fn remove_containers(
    docker: &Docker,
    run: &RunId,
    claims: &Claims,
) -> Result<Vec<String>> {
    let mut removed = BTreeSet::new();
    let mut volumes = BTreeSet::new();
    // Known before the management cluster goes, which is what tells of clusters without a record.
    let mut claims = claims.clone();
    let mut empty = 0;
    for _ in 0..ROUNDS {
        let nodes = owned(docker, run, &claims).await?;
        if nodes.is_empty() {
            empty += 1;
            // Docker may still be at work for a client that was ended in the middle of a request.
            if empty == 2 {
                remove_volumes(docker, &volumes).await?;
                return Ok(removed.into_iter().collect());
            }
            tokio::time::sleep(PAUSE).await;
            continue;
        }
        if !removed.is_empty() {
            tokio::time::sleep(PAUSE).await;
        }
        empty = 0;
        let managing = |node: &&Node| node.cluster == of_run(run) || is_kept(&node.cluster);
        claims.by_suffix |= nodes.iter().any(|node| managing(&node));
        let (first, then): (Vec<&Node>, Vec<&Node>) = nodes.iter().partition(managing);
        for group in [first, then] {
            try_join_all(group.iter().map(|node| docker::remove(docker, &node.id))).await?;
        }
        for node in nodes {
            volumes.extend(node.volumes);
            removed.insert(format!("container {}", node.name));
        }
    }
    bail!("failed to remove the containers of run {run}: something makes them anew")
}

/// Docker removes anonymous volumes with their containers; what is left of them is removed here.
async fn remove_volumes(docker: &Docker, volumes: &BTreeSet<String>) -> Result<()> {
    for volume in volumes {
        docker::absent(
            docker
                .remove_volume(volume, None::<RemoveVolumeOptions>)
                .await,
        )
        .with_context(|| format!("failed to remove volume {volume}"))?;
    }
    Ok(())
}

/// Removes the network when the run made it and nobody uses it; when another run is under way, that one
/// inherits the duty.
pub(super) async fn remove_network(docker: &Docker, folder: &PrivateFolder) -> Result<bool> {
    if !folder.file(NETWORK_MARK).exists() {
        return Ok(false);
    }
    let heir = PrivateFolder::all()
        .into_iter()
        .map(|run| PrivateFolder::of(&run))
        .find(|other| other.path() != folder.path() && live(other).is_some());
    if let Some(heir) = heir {
        heir.write(NETWORK_MARK, b"")?;
        return Ok(false);
    }
    if !docker::network_exists(docker, NETWORK).await?
        || docker::uses_network(docker, NETWORK).await?
    {
        return Ok(false);
    }
    match docker.remove_network(NETWORK).await {
        // Somebody has begun to use it at this moment.
        Err(Error::DockerResponseServerError {
            status_code: 403, ..
        }) => Ok(false),
        removed => docker::absent(removed)
            .map(|removed| removed.is_some())
            .context("failed to remove Docker's network kind"),
    }
}

/// Whether the network is there though nobody uses it and no other run has the duty to remove it.
async fn network_left(docker: &Docker) -> Result<bool> {
    let inherited = PrivateFolder::all()
        .iter()
        .any(|run| PrivateFolder::of(run).file(NETWORK_MARK).exists());
    Ok(!inherited
        && docker::network_exists(docker, NETWORK).await?
        && !docker::uses_network(docker, NETWORK).await?)
}

/// The process of a run that is under way.
fn live(folder: &PrivateFolder) -> Option<Process> {
    Some(folder.load::<RunRecord>()?.process).filter(|process| process.is_alive())
}

/// What is left of a run, by name.
pub(super) async fn leftovers(
    docker: &Docker,
    run: &RunId,
    claims: &Claims,
    traces: &Traces,
) -> Result<Vec<String>> {
    let mut left: Vec<String> = owned(docker, run, claims)
        .await?
        .into_iter()
        .map(|node| format!("container {}", node.name))
        .collect();
    left.extend(
        processes(run)
            .iter()
            .map(|process| format!("process {}", process.pid)),
    );
    let folder = PrivateFolder::of(run);
    if folder.exists() {
        left.push(format!("folder {}", folder.path().display()));
    }
    for volume in &traces.volumes {
        let found = docker::absent(docker.inspect_volume(volume).await)
            .with_context(|| format!("failed to look for volume {volume}"))?;
        left.extend(found.map(|_| format!("volume {volume}")));
    }
    if traces.network && network_left(docker).await? {
        left.push(format!("network {NETWORK}"));
    }
    if docker::network_exists(docker, &of_run(run)).await? {
        left.push(format!("network {}", of_run(run)));
    }
    left.extend(kept::namespaces_of(docker, run, &traces.clusters()).await?);
    Ok(left)
}

/// The processes that a run started and that are still there.
fn processes(run: &RunId) -> Vec<Process> {
    process::of_runs()
        .into_iter()
        .filter(|(of, _)| of == run)
        .map(|(_, process)| process)
        .collect()
}

/// Removes what earlier runs left: containers with their volumes, the network, namespaces in kept
/// management clusters, processes, private folders. Without `run`, of every run of this user's that is
/// not under way: those with a private folder here ([`others`] tells the rest). A run that is named is
/// ended when it is under way. Kept management clusters stay.
///
/// Returns what was removed, in the reader's words; nothing when there was nothing.
///
/// # Errors
/// When Docker does not answer, or something cannot be removed; the rest is removed nevertheless.
pub async fn clean(run: Option<RunId>) -> Result<Vec<String>> {
    let docker = docker::connect()
        .await
        .context("failed to reach Docker, where runs leave their containers")?;
    let runs: BTreeSet<RunId> = match &run {
        Some(run) => [run.clone()].into(),
        None => ended(),
    };
    let named = run.is_some();
    let results = join_all(runs.iter().map(|run| clean_one(&docker, run, named))).await;
    let mut removed = Vec::new();
    let mut errors = Vec::new();
    for result in results {
        match result {
            Ok(more) => removed.extend(more),
            Err(error) => errors.push(format!("{error:#}")),
        }
    }
    if errors.is_empty() {
        Ok(removed)
    } else {
        bail!("{}", errors.join("; "))
    }
}

/// Removes the management cluster that was kept under a name, with whatever runs left in it. The
/// network stays: kind shares it between clusters, and nobody knows any more who made it.
///
/// # Errors
/// When Docker does not answer, or there is no such cluster.
pub async fn clean_kept(name: &str) -> Result<Vec<String>> {
    let docker = docker::connect()
        .await
        .context("failed to reach Docker, where kept clusters run")?;
    let cluster = kept_cluster(name);
    let mut nodes = docker::nodes(&docker).await?;
    nodes.retain(|node| node.cluster == cluster);
    if nodes.is_empty() {
        bail!("there is no management cluster kept as '{name}'");
    }
    try_join_all(nodes.iter().map(|node| docker::remove(&docker, &node.id))).await?;
    let volumes = nodes.iter().flat_map(|node| node.volumes.clone()).collect();
    remove_volumes(&docker, &volumes).await?;
    Ok(nodes
        .into_iter()
        .map(|node| format!("container {}", node.name))
        .collect())
}

/// The runs of this user that are not under way.
fn ended() -> BTreeSet<RunId> {
    let mut runs: BTreeSet<RunId> = PrivateFolder::all().into_iter().collect();
    runs.retain(|run| live(&PrivateFolder::of(run)).is_none());
    runs
}

/// Runs that have left a trace and no private folder here. Docker is everybody's, so such a run may be
/// somebody else's and under way: it is removed only when it is named.
///
/// # Errors
/// When Docker or a kept management cluster does not answer.
pub async fn others() -> Result<BTreeSet<RunId>> {
    let docker = docker::connect()
        .await
        .context("failed to reach Docker, where runs leave their containers")?;
    let mut runs: BTreeSet<RunId> = process::of_runs().into_iter().map(|(run, _)| run).collect();
    let nodes = docker::nodes(&docker).await?;
    runs.extend(nodes.iter().filter_map(|node| run_of(&node.cluster)));
    runs.extend(kept::runs(&docker).await?);
    runs.retain(|run| !PrivateFolder::of(run).exists());
    Ok(runs)
}

/// In which kept clusters a run that did not get to its end may have a namespace.
fn clusters(record: Option<RunRecord>) -> Clusters {
    match record {
        None => Clusters::All,
        Some(record) if !record.removes_management && is_kept(&record.management) => {
            Clusters::One(record.management)
        }
        // Its own cluster goes with all that is in it.
        Some(_) => Clusters::None,
    }
}

async fn clean_one(docker: &Docker, run: &RunId, named: bool) -> Result<Vec<String>> {
    let mut removed = Vec::new();
    let folder = PrivateFolder::of(run);
    let mut orphans = processes(run);
    // Whoever cleans its own run does not mean itself.
    let own = Process::current().ok();
    orphans.extend(live(&folder).filter(|process| Some(*process) != own));
    process::end(&orphans).await;
    removed.extend(
        orphans
            .iter()
            .map(|orphan| format!("process {}", orphan.pid)),
    );
    let claims = claims(run, named);
    // In a kept cluster Cluster API still works, and may make containers anew until that is done.
    let namespaces = kept::release(docker, run, &clusters(folder.load())).await;
    removed.extend(remove_containers(docker, run, &claims).await?);
    removed.extend(namespaces?);
    if light::remove_network(docker, run).await? {
        removed.push(format!("network {}", of_run(run)));
    }
    if remove_network(docker, &folder).await? {
        removed.push(format!("network {NETWORK}"));
    }
    if folder.exists() {
        folder.remove()?;
        removed.push(format!("folder {}", folder.path().display()));
    }
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(management: &str, removes_management: bool) -> RunRecord {
        RunRecord {
            process: Process::current().unwrap(),
            management: management.to_owned(),
            removes_management,
            workload: "demo-7f3a09bc".to_owned(),
        }
    }

    #[test]
    fn a_name_is_claimed_by_the_run_that_makes_the_cluster() {
        let (own, other): (RunId, RunId) =
            ("7f3a09bc".parse().unwrap(), "00000000".parse().unwrap());
        let warm = "stackgate-keep-warm";
        for (claimed, by) in [
            (record(warm, true), Some(other.clone())),
            (record(warm, false), None),
            (record("stackgate-keep-cold", true), None),
        ] {
            let records = vec![(own.clone(), record(warm, true)), (other.clone(), claimed)];
            assert_eq!(claimant(records, &own, warm), by);
        }
    }

    #[test]
    fn only_a_cluster_that_stays_is_asked_for_a_runs_namespace() {
        let warm = "stackgate-keep-warm";
        assert_eq!(clusters(None), Clusters::All);
        assert_eq!(
            clusters(Some(record(warm, false))),
            Clusters::One(warm.to_owned())
        );
        assert_eq!(clusters(Some(record(warm, true))), Clusters::None);
        let own = record("stackgate-7f3a09bc", true);
        assert_eq!(clusters(Some(own)), Clusters::None);
    }
}
