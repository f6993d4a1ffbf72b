//! From events to lines: which lines stay, and what the present moment looks like. Draws nothing.

use super::pauses;
use super::screen::Screen;
use crate::record::{Blocker, CheckResult, Event, NO_DELIVERY, Outcome, Phase, PhaseOutcome, What};
use crate::report::overview::label;
use crate::report::probes;
use crate::report::standing::Standing;
use crate::report::text::{clock, cut, one_line};
use crate::report::words::{Tone, short};

/// Where the run is.
pub struct Progress {
    screen: Screen,
    phases: Vec<Running>,
    waits: Vec<Wait>,
    /// Whether the run only checks.
    only_checks: bool,
    /// The run's id.
    run: String,
    paused: Option<Paused>,
}

/// A pause that lasts.
struct Paused {
    place: String,
    since_ms: u64,
    at_most_s: u64,
}

struct Running {
    phase: Phase,
    since_ms: u64,
    deadline_s: u64,
}

struct Wait {
    phase: Phase,
    what: String,
    blocker: Option<Blocker>,
    /// Since when this is what blocks it, in milliseconds of the run.
    since_ms: u64,
}

impl Progress {
    /// The start of a run.
    pub const fn new(screen: Screen) -> Self {
        Self {
            screen,
            phases: Vec::new(),
            waits: Vec::new(),
            only_checks: false,
            run: String::new(),
            paused: None,
        }
    }

    /// Takes an event and returns the lines that it leaves behind.
    pub fn take(&mut self, event: &Event) -> Vec<String> {
        let now = event.elapsed_ms;
        match &event.what {
            What::RunStarted {
                run,
                stack,
                from,
                to,
                engine,
                delivery,
                rehearsal,
                ..
            } => {
                self.only_checks = delivery == NO_DELIVERY;
                self.run = run.to_string();
                let name = one_line(stack);
                let mut line = if self.only_checks {
                    format!(
                        "{name}  Kubernetes {}   run {run}",
                        one_line(&to.kubernetes)
                    )
                } else {
                    let (from, to) = (short(stack, from), short(stack, to));
                    format!("{name}  {from} → {to}   engine {engine}   run {run}")
                };
                if let Some(rehearsal) = rehearsal {
                    let what = one_line(&rehearsal.sentence());
                    line.push_str(&format!("   seed {}   {what}", rehearsal.seed));
                }
                vec![line]
            }
            What::PhaseStarted { phase, deadline_s } => {
                let (phase, deadline_s) = (*phase, *deadline_s);
                self.phases.push(Running {
                    phase,
                    since_ms: now,
                    deadline_s,
                });
                self.started(phase, deadline_s)
            }
            What::PhaseFinished {
                phase,
                outcome,
                seconds,
                message,
            } => {
                self.phases.retain(|running| running.phase != *phase);
                self.waits.retain(|wait| wait.phase != *phase);
                vec![self.finished(*phase, outcome, *seconds, message.as_deref().unwrap_or(""))]
            }
            What::WaitStarted { phase, what, .. } => {
                self.wait(*phase, what, now);
                vec![]
            }
            What::Blocked {
                phase,
                what,
                blockers,
            } => {
                let wait = self.wait(*phase, what, now);
                let essence = |blocker: &Blocker| {
                    (
                        blocker.object.clone(),
                        blocker.condition.clone(),
                        blocker.reason.clone(),
                    )
                };
                let first = blockers.first();
                if wait.blocker.as_ref().map(essence) != first.map(essence) {
                    wait.since_ms = now;
                }
                wait.blocker = first.cloned();
                vec![]
            }
            What::WaitFinished { phase, what, .. } => {
                self.waits
                    .retain(|wait| (wait.phase, &wait.what) != (*phase, what));
                vec![]
            }
            What::Check(check) => self.check(check),
            What::Finding(finding) => {
                let cause = self.screen.paint(Tone::Bad, &one_line(&finding.cause));
                let (object, message) = (one_line(&finding.object.to_string()), &finding.message);
                vec![format!("    {cause}  {object}: {}", one_line(message))]
            }
            What::ProbeGap(gap) => {
                let (name, told) = (one_line(&gap.probe), one_line(&probes::gap(gap)));
                let name = self.screen.paint(Tone::Attention, &name);
                vec![format!("    probe {name}: {told}")]
            }
            What::ProbeFinished(result) => {
                let (tone, word) = match result.outcome {
                    Outcome::Fail => (Tone::Bad, "FAIL"),
                    Outcome::Abort => (Tone::Attention, "ABORT"),
                    Outcome::Skip => (Tone::Faint, "skip"),
                    Outcome::Pass | Outcome::Flaky => return vec![],
                };
                let (word, name) = (self.screen.paint(tone, word), one_line(&result.probe));
                vec![format!(
                    "    {word}  probe {name}: {}",
                    one_line(&result.message)
                )]
            }
            What::Note { message } => vec![format!("    {}", one_line(message))],
            What::Paused(pause) => {
                self.paused = Some(Paused {
                    place: pause.place.clone(),
                    since_ms: now,
                    at_most_s: pause.at_most_s,
                });
                pauses::lines(&self.screen, &self.run, pause)
            }
            What::Resumed { phase, .. } => {
                // What was under way ended with its process.
                self.phases.clear();
                self.waits.clear();
                self.paused = None;
                vec![format!("  another process goes on with {phase}")]
            }
            What::PauseEnded {
                decision,
                by,
                seconds,
                ..
            } => {
                let since = self.paused.take().map_or(now, |paused| paused.since_ms);
                // What stood still did not get older.
                let running = self.phases.iter_mut().map(|phase| &mut phase.since_ms);
                let waiting = self.waits.iter_mut().map(|wait| &mut wait.since_ms);
                for moment in running.chain(waiting) {
                    *moment += now.saturating_sub(since);
                }
                let long = clock(*seconds as u64);
                vec![format!(
                    "    {} after {long}: {}",
                    decision.words(),
                    one_line(by)
                )]
            }
            _ => vec![],
        }
    }

    /// The present moment on one line of at most so many columns, without what turns in front of it;
    /// nothing between phases.
    pub fn now(&self, now_ms: u64, columns: usize) -> Option<String> {
        if let Some(paused) = &self.paused {
            let elapsed = clock(now_ms.saturating_sub(paused.since_ms) / 1000);
            let (place, most) = (one_line(&paused.place), clock(paused.at_most_s));
            let line = format!("paused {place}   {elapsed} / {most}");
            return Some(cut(&line, columns).into_owned());
        }
        let Running {
            phase,
            since_ms,
            deadline_s,
        } = self.phases.last()?;
        let phase = label(*phase, self.only_checks);
        let elapsed = clock(now_ms.saturating_sub(*since_ms) / 1000);
        let mut line = match deadline_s {
            0 => format!("{phase:<13} {elapsed:>9}"),
            deadline => format!("{phase:<13} {elapsed:>9} / {}", clock(*deadline)),
        };
        let Some(Wait {
            what,
            blocker,
            since_ms,
            ..
        }) = self.waits.last()
        else {
            return Some(cut(&line, columns).into_owned());
        };
        line.push_str(&format!("   waiting for {}", one_line(what)));
        if let Some(blocker) = blocker {
            line.push_str(&format!(": {}", one_line(&blocker.to_string())));
        }
        // How long is told even where there is no room for all that is waited for.
        let long = format!(", for {} s", now_ms.saturating_sub(*since_ms) / 1000);
        let line = cut(&line, columns.saturating_sub(long.len())) + long.as_str();
        Some(cut(&line, columns).into_owned())
    }

    fn wait(&mut self, phase: Phase, what: &str, now: u64) -> &mut Wait {
        let known = self
            .waits
            .iter()
            .position(|wait| wait.phase == phase && wait.what == what);
        let at = known.unwrap_or_else(|| {
            let what = what.to_owned();
            self.waits.push(Wait {
                phase,
                what,
                blocker: None,
                since_ms: now,
            });
            self.waits.len() - 1
        });
        &mut self.waits[at]
    }

    /// On a terminal the moving line shows what runs.
    fn started(&self, phase: Phase, deadline_s: u64) -> Vec<String> {
        let phase = label(phase, self.only_checks);
        match (self.screen.is_terminal, deadline_s) {
            (true, _) => vec![],
            (false, 0) => vec![format!("  … {phase}")],
            (false, deadline) => vec![format!("  … {phase:<13} at most {}", clock(deadline))],
        }
    }

    fn finished(
        &self,
        phase: Phase,
        outcome: &PhaseOutcome,
        seconds: f64,
        message: &str,
    ) -> String {
        let (mark, tone, word) = match outcome {
            PhaseOutcome::Passed => ("✓", Tone::Good, String::new()),
            PhaseOutcome::Failed => ("✗", Tone::Bad, "failed".to_owned()),
            PhaseOutcome::Aborted => ("!", Tone::Attention, "aborted".to_owned()),
            PhaseOutcome::Skipped { because } => {
                ("-", Tone::Faint, format!("skipped because of {because}"))
            }
        };
        let mark = self.screen.paint(tone, mark);
        let time = match outcome {
            PhaseOutcome::Skipped { .. } => String::new(),
            _ => format!("{seconds:.1} s"),
        };
        let phase = label(phase, self.only_checks);
        let message = one_line(message);
        let colon = if word.is_empty() || message.is_empty() {
            ""
        } else {
            ": "
        };
        let line = format!("  {mark} {phase:<13} {time:>9}   {word}{colon}{message}");
        line.trim_end().to_owned()
    }

    fn check(&self, check: &CheckResult) -> Vec<String> {
        let (tone, word) = match Standing::of(check) {
            Standing::Passed | Standing::NotApplicable | Standing::Accepted => return vec![],
            Standing::Failed => (Tone::Bad, "FAIL".to_owned()),
            Standing::Flaky => (Tone::Attention, "flaky".to_owned()),
            Standing::Warning => (Tone::Attention, format!("warning ({})", check.severity)),
            Standing::Aborted => (Tone::Attention, "ABORT".to_owned()),
        };
        let word = self.screen.paint(tone, &word);
        vec![format!(
            "    {word}  {}: {}",
            one_line(&check.id),
            one_line(&check.message)
        )]
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use proptest::prelude::*;

    use super::*;
    use crate::record::{Finding, ObjectRef, Outcome, Severity};

    const WIDE: usize = 500;

    fn machine() -> ObjectRef {
        ObjectRef {
            cluster: "management".to_owned(),
            kind: "Machine".to_owned(),
            namespace: None,
            name: "demo-md-0-x7".to_owned(),
        }
    }

    fn blocked(reason: &str) -> What {
        What::Blocked {
            phase: Phase::Upgrade,
            what: "every node at v1.35.0".to_owned(),
            blockers: vec![Blocker {
                object: machine(),
                condition: "NodeHealthy False".to_owned(),
                reason: reason.to_owned(),
                message: String::new(),
                since: None,
            }],
        }
    }

    fn check(severity: Severity, outcome: Outcome, accepted: Option<&str>) -> What {
        What::Check(CheckResult {
            phase: Phase::CheckAfter,
            id: "dns".to_owned(),
            title: String::new(),
            suite: String::new(),
            severity,
            outcome,
            message: "no\u{1b}[31m answer\nat all".to_owned(),
            evidence: vec![],
            seconds: 0.1,
            accepted: accepted.map(str::to_owned),
            standard: None,
            excluded: false,
            surroundings: Default::default(),
        })
    }

    fn finished(phase: Phase, outcome: PhaseOutcome, message: Option<&str>) -> What {
        let message = message.map(str::to_owned);
        What::PhaseFinished {
            phase,
            outcome,
            seconds: 41.04,
            message,
        }
    }

    /// Takes each at its second; the lines that stay.
    fn lines(progress: &mut Progress, events: Vec<(u64, What)>) -> String {
        let mut lines = Vec::new();
        for (second, what) in events {
            let (at, elapsed_ms) = (Timestamp::UNIX_EPOCH, second * 1000);
            lines.extend(progress.take(&Event {
                seq: second,
                at,
                elapsed_ms,
                what,
            }));
        }
        lines.join("\n")
    }

    #[test]
    fn each_ending_of_a_phase_is_told_by_word_and_mark() {
        let mut progress = Progress::new(Screen::PLAIN);
        let start = |phase, deadline_s| What::PhaseStarted { phase, deadline_s };
        let because = Phase::Upgrade;
        let told = lines(
            &mut progress,
            vec![
                (0, start(Phase::Management, 300)),
                (
                    1,
                    finished(
                        Phase::Management,
                        PhaseOutcome::Passed,
                        Some("kind v1.35.4"),
                    ),
                ),
                (2, start(Phase::Release, 0)),
                (3, finished(Phase::Release, PhaseOutcome::Passed, None)),
                (
                    4,
                    finished(
                        Phase::Upgrade,
                        PhaseOutcome::Failed,
                        Some("image not found"),
                    ),
                ),
                (
                    5,
                    finished(Phase::CheckAfter, PhaseOutcome::Skipped { because }, None),
                ),
                (
                    6,
                    finished(
                        Phase::Teardown,
                        PhaseOutcome::Aborted,
                        Some("Docker is gone"),
                    ),
                ),
            ],
        );
        insta::assert_snapshot!(told, @"
        … management    at most 05:00
        ✓ management       41.0 s   kind v1.35.4
        … release
        ✓ release          41.0 s
        ✗ upgrade          41.0 s   failed: image not found
        - check after               skipped because of upgrade
        ! teardown         41.0 s   aborted: Docker is gone
        ");
    }

    #[test]
    fn only_checks_that_want_attention_have_a_line() {
        let mut progress = Progress::new(Screen::PLAIN);
        let finding = Finding {
            cause: "image-not-found".to_owned(),
            message: "manifest unknown".to_owned(),
            object: machine(),
            evidence: vec![],
        };
        let told = lines(
            &mut progress,
            vec![
                (0, check(Severity::Must, Outcome::Pass, None)),
                (1, check(Severity::Must, Outcome::Skip, None)),
                (1, check(Severity::Must, Outcome::Flaky, None)),
                (2, check(Severity::Must, Outcome::Fail, Some("known"))),
                (3, check(Severity::Must, Outcome::Fail, None)),
                (4, check(Severity::Should, Outcome::Fail, None)),
                (5, check(Severity::May, Outcome::Abort, None)),
                (6, check(Severity::Must, Outcome::Abort, None)),
                (7, What::Finding(finding)),
            ],
        );
        insta::assert_snapshot!(told, @"
        flaky  dns: no answer at all
        FAIL  dns: no answer at all
        warning (SHOULD)  dns: no answer at all
        warning (MAY)  dns: no answer at all
        ABORT  dns: no answer at all
        image-not-found  Machine demo-md-0-x7: manifest unknown
        ");
    }

    #[test]
    fn the_present_moment_tells_what_blocks_and_since_when() {
        let mut progress = Progress::new(Screen::PLAIN);
        let (phase, deadline_s) = (Phase::Upgrade, 900);
        assert_eq!(progress.now(0, WIDE), None);
        lines(
            &mut progress,
            vec![
                (10, What::PhaseStarted { phase, deadline_s }),
                (20, blocked("WaitingForNodeRef")),
                (40, blocked("WaitingForNodeRef")),
            ],
        );
        let now = progress.now(54_000, WIDE).unwrap();
        insta::assert_snapshot!(now, @"upgrade           00:44 / 15:00   waiting for every node at v1.35.0: Machine demo-md-0-x7: NodeHealthy False, WaitingForNodeRef, for 34 s");
        lines(&mut progress, vec![(60, blocked("NodeDeleting"))]);
        assert!(
            progress
                .now(61_000, WIDE)
                .unwrap()
                .ends_with("NodeDeleting, for 1 s")
        );
        let wait = What::WaitFinished {
            phase,
            what: "every node at v1.35.0".to_owned(),
            satisfied: true,
            seconds: 1.0,
            reaction_ms: None,
        };
        lines(&mut progress, vec![(70, wait)]);
        assert_eq!(
            progress.now(82_000, WIDE).unwrap(),
            "upgrade           01:12 / 15:00"
        );
        lines(
            &mut progress,
            vec![(90, finished(phase, PhaseOutcome::Passed, None))],
        );
        assert_eq!(progress.now(91_000, WIDE), None);
    }

    #[test]
    fn a_narrow_terminal_still_tells_for_how_long() {
        let mut progress = Progress::new(Screen::PLAIN);
        let (phase, deadline_s) = (Phase::Upgrade, 900);
        let start = What::PhaseStarted { phase, deadline_s };
        lines(
            &mut progress,
            vec![(10, start), (20, blocked("WaitingForNodeRef"))],
        );
        let now = progress.now(54_000, 60).unwrap();
        assert_eq!(
            now,
            "upgrade           00:44 / 15:00   waiting for eve…, for 34 s"
        );
    }

    proptest! {
        #[test]
        fn no_text_breaks_a_line(text in any::<String>(), columns in 0_usize..200) {
            let mut progress = Progress::new(Screen::PLAIN);
            let (phase, deadline_s) = (Phase::Upgrade, 900);
            let What::Blocked { mut blockers, .. } = blocked(&text) else { unreachable!() };
            blockers[0].message.clone_from(&text);
            let told = lines(&mut progress, vec![
                (0, What::PhaseStarted { phase, deadline_s }),
                (1, What::Note { message: text.clone() }),
                (2, What::Blocked { phase, what: text.clone(), blockers }),
            ]);
            prop_assert!(told.lines().count() == 2, "{told:?}");
            let now = progress.now(9_000, columns).unwrap();
            for line in told.lines().chain([now.as_str()]) {
                prop_assert!(!line.chars().any(char::is_control), "{line:?}");
            }
            prop_assert!(console::measure_text_width(&now) <= columns, "{now:?}");
        }
    }
}
