//! The two rounds of checks again, of the clusters as they were recorded before and after the upgrade.

use jiff::Timestamp;
use kube::Client;

use super::comparison;
use super::phases::{Done, Phases};
use super::run::Ending;
use super::trouble::Trouble;
use crate::checks::{self, ManagementTarget, Shared, Target};
use crate::cluster::Context;
use crate::record::{CheckResult, Clock, Counts, Phase, Verdict, What};
use crate::suite::{self, Acceptance, Memory, Place, Round, Suite};

/// Where clusters come from that were recorded, as reports tell it.
pub const RECORDED: &str = "recording";

/// The clusters at a moment.
pub struct Then {
    /// The moment.
    pub at: Timestamp,
    /// The workload cluster.
    pub workload: Client,
    /// The management cluster.
    pub management: Option<Client>,
    /// The version of Kubernetes that the cluster was to have.
    pub kubernetes: String,
}

/// What is asked of which recorded run.
pub struct RecordedPlan {
    /// The suites.
    pub suites: Vec<Suite>,
    /// The run's namespace on the management cluster.
    pub namespace: String,
    /// The Cluster's name.
    pub cluster: String,
    /// Before the upgrade.
    pub before: Then,
    /// After it, or where the run ended.
    pub after: Then,
    /// The verdict of a run that did not get to its checks after the upgrade, and the reason.
    pub ended_early: Option<(Verdict, String)>,
}

/// Asks the checks of both moments, and compares.
pub async fn judge_recorded(plan: &RecordedPlan, context: &Context) -> Ending {
    let phases = Phases::new(context, None);
    let memory = Memory::default();
    let checks = super::check::CHECKS;
    let judged = async {
        let round = ask(
            plan,
            Phase::CheckBefore,
            &plan.before,
            None,
            &memory,
            context,
        );
        let before = phases.run(Phase::CheckBefore, checks, round).await?;
        let round = ask(
            plan,
            Phase::CheckAfter,
            &plan.after,
            Some(&plan.before.kubernetes),
            &memory,
            context,
        );
        let after = phases.run(Phase::CheckAfter, checks, round).await?;
        Ok((before, after))
    };
    let (verdict, reason, counts) = match judged.await {
        Ok((before, after)) => {
            let compared = comparison::compare(&before, &after);
            for one in &compared {
                context.emit(What::Compared {
                    check: one.id.to_owned(),
                    before: one.before.map(|result| result.outcome),
                    after: one.after.map(|result| result.outcome),
                    change: one.change,
                });
            }
            let (verdict, reason) = match (comparison::verdict(&compared), &plan.ended_early) {
                // Checks that pass do not make up for an upgrade that did not end.
                ((Verdict::Open, _), Some((verdict, why))) => (
                    *verdict,
                    format!(
                        "these checks do not fail; the recorded run ended before its own: {why}"
                    ),
                ),
                (shown, _) => shown,
            };
            (verdict, reason, comparison::counts(&compared))
        }
        Err(Trouble::Interrupted | Trouble::Aborted(_)) => {
            let reason = Trouble::Interrupted.to_string();
            (Verdict::Interrupted, reason, Counts::default())
        }
        Err(trouble) => (Verdict::None, trouble.to_string(), Counts::default()),
    };
    let judge = async {
        context.emit(What::Verdict {
            verdict,
            reason: reason.clone(),
            counts,
        });
        Ok(((), None))
    };
    // It only tells, so it cannot end badly.
    let _ = phases.run(Phase::Verdict, checks, judge).await;
    Ending {
        verdict,
        reason,
        kept: Vec::new(),
    }
}

/// The answers at a moment.
async fn ask(
    plan: &RecordedPlan,
    phase: Phase,
    then: &Then,
    upgraded_from: Option<&str>,
    memory: &Memory,
    context: &Context,
) -> Result<Done<Vec<CheckResult>>, Trouble> {
    // What ages is judged as it was then.
    let context = &context.judging_by(Clock::starting_at(then.at));
    let management = then.management.as_ref().map(|client| ManagementTarget {
        client,
        namespace: &plan.namespace,
        cluster: &plan.cluster,
    });
    let shared = Shared::default();
    let target = Target {
        management,
        upgraded_from,
        ..Target::alone(context, &then.workload, &then.kubernetes, &shared)
    };
    let place = Place {
        engine: RECORDED.to_owned(),
        surroundings: checks::surroundings::see(&target).await,
        kubeconfig: None,
        read_only: true,
    };
    let round = Round {
        suites: &plan.suites,
        accepted: Acceptance {
            entries: &[],
            ok_to_fail: &[],
        },
        phase,
        place: &place,
        memory,
    };
    let results = suite::run(&target, round).await;
    if context.interrupt.is_raised() {
        return Err(Trouble::Interrupted);
    }
    let message = suite::tally(&results);
    Ok((results, Some(message)))
}
