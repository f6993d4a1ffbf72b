//! What must hold of a stream of events.

use std::collections::BTreeMap;

use crate::record::{Effect, Event, Outcome, Phase, PhaseOutcome, Verdict, What};

/// How much longer than its deadline a phase may take: what its waits need to end by themselves.
const GRACE: f64 = 11.0;

/// Everything that does not hold of a stream whose run ended with this verdict.
pub(super) fn violations(events: &[Event], verdict: Verdict) -> Vec<String> {
    let mut found = Vec::new();
    found.extend(gaps(events));
    found.extend(ends(events, verdict));
    found.extend(waits(events));
    found.extend(phases(events));
    if verdict == Verdict::Closed && !has_cause(events) {
        found.push("the gate is closed, and nothing says by what".to_owned());
    }
    found
}

fn gaps(events: &[Event]) -> Option<String> {
    let mut numbered = events.iter().enumerate();
    let (at, _) = numbered.find(|(at, event)| event.seq != *at as u64)?;
    Some(format!("event {at} is missing"))
}

/// The first event, the verdict and the last.
fn ends(events: &[Event], verdict: Verdict) -> Vec<String> {
    let mut found = Vec::new();
    if !matches!(
        events.first().map(|event| &event.what),
        Some(What::RunStarted { .. })
    ) {
        found.push("the stream does not begin with the run".to_owned());
    }
    let told = events.iter().rev().find_map(|event| match &event.what {
        What::Verdict { verdict, .. } => Some(*verdict),
        _ => None,
    });
    match told {
        None => found.push("there is no verdict in the stream".to_owned()),
        Some(told) if told != verdict => {
            found.push(format!("the stream says {told:?}, the gate {verdict:?}"));
        }
        Some(_) => {}
    }
    if !matches!(
        events.last().map(|event| &event.what),
        Some(What::RunFinished { .. })
    ) {
        found.push("the stream does not end with the run".to_owned());
    }
    found
}

/// Each wait has a deadline, keeps it, and ends.
fn waits(events: &[Event]) -> Vec<String> {
    let mut found = Vec::new();
    // Checks side by side may wait for the same.
    let mut open: BTreeMap<(Phase, &str), Vec<u64>> = BTreeMap::new();
    for event in events {
        match &event.what {
            What::WaitStarted {
                phase,
                what,
                deadline_s,
            } => {
                if *deadline_s == 0 {
                    found.push(format!("the wait for {what} has no deadline"));
                }
                open.entry((*phase, what)).or_default().push(*deadline_s);
            }
            What::Blocked {
                phase,
                what,
                blockers,
            } => {
                if !open.contains_key(&(*phase, what.as_str())) {
                    found.push(format!("what blocks {what} is told outside of its wait"));
                }
                if blockers.is_empty() {
                    found.push(format!("the wait for {what} is blocked by nothing"));
                }
            }
            What::WaitFinished {
                phase,
                what,
                seconds,
                ..
            } => {
                let key = (*phase, what.as_str());
                let waiting = open.get_mut(&key);
                let Some(deadline) = waiting.and_then(Vec::pop) else {
                    found.push(format!("the wait for {what} ends without a beginning"));
                    continue;
                };
                open.retain(|_, waiting| !waiting.is_empty());
                if *seconds > deadline as f64 + 1.0 {
                    found.push(format!(
                        "the wait for {what} took {seconds:.1} s of {deadline} s"
                    ));
                }
            }
            _ => {}
        }
    }
    found.extend(
        open.keys()
            .map(|(phase, what)| format!("the wait for {what} in phase {phase} never ends")),
    );
    found
}

/// Each phase comes in its turn, keeps its deadline and ends; the last one leaves nothing.
fn phases(events: &[Event]) -> Vec<String> {
    let mut found = Vec::new();
    let mut running: Option<(Phase, u64)> = None;
    let mut ended = Vec::new();
    for event in events {
        match &event.what {
            What::PhaseStarted { phase, deadline_s } => {
                if let Some((other, _)) = running.replace((*phase, *deadline_s)) {
                    found.push(format!("phase {phase} begins within {other}"));
                }
            }
            What::PhaseFinished {
                phase,
                outcome,
                seconds,
                message,
            } => {
                ended.push(*phase);
                let started = running.take_if(|(running, _)| running == phase);
                let skipped = matches!(outcome, PhaseOutcome::Skipped { .. });
                match started {
                    None if !skipped => found.push(format!("phase {phase} ends unbegun")),
                    Some((_, deadline)) if *seconds > deadline as f64 + GRACE => {
                        found.push(format!("phase {phase} took {seconds:.1} s of {deadline} s"));
                    }
                    _ => {}
                }
                if *phase == Phase::Teardown && *outcome != PhaseOutcome::Passed {
                    let message = message.as_deref().unwrap_or_default();
                    found.push(format!("the teardown did not pass: {message}"));
                }
            }
            _ => {}
        }
    }
    found.extend(running.map(|(phase, _)| format!("phase {phase} never ends")));
    if ended != Phase::ALL {
        let told: Vec<&str> = ended.iter().map(|phase| phase.name()).collect();
        found.push(format!("the phases are {}", told.join(", ")));
    }
    found
}

/// Whether a closed gate says why: by a finding, or by a check that closes it.
fn has_cause(events: &[Event]) -> bool {
    events.iter().any(|event| match &event.what {
        What::Finding(_) => true,
        What::Check(check) => {
            check.outcome == Outcome::Fail
                && check.accepted.is_none()
                && check.effect() == Effect::Closes
        }
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::started;
    use super::*;
    use crate::record::{Blocker, Counts, Finding, ObjectRef};

    fn numbered(what: Vec<What>) -> Vec<Event> {
        let at = jiff::Timestamp::UNIX_EPOCH;
        let what = what.into_iter().enumerate();
        what.map(|(seq, what)| Event {
            seq: seq as u64,
            at,
            elapsed_ms: 0,
            what,
        })
        .collect()
    }

    fn wait(deadline_s: u64) -> What {
        What::WaitStarted {
            phase: Phase::Create,
            what: "rain".to_owned(),
            deadline_s,
        }
    }

    fn waited(seconds: f64) -> What {
        What::WaitFinished {
            phase: Phase::Create,
            what: "rain".to_owned(),
            satisfied: true,
            seconds,
            reaction_ms: None,
        }
    }

    fn blocked(blockers: Vec<Blocker>) -> What {
        What::Blocked {
            phase: Phase::Create,
            what: "rain".to_owned(),
            blockers,
        }
    }

    fn object() -> ObjectRef {
        ObjectRef::new("workload", "Cloud", "", "a")
    }

    fn phase(phase: Phase, outcome: PhaseOutcome, seconds: f64, within: Vec<What>) -> Vec<What> {
        let begin = What::PhaseStarted {
            phase,
            deadline_s: 5,
        };
        let end = What::PhaseFinished {
            phase,
            outcome,
            seconds,
            message: None,
        };
        [vec![begin], within, vec![end]].concat()
    }

    /// A run in which this happens in phase create.
    fn run(verdict: Verdict, within: Vec<What>) -> Vec<What> {
        let begin = started(None);
        let told = What::Verdict {
            verdict,
            reason: String::new(),
            counts: Counts::default(),
        };
        let end = What::RunFinished {
            exit_code: 0,
            seconds: 1.0,
        };
        let mut all = vec![begin];
        for one in Phase::ALL {
            let within = match one {
                Phase::Create => within.clone(),
                Phase::Verdict => vec![told.clone()],
                _ => Vec::new(),
            };
            all.extend(phase(one, PhaseOutcome::Passed, 1.0, within));
        }
        all.push(end);
        all
    }

    fn told(what: Vec<What>) -> Vec<String> {
        violations(&numbered(what), Verdict::Open)
    }

    #[test]
    fn a_whole_run_violates_nothing() {
        let blocker = Blocker::new(object(), "dry");
        let within = vec![wait(5), blocked(vec![blocker]), waited(5.5)];
        assert_eq!(told(run(Verdict::Open, within)), Vec::<String>::new());
    }

    #[test]
    fn a_wait_needs_a_deadline_keeps_it_and_ends() {
        for (within, expected) in [
            (
                vec![wait(0), waited(0.0)],
                "the wait for rain has no deadline",
            ),
            (
                vec![wait(5), waited(7.0)],
                "the wait for rain took 7.0 s of 5 s",
            ),
            (
                vec![wait(5)],
                "the wait for rain in phase create never ends",
            ),
            (
                vec![wait(5), wait(5), waited(1.0)],
                "the wait for rain in phase create never ends",
            ),
            (
                vec![waited(1.0)],
                "the wait for rain ends without a beginning",
            ),
            (
                vec![blocked(vec![Blocker::new(object(), "dry")])],
                "what blocks rain is told outside of its wait",
            ),
            (
                vec![wait(5), blocked(vec![]), waited(1.0)],
                "the wait for rain is blocked by nothing",
            ),
        ] {
            assert_eq!(told(run(Verdict::Open, within)), [expected]);
        }
    }

    #[test]
    fn a_phase_ends_in_its_turn_and_in_time() {
        let whole = run(Verdict::Open, vec![]);
        let without = |gone: fn(&What) -> bool| {
            let mut some = whole.clone();
            some.retain(|what| !gone(what));
            told(some)
        };
        let found = without(
            |what| matches!(what, What::PhaseFinished { phase, .. } if *phase == Phase::Create),
        );
        assert_eq!(found[0], "phase check before begins within create");
        assert!(
            found[1].starts_with("the phases are preflight, management, release, check before")
        );
        let found = without(
            |what| matches!(what, What::PhaseStarted { phase, .. } if *phase == Phase::Create),
        );
        assert_eq!(found, ["phase create ends unbegun"]);
        let mut late = whole.clone();
        for what in &mut late {
            if let What::PhaseFinished { phase, seconds, .. } = what
                && *phase == Phase::Create
            {
                *seconds = 20.0;
            }
        }
        assert_eq!(told(late), ["phase create took 20.0 s of 5 s"]);
        let mut left = whole.clone();
        for what in &mut left {
            if let What::PhaseFinished {
                phase,
                outcome,
                message,
                ..
            } = what
                && *phase == Phase::Teardown
            {
                *outcome = PhaseOutcome::Aborted;
                *message = Some("left behind: a".to_owned());
            }
        }
        assert_eq!(told(left), ["the teardown did not pass: left behind: a"]);
    }

    #[test]
    fn a_stream_is_whole_and_says_what_the_gate_says() {
        let whole = run(Verdict::Open, vec![]);
        let mut events = numbered(whole.clone());
        events.remove(3);
        assert!(violations(&events, Verdict::Open).contains(&"event 3 is missing".to_owned()));
        let found = violations(&numbered(whole.clone()), Verdict::None);
        assert_eq!(found, ["the stream says Open, the gate None"]);
        let mut silent = whole.clone();
        silent.retain(|what| !matches!(what, What::Verdict { .. }));
        assert_eq!(told(silent), ["there is no verdict in the stream"]);
        let short = whole[..whole.len() - 1].to_vec();
        assert_eq!(told(short), ["the stream does not end with the run"]);
        assert_eq!(
            told(whole[1..].to_vec()),
            ["the stream does not begin with the run"]
        );
    }

    #[test]
    fn a_closed_gate_says_by_what() {
        let closed = |within| violations(&numbered(run(Verdict::Closed, within)), Verdict::Closed);
        assert_eq!(
            closed(vec![]),
            ["the gate is closed, and nothing says by what"]
        );
        let finding = What::Finding(Finding {
            cause: "rain-missing".to_owned(),
            message: "there is no rain".to_owned(),
            object: object(),
            evidence: vec![],
        });
        assert_eq!(closed(vec![finding]), Vec::<String>::new());
    }
}
