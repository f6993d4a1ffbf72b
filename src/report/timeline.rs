//! When what happened: the run as lanes on one axis of time. Draws nothing.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;

use super::probes::{self, Probes};
use super::standing::Standing;
use super::words::Tone;
use super::{containers, objects};
use crate::record::{Blocker, Event, ObjectRef, Phase, PhaseOutcome, What};

/// How many lanes a group may have; a reader loses the thread with more.
const LANES: usize = 60;
/// How many spans a lane may have.
const SPANS: usize = 400;

/// A run on an axis of time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Timeline {
    /// Where the axis ends, in milliseconds of the run.
    pub end_ms: u64,
    /// Lanes that belong together, from top to bottom; none is empty.
    pub groups: Vec<Group>,
}

/// Lanes that belong together.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// What they are.
    pub name: &'static str,
    /// The lanes, by their first moment.
    pub lanes: Vec<Lane>,
    /// How many have no room.
    pub left_out: usize,
}

/// What became of one thing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Lane {
    /// What it is.
    pub name: String,
    /// In the order of time; they do not overlap, unless waits of the same name do.
    pub spans: Vec<Span>,
}

/// Something that lasted, or a moment when both ends are the same.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// In milliseconds of the run.
    pub from_ms: u64,
    /// In milliseconds of the run.
    pub to_ms: u64,
    /// Whether it is good or bad; most are neither.
    pub tone: Option<Tone>,
    /// What it was, and why.
    pub what: String,
}

impl Lane {
    /// Appends a span; what has no room any more goes into the last one's time.
    pub(super) fn push(&mut self, span: Span) {
        if self.spans.len() < SPANS {
            self.spans.push(span);
        } else if let Some(last) = self.spans.last_mut() {
            last.to_ms = last.to_ms.max(span.to_ms);
        }
    }
}

impl Group {
    /// A group of the lanes that have something to show, at most [`LANES`]; those with the most to tell
    /// stay.
    pub(super) fn new(name: &'static str, lanes: impl IntoIterator<Item = Lane>) -> Option<Self> {
        let mut lanes: Vec<Lane> = lanes
            .into_iter()
            .filter(|lane| !lane.spans.is_empty())
            .collect();
        let left_out = lanes.len().saturating_sub(LANES);
        if left_out > 0 {
            lanes.sort_by_key(|lane| std::cmp::Reverse(lane.spans.len()));
            lanes.truncate(LANES);
        }
        // What came in an order keeps it within the same moment.
        lanes.sort_by_key(|lane| lane.spans.first().map(|span| span.from_ms));
        (!lanes.is_empty()).then_some(Self {
            name,
            lanes,
            left_out,
        })
    }
}

/// A timeline that is being drawn up from the events of a stream.
#[derive(Default)]
pub struct Drawing {
    now: u64,
    phases: Vec<(Phase, Span)>,
    pauses: Lane,
    waits: BTreeMap<(Phase, String), Wait>,
    objects: BTreeMap<ObjectRef, Lane>,
    moments: BTreeMap<&'static str, Lane>,
    probes: Probes,
}

/// A wait, and what it is blocked by at present.
#[derive(Default)]
struct Wait {
    lane: Lane,
    since: Option<u64>,
    blockers: Vec<Blocker>,
}

impl Drawing {
    /// Takes the next event.
    pub fn take(&mut self, event: &Event) {
        let now = event.elapsed_ms;
        self.now = self.now.max(now);
        self.probes.take(&event.what);
        match &event.what {
            What::PhaseStarted { phase, .. } => {
                let span = span(now, now, Some(Tone::Attention), "not ended".to_owned());
                self.phases.push((*phase, span));
            }
            What::PhaseFinished {
                phase,
                outcome,
                message,
                ..
            } => self.end_phase(*phase, now, outcome, message.as_deref()),
            What::Paused(pause) => {
                let what = format!("paused {}", pause.place);
                self.pauses
                    .push(span(now, now, Some(Tone::Attention), what));
            }
            What::Resumed { phase, .. } => {
                let what = format!("another process goes on with {phase}");
                self.moment("gone on with", now, Tone::Attention, what);
            }
            What::PauseEnded { decision, .. } => {
                if let Some(last) = self.pauses.spans.last_mut() {
                    last.to_ms = now;
                    last.what = format!("{}: {}", last.what, decision.words());
                }
            }
            What::WaitStarted { phase, what, .. } => {
                self.wait(*phase, what).since.get_or_insert(now);
            }
            What::Blocked {
                phase,
                what,
                blockers,
            } => self.blocked(*phase, what, now, blockers),
            What::WaitFinished {
                phase,
                what,
                satisfied,
                seconds,
                ..
            } => {
                let tone = (!satisfied).then_some(Tone::Bad);
                self.unblock(*phase, what, now, tone);
                let wait = self.wait(*phase, what);
                // A wait that nothing ever blocked was told at its end only.
                let began = now.saturating_sub((seconds.max(0.0) * 1000.0) as u64);
                let since = wait.since.unwrap_or(began).min(began);
                let told = wait
                    .lane
                    .spans
                    .last()
                    .is_some_and(|last| last.to_ms >= began);
                if !told && since < now {
                    let what = if *satisfied { "came true" } else { "given up" };
                    wait.lane.push(span(since, now, tone, what.to_owned()));
                }
                wait.since = None;
            }
            What::Finding(finding) => {
                let what = format!("{}: {}: {}", finding.cause, finding.object, finding.message);
                self.moment("causes", now, Tone::Bad, what);
            }
            What::Check(check) => {
                let tone = match Standing::of(check) {
                    Standing::Failed => Tone::Bad,
                    Standing::Aborted | Standing::Warning | Standing::Flaky => Tone::Attention,
                    Standing::Passed | Standing::Accepted | Standing::NotApplicable => return,
                };
                let what = format!("{} {}: {}", check.outcome, check.id, check.message);
                self.moment("checks that do not pass", now, tone, what);
            }
            _ => {}
        }
    }

    fn end_phase(&mut self, phase: Phase, now: u64, outcome: &PhaseOutcome, message: Option<&str>) {
        let known = self.phases.iter_mut().rev().find(|(one, _)| *one == phase);
        let Some((_, span)) = known else { return };
        let (tone, word) = match outcome {
            PhaseOutcome::Passed => (None, "passed"),
            PhaseOutcome::Failed => (Some(Tone::Bad), "failed"),
            PhaseOutcome::Aborted => (Some(Tone::Attention), "aborted"),
            PhaseOutcome::Skipped { .. } => (Some(Tone::Faint), "skipped"),
        };
        span.to_ms = now;
        span.tone = tone;
        span.what = message.map_or_else(|| word.to_owned(), |line| format!("{word}: {line}"));
    }

    fn wait(&mut self, phase: Phase, what: &str) -> &mut Wait {
        let wait = self.waits.entry((phase, what.to_owned())).or_default();
        if wait.lane.name.is_empty() {
            wait.lane.name = what.to_owned();
        }
        wait
    }

    fn blocked(&mut self, phase: Phase, what: &str, now: u64, blockers: &[Blocker]) {
        self.unblock(phase, what, now, None);
        let wait = self.wait(phase, what);
        wait.since = Some(now);
        wait.blockers = blockers.to_vec();
    }

    /// What blocked up to now becomes a span of the wait, and of each object.
    fn unblock(&mut self, phase: Phase, what: &str, now: u64, tone: Option<Tone>) {
        let wait = self.wait(phase, what);
        let blockers = std::mem::take(&mut wait.blockers);
        let (Some(since), Some(first)) = (wait.since, blockers.first()) else {
            return;
        };
        let more = match blockers.len() {
            1 => String::new(),
            count => format!(" (and {} more)", count - 1),
        };
        wait.lane
            .push(span(since, now, tone, format!("{first}{more}")));
        for blocker in &blockers {
            let lane = self.objects.entry(blocker.object.clone()).or_default();
            if lane.name.is_empty() {
                lane.name = blocker.object.to_string();
            }
            let what = why(blocker);
            match lane.spans.last_mut() {
                // Several waits can be blocked by the same.
                Some(last) if last.to_ms >= since && last.what == what => {
                    last.to_ms = last.to_ms.max(now);
                }
                Some(last) if last.to_ms > since => {
                    let since = last.to_ms;
                    if since < now {
                        lane.push(span(since, now, tone, what));
                    }
                }
                _ => lane.push(span(since, now, tone, what)),
            }
        }
    }

    fn moment(&mut self, lane: &'static str, now: u64, tone: Tone, what: String) {
        let lane = self.moments.entry(lane).or_insert_with_key(|name| Lane {
            name: (*name).to_owned(),
            spans: Vec::new(),
        });
        lane.push(span(now, now, Some(tone), what));
    }

    /// The timeline, with what the recording beside the stream tells, where there is one.
    ///
    /// # Errors
    /// When the recording cannot be read.
    pub fn finish(self, recording: Option<&Path>) -> Result<Timeline> {
        let now = self.now;
        let Some(recording) = recording else {
            return Ok(self.with(Vec::new()));
        };
        let containers = containers::read(recording, now)?;
        let mut timeline = self.with(objects::read(recording, now)?);
        timeline.groups.extend(containers);
        Ok(timeline)
    }

    fn with(mut self, recorded: Vec<Group>) -> Timeline {
        let now = self.now;
        let open: Vec<_> = self.waits.keys().cloned().collect();
        for (phase, what) in open {
            self.unblock(phase, &what, now, Some(Tone::Attention));
        }
        let mut phases: Vec<Lane> = Vec::new();
        for (phase, mut span) in self.phases {
            if span.what == "not ended" {
                span.to_ms = now;
            }
            // A phase that was begun again stays in its lane.
            match phases.iter_mut().find(|lane| lane.name == phase.name()) {
                Some(lane) => lane.push(span),
                None => phases.push(Lane {
                    name: phase.name().to_owned(),
                    spans: vec![span],
                }),
            }
        }
        phases.push(Lane {
            name: "paused".to_owned(),
            ..self.pauses
        });
        let waits = self.waits.into_values().map(|wait| wait.lane);
        let lost = self.probes.iter().map(|view| {
            let mut lane = Lane {
                name: view.name.clone(),
                spans: Vec::new(),
            };
            for gap in &view.gaps {
                let tone = probes::gap_tone(gap, view.result.as_ref());
                let to = gap.to_ms.min(now).max(gap.from_ms);
                lane.push(span(gap.from_ms, to, Some(tone), probes::gap(gap)));
            }
            lane
        });
        let mut groups = vec![
            Group::new("phases", phases),
            Group::new("causes and failed checks", self.moments.into_values()),
            Group::new("what probes saw lost", lost),
            Group::new("waits, by what blocked them", waits),
        ];
        // The recording knows all of every object, the stream only what blocked.
        if recorded.is_empty() {
            groups.push(Group::new(
                "objects that blocked",
                self.objects.into_values(),
            ));
        }
        groups.extend(recorded.into_iter().map(Some));
        Timeline {
            end_ms: now,
            groups: groups.into_iter().flatten().collect(),
        }
    }
}

fn why(blocker: &Blocker) -> String {
    let Blocker {
        condition,
        reason,
        message,
        ..
    } = blocker;
    let mut text = condition.clone();
    for (mark, part) in [(", ", reason), (": ", message)] {
        if !part.is_empty() {
            text.push_str(mark);
            text.push_str(part);
        }
    }
    text
}

pub(super) fn span(from_ms: u64, to_ms: u64, tone: Option<Tone>, what: String) -> Span {
    Span {
        from_ms,
        to_ms,
        tone,
        what,
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn timeline(events: Vec<(u64, What)>) -> String {
        let mut fold = Drawing::default();
        for (seq, (second, what)) in events.into_iter().enumerate() {
            fold.take(&Event {
                seq: seq as u64,
                at: Timestamp::UNIX_EPOCH,
                elapsed_ms: second * 1000,
                what,
            });
        }
        let mut text = String::new();
        for group in fold.with(vec![]).groups {
            text.push_str(&format!("{}\n", group.name));
            for lane in group.lanes {
                text.push_str(&format!("  {}\n", lane.name));
                for span in lane.spans {
                    let (from, to) = (span.from_ms / 1000, span.to_ms / 1000);
                    let tone = span.tone.map(|tone| format!(" {tone:?}"));
                    let tone = tone.unwrap_or_default();
                    text.push_str(&format!("    {from}-{to}{tone} {}\n", span.what));
                }
            }
        }
        text
    }

    fn blocked(names: &[&str], reason: &str) -> What {
        let blocker = |name: &&str| {
            let object = ObjectRef::new("management", "Machine", "", name);
            let mut blocker = Blocker::new(object, "NodeHealthy False");
            reason.clone_into(&mut blocker.reason);
            blocker
        };
        What::Blocked {
            phase: Phase::Upgrade,
            what: "every node".to_owned(),
            blockers: names.iter().map(blocker).collect(),
        }
    }

    fn waited(what: &str, satisfied: bool, seconds: f64) -> What {
        What::WaitFinished {
            phase: Phase::Upgrade,
            what: what.to_owned(),
            satisfied,
            seconds,
            reaction_ms: None,
        }
    }

    #[test]
    fn phases_waits_and_what_blocked_them_have_their_lanes() {
        let phase = Phase::Upgrade;
        let told = timeline(vec![
            (
                1,
                What::PhaseStarted {
                    phase,
                    deadline_s: 9,
                },
            ),
            (2, blocked(&["a", "b"], "Waiting")),
            (5, blocked(&["b"], "Waiting")),
            (9, waited("every node", true, 7.0)),
            (11, waited("at once", true, 1.0)),
            (12, blocked(&["b"], "Draining")),
            (20, waited("every node", false, 8.0)),
            (
                21,
                What::PhaseFinished {
                    phase,
                    outcome: PhaseOutcome::Failed,
                    seconds: 20.0,
                    message: Some("no".to_owned()),
                },
            ),
        ]);
        insta::assert_snapshot!(told, @"
        phases
          upgrade
            1-21 Bad failed: no
        waits, by what blocked them
          every node
            2-5 Machine a: NodeHealthy False, Waiting (and 1 more)
            5-9 Machine b: NodeHealthy False, Waiting
            12-20 Bad Machine b: NodeHealthy False, Draining
          at once
            10-11 came true
        objects that blocked
          Machine a
            2-5 NodeHealthy False, Waiting
          Machine b
            2-9 NodeHealthy False, Waiting
            12-20 Bad NodeHealthy False, Draining
        ");
    }

    #[test]
    fn what_never_ended_lasts_until_the_last_event() {
        let phase = Phase::Upgrade;
        let told = timeline(vec![
            (
                1,
                What::PhaseStarted {
                    phase,
                    deadline_s: 9,
                },
            ),
            (2, blocked(&["a"], "Waiting")),
            (
                8,
                What::Note {
                    message: String::new(),
                },
            ),
        ]);
        assert!(told.contains("1-8 Attention not ended"), "{told}");
        assert!(told.contains("2-8 Attention Machine a:"), "{told}");
    }

    #[test]
    fn a_crowded_group_keeps_what_has_the_most_to_tell_and_says_how_much_is_missing() {
        let lane = |number: usize| {
            let mut lane = Lane {
                name: format!("{number:03}"),
                spans: vec![],
            };
            for at in 0..number as u64 {
                lane.push(span(at, at, None, String::new()));
            }
            lane
        };
        let group = Group::new("many", (0..100).map(lane)).unwrap();
        assert_eq!((group.lanes.len(), group.left_out), (LANES, 39));
        assert!(group.lanes.iter().all(|lane| lane.spans.len() >= 40));
        assert_eq!(lane(1000).spans.len(), SPANS);
        assert!(Group::new("none", [lane(0)]).is_none());
    }
}
