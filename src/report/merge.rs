//! Shards joined: the streams of several runs of the same pair of releases, each with other checks, as one
//! stream, of which every view can be made.
//!
//! The shards count as run side by side. The joined stream goes phase by phase, and within a phase in the
//! order of time; a phase ended as the worst of its shards did, and so did the run.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use jiff::{SignedDuration, Timestamp};

use super::overview::{Overview, Start};
use super::summary::NO_VERDICT;
use crate::record::{
    self, Counts, Event, FORMAT, Phase, PhaseOutcome, RunId, Usage, Verdict, What,
};

/// A joined stream.
#[derive(Clone, Debug)]
pub struct Merged {
    /// Its events.
    pub events: Vec<Event>,
    /// The verdict of all.
    pub verdict: Verdict,
    /// The id that the joined run has.
    pub run: RunId,
}

struct Shard {
    start: Start,
    overview: Overview,
    events: Vec<Event>,
}

/// Joins the streams of shards. `exit_code` is what a process ends with.
///
/// # Errors
/// When a stream cannot be read, when they are not of the same releases, engine and delivery, or when a
/// check was run in two of them.
pub fn merge(
    streams: &[&Path],
    command: Vec<String>,
    exit_code: fn(Verdict) -> u8,
) -> Result<Merged> {
    let shards: Vec<Shard> = streams
        .iter()
        .map(|stream| Shard::read(stream))
        .collect::<Result<_>>()?;
    let first = shards.first().context("expected at least one run")?;
    for (shard, stream) in shards.iter().zip(streams) {
        same(&first.start, &shard.start, stream)?;
    }
    no_check_twice(&shards)?;
    let mut joined = Joined {
        began: shards
            .iter()
            .map(|shard| shard.start.at)
            .min()
            .unwrap_or_default(),
        events: Vec::new(),
    };
    let run = first.start.run.derived(shards.len() as u64);
    joined.push(0, joined_start(first, &run, command));
    let ids: Vec<_> = shards
        .iter()
        .map(|shard| shard.start.run.as_str())
        .collect();
    let property = |name: &str, value: &str| What::Property {
        name: name.to_owned(),
        value: value.to_owned(),
    };
    joined.push(0, property("shards", &ids.join(", ")));
    for shard in &shards {
        for (name, value) in &shard.overview.properties {
            joined.push(0, property(name, value));
        }
    }
    for phase in Phase::ALL {
        join_phase(&shards, phase, &mut joined);
    }
    let (verdict, reason) = verdict(&shards);
    let end = shards
        .iter()
        .filter_map(|shard| shard.events.last())
        .map(|event| event.elapsed_ms)
        .max();
    let end = end.unwrap_or_default();
    let counts = shards
        .iter()
        .filter_map(|shard| shard.overview.verdict.as_ref());
    let counts = counts.fold(Counts::default(), |all, (_, _, one)| sum(all, *one));
    joined.push(
        end,
        What::Verdict {
            verdict,
            reason,
            counts,
        },
    );
    joined.push(end, What::Usage(usage(&shards)));
    let seconds = shards.iter().map(Shard::seconds).fold(0.0, f64::max);
    let exit_code = exit_code(verdict);
    joined.push(end, What::RunFinished { exit_code, seconds });
    Ok(Merged {
        events: joined.events,
        verdict,
        run,
    })
}

impl Shard {
    fn read(stream: &Path) -> Result<Self> {
        let mut events: Vec<Event> = record::read(stream)?.collect::<Result<_>>()?;
        let mut overview = Overview::default();
        for event in &events {
            overview.take(event);
        }
        let scope = overview.scope();
        events.retain(|event| scope.counts(event));
        Ok(Self {
            start: overview.start(stream)?.clone(),
            overview,
            events,
        })
    }

    fn seconds(&self) -> f64 {
        let told = self.overview.end.map(|(_, seconds)| seconds);
        told.unwrap_or_else(|| {
            self.events
                .last()
                .map_or(0.0, |event| event.elapsed_ms as f64 / 1000.0)
        })
    }

    /// What was told while it was in a phase, without what every run tells once.
    fn within(&self, wanted: Phase) -> impl Iterator<Item = &Event> {
        let mut current = None;
        self.events.iter().filter(move |event| {
            if let What::PhaseStarted { phase, .. } = &event.what {
                current = Some(*phase);
            }
            let told = !matches!(
                event.what,
                What::RunStarted { .. }
                    | What::Property { .. }
                    | What::PhaseStarted { .. }
                    | What::PhaseFinished { .. }
                    | What::Verdict { .. }
                    | What::Usage(_)
                    | What::RunFinished { .. }
            );
            told && current == Some(wanted)
        })
    }
}

struct Joined {
    began: Timestamp,
    events: Vec<Event>,
}

impl Joined {
    fn push(&mut self, elapsed_ms: u64, what: What) {
        let passed = SignedDuration::from_millis(i64::try_from(elapsed_ms).unwrap_or(i64::MAX));
        self.events.push(Event {
            seq: self.events.len() as u64,
            at: self.began.saturating_add(passed).unwrap_or(self.began),
            elapsed_ms,
            what,
        });
    }
}

fn same(first: &Start, other: &Start, stream: &Path) -> Result<()> {
    let differs = [
        ("stack", &first.stack, &other.stack),
        ("release before", &first.from.tag, &other.from.tag),
        ("release after", &first.to.tag, &other.to.tag),
        ("engine", &first.engine, &other.engine),
        ("delivery", &first.delivery, &other.delivery),
    ]
    .into_iter()
    .find(|(_, first, other)| first != other);
    let Some((what, expected, found)) = differs else {
        return Ok(());
    };
    bail!(
        "{}: its {what} is {found}, expected {expected} as in the first run",
        stream.display()
    )
}

fn no_check_twice(shards: &[Shard]) -> Result<()> {
    let mut known: HashMap<(Phase, &str), &RunId> = HashMap::new();
    for shard in shards {
        for event in &shard.events {
            let What::Check(check) = &event.what else {
                continue;
            };
            let run = &shard.start.run;
            let other = known.insert((check.phase, &check.id), run);
            let twice = other.filter(|other| *other != run);
            ensure!(
                twice.is_none(),
                "check {} was run by {} and by {run}: expected shards with other checks each",
                check.id,
                twice.map(RunId::as_str).unwrap_or_default()
            );
        }
    }
    Ok(())
}

fn joined_start(first: &Shard, run: &RunId, command: Vec<String>) -> What {
    let start = &first.start;
    What::RunStarted {
        run: run.clone(),
        format: FORMAT,
        version: start.version.clone(),
        stack: start.stack.clone(),
        from: start.from.clone(),
        to: start.to.clone(),
        engine: start.engine.clone(),
        delivery: start.delivery.clone(),
        rehearsal: start.rehearsal.clone().map(|mut rehearsal| {
            rehearsal.reproduce = command.join(" ");
            rehearsal
        }),
        command,
    }
}

fn join_phase(shards: &[Shard], phase: Phase, joined: &mut Joined) {
    let mut told: Vec<&Event> = shards
        .iter()
        .flat_map(|shard| shard.within(phase))
        .collect();
    told.sort_by_key(|event| event.elapsed_ms);
    let started = shards
        .iter()
        .flat_map(|shard| &shard.events)
        .filter_map(|event| match &event.what {
            What::PhaseStarted {
                phase: one,
                deadline_s,
            } if *one == phase => Some((event.elapsed_ms, *deadline_s)),
            _ => None,
        });
    let started: Vec<_> = started.collect();
    if let (Some(at), Some(deadline_s)) = (
        started.iter().map(|(at, _)| *at).min(),
        started.iter().map(|(_, deadline)| *deadline).max(),
    ) {
        joined.push(at, What::PhaseStarted { phase, deadline_s });
    }
    for event in told {
        joined.push(event.elapsed_ms, event.what.clone());
    }
    if let Some((at, what)) = ending(shards, phase) {
        joined.push(at, what);
    }
}

/// The worst ending of a phase, at the last moment, with what each shard said of it. A shard that never
/// ended it leaves it open.
fn ending(shards: &[Shard], phase: Phase) -> Option<(u64, What)> {
    let mut last = 0;
    let mut longest: f64 = 0.0;
    let mut worst = PhaseOutcome::Passed;
    let mut messages: Vec<String> = Vec::new();
    for shard in shards {
        let ended = shard.events.iter().find_map(|event| match &event.what {
            What::PhaseFinished {
                phase: one,
                outcome,
                seconds,
                message,
            } if *one == phase => Some((event.elapsed_ms, outcome, *seconds, message)),
            _ => None,
        });
        let (at, outcome, seconds, message) = ended?;
        last = last.max(at);
        longest = longest.max(seconds);
        if gravity(outcome) > gravity(&worst) {
            worst = outcome.clone();
        }
        if let Some(message) = message
            .as_ref()
            .filter(|message| !messages.contains(message))
        {
            messages.push(message.clone());
        }
    }
    let message = (!messages.is_empty()).then(|| messages.join("; "));
    let what = What::PhaseFinished {
        phase,
        outcome: worst,
        seconds: longest,
        message,
    };
    Some((last, what))
}

const fn gravity(outcome: &PhaseOutcome) -> u8 {
    match outcome {
        PhaseOutcome::Passed => 0,
        PhaseOutcome::Skipped { .. } => 1,
        PhaseOutcome::Aborted => 2,
        PhaseOutcome::Failed => 3,
    }
}

/// The worst verdict and its reason. A shard without one leaves all without one.
fn verdict(shards: &[Shard]) -> (Verdict, String) {
    let told = shards.iter().map(|shard| {
        let run = &shard.start.run;
        match &shard.overview.verdict {
            Some((verdict, reason, _)) => (*verdict, format!("shard {run}: {reason}")),
            None => (Verdict::None, format!("shard {run}: {NO_VERDICT}")),
        }
    });
    let worst = told.reduce(|worst, one| {
        if one.0.weight() > worst.0.weight() {
            one
        } else {
            worst
        }
    });
    match worst {
        Some((Verdict::Open, _)) | None => (
            Verdict::Open,
            format!("{} shards, each with an open gate", shards.len()),
        ),
        Some(worst) => worst,
    }
}

const fn sum(one: Counts, other: Counts) -> Counts {
    Counts {
        kept: one.kept + other.kept,
        fixed: one.fixed + other.fixed,
        flaky: one.flaky + other.flaky,
        regressed: one.regressed + other.regressed,
        still_failing: one.still_failing + other.still_failing,
        accepted: one.accepted + other.accepted,
        not_comparable: one.not_comparable + other.not_comparable,
    }
}

/// Processor time adds up; the rest is that of the worst.
fn usage(shards: &[Shard]) -> Usage {
    let told = shards.iter().filter_map(|shard| shard.overview.usage);
    told.fold(Usage::default(), |all, one| {
        let greater = |one: Option<f64>, other: Option<f64>| match (one, other) {
            (Some(one), Some(other)) => Some(one.max(other)),
            (one, other) => one.or(other),
        };
        Usage {
            cpu_seconds: all.cpu_seconds + one.cpu_seconds,
            cpu_percent: all.cpu_percent.max(one.cpu_percent),
            wall_seconds: all.wall_seconds.max(one.wall_seconds),
            peak_rss_mib: all.peak_rss_mib.max(one.peak_rss_mib),
            reaction_median_ms: greater(all.reaction_median_ms, one.reaction_median_ms),
            reaction_max_ms: greater(all.reaction_max_ms, one.reaction_max_ms),
        }
    })
}
