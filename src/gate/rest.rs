//! Whether a Cluster that has arrived stays as it is, and comes to rest: who goes on writing to what makes it up may do
//! anything next.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::finished::Goal;
use super::journey::{Seen, Workload};
use super::named;
use super::run::Run;
use super::trouble::Trouble;
use crate::cluster::{Object, Progress, View, WaitError, blind, kinds, stay, wait};
use crate::delivery::addon_name;
use crate::record::{Blocker, Finding, ObjectRef};

/// For how long nothing may be written, once something was after the arrival, and how long it may take until then:
/// controllers that cannot let go come again within 20 s.
const QUIET: Duration = Duration::from_secs(45);
const REST: Duration = Duration::from_secs(120);
/// From how many changes of one object on it goes on changing: what comes late comes once or twice.
const AGAIN: usize = 3;
/// How far apart two changes are at least: to reconcile an object once may take several requests.
const ONE: Duration = Duration::from_secs(5);

/// What was seen of an object.
struct Known {
    version: String,
    generation: i64,
    written: Instant,
    /// When it changed last, of those changes that count.
    counted: Option<Instant>,
    changes: usize,
    /// How often its spec has changed since the arrival.
    of_the_spec: usize,
}

/// The objects that make up a Cluster, by what was written to them since it was first looked.
struct Rest {
    known: BTreeMap<ObjectRef, Known>,
    since: Instant,
    last: Option<ObjectRef>,
}

impl Rest {
    fn of(goal: &Goal, management: &View) -> Self {
        let mut rest = Self {
            known: BTreeMap::new(),
            since: Instant::now(),
            last: None,
        };
        rest.look(goal, management);
        rest.last = None;
        rest
    }

    /// Looks at how they are now; nothing is known to change while they cannot be seen.
    fn look(&mut self, goal: &Goal, management: &View) {
        if !blind(management).is_empty() {
            self.since = Instant::now();
            return;
        }
        for object in parts(goal, management) {
            let version = object.str("/metadata/resourceVersion");
            let generation = object.int("/metadata/generation").unwrap_or_default();
            let place = object.reference();
            let changed = match self.known.get_mut(&place) {
                Some(known) if known.version == version => false,
                Some(known) => {
                    known.written = Instant::now();
                    if known.counted.is_none_or(|at| at.elapsed() >= ONE) {
                        known.counted = Some(known.written);
                        known.changes += 1;
                    }
                    known.of_the_spec += usize::from(known.generation != generation);
                    known.generation = generation;
                    version.clone_into(&mut known.version);
                    true
                }
                None => {
                    let known = Known {
                        version: version.to_owned(),
                        generation,
                        written: Instant::now(),
                        counted: None,
                        changes: 0,
                        of_the_spec: 0,
                    };
                    self.known.insert(place.clone(), known);
                    true
                }
            };
            if changed {
                self.since = Instant::now();
                self.last = Some(place);
            }
        }
    }

    /// For how long nothing was written.
    fn lasts(&self) -> Duration {
        self.since.elapsed()
    }

    /// Whether anything was written since it was first looked.
    fn is_disturbed(&self) -> bool {
        self.last.is_some()
    }

    /// Counts anew, but for what is asked for: nothing that is well asks for something else again and again.
    fn begin_anew(&mut self) {
        for known in self.known.values_mut() {
            (known.changes, known.counted) = (0, None);
        }
    }

    /// What was written last.
    fn blockers(&self) -> Vec<Blocker> {
        let last = self.last.iter();
        last.map(|place| Blocker::new(place.clone(), "goes on changing"))
            .collect()
    }

    /// What is said when it does not come to rest.
    fn finding(&self, goal: &Goal, quiet: Duration) -> Option<Finding> {
        let mut restless: Vec<_> = self.known.iter().collect();
        restless.retain(|(_, known)| known.changes >= AGAIN && known.written.elapsed() < quiet);
        let (place, known) = restless.iter().max_by_key(|(_, known)| known.changes)?;
        let what = format!(
            "{} times while it was waited for {} s without a change",
            known.changes,
            quiet.as_secs()
        );
        let evidence = restless.iter().map(|(place, known)| {
            let Known {
                version, changes, ..
            } = known;
            format!("{place}: changed {changes} times, last to resourceVersion {version}")
        });
        Some(goes_on(goal, place, &what, evidence.collect()))
    }

    /// What is said of an object that is asked for something else again and again.
    fn contested(&self, goal: &Goal) -> Option<Finding> {
        let most = self.known.iter().max_by_key(|(_, known)| known.of_the_spec);
        let (place, known) = most.filter(|(_, known)| known.of_the_spec >= AGAIN)?;
        let Known {
            of_the_spec,
            generation,
            ..
        } = known;
        let what = format!("{of_the_spec} times its spec");
        let evidence = vec![format!("{place}: metadata.generation {generation}")];
        Some(goes_on(goal, place, &what, evidence))
    }
}

fn goes_on(goal: &Goal, place: &ObjectRef, what: &str, evidence: Vec<String>) -> Finding {
    Finding {
        cause: "never-at-rest".to_owned(),
        message: format!(
            "{place} goes on changing although the Cluster has arrived at {}: {what}. Where the clusters are kept \
             (--keep), its metadata.managedFields tells who writes",
            goal.class,
        ),
        object: place.clone(),
        evidence,
    }
}

/// The Cluster, its control plane, its MachineDeployments and Machines, and its ClusterAddon.
fn parts(goal: &Goal, management: &View) -> Vec<Arc<Object>> {
    let own = [
        kinds::KUBEADM_CONTROL_PLANE,
        kinds::MACHINE_DEPLOYMENT,
        kinds::MACHINE,
    ];
    let mut found: Vec<_> = own.iter().flat_map(|kind| management.list(kind)).collect();
    found.retain(|object| goal.has(object));
    found.extend(management.get(&kinds::CLUSTER, &goal.namespace, &goal.cluster));
    if goal.operator {
        let name = addon_name(&goal.cluster);
        found.extend(management.get(&kinds::CLUSTER_ADDON, &goal.namespace, &name));
    }
    found
}

impl Run<'_> {
    /// Nothing moves any more: no Machine is replaced, and nothing that had arrived goes away for
    /// good. A workload that is briefly unavailable is waited for, and watched again.
    pub(super) async fn stays(
        &self,
        view: &View,
        workload: &Workload,
        period: Duration,
    ) -> Result<(), Trouble> {
        self.sees(view, workload).await?;
        let goal = &workload.goal;
        let machines = || goal.machine_uids(view);
        let arrived = machines();
        let rest = RefCell::new(Rest::of(goal, view));
        let mut seen = Seen::of(goal, view, &workload.view);
        seen.truth = workload.truth.as_ref();
        let moved = || machines() != arrived;
        loop {
            let mut violated = stay(self.context, period, &seen.views(), || {
                rest.borrow_mut().look(goal, view);
                seen.blockers()
            })
            .await?;
            let disturbed = rest.borrow().is_disturbed();
            if violated.is_empty() && !moved() && disturbed {
                violated = self.rests(seen, period, &rest, moved).await?;
            }
            if moved() {
                return Err(unexpected_rollout(goal, &violated));
            }
            if let Some(finding) = rest.borrow().contested(goal) {
                return Err(WaitError::Cause(Box::new(finding)).into());
            }
            let Some(first) = violated.first() else {
                return Ok(());
            };
            self.context.note(format!("had arrived, but then: {first}"));
            if self.phases.left() < period {
                let message = format!("does not stay as it arrived: {first}");
                if !blind(view).is_empty() {
                    // While the management cluster does not answer, nothing is said about the stack.
                    return Err(Trouble::Infrastructure(anyhow::anyhow!(message)));
                }
                return Err(Trouble::Stack {
                    finding: named::cause(&message, &violated).map(Box::new),
                    message,
                });
            }
            self.arrive("settled again", seen, |_| {}).await?;
        }
    }

    /// Nothing is written any more to what makes up the Cluster. Ends with what keeps it from having arrived, if that is
    /// something, or once Machines have `moved`.
    async fn rests(
        &self,
        seen: Seen<'_>,
        period: Duration,
        rest: &RefCell<Rest>,
        moved: impl Fn() -> bool,
    ) -> Result<Vec<Blocker>, Trouble> {
        // What comes in between has to be waited for, too.
        let needed = REST + 2 * period;
        if self.phases.left() < needed {
            let seconds = needed.as_secs();
            self.context.note(format!(
                "whether the Cluster comes to rest is not known: less than {seconds} s of the phase are left"
            ));
            return Ok(Vec::new());
        }
        rest.borrow_mut().begin_anew();
        let what = format!("{}: at rest", seen.goal.cluster);
        let quiet = self.context.scaled(QUIET);
        let waited = wait(self.context, &what, REST, &seen.views(), None, || {
            let mut rest = rest.borrow_mut();
            rest.look(seen.goal, seen.view);
            let blockers = seen.blockers();
            if !blockers.is_empty() || moved() || rest.lasts() >= quiet {
                Progress::Done(blockers)
            } else {
                Progress::Blocked(rest.blockers())
            }
        })
        .await;
        match waited {
            Err(WaitError::Deadline { .. }) => match rest.borrow().finding(seen.goal, quiet) {
                Some(finding) => Err(WaitError::Cause(Box::new(finding)).into()),
                None => Ok(Vec::new()),
            },
            waited => Ok(waited?),
        }
    }
}

fn unexpected_rollout(goal: &Goal, evidence: &[Blocker]) -> Trouble {
    let finding = Finding {
        cause: "unexpected-rollout".to_owned(),
        message: format!(
            "Machines of {} are replaced although the upgrade to {} had arrived",
            goal.cluster, goal.version
        ),
        object: ObjectRef::new("management", "Cluster", &goal.namespace, &goal.cluster),
        evidence: evidence.iter().map(ToString::to_string).collect(),
    };
    Trouble::Stack {
        message: finding.message.clone(),
        finding: Some(Box::new(finding)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(version: &str, generation: i64) -> View {
        let metadata = json!({"name": "c", "namespace": "n", "resourceVersion": version, "generation": generation});
        let cluster = json!({"kind": "Cluster", "metadata": metadata});
        let other = json!({"kind": "Machine", "metadata": {"name": "m", "namespace": "n",
            "resourceVersion": version, "labels": {kinds::CLUSTER_NAME: "other"}}});
        View::holding(
            "management",
            &[(kinds::CLUSTER, cluster), (kinds::MACHINE, other)],
        )
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_written_again_and_again_is_told_issue_7() {
        let goal = Goal::of_the_operator("docker-demo-1-35-v1", "v1.35.0");
        let mut rest = Rest::of(&goal, &at("1", 1));
        tokio::time::advance(QUIET).await;
        rest.look(&goal, &at("1", 1));
        assert_eq!(rest.lasts(), QUIET);
        assert!(!rest.is_disturbed() && rest.finding(&goal, QUIET).is_none());
        for (version, generation) in [("2", 1), ("3", 2), ("4", 2)] {
            // What comes late comes once or twice.
            assert!(rest.finding(&goal, QUIET).is_none());
            tokio::time::advance(QUIET / 2).await;
            rest.look(&goal, &at(version, generation));
            assert_eq!(rest.lasts(), Duration::ZERO);
        }
        assert_eq!(
            rest.blockers()[0].to_string(),
            "Cluster n/c: goes on changing"
        );
        let finding = rest.finding(&goal, 2 * QUIET).unwrap();
        assert_eq!(finding.cause, "never-at-rest");
        let told = "3 times while it was waited for 90 s without a change";
        assert!(finding.message.contains(told), "{}", finding.message);
        assert_eq!(
            finding.evidence,
            ["Cluster n/c: changed 3 times, last to resourceVersion 4"]
        );
        // It has come to rest, if another one has not.
        tokio::time::advance(2 * QUIET).await;
        assert!(rest.finding(&goal, 2 * QUIET).is_none());
        // One reconciliation, in several requests.
        rest.begin_anew();
        for version in ["5", "6", "7"] {
            rest.look(&goal, &at(version, 2));
        }
        assert!(rest.is_disturbed() && rest.finding(&goal, QUIET).is_none());
        // What is asked for is counted from the arrival on.
        assert!(rest.contested(&goal).is_none());
        for generation in [3, 4] {
            rest.begin_anew();
            rest.look(&goal, &at(&format!("8{generation}"), generation));
        }
        let finding = rest.contested(&goal).unwrap();
        assert!(
            finding.message.contains("3 times its spec"),
            "{}",
            finding.message
        );
    }
}
