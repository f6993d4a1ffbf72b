//! `stackgate simulate`: many rehearsals of random stacks, on all cores.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::anyhow;
use serde::Serialize;

use super::args::{SimulateArgs, SummaryFormat};
use super::exit::{Ending, Failure};
use super::usage::Stopwatch;
use crate::record::{Verdict, random_seed};
use crate::simulate::{Finished, rehearse, reproduce, seed_of};

/// Every so many runs, one is run twice and must give the same stream.
const TWICE: u64 = 20;

/// What a simulation showed.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Outcome {
    seed: u64,
    runs: u64,
    repeated: u64,
    verdicts: BTreeMap<&'static str, u64>,
    /// Runs by the first thing that goes wrong: the pair's flaw by the rule of lint that finds it, else the
    /// fault that was injected first; `none` for those in which nothing does.
    faults: BTreeMap<&'static str, u64>,
    violations: Vec<Violation>,
    simulated_seconds: f64,
    seconds: f64,
    runs_per_second: f64,
}

/// What does not hold, and how to see it again.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Violation {
    seed: u64,
    faults: Vec<String>,
    what: Vec<String>,
    verdict: String,
    reproduce: String,
}

/// Runs the simulation, prints its figures, and whether everything held.
///
/// # Errors
/// When a run could not be carried out at all.
pub fn run(args: &SimulateArgs) -> Result<Ending, Failure> {
    let seed = args.seed.unwrap_or_else(random_seed);
    let watch = Stopwatch::start();
    let mut outcome = simulate(seed, args.runs, args.jobs)?;
    outcome.seconds = watch.seconds();
    outcome.runs_per_second = outcome.runs as f64 / outcome.seconds;
    let text = match args.format {
        SummaryFormat::Plain => outcome.text(),
        SummaryFormat::Json => {
            let json = serde_json::to_string_pretty(&outcome).map_err(Failure::infrastructure)?;
            format!("{json}\n")
        }
    };
    super::print(&text).map_err(Failure::infrastructure)?;
    if outcome.violations.is_empty() {
        Ok(Ending::Done)
    } else {
        Ok(Ending::Verdict(Verdict::Closed))
    }
}

fn simulate(seed: u64, runs: u64, jobs: Option<NonZeroUsize>) -> Result<Outcome, Failure> {
    let jobs = jobs
        .or_else(|| std::thread::available_parallelism().ok())
        .map_or(1, NonZeroUsize::get);
    let next = AtomicU64::new(0);
    let ended = Mutex::new(Vec::new());
    let work = || {
        loop {
            let position = next.fetch_add(1, Ordering::Relaxed);
            if position >= runs {
                return;
            }
            let seed = seed_of(seed, position);
            let finished = rehearse(seed, position.is_multiple_of(TWICE), exit_code);
            let mut ended = ended.lock().unwrap_or_else(PoisonError::into_inner);
            ended.push((position, seed, finished));
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(work);
        }
    });
    let mut ended = ended.into_inner().unwrap_or_else(PoisonError::into_inner);
    ended.sort_by_key(|(position, ..)| *position);
    let mut outcome = Outcome {
        seed,
        runs,
        repeated: runs.div_ceil(TWICE),
        verdicts: BTreeMap::new(),
        faults: BTreeMap::new(),
        violations: Vec::new(),
        simulated_seconds: 0.0,
        seconds: 0.0,
        runs_per_second: 0.0,
    };
    for (_, seed, finished) in ended {
        let finished = finished.map_err(|error| {
            Failure::infrastructure(error.context(format!("failed to run seed {seed}"))).hint(
                format!("this is a bug; see it again with: {}", reproduce(seed)),
            )
        })?;
        outcome.take(&finished);
    }
    if outcome.verdicts.values().sum::<u64>() != runs {
        let lost = anyhow!("a run ended without being counted");
        return Err(Failure::infrastructure(lost));
    }
    Ok(outcome)
}

fn exit_code(verdict: Verdict) -> u8 {
    Ending::Verdict(verdict).code()
}

impl Outcome {
    fn take(&mut self, finished: &Finished) {
        let verdict = match finished.verdict {
            Verdict::Open => "open",
            Verdict::Closed => "closed",
            Verdict::None => "none",
            Verdict::NothingRan => "nothingRan",
            Verdict::Interrupted => "interrupted",
        };
        *self.verdicts.entry(verdict).or_default() += 1;
        let scenario = &finished.scenario;
        let fault = scenario.faults.first().map(|one| one.fault.name);
        let first = scenario.flaw().or(fault).unwrap_or("none");
        *self.faults.entry(first).or_default() += 1;
        self.simulated_seconds += finished.seconds;
        if !finished.violations.is_empty() {
            let seed = scenario.seed;
            self.violations.push(Violation {
                seed,
                faults: scenario.troubles(),
                what: finished.violations.clone(),
                verdict: format!("{verdict}: {}", finished.reason),
                reproduce: reproduce(seed),
            });
        }
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for violation in &self.violations {
            let faults = match violation.faults.as_slice() {
                [] => "no fault".to_owned(),
                faults => faults.join(", "),
            };
            text.push_str(&format!("✗ seed {} ({faults})\n", violation.seed));
            for what in &violation.what {
                text.push_str(&format!("    {what}\n"));
            }
            text.push_str(&format!("    {}\n", violation.verdict));
            text.push_str(&format!("    see it again: {}\n", violation.reproduce));
        }
        let list = |counts: &BTreeMap<&str, u64>| {
            let shown: Vec<String> = counts
                .iter()
                .map(|(name, count)| format!("{name} {count}"))
                .collect();
            shown.join(", ")
        };
        let violations = match self.violations.len() {
            0 => "no violation".to_owned(),
            1 => "1 run violates what must hold".to_owned(),
            many => format!("{many} runs violate what must hold"),
        };
        text.push_str(&format!(
            "{} runs from seed {}: {violations}\n  verdicts   {}\n  faults     {}\n  repeated   {} runs, to compare their streams\n  simulated  {:.0} s\n  took       {:.1} s, {:.1} runs a second\n",
            self.runs,
            self.seed,
            list(&self.verdicts),
            list(&self.faults),
            self.repeated,
            self.simulated_seconds,
            self.seconds,
            self.runs_per_second,
        ));
        text
    }
}
