//! The catalogue of faults: what can be made to go wrong in a rehearsal, by name.

use std::fmt;
use std::str::FromStr;

use kubesim::{Fault, cso};

use crate::record::Phase;

/// What a fault must do to a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// It closes the gate, with its cause in the report.
    Fatal,
    /// It is an accident of the connection, and must not change the verdict.
    Transport,
}

/// Where a fault is injected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// In the simulated cluster, which heeds it.
    Simulated(Fault),
    /// With the addons: between stackgate's own delivery and the API server, or in the operator.
    Addons(AddonFault),
    /// With the Cluster Stack Operator.
    Operator(OperatorFault),
}

/// What goes wrong with the Cluster Stack Operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OperatorFault {
    /// With its process.
    Own(cso::Fault),
    /// Its note of the upgrade's hook is there already.
    Remembers,
    /// An addon is deleted after the upgrade, which it does not notice.
    Drift,
}

/// What goes wrong with the addons that are delivered to the workload cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum AddonFault {
    /// A workload that is there already stays as it is, though its update is answered with success.
    LeftBehind,
    /// What is not there yet is not created, though that is answered with success.
    StageSkipped,
    /// What is dropped stays, though its removal is answered with success.
    NotPruned,
    /// The first DaemonSet is deleted right after it was applied.
    NetworkDeleted,
}

/// A fault as the catalogue has it.
#[derive(Debug, PartialEq, Eq)]
pub struct Known {
    /// Its name, as it is given to `--fault`.
    pub name: &'static str,
    /// What happens, in one line.
    pub description: &'static str,
    /// In which phase it begins when none is given; one of [`Known::phases`].
    pub phase: Phase,
    /// The phases in which it can do harm: it is refused in any other, where it would be waited for in vain.
    pub phases: &'static [Phase],
    /// What it must do to a verdict.
    pub class: Class,
    pub(super) act: Act,
}

impl Known {
    /// Whether it can only happen where the Cluster Stack Operator delivers.
    #[must_use]
    pub const fn needs_operator(&self) -> bool {
        matches!(self.act, Act::Operator(_))
    }

    /// Whether it can only happen where node images come from a provider of their own.
    #[must_use]
    pub fn needs_provider(&self) -> bool {
        self.act == Act::Operator(OperatorFault::Own(cso::Fault::ProviderFails))
    }
}

const fn simulated(fault: Fault, phases: Phases, class: Class) -> Known {
    Known {
        name: fault.name(),
        description: fault.description(),
        phase: phases.0,
        phases: phases.1,
        class,
        act: Act::Simulated(fault),
    }
}

const fn addons(
    name: &'static str,
    description: &'static str,
    phases: Phases,
    fault: AddonFault,
) -> Known {
    Known {
        name,
        description,
        phase: phases.0,
        phases: phases.1,
        class: Class::Fatal,
        act: Act::Addons(fault),
    }
}

const fn operator(
    name: &'static str,
    description: &'static str,
    phases: Phases,
    fault: OperatorFault,
) -> Known {
    Known {
        name,
        description,
        phase: phases.0,
        phases: phases.1,
        class: Class::Fatal,
        act: Act::Operator(fault),
    }
}

use Class::{Fatal, Transport};
use Phase::{CheckAfter, CheckBefore, Create, Management, Release, Upgrade};

/// The phase in which a fault begins when none is given, and those in which it can.
type Phases = (Phase, &'static [Phase]);

/// Once the checks after the upgrade run, nothing is delivered any more.
const AT_UPGRADE: Phases = (Upgrade, &[Upgrade]);
/// Machines come, images are pulled and addons are applied at both.
const WHILE_IT_GROWS: Phases = (Upgrade, &[Create, Upgrade]);
/// While there is a workload cluster.
const WHILE_IT_LIVES: Phases = (Upgrade, &[Create, CheckBefore, Upgrade, CheckAfter]);
/// Once the first release is there, until nothing is waited for any more.
const UNTIL_IT_ARRIVES: Phases = (Upgrade, &[Create, CheckBefore, Upgrade]);
const ONCE_ARRIVED: Phases = (CheckAfter, &[CheckAfter]);
/// While there is any cluster.
const ALWAYS: Phases = (
    Management,
    &[
        Management,
        Release,
        Create,
        CheckBefore,
        Upgrade,
        CheckAfter,
    ],
);
/// While something is applied or patched: checks only create and delete.
const WHILE_WRITTEN: Phases = (Management, &[Management, Release, Create, Upgrade]);
const AT_CREATE: Phases = (Create, &[Create]);
/// The second release is made available while the cluster is created from the first.
const WHILE_PROVIDED: Phases = (Release, &[Release, Create]);

/// Every fault.
static CATALOGUE: [&[Known]; 4] = [&ADDONS, &OPERATOR, &CLUSTERS, &CONNECTIONS];

static OPERATOR: [Known; 10] = [
    operator(
        "hook-stuck",
        "the operator loses half of its note of the upgrade, and blocks it for ever",
        AT_UPGRADE,
        OperatorFault::Own(cso::Fault::LosesHook),
    ),
    operator(
        "operator-restart",
        "the operator restarts between two addons of the upgrade, and its registry has the release before no more",
        AT_UPGRADE,
        OperatorFault::Own(cso::Fault::RestartsMidway),
    ),
    operator(
        "operator-locked-up",
        "the operator restarts between two addons, its registry lacks the release before for a minute, and its controller locks up",
        AT_UPGRADE,
        OperatorFault::Own(cso::Fault::LocksUp),
    ),
    operator(
        "hook-kept",
        "the operator does not clear the hook when its addons are done",
        WHILE_IT_GROWS,
        OperatorFault::Own(cso::Fault::KeepsHook),
    ),
    operator(
        "hook-passed",
        "the operator takes the upgrade for one that it has seen, and lets it go without its addons",
        AT_UPGRADE,
        OperatorFault::Remembers,
    ),
    operator(
        "operator-crash-loop",
        "the operator panics whenever it reads the release before",
        AT_UPGRADE,
        OperatorFault::Own(cso::Fault::Panics),
    ),
    operator(
        "release-not-downloaded",
        "the operator's registry has none of the releases that it has not downloaded yet",
        WHILE_PROVIDED,
        OperatorFault::Own(cso::Fault::DownloadFails),
    ),
    operator(
        "provider-object-not-ready",
        "the provider of node images has those of no release any more, and the operator keeps calling the releases ready",
        UNTIL_IT_ARRIVES,
        OperatorFault::Own(cso::Fault::ProviderFails),
    ),
    operator(
        "stack-columns-wrong",
        "the operator lists one usable version of a ClusterStack again and again, and its latest one in another form",
        WHILE_PROVIDED,
        OperatorFault::Own(cso::Fault::MiscountsVersions),
    ),
    operator(
        "addon-drift",
        "a Deployment of the addons is deleted after the upgrade, and the operator does not notice",
        ONCE_ARRIVED,
        OperatorFault::Drift,
    ),
];

static ADDONS: [Known; 4] = [
    addons(
        "addon-left-behind",
        "an addon's workloads stay at the old version, and are Ready",
        AT_UPGRADE,
        AddonFault::LeftBehind,
    ),
    addons(
        "addon-stage-skipped",
        "what the new release adds is not created, though its stage is reported as done",
        AT_UPGRADE,
        AddonFault::StageSkipped,
    ),
    addons(
        "addon-not-pruned",
        "what the new release drops stays",
        AT_UPGRADE,
        AddonFault::NotPruned,
    ),
    addons(
        "cni-deleted",
        "the DaemonSet of the network is deleted at the upgrade",
        WHILE_IT_GROWS,
        AddonFault::NetworkDeleted,
    ),
];

static CLUSTERS: [Known; 12] = [
    simulated(Fault::WorkerNeverReady, WHILE_IT_GROWS, Fatal),
    simulated(Fault::ControlPlaneJoinFails, WHILE_IT_GROWS, Fatal),
    simulated(Fault::ImagePullFails, WHILE_IT_GROWS, Fatal),
    simulated(Fault::DrainBlocked, AT_UPGRADE, Fatal),
    simulated(Fault::VolumeLost, AT_UPGRADE, Fatal),
    simulated(Fault::NodeLosesLabels, AT_UPGRADE, Fatal),
    simulated(Fault::WebhookDown, WHILE_IT_LIVES, Fatal),
    simulated(Fault::CertificateExpired, WHILE_IT_LIVES, Fatal),
    simulated(Fault::PolicyGap, AT_UPGRADE, Fatal),
    simulated(Fault::CniStepSkipped, AT_UPGRADE, Fatal),
    simulated(Fault::UnexpectedRollout, ONCE_ARRIVED, Fatal),
    simulated(Fault::NeverAtRest, ONCE_ARRIVED, Fatal),
];

static CONNECTIONS: [Known; 8] = [
    simulated(Fault::ApiServerAway, WHILE_IT_LIVES, Transport),
    simulated(Fault::WatchCut, ALWAYS, Transport),
    simulated(Fault::EventLost, ALWAYS, Transport),
    simulated(Fault::Gone, ALWAYS, Transport),
    simulated(Fault::Conflict, WHILE_WRITTEN, Transport),
    simulated(Fault::Throttled, ALWAYS, Transport),
    simulated(Fault::Slow, ALWAYS, Transport),
    simulated(Fault::ClockSkew, AT_CREATE, Transport),
];

/// Every fault there is.
pub fn catalogue() -> impl Iterator<Item = &'static Known> {
    CATALOGUE.into_iter().flatten()
}

/// A fault that is to be injected, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Injected {
    /// Which.
    pub fault: &'static Known,
    /// When the run enters this phase.
    pub phase: Phase,
}

impl fmt::Display for Injected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.fault.name, slug(self.phase))
    }
}

impl From<&'static Known> for Injected {
    fn from(fault: &'static Known) -> Self {
        let phase = fault.phase;
        Self { fault, phase }
    }
}

/// A phase as it is typed: without spaces.
fn slug(phase: Phase) -> String {
    phase.name().replace(' ', "-")
}

/// Phases as they are typed.
pub fn listed(phases: &[Phase]) -> String {
    let slugs: Vec<String> = phases.iter().copied().map(slug).collect();
    slugs.join(", ")
}

/// The text names no fault.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidFault {
    /// There is none of this name.
    #[error(
        "there is no fault '{name}'{}; `stackgate faults` lists them",
        nearest.map(|nearest| format!("; did you mean '{nearest}'?")).unwrap_or_default()
    )]
    Unknown {
        /// What was given.
        name: String,
        /// What may have been meant.
        nearest: Option<&'static str>,
    },
    /// There is no such phase.
    #[error("there is no phase '{0}'; expected one of {1}")]
    Phase(String, String),
    /// Nothing could come of it in that phase.
    #[error(
        "fault {} cannot happen in phase {}; it can in {}",
        .0.fault.name, slug(.0.phase), listed(.0.fault.phases)
    )]
    Idle(Injected),
}

impl FromStr for Injected {
    type Err = InvalidFault;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, phase) = match text.split_once('@') {
            Some((name, phase)) => (name, Some(phase)),
            None => (text, None),
        };
        let fault = catalogue().find(|known| known.name == name);
        let fault = fault.ok_or_else(|| InvalidFault::Unknown {
            name: name.to_owned(),
            nearest: nearest(name),
        })?;
        let Some(given) = phase else {
            return Ok(fault.into());
        };
        let phase = Phase::ALL.into_iter().find(|phase| slug(*phase) == given);
        let phase =
            phase.ok_or_else(|| InvalidFault::Phase(given.to_owned(), listed(&Phase::ALL)))?;
        let injected = Self { fault, phase };
        if fault.phases.contains(&phase) {
            Ok(injected)
        } else {
            Err(InvalidFault::Idle(injected))
        }
    }
}

/// The name that is most like the given one, if one is.
fn nearest(given: &str) -> Option<&'static str> {
    let like = |known: &&'static Known| distance(given, known.name);
    let nearest = catalogue().min_by_key(like)?;
    let close = like(&nearest) <= nearest.name.len().div_ceil(3);
    let part = catalogue().find(|known| given.len() >= 4 && known.name.contains(given));
    close.then_some(nearest).or(part).map(|known| known.name)
}

/// How many letters have to be put in, left out or changed to make one word of the other (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in other.bytes().enumerate() {
            let change = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_name_is_there_once_and_reads_back() {
        let names: BTreeSet<_> = catalogue().map(|known| known.name).collect();
        assert_eq!(names.len(), catalogue().count());
        for known in catalogue() {
            let injected: Injected = known.name.parse().unwrap();
            assert_eq!((injected.fault, injected.phase), (known, known.phase));
            assert_eq!(injected.to_string().parse(), Ok(injected));
            assert!(!known.description.contains('\n'));
            assert!(known.phases.contains(&known.phase), "{}", known.name);
        }
    }

    #[test]
    fn every_fault_that_a_simulated_cluster_knows_is_in_the_catalogue() {
        for fault in Fault::ALL {
            let act = Act::Simulated(*fault);
            assert!(catalogue().any(|known| known.act == act), "{fault}");
        }
    }

    #[test]
    fn a_phase_is_given_after_the_name() {
        let injected: Injected = "slow@check-after".parse().unwrap();
        assert_eq!(injected.phase, Phase::CheckAfter);
        let error = "slow@later".parse::<Injected>().unwrap_err().to_string();
        assert!(
            error.contains("'later'; expected one of preflight, management"),
            "{error}"
        );
    }

    #[test]
    fn a_phase_in_which_it_could_do_nothing_is_refused_with_those_in_which_it_can() {
        for known in catalogue() {
            for phase in Phase::ALL {
                let given = format!("{}@{}", known.name, slug(phase));
                let read = given.parse::<Injected>();
                if known.phases.contains(&phase) {
                    assert_eq!(read.map(|one| one.phase), Ok(phase));
                    continue;
                }
                let error = read.unwrap_err().to_string();
                let all = listed(known.phases);
                assert!(error.ends_with(&format!("; it can in {all}")), "{error}");
            }
        }
        let error = "drain-blocked@create".parse::<Injected>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "fault drain-blocked cannot happen in phase create; it can in upgrade"
        );
    }

    #[test]
    fn a_name_that_is_nearly_right_is_answered_with_the_right_one() {
        for (given, meant) in [
            ("drain-bloked", "drain-blocked"),
            ("cni-delete", "cni-deleted"),
            ("webhook", "webhook-down"),
            ("sloww", "slow"),
        ] {
            let error = given.parse::<Injected>().unwrap_err().to_string();
            assert!(
                error.contains(&format!("did you mean '{meant}'?")),
                "{error}"
            );
        }
        let error = "zzz".parse::<Injected>().unwrap_err().to_string();
        assert_eq!(
            error,
            "there is no fault 'zzz'; `stackgate faults` lists them"
        );
    }
}
