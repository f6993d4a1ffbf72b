//! How a run goes on whose process is gone: what it had is found again in its clusters, its stream, and what was
//! kept for the checks after the upgrade.

use std::cell::{Cell, OnceCell};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use kube::Client;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ahead::Standing;
use super::clusters;
use super::journey::{Prepared, Workload};
use super::run::{Checked, Run};
use super::trouble::Trouble;
use crate::delivery::{self, AddonObjects};
use crate::engine::Management;
use crate::record::{CheckResult, Phase};
use crate::stack::{Hook, Hooks, Machines, Release};

/// How long it may take to find the clusters again: they were there a moment ago.
const REJOIN: Duration = Duration::from_secs(120);
/// What has to be known of the cluster before the upgrade, in the run's private folder.
const MEMORY: &str = "memory.json";

/// What was seen before the upgrade. It may hold what is secret.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Kept {
    /// Of the run as a whole.
    run: BTreeMap<String, Value>,
    /// Of the suites' rules.
    rules: BTreeMap<String, Value>,
    /// Of the upgrade.
    #[serde(default)]
    upgrade: Upgrade,
}

/// What is kept of an upgrade.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(untagged)]
enum Upgrade {
    /// It has begun.
    Begun(Begun),
    /// It has not.
    Ahead,
    /// Nothing: by a stackgate that did not keep this yet, or because all of it is gone.
    #[default]
    #[serde(skip)]
    Unknown,
}

/// What cannot be seen any more once an upgrade has begun.
#[derive(Debug, Serialize, Deserialize)]
struct Begun {
    #[serde(flatten)]
    found: Found,
    disturbed: bool,
    #[serde(default)]
    unwatched: bool,
}

/// What an upgrade begins with.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Found {
    /// The UIDs of the Machines.
    pub(super) machines: BTreeSet<String>,
    /// The addons and the nodes, where they are known.
    #[serde(default)]
    pub(super) standing: Option<Standing>,
}

/// The same, as it is while the run has a process.
#[derive(Debug, Default)]
pub(super) struct Beginning {
    found: OnceCell<Found>,
    /// Whether it was disturbed, as it is to be once.
    pub(super) disturbed: Cell<bool>,
    /// Whether a part of it may have gone by while the run had no process.
    unwatched: Cell<bool>,
}

impl Run<'_> {
    /// Whether a phase is still to come.
    pub(super) fn is_ahead(&self, phase: Phase) -> bool {
        self.resumption.is_none_or(|it| phase >= it.next)
    }

    /// The answers of both rounds, where both were finished.
    pub(super) fn checked_before(&self) -> Option<Checked> {
        let found = self.resumption.filter(|it| it.next > Phase::CheckAfter)?;
        self.recover_memory();
        self.nothing_measured();
        Some(Checked {
            before: found.before.clone(),
            after: found.after.clone(),
        })
    }

    /// The answers of the finished round before the upgrade.
    pub(super) fn answers_before(&self) -> Vec<CheckResult> {
        let found = self.resumption.map(|it| it.before.clone());
        found.unwrap_or_default()
    }

    fn nothing_measured(&self) {
        self.context.note(
            "what the probes measured during the upgrade has no result: the process that measured ended before it did",
        );
    }

    /// The management cluster, found again.
    pub(super) async fn rejoin(&self) -> Result<Management, Trouble> {
        self.phases.within(REJOIN);
        let rejoined = tokio::time::timeout(REJOIN, self.engine.rejoin(self.context));
        let management = rejoined.await.with_context(|| {
            let seconds = REJOIN.as_secs();
            format!("the run's clusters were not found again within {seconds} s")
        })??;
        self.record("management", &management.client);
        self.tell_properties().await;
        self.recover_memory();
        Ok(management)
    }

    /// The workload cluster, found again where it had arrived.
    pub(super) async fn found(&self, management: &Management) -> Result<Workload, Trouble> {
        self.phases.within(REJOIN);
        let upgraded = !self.is_ahead(Phase::Upgrade);
        let (release, hook) = if upgraded {
            (&self.plan.pair.to, Hook::BeforeClusterUpgrade)
        } else {
            (&self.plan.pair.from, Hook::AfterControlPlaneInitialized)
        };
        let (cluster, left) = (&self.plan.cluster, self.phases.left());
        let client =
            clusters::connect(self.context, self.engine, management, cluster, left).await?;
        self.record("workload", &client);
        self.at(management, client, release, hook).await
    }

    /// What N+1 dropped of N, when the upgrade was finished before.
    pub(super) async fn dropped(
        &self,
        management: &Management,
        workload: &Workload,
    ) -> Result<Vec<Value>, Trouble> {
        self.nothing_measured();
        let hook = Hook::AfterControlPlaneInitialized;
        let before = self
            .rendered(management, &self.plan.pair.from, hook)
            .await?;
        Ok(delivery::dropped(
            delivery::applied(&before),
            delivery::applied(&workload.addons),
        ))
    }

    /// A release's addons, rendered with the management cluster's objects as they are now.
    async fn rendered(
        &self,
        management: &Management,
        release: &Release,
        hook: Hook,
    ) -> Result<Vec<AddonObjects>, Trouble> {
        Ok(self.prepare(management, release, hook).await?.addons)
    }

    /// The workload cluster, which had arrived at a release.
    async fn at(
        &self,
        management: &Management,
        client: Client,
        release: &Release,
        hook: Hook,
    ) -> Result<Workload, Trouble> {
        let prepared = self.prepare(management, release, hook).await?;
        let Prepared { addons, goal } = prepared;
        let truth = self.truth(&client, release, &addons, &[], true).await?;
        let view = clusters::watch_workload(&client);
        Ok(Workload {
            client,
            view,
            goal,
            addons,
            truth,
        })
    }

    fn memory_file(&self) -> Option<PathBuf> {
        Some(self.engine.private()?.join(MEMORY))
    }

    /// Keeps what was seen before the upgrade for a process that may have to go on without this one.
    pub(super) fn save_memory(&self) {
        let Some(path) = self.memory_file() else {
            return;
        };
        let kept = Kept {
            run: self.context.memory(),
            rules: self.memory.all(),
            upgrade: match self.beginning.found.get() {
                Some(found) => Upgrade::Begun(Begun {
                    found: found.clone(),
                    disturbed: self.beginning.disturbed.get(),
                    unwatched: self.looked_away(),
                }),
                None => Upgrade::Ahead,
            },
        };
        // Whoever is killed here leaves what was there before.
        let new = path.with_extension("new");
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(true).mode(0o600);
        let written = serde_json::to_vec(&kept)
            .map_err(std::io::Error::from)
            .and_then(|json| file.open(&new)?.write_all(&json))
            .and_then(|()| std::fs::rename(&new, &path));
        if let Err(error) = written {
            // A gate is worth more than its resumption.
            // One that tells of less than has happened would be believed.
            let _ = std::fs::remove_file(&path);
            let shown = path.display();
            self.context
                .note(format!("failed to write {shown}: {error}"));
        }
    }

    fn kept(&self) -> anyhow::Result<Kept> {
        let path = self.memory_file().context("its folder is gone")?;
        let failed = || format!("failed to read {}", path.display());
        let json = std::fs::read(&path).with_context(failed)?;
        serde_json::from_slice(&json).with_context(failed)
    }

    fn recover_memory(&self) {
        let (kept, lost) = match self.kept() {
            Ok(kept) => {
                let lost = match &kept.upgrade {
                    Upgrade::Unknown => Some(
                        "an older stackgate kept nothing of the upgrade: it may have begun, and nobody knows how",
                    ),
                    Upgrade::Begun(begun) if begun.found.standing.is_none() => Some(
                        "it is not known which addons had ready Pods when the upgrade began: one that was without is not found",
                    ),
                    _ => None,
                };
                let lost = lost.map(str::to_owned);
                (kept, lost)
            }
            Err(error) => {
                let lost = format!(
                    "what was seen before the upgrade is not known any more ({error:#}): checks that compare cannot be judged"
                );
                (Kept::default(), Some(lost))
            }
        };
        // Before that, nothing had to be kept.
        let checked = !self.is_ahead(Phase::CheckBefore);
        if let Some(lost) = lost.filter(|_| checked) {
            self.context.note(lost);
        }
        let Kept {
            run,
            rules,
            upgrade,
        } = kept;
        let events = self.resumption.map_or(0, |it| it.events);
        self.context.goes_on(run, events);
        self.memory.recover(rules);
        let own = &self.beginning;
        own.unwatched.set(match &upgrade {
            Upgrade::Begun(upgrade) => upgrade.unwatched || self.is_ahead(Phase::Upgrade),
            Upgrade::Ahead => false,
            Upgrade::Unknown => checked,
        });
        if let Upgrade::Begun(upgrade) = upgrade {
            own.disturbed.set(upgrade.disturbed);
            // Nothing is known yet: the phases come later.
            let _ = own.found.set(upgrade.found);
            // The next process has to know, too.
            self.save_memory();
        }
    }

    /// Whether an upgrade that this process has not begun may be under way, or over. Its Machines are written down before
    /// anything is changed: where all but these is there, it is not.
    pub(super) fn may_have_begun(&self) -> bool {
        !self.is_ahead(Phase::Upgrade) || self.beginning.unwatched.get()
    }

    /// Whether a part of the upgrade may have gone by with nobody watching: the run had no process, or it stood still.
    pub(super) fn looked_away(&self) -> bool {
        self.beginning.unwatched.get() || self.phases.stood_within(Phase::Upgrade)
    }

    /// What was to be seen throughout the upgrade, and cannot have been.
    pub(super) fn unseen(&self) -> Option<String> {
        let asked = self.plan.stack.spec.upgrade.hooks == Hooks::Uncalled;
        let unseen = asked && self.looked_away();
        unseen.then(|| {
            "whether a hook was called while the run had no process or stood still is not known: run it again"
                .to_owned()
        })
    }

    /// What the upgrade began with, or begins with now.
    pub(super) fn found_before(&self, now: impl FnOnce() -> Found) -> Result<Found, Trouble> {
        let own = &self.beginning;
        if let Some(found) = own.found.get() {
            // Another attempt at it was not watched to its end, by this process or by one that is gone.
            own.unwatched.set(true);
            self.save_memory();
            return Ok(found.clone());
        }
        let begun = self.may_have_begun();
        let wanted = &self.plan.stack.spec.upgrade;
        let asked = wanted.machines != Machines::Any || wanted.disturbance.is_some();
        if asked && begun {
            return Err(Trouble::Infrastructure(anyhow!(
                "it is not known any more with which Machines the upgrade began, so that nobody can tell what became of them: run it again"
            )));
        }
        let found = own.found.get_or_init(|| {
            let mut found = now();
            found.standing = found.standing.filter(|_| !begun);
            found
        });
        let found = found.clone();
        self.save_memory();
        Ok(found)
    }
}
