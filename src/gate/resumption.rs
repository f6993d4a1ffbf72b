//! From where a run can go on whose process is gone, by what its stream tells.

use std::time::Duration;

use jiff::Timestamp;

use crate::record::{CheckResult, Event, Phase, PhaseOutcome, RunId, What};

/// What a run had come to when its process ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Resumption {
    /// The run.
    pub run: RunId,
    /// When it began.
    pub began: Timestamp,
    /// The last moment that was told of, since then.
    pub told: Duration,
    /// How many events there are.
    pub events: u64,
    /// The phase after the last one that was finished.
    pub next: Phase,
    /// The checks' answers before the upgrade.
    pub before: Vec<CheckResult>,
    /// Those after it.
    pub after: Vec<CheckResult>,
}

/// Why nobody can go on with a run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It came to its end.
    #[error("it has ended")]
    Ended,
    /// There is nothing that could be gone on with.
    #[error("it had no management cluster yet")]
    TooEarly,
    /// What it is about was decided.
    #[error("{0} had failed, so that only its verdict and its teardown were missing")]
    Failed(Phase),
    /// There is nothing left but to remove its clusters.
    #[error("it had its verdict, so that only its teardown was missing")]
    Judged,
    /// It does not upgrade anything.
    #[error("it is no run of `stackgate run`")]
    NoUpgrade,
}

impl Resumption {
    /// Reads what a run had come to.
    ///
    /// # Errors
    /// When nobody can go on with it.
    pub fn of(events: impl IntoIterator<Item = Event>) -> Result<Self, Refusal> {
        let mut found: Option<Self> = None;
        let mut outcomes: [Option<PhaseOutcome>; Phase::ALL.len()] = Default::default();
        for event in events {
            let Some(found) = &mut found else {
                let What::RunStarted { run, delivery, .. } = event.what else {
                    return Err(Refusal::NoUpgrade);
                };
                if delivery == crate::record::NO_DELIVERY {
                    return Err(Refusal::NoUpgrade);
                }
                found = Some(Self {
                    run,
                    began: event.at,
                    told: Duration::ZERO,
                    events: 1,
                    next: Phase::Preflight,
                    before: Vec::new(),
                    after: Vec::new(),
                });
                continue;
            };
            found.events = event.seq + 1;
            found.told = Duration::from_millis(event.elapsed_ms);
            match event.what {
                What::PhaseStarted { phase, .. } => {
                    outcomes[phase as usize] = None;
                    found.answers(phase).into_iter().for_each(Vec::clear);
                }
                What::PhaseFinished { phase, outcome, .. } => {
                    outcomes[phase as usize] = Some(outcome);
                }
                What::Check(check) => {
                    let phase = check.phase;
                    found
                        .answers(phase)
                        .into_iter()
                        .for_each(|answers| answers.push(check.clone()));
                }
                What::RunFinished { .. } => return Err(Refusal::Ended),
                _ => {}
            }
        }
        let mut found = found.ok_or(Refusal::TooEarly)?;
        for phase in Phase::ALL {
            found.next = phase;
            match &outcomes[phase as usize] {
                Some(PhaseOutcome::Passed) => {}
                Some(_) => return Err(Refusal::Failed(phase)),
                None => break,
            }
        }
        match found.next {
            Phase::Preflight | Phase::Management => Err(Refusal::TooEarly),
            Phase::Teardown => Err(Refusal::Judged),
            _ => Ok(found),
        }
    }

    fn answers(&mut self, phase: Phase) -> Option<&mut Vec<CheckResult>> {
        match phase {
            Phase::CheckBefore => Some(&mut self.before),
            Phase::CheckAfter => Some(&mut self.after),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{FORMAT, Outcome, ReleaseRef, Severity};

    fn started(delivery: &str) -> What {
        let release = || ReleaseRef {
            tag: "demo-1".to_owned(),
            kubernetes: "v1.35.0".to_owned(),
        };
        What::RunStarted {
            run: "7f3a09bc".parse().unwrap(),
            format: FORMAT,
            version: String::new(),
            stack: "demo".to_owned(),
            from: release(),
            to: release(),
            engine: "kind".to_owned(),
            delivery: delivery.to_owned(),
            command: vec![],
            rehearsal: None,
        }
    }

    fn begins(phase: Phase) -> What {
        What::PhaseStarted {
            phase,
            deadline_s: 60,
        }
    }

    fn ends(phase: Phase, outcome: PhaseOutcome) -> What {
        What::PhaseFinished {
            phase,
            outcome,
            seconds: 1.0,
            message: None,
        }
    }

    fn check(phase: Phase, id: &str) -> What {
        What::Check(CheckResult {
            phase,
            id: id.to_owned(),
            title: String::new(),
            suite: String::new(),
            severity: Severity::Must,
            outcome: Outcome::Pass,
            message: String::new(),
            evidence: vec![],
            seconds: 0.0,
            accepted: None,
            standard: None,
            excluded: false,
            surroundings: Default::default(),
        })
    }

    /// A run whose phases up to this one passed, killed in the next.
    fn killed_in(killed: Phase) -> Vec<What> {
        let mut told = vec![started("direct")];
        for phase in Phase::ALL.into_iter().filter(|phase| *phase < killed) {
            told.push(begins(phase));
            if matches!(phase, Phase::CheckBefore | Phase::CheckAfter) {
                told.push(check(phase, "dns"));
            }
            told.push(ends(phase, PhaseOutcome::Passed));
        }
        told.push(begins(killed));
        told
    }

    fn read(told: Vec<What>) -> Result<Resumption, Refusal> {
        let events = told.into_iter().enumerate().map(|(seq, what)| Event {
            seq: seq as u64,
            at: Timestamp::UNIX_EPOCH,
            elapsed_ms: seq as u64 * 1000,
            what,
        });
        Resumption::of(events)
    }

    #[test]
    fn it_goes_on_with_the_phase_after_the_last_one_that_was_finished() {
        use Phase::{CheckAfter, CheckBefore, Create, Release, Upgrade};
        for (phase, before, after) in [
            (Release, 0, 0),
            (Create, 0, 0),
            (CheckBefore, 0, 0),
            (Upgrade, 1, 0),
            (CheckAfter, 1, 0),
            (Phase::Verdict, 1, 1),
        ] {
            let found = read(killed_in(phase)).unwrap();
            let answers = (found.before.len(), found.after.len());
            assert_eq!((found.next, answers), (phase, (before, after)));
            assert_eq!(found.told, Duration::from_secs(found.events - 1));
        }
        // Between two phases, too.
        let mut told = killed_in(Upgrade);
        told.pop();
        assert_eq!(read(told).unwrap().next, Upgrade);
    }

    #[test]
    fn what_an_attempt_had_told_that_was_not_finished_does_not_count() {
        let mut told = killed_in(Phase::CheckBefore);
        told.push(check(Phase::CheckBefore, "dns"));
        told.push(ends(Phase::CheckBefore, PhaseOutcome::Aborted));
        told.push(begins(Phase::CheckBefore));
        told.push(check(Phase::CheckBefore, "nodes"));
        let found = read(told.clone()).unwrap();
        assert_eq!(found.next, Phase::CheckBefore);
        told.push(ends(Phase::CheckBefore, PhaseOutcome::Passed));
        let found = read(told).unwrap();
        let ids: Vec<&str> = found.before.iter().map(|check| check.id.as_str()).collect();
        assert_eq!((found.next, ids), (Phase::Upgrade, vec!["nodes"]));
    }

    #[test]
    fn what_nobody_can_go_on_with_is_told() {
        let ended = || What::RunFinished {
            exit_code: 0,
            seconds: 1.0,
        };
        let with = |mut told: Vec<What>, last: What| {
            told.push(last);
            told
        };
        let failed = ends(Phase::Upgrade, PhaseOutcome::Failed);
        for (told, refusal) in [
            (vec![], Refusal::TooEarly),
            (vec![begins(Phase::Create)], Refusal::NoUpgrade),
            (
                vec![started(crate::record::NO_DELIVERY)],
                Refusal::NoUpgrade,
            ),
            (killed_in(Phase::Preflight), Refusal::TooEarly),
            (killed_in(Phase::Management), Refusal::TooEarly),
            (killed_in(Phase::Teardown), Refusal::Judged),
            (
                with(killed_in(Phase::Upgrade), failed),
                Refusal::Failed(Phase::Upgrade),
            ),
            (with(killed_in(Phase::Teardown), ended()), Refusal::Ended),
        ] {
            assert_eq!(read(told), Err(refusal));
        }
    }
}
