//! Records a cluster: what becomes of every object of every kind that it serves, and what the pods print that
//! tell most.
//!
//! It asks for each kind by a list and a watch of its own, a few lists at a time, and never again while the
//! watch holds: a gate judges by its own views, which list anew; here a lost event costs a reader little.

mod follow;
mod logs;
mod served;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Result;
use futures::future::join_all;
use kube::Client;
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio::task::JoinSet;

use self::follow::Shared;
use super::kinds::SECRET;
use crate::record::Recording;

/// How many kinds are listed at a time.
const LISTS: usize = 4;
/// How often what was told is written down: what a killed run loses at most.
const FLUSH: Duration = Duration::from_secs(2);
/// How long to wait before a cluster that does not tell its kinds is asked again.
const RETRY: Duration = Duration::from_secs(1);
/// How long Secrets are waited for: who may not list them, is not told them either.
const SECRETS: Duration = Duration::from_secs(5);
/// How often a cluster is asked for its kinds though no definition has changed.
const KINDS: Duration = Duration::from_secs(300);

/// The clusters of a run that are being recorded, until [`Self::end`] or for as long as this lives.
pub struct Recorded {
    recording: Recording,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    clusters: Vec<(&'static str, Client)>,
    tasks: JoinSet<()>,
}

impl Recorded {
    /// Records nothing yet.
    #[must_use]
    pub fn new(recording: &Recording) -> Self {
        Self {
            recording: recording.clone(),
            state: Mutex::default(),
        }
    }

    /// Begins to record a cluster, which need not answer yet.
    pub fn follow(&self, cluster: &'static str, client: &Client) {
        let recording = &self.recording;
        let (telling, told) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            cluster,
            client: client.clone(),
            recording: recording.clone(),
            lists: Semaphore::new(LISTS),
            defined: Notify::new(),
            secrets: Notify::new(),
            telling,
        });
        let logs = logs::as_told(cluster, client.clone(), recording.clone(), told);
        let state = &mut *self.state();
        state.tasks.spawn(every_kind(shared));
        state.tasks.spawn(logs);
        if state.clusters.is_empty() {
            state.tasks.spawn(flush(recording.clone()));
        }
        state.clusters.push((cluster, client.clone()));
    }

    /// Records what the control plane's pods and those that are not well have printed until now. What cannot be
    /// read is left out.
    pub async fn logs(&self) {
        let clusters = self.state().clusters.clone();
        let logs = clusters
            .iter()
            .map(|(cluster, client)| logs::telling(cluster, client, &self.recording));
        join_all(logs).await;
    }

    /// Records nothing more, and writes out what was told.
    ///
    /// # Errors
    /// When something could not be written.
    pub fn end(&self) -> Result<()> {
        *self.state() = State::default();
        self.recording.finish()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn flush(recording: Recording) {
    loop {
        tokio::time::sleep(FLUSH).await;
        recording.flush();
    }
}

/// Follows each kind from the moment it is served.
async fn every_kind(shared: Arc<Shared>) {
    let mut followed = BTreeSet::new();
    let mut tasks = JoinSet::new();
    let mut known = None;
    loop {
        let Ok(served) = served::ask(&shared.client, known.as_ref()).await else {
            tokio::time::sleep(RETRY).await;
            continue;
        };
        if known.as_ref() == Some(&served) {
            shared.changed().await;
            continue;
        }
        let Ok(read) = served.read() else {
            tokio::time::sleep(RETRY).await;
            continue;
        };
        known = Some(served);
        shared.recording.served(shared.cluster, &read);
        let mut kinds = served::kinds(&read);
        // Secrets first: what they hold is not to be written down of any other object.
        kinds.sort_by_key(|kind| *kind != SECRET);
        for kind in kinds {
            if followed.insert(kind.clone()) {
                let secrets = kind == SECRET;
                tasks.spawn(follow::follow(shared.clone(), kind));
                if secrets {
                    let _ = tokio::time::timeout(SECRETS, shared.secrets.notified()).await;
                }
            }
        }
        shared.changed().await;
    }
}

impl Shared {
    /// Waits until the cluster is to be asked for its kinds again.
    async fn changed(&self) {
        let _ = tokio::time::timeout(KINDS, self.defined.notified()).await;
        // What is defined is served a moment later, and seldom comes alone.
        tokio::time::sleep(RETRY).await;
    }
}
