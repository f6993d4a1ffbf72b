//! What a stream says about a run as a whole: a fold that keeps no checks, so that its size does not
//! grow with theirs.

use std::path::Path;

use anyhow::{Context, Result};
use jiff::Timestamp;

use super::last_lines::Log;
use super::pairs::Scope;
use super::pauses::Pauses;
use super::probes::{self, Probes};
use super::standing::Standing;
use super::summary::WaitSummary;
use super::words;
use crate::record::{
    self, Blocker, Counts, Event, Finding, NO_DELIVERY, Outcome, Phase, PhaseOutcome, Rehearsal,
    ReleaseRef, RunId, Usage, Verdict, What,
};

/// A run as a whole, as far as its stream goes.
#[derive(Clone, Debug)]
pub struct Overview {
    /// What the run was told about itself; absent when the stream is empty.
    pub start: Option<Start>,
    /// Facts about the environment, in the order in which they became known.
    pub properties: Vec<(String, String)>,
    /// Every phase, in order, whether it was reached or not.
    pub phases: [PhaseView; Phase::ALL.len()],
    /// Causes with a name, in order.
    pub findings: Vec<Finding>,
    /// When it stood still on request, and how it went on.
    pub pauses: Pauses,
    /// What was measured without a pause.
    pub probes: Probes,
    /// The longest waits, longest first.
    pub waits: Vec<WaitSummary>,
    /// What the run cost.
    pub usage: Option<Usage>,
    /// The verdict, its reason, and the comparison in numbers.
    pub verdict: Option<(Verdict, String, Counts)>,
    /// The exit code and the run's seconds; absent when the run was killed or goes on.
    pub end: Option<(u8, f64)>,
    /// The last event's position and time.
    pub last: Option<(u64, Timestamp)>,
    current: Option<Phase>,
}

/// The first event.
#[derive(Clone, Debug)]
pub struct Start {
    /// When.
    pub at: Timestamp,
    /// The run's id.
    pub run: RunId,
    /// Version of stackgate.
    pub version: String,
    /// Name of the stack under test.
    pub stack: String,
    /// Release N.
    pub from: ReleaseRef,
    /// Release N+1.
    pub to: ReleaseRef,
    /// Where clusters come from.
    pub engine: String,
    /// How releases get in.
    pub delivery: String,
    /// The command line.
    pub command: Vec<String>,
    /// Set when the clusters were simulated.
    pub rehearsal: Option<Rehearsal>,
}

/// One phase.
#[derive(Clone, Debug)]
pub struct PhaseView {
    /// Which.
    pub phase: Phase,
    /// When it started, and its deadline in seconds (0: none of its own).
    pub started: Option<(Timestamp, u64)>,
    /// How far it came.
    pub state: State,
    /// Its seconds, so far.
    pub seconds: f64,
    /// Its line for the reader.
    pub message: Option<String>,
    /// The cause that was found in it last.
    pub finding: Option<Finding>,
    /// What blocked it last, and the wait.
    pub blocked: Option<(String, Vec<Blocker>)>,
    /// Its checks in numbers.
    pub tally: Tally,
    /// Its last lines: notes, waits, failed checks.
    pub log: Log,
    /// The position of the event with which it began, the last time: what an earlier attempt at it found does not
    /// count any more.
    pub began: u64,
}

/// How far a phase came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The stream does not mention it.
    NotReached,
    /// It started, and the stream does not say that it ended.
    Running,
    /// It did what it is for.
    Passed,
    /// The stack under test failed here.
    Failed,
    /// It could not be carried out, for a reason that says nothing about the stack.
    Aborted,
    /// It was not started, because of an earlier one.
    Skipped(Phase),
}

/// Checks in numbers, by how they count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// All.
    pub checks: usize,
    /// That count as failed.
    pub failures: usize,
    /// That could not be judged.
    pub errors: usize,
    /// That do not apply, or whose failure does not count.
    pub skipped: usize,
}

impl Tally {
    fn add(&mut self, standing: Standing) {
        self.checks += 1;
        match standing {
            Standing::Passed => {}
            Standing::Failed => self.failures += 1,
            Standing::Aborted => self.errors += 1,
            Standing::Flaky | Standing::Warning | Standing::Accepted | Standing::NotApplicable => {
                self.skipped += 1
            }
        }
    }
}

/// A phase's name: without an upgrade there is nothing before and after it.
#[must_use]
pub const fn label(phase: Phase, only_checks: bool) -> &'static str {
    match phase {
        Phase::CheckBefore if only_checks => "check",
        phase => phase.name(),
    }
}

impl Default for Overview {
    fn default() -> Self {
        Self {
            start: None,
            properties: Vec::new(),
            phases: Phase::ALL.map(PhaseView::new),
            findings: Vec::new(),
            pauses: Pauses::default(),
            probes: Probes::default(),
            waits: Vec::new(),
            usage: None,
            verdict: None,
            end: None,
            last: None,
            current: None,
        }
    }
}

impl PhaseView {
    fn new(phase: Phase) -> Self {
        Self {
            phase,
            started: None,
            state: State::NotReached,
            seconds: 0.0,
            message: None,
            finding: None,
            blocked: None,
            tally: Tally::default(),
            log: Log::default(),
            began: 0,
        }
    }
}

impl Overview {
    /// Reads a stream.
    ///
    /// # Errors
    /// When the stream cannot be read.
    pub fn read(path: &Path) -> Result<Self> {
        Self::read_along(path, |_| ())
    }

    /// Reads a stream, and shows each event to somebody else as well, for whom it need not be read again.
    ///
    /// # Errors
    /// When the stream cannot be read.
    pub fn read_along(path: &Path, mut also: impl FnMut(&Event)) -> Result<Self> {
        let mut overview = Self::default();
        for event in record::read(path)? {
            let event = event?;
            overview.take(&event);
            also(&event);
        }
        overview.settle();
        Ok(overview)
    }

    /// Whether it is about the checks of a cluster that was there, and nothing else.
    #[must_use]
    pub fn only_checks(&self) -> bool {
        let start = self.start.as_ref();
        start.is_some_and(|start| start.delivery == NO_DELIVERY)
    }

    /// The phases that belong to such a run: all, or those of checks alone that it came to.
    pub fn told_phases(&self) -> impl Iterator<Item = &PhaseView> {
        let only_checks = self.only_checks();
        let phases = self.phases.iter();
        phases.filter(move |view| !only_checks || view.state != State::NotReached)
    }

    /// A phase's name in such a run.
    #[must_use]
    pub fn label(&self, phase: Phase) -> &'static str {
        label(phase, self.only_checks())
    }

    /// The verdict in two words, with what they say.
    #[must_use]
    pub fn verdict_in_words(&self) -> (words::Tone, &'static str) {
        let verdict = self.verdict.as_ref().map(|(verdict, ..)| *verdict);
        words::verdict(verdict, self.only_checks())
    }

    /// What the run was told about itself.
    ///
    /// # Errors
    /// When the stream is empty.
    pub fn start(&self, stream: &Path) -> Result<&Start> {
        self.start.as_ref().with_context(|| {
            let shown = stream.display();
            format!("failed to summarise {shown}: expected a run's start as its first event")
        })
    }

    /// The last event's position: a stream that grows is looked at up to here, so that the numbers are
    /// those of what is told.
    #[must_use]
    pub const fn end_of_stream(&self) -> u64 {
        match self.last {
            Some((seq, _)) => seq,
            None => 0,
        }
    }

    /// Which events of the stream count, so that what is read of it again is what is told here.
    #[must_use]
    pub fn scope(&self) -> Scope {
        let began = std::array::from_fn(|phase| self.phases[phase].began);
        Scope {
            end: self.end_of_stream(),
            began,
        }
    }

    /// One phase.
    #[must_use]
    pub fn phase(&self, phase: Phase) -> &PhaseView {
        &self.phases[phase as usize]
    }

    fn phase_mut(&mut self, phase: Phase) -> &mut PhaseView {
        &mut self.phases[phase as usize]
    }

    /// Takes the next event.
    pub fn take(&mut self, event: &Event) {
        self.last = Some((event.seq, event.at));
        WaitSummary::insert(&mut self.waits, event);
        self.probes.take(&event.what);
        self.pauses.take(&event.what);
        match &event.what {
            What::RunStarted {
                run,
                version,
                stack,
                from,
                to,
                engine,
                delivery,
                command,
                rehearsal,
                ..
            } => {
                self.start = Some(Start {
                    at: event.at,
                    run: run.clone(),
                    version: version.clone(),
                    stack: stack.clone(),
                    from: from.clone(),
                    to: to.clone(),
                    engine: engine.clone(),
                    delivery: delivery.clone(),
                    command: command.clone(),
                    rehearsal: rehearsal.clone(),
                });
            }
            What::Property { name, value } => self.set_property(name, value),
            What::Finding(finding) => self.findings.push(finding.clone()),
            What::Usage(usage) => self.usage = Some(*usage),
            What::Verdict {
                verdict,
                reason,
                counts,
            } => {
                self.verdict = Some((*verdict, reason.clone(), *counts));
            }
            What::RunFinished { exit_code, seconds } => self.end = Some((*exit_code, *seconds)),
            _ => {}
        }
        self.take_into_phase(event);
    }

    fn take_into_phase(&mut self, event: &Event) {
        let current = self.current;
        let log = |view: &mut PhaseView, line: &str| view.log.push(event.elapsed_ms, line);
        match &event.what {
            What::PhaseStarted { phase, deadline_s } => {
                self.current = Some(*phase);
                let view = self.phase_mut(*phase);
                if let Some(finding) = view.finding.take() {
                    self.findings.retain(|one| *one != finding);
                }
                let view = self.phase_mut(*phase);
                view.state = State::Running;
                view.started = Some((event.at, *deadline_s));
                view.began = event.seq;
                view.blocked = None;
                view.tally = Tally::default();
            }
            What::PhaseFinished {
                phase,
                outcome,
                seconds,
                message,
            } => {
                let view = self.phase_mut(*phase);
                view.state = match outcome {
                    PhaseOutcome::Passed => State::Passed,
                    PhaseOutcome::Failed => State::Failed,
                    PhaseOutcome::Aborted => State::Aborted,
                    PhaseOutcome::Skipped { because } => State::Skipped(*because),
                };
                view.seconds = seconds.max(0.0);
                view.message.clone_from(message);
            }
            What::Blocked {
                phase,
                what,
                blockers,
            } => {
                let view = self.phase_mut(*phase);
                view.blocked = Some((what.clone(), blockers.clone()));
                if let Some(first) = blockers.first() {
                    log(view, &format!("waiting for {what}: {first}"));
                }
            }
            What::WaitFinished {
                phase,
                what,
                satisfied,
                seconds,
                ..
            } => {
                let view = self.phase_mut(*phase);
                if *satisfied {
                    view.blocked.take_if(|(blocked, _)| blocked == what);
                }
                let how = if *satisfied { "waited" } else { "gave up" };
                log(view, &format!("{how} {seconds:.1} s: {what}"));
            }
            What::Check(check) => {
                let standing = Standing::of(check);
                let view = self.phase_mut(check.phase);
                view.tally.add(standing);
                if standing != Standing::Passed {
                    log(
                        view,
                        &format!("{} {}: {}", check.outcome, check.id, check.message),
                    );
                }
            }
            What::Finding(finding) => {
                if let Some(phase) = current {
                    let view = self.phase_mut(phase);
                    log(
                        view,
                        &format!("cause {}: {}", finding.cause, finding.message),
                    );
                    view.finding = Some(finding.clone());
                }
            }
            What::ProbeGap(gap) => {
                let line = format!("probe {}: {}", gap.probe, probes::gap(gap));
                log(self.phase_mut(Phase::Upgrade), &line);
            }
            What::ProbeFinished(result) => {
                let standing = probes::standing(result);
                let view = self.phase_mut(Phase::Upgrade);
                view.tally.add(standing);
                let line = format!(
                    "{} probe {}: {}",
                    result.outcome, result.probe, result.message
                );
                log(view, &line);
            }
            What::Note { message } => {
                if let Some(phase) = current {
                    log(self.phase_mut(phase), message);
                }
            }
            What::Paused(pause) => {
                let line = format!("paused {}", pause.place);
                log(self.phase_mut(pause.phase), &line);
            }
            What::PauseEnded {
                phase, decision, ..
            } => log(self.phase_mut(*phase), decision.words()),
            What::Compared {
                check,
                before,
                after,
                change,
            } => {
                if let Some(phase) = current.filter(|_| *change != record::Change::Kept) {
                    let shown = |outcome: &Option<Outcome>| {
                        outcome.map_or_else(|| "-".to_owned(), |outcome| outcome.to_string())
                    };
                    let line = format!("{check}: {} → {}, {change}", shown(before), shown(after));
                    log(self.phase_mut(phase), &line);
                }
            }
            _ => {}
        }
    }

    fn set_property(&mut self, name: &str, value: &str) {
        match self.properties.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => value.clone_into(known),
            None => self.properties.push((name.to_owned(), value.to_owned())),
        }
    }

    /// A phase that never ended lasted until the last event.
    fn settle(&mut self) {
        let Some((_, last)) = self.last else { return };
        for view in &mut self.phases {
            if let (State::Running, Some((started, _))) = (view.state, view.started) {
                view.seconds = last.duration_since(started).as_secs_f64().max(0.0);
            }
        }
    }
}
