//! From events to lines: which lines stay, and what the present moment looks like. Draws nothing.

use super::screen::{Screen, Tone};
use crate::record::{Blocker, CheckResult, Event, Phase, PhaseOutcome, ReleaseRef, What};
use crate::report::overview::Standing;
use crate::report::text::{clock, one_line};

/// Where the run is.
pub struct Progress {
    screen: Screen,
    phases: Vec<Running>,
    waits: Vec<Wait>,
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
                ..
            } => {
                let (from, to) = (short(stack, from), short(stack, to));
                vec![format!(
                    "{}  {from} → {to}   engine {engine}   run {run}",
                    one_line(stack)
                )]
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
            What::Note { message } => vec![format!("    {}", one_line(message))],
            _ => vec![],
        }
    }

    /// The present moment on one line, without what turns in front of it; nothing between phases.
    pub fn now(&self, now_ms: u64) -> Option<String> {
        let Running {
            phase,
            since_ms,
            deadline_s,
        } = self.phases.last()?;
        let elapsed = clock(now_ms.saturating_sub(*since_ms) / 1000);
        let mut line = match deadline_s {
            0 => format!("{phase:<13} {elapsed:>9}"),
            deadline => format!("{phase:<13} {elapsed:>9} / {}", clock(*deadline)),
        };
        if let Some(Wait {
            what,
            blocker,
            since_ms,
            ..
        }) = self.waits.last()
        {
            line.push_str(&format!("   waiting for {}", one_line(what)));
            if let Some(blocker) = blocker {
                line.push_str(&format!(": {}", one_line(&blocker.to_string())));
            }
            line.push_str(&format!(
                ", for {} s",
                now_ms.saturating_sub(*since_ms) / 1000
            ));
        }
        Some(line)
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

/// The tag without the stack's name, which stands beside it.
fn short(stack: &str, release: &ReleaseRef) -> String {
    let tag = release
        .tag
        .strip_prefix(stack)
        .and_then(|rest| rest.strip_prefix('-'));
    one_line(tag.unwrap_or(&release.tag))
}
