//! The checks of a run, each with its answers before and after the upgrade, in the order in which they
//! were first run.
//!
//! The stream holds the answers of each round as they came. They are put together by three readers that go
//! along it side by side, so what is in memory is only what came out of order, not all checks.

use std::collections::HashMap;
use std::path::Path;

use anyhow::Result;

use crate::record::{self, Change, CheckResult, Event, Head, Phase, What};

/// One check, as far as the stream knows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Pair {
    /// Its answer before the upgrade.
    pub before: Option<Answer>,
    /// Its answer after the upgrade.
    pub after: Option<Answer>,
    /// What the two mean together; absent when the run ended before they were compared.
    pub change: Option<Change>,
}

/// An answer and when it came.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// What the check said.
    pub result: CheckResult,
    /// In milliseconds of the run.
    pub at_ms: u64,
}

impl Pair {
    /// The answer that tells what the check is: the first one.
    ///
    /// # Panics
    /// Never: a pair has at least one answer.
    #[must_use]
    pub fn first(&self) -> &CheckResult {
        let first = self.before.as_ref().or(self.after.as_ref());
        &first.expect("a pair has an answer").result
    }

    /// The answer that tells how it is now: the one after the upgrade, unless the check is not meant for
    /// that side and has one before it.
    #[must_use]
    pub fn latest(&self) -> &Answer {
        let after = self.after.as_ref();
        let meant = after.filter(|after| !after.result.excluded);
        meant
            .or(self.before.as_ref())
            .or(after)
            .expect("a pair has an answer")
    }

    /// Why a failure of it is accepted.
    #[must_use]
    pub fn accepted(&self) -> Option<&str> {
        let mut answers = [&self.before, &self.after].into_iter().flatten();
        answers.find_map(|answer| answer.result.accepted.as_deref())
    }
}

/// Which events of a stream count.
#[derive(Clone, Copy, Debug)]
pub struct Scope {
    /// The position of the last one: a stream that grows is looked at up to there.
    pub end: u64,
    /// The position at which each phase began the last time: answers of an earlier attempt do not count.
    pub began: [u64; Phase::ALL.len()],
}

impl Scope {
    /// Whether an event counts.
    #[must_use]
    pub fn counts(&self, event: &Event) -> bool {
        let superseded = match &event.what {
            What::Check(check) => event.seq < self.began[check.phase as usize],
            _ => false,
        };
        event.seq <= self.end && !superseded
    }
}

/// Reads the pairs of a stream.
pub struct Pairs {
    befores: Events,
    afters: Events,
    changes: Events,
    /// Answers after the upgrade, and changes, that were read before their turn.
    early_afters: HashMap<String, (u64, Answer)>,
    early_changes: HashMap<String, Change>,
    /// What was asked after the upgrade only, in its order, once everything else was told.
    rest: Option<std::vec::IntoIter<Answer>>,
}

type Events = Box<dyn Iterator<Item = Result<Event>>>;

impl Pairs {
    /// Starts to read; events outside of the scope are not looked at.
    ///
    /// # Errors
    /// When the stream cannot be opened.
    pub fn read(stream: &Path, scope: Scope) -> Result<Self> {
        let events = |is_wanted: fn(&Head<'_>) -> bool| -> Result<Events> {
            let within = move |event: &Result<Event>| match event {
                Ok(event) => event.seq <= scope.end,
                Err(_) => true,
            };
            let counts = move |event: &Result<Event>| match event {
                Ok(event) => scope.counts(event),
                Err(_) => true,
            };
            let events = record::read_if(stream, is_wanted)?;
            let events = events.take_while(within).filter(counts);
            Ok(Box::new(events))
        };
        Ok(Self {
            befores: events(|head| head.kind == "check" && head.phase < Some(Phase::Upgrade))?,
            afters: events(|head| head.kind == "check" && head.phase >= Some(Phase::Upgrade))?,
            changes: events(|head| head.kind == "compared")?,
            early_afters: HashMap::new(),
            early_changes: HashMap::new(),
            rest: None,
        })
    }

    fn next_before(&mut self) -> Result<Option<Answer>> {
        for event in self.befores.by_ref() {
            let event = event?;
            if let Some(answer) = answer(event) {
                return Ok(Some(answer));
            }
        }
        Ok(None)
    }

    fn after(&mut self, id: &str) -> Result<Option<Answer>> {
        if let Some((_, answer)) = self.early_afters.remove(id) {
            return Ok(Some(answer));
        }
        for event in self.afters.by_ref() {
            let event = event?;
            let seq = event.seq;
            if let Some(answer) = answer(event) {
                if answer.result.id == id {
                    return Ok(Some(answer));
                }
                let id = answer.result.id.clone();
                self.early_afters.insert(id, (seq, answer));
            }
        }
        Ok(None)
    }

    fn change(&mut self, id: &str) -> Result<Option<Change>> {
        if let Some(change) = self.early_changes.remove(id) {
            return Ok(Some(change));
        }
        for event in self.changes.by_ref() {
            if let What::Compared { check, change, .. } = event?.what {
                if check == id {
                    return Ok(Some(change));
                }
                self.early_changes.insert(check, change);
            }
        }
        Ok(None)
    }

    fn next_rest(&mut self) -> Result<Option<Answer>> {
        if self.rest.is_none() {
            let mut rest: Vec<_> = self.early_afters.drain().map(|(_, one)| one).collect();
            for event in self.afters.by_ref() {
                let event = event?;
                let seq = event.seq;
                rest.extend(answer(event).map(|answer| (seq, answer)));
            }
            rest.sort_by_key(|(seq, _)| *seq);
            let rest: Vec<_> = rest.into_iter().map(|(_, answer)| answer).collect();
            self.rest = Some(rest.into_iter());
        }
        Ok(self.rest.as_mut().and_then(Iterator::next))
    }

    fn next_pair(&mut self) -> Result<Option<Pair>> {
        let (before, after) = match self.next_before()? {
            Some(before) => {
                let after = self.after(&before.result.id)?;
                (Some(before), after)
            }
            None => match self.next_rest()? {
                Some(after) => (None, Some(after)),
                None => return Ok(None),
            },
        };
        let mut pair = Pair {
            before,
            after,
            change: None,
        };
        let id = pair.first().id.clone();
        pair.change = self.change(&id)?;
        Ok(Some(pair))
    }
}

impl Iterator for Pairs {
    type Item = Result<Pair>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_pair().transpose()
    }
}

fn answer(event: Event) -> Option<Answer> {
    let at_ms = event.elapsed_ms;
    match event.what {
        What::Check(result) => Some(Answer { result, at_ms }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::record::{Clock, Outcome, Recorder, Severity};

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

    fn compared(id: &str, change: Change) -> What {
        What::Compared {
            check: id.to_owned(),
            before: None,
            after: None,
            change,
        }
    }

    /// The pairs as `id before after change`.
    fn pairs(events: Vec<What>, end: u64) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::starting_at(Timestamp::UNIX_EPOCH);
        let recorder = Recorder::create(folder.path(), clock, vec![]).unwrap();
        for what in events {
            recorder.emit(what);
        }
        let shown = |pair: Pair| {
            let is = |answer: &Option<Answer>| if answer.is_some() { "yes" } else { "no" };
            let change = pair.change.map(|change| change.to_string());
            let (before, after) = (is(&pair.before), is(&pair.after));
            let id = &pair.first().id;
            format!("{id} {before} {after} {}", change.unwrap_or_default())
        };
        let scope = Scope {
            end,
            began: [0; Phase::ALL.len()],
        };
        let pairs = Pairs::read(recorder.path(), scope).unwrap();
        pairs.map(|pair| shown(pair.unwrap())).collect()
    }

    fn mixed() -> Vec<What> {
        use Phase::{CheckAfter, CheckBefore};
        vec![
            check(CheckBefore, "a"),
            check(CheckBefore, "gone"),
            check(CheckBefore, "b"),
            check(CheckAfter, "new-2"),
            check(CheckAfter, "b"),
            check(CheckAfter, "a"),
            check(CheckAfter, "new-1"),
            compared("b", Change::Fixed),
            compared("a", Change::Kept),
        ]
    }

    #[tokio::test(start_paused = true)]
    async fn answers_find_each_other_whatever_their_order() {
        let told = pairs(mixed(), u64::MAX);
        let expected = [
            "a yes yes kept",
            "gone yes no ",
            "b yes yes fixed",
            "new-2 no yes ",
            "new-1 no yes ",
        ];
        assert_eq!(told, expected);
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_after_the_end_is_not_looked_at() {
        assert_eq!(
            pairs(mixed(), 4),
            ["a yes no ", "gone yes no ", "b yes yes ", "new-2 no yes "]
        );
        assert_eq!(pairs(vec![], u64::MAX), [""; 0]);
    }
    #[test]
    fn what_an_earlier_attempt_at_a_phase_said_does_not_count() {
        let mut began = [0; Phase::ALL.len()];
        began[Phase::CheckAfter as usize] = 5;
        let scope = Scope { end: 9, began };
        let event = |seq, phase| Event {
            seq,
            at: Timestamp::UNIX_EPOCH,
            elapsed_ms: 0,
            what: check(phase, "a"),
        };
        assert!(!scope.counts(&event(4, Phase::CheckAfter)));
        assert!(scope.counts(&event(6, Phase::CheckAfter)));
        assert!(scope.counts(&event(4, Phase::CheckBefore)));
        assert!(!scope.counts(&event(10, Phase::CheckAfter)));
    }
}
