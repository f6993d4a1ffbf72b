//! What rehearsals cost: one of the demo stack with every check it asks for, and many random ones on all
//! processors.
//!
//! `cargo bench --bench embedded [-- RUNS]` fails above [`WALL`], [`MEMORY`], or at a pace that would not
//! bring [`MANY`] runs to their end within [`LIMIT`]; and when a run violates what must hold.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// How long one rehearsal may take.
const WALL: Duration = Duration::from_secs(1);
/// Its largest resident set, in MiB.
const MEMORY: f64 = 100.0;
/// How often it is measured.
const TURNS: u64 = 9;
/// How many random runs are spoken of…
const MANY: f64 = 10_000.0;
/// … and how long they may take on two processors.
const LIMIT: Duration = Duration::from_mins(10);
/// How many are measured, unless it is said.
const RUNS: u64 = 400;

fn main() -> Result<()> {
    let runs = std::env::args()
        .find_map(|word| word.parse().ok())
        .unwrap_or(RUNS);
    let (wall, memory) = demo()?;
    println!(
        "docker-demo, N to N+1: {wall:.0?} (at most {WALL:?}), {memory:.0} MiB (at most {MEMORY})"
    );
    let pace = simulate(runs)?;
    let projected = Duration::from_secs_f64(MANY / pace);
    println!(
        "{runs} random runs: {pace:.1} a second; {MANY} take {projected:.0?} (at most {LIMIT:?})"
    );
    ensure!(
        wall <= WALL && memory <= MEMORY,
        "a rehearsal costs more than it may"
    );
    ensure!(projected <= LIMIT, "random runs are too slow");
    Ok(())
}

/// The median time and the largest memory of a rehearsal of the demo.
fn demo() -> Result<(Duration, f64)> {
    let (mut times, mut memory) = (Vec::new(), 0.0_f64);
    for seed in 0..TURNS {
        let folder = tempfile::tempdir()?;
        let begun = now();
        let output = stackgate()
            .current_dir(folder.path())
            .args(["run", "docker-demo", "--engine", "embedded", "--seed"])
            .arg(seed.to_string())
            .arg("--stacks")
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("stacks-under-test"))
            .output()?;
        times.push(begun.elapsed());
        ensure!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stdout)
        );
        let run = std::fs::read_dir(folder.path().join("reports"))?
            .next()
            .context("no run")??;
        let summary: Value =
            serde_json::from_slice(&std::fs::read(run.path().join("summary.json"))?)?;
        memory = memory.max(
            summary["usage"]["peakRssMib"]
                .as_f64()
                .context("no memory")?,
        );
    }
    times.sort();
    Ok((times[times.len() / 2], memory))
}

/// Random runs a second.
fn simulate(runs: u64) -> Result<f64> {
    let output = stackgate()
        .args(["simulate", "--seed", "1", "--format", "json", "--runs"])
        .arg(runs.to_string())
        .output()?;
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(
        output.status.success(),
        "a run violates what must hold:\n{told}"
    );
    let outcome: Value = serde_json::from_str(&told)?;
    outcome["runsPerSecond"].as_f64().context("no pace")
}

fn stackgate() -> Command {
    Command::new(env!("CARGO_BIN_EXE_stackgate"))
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
fn now() -> Instant {
    Instant::now()
}
