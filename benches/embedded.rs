//! What rehearsals cost: one of the demo stack with the checks it asks for, one with every check that
//! ships, and many random ones on all processors.
//!
//! `cargo bench --bench embedded [-- RUNS]` fails above [`WALL`], [`MEMORY`], or at a pace that would not
//! bring [`MANY`] runs to their end within [`LIMIT`]; and when a run violates what must hold.

use std::collections::BTreeSet;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use stackgate::record::{Phase, What, read};
use stackgate::suite::{self, Suite};

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

/// The demo stack's name.
const DEMO: &str = "docker-demo";

fn main() -> Result<()> {
    let runs = std::env::args()
        .find_map(|word| word.parse().ok())
        .unwrap_or(RUNS);
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("stacks-under-test");
    let folder = tempfile::tempdir()?;
    let stacks = [
        ("as it is", shipped.clone()),
        (
            "with every check",
            with_every_check(&shipped, folder.path())?,
        ),
    ];
    let mut good = true;
    for (what, stacks) in stacks {
        let Cost {
            wall,
            cpu,
            memory,
            answers,
            verdict,
        } = demo(&stacks)?;
        println!(
            "{DEMO} {what}, N to N+1: {wall:.0?} (at most {WALL:?}), {cpu:.0?} of processor time, {memory:.0} MiB (at most {MEMORY}); {answers} answers, {verdict}"
        );
        good &= wall <= WALL && memory <= MEMORY;
    }
    let pace = simulate(runs)?;
    let projected = Duration::from_secs_f64(MANY / pace);
    println!(
        "{runs} random runs: {pace:.1} a second; {MANY} take {projected:.0?} (at most {LIMIT:?})"
    );
    ensure!(good, "a rehearsal costs more than it may");
    ensure!(projected <= LIMIT, "random runs are too slow");
    Ok(())
}

/// The demo stack in `folder`, asking every check that ships; the folder of its stacks.
fn with_every_check(shipped: &Path, folder: &Path) -> Result<PathBuf> {
    let demo = shipped.join(DEMO);
    let mut stack: Value =
        serde_saphyr::from_str(&std::fs::read_to_string(demo.join("stack.yaml"))?)?;
    stack["spec"]["suites"] = json!(suite::names(Path::new("/nowhere")));
    let stacks = folder.join("stacks-under-test");
    let own = stacks.join(DEMO);
    std::fs::create_dir_all(&own)?;
    std::fs::write(own.join("stack.yaml"), serde_json::to_vec(&stack)?)?;
    symlink(demo.join("releases"), own.join("releases"))?;
    symlink(
        Path::new(env!("CARGO_MANIFEST_DIR")).join("kind-configs"),
        folder.join("kind-configs"),
    )?;
    Ok(stacks)
}

/// What one rehearsal costs, and what it says.
struct Cost {
    wall: Duration,
    cpu: Duration,
    memory: f64,
    answers: usize,
    verdict: String,
}

/// The median times and the largest memory of a rehearsal of the demo.
fn demo(stacks: &Path) -> Result<Cost> {
    let (mut walls, mut cpus, mut memory) = (Vec::new(), Vec::new(), 0.0_f64);
    let mut said = None;
    for seed in 0..TURNS {
        let folder = tempfile::tempdir()?;
        let begun = now();
        let output = stackgate()
            .current_dir(folder.path())
            .args(["run", DEMO, "--engine", "embedded", "--seed"])
            .arg(seed.to_string())
            .arg("--stacks")
            .arg(stacks)
            .output()?;
        walls.push(begun.elapsed());
        ensure!(
            matches!(output.status.code(), Some(0 | 1)),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let run = folder.path().join("reports/latest");
        let summary: Value = serde_json::from_slice(&std::fs::read(run.join("summary.json"))?)?;
        let usage = |what: &str| summary["usage"][what].as_f64().context("no usage");
        cpus.push(Duration::from_secs_f64(usage("cpuSeconds")?));
        memory = memory.max(usage("peakRssMib")?);
        said = Some((answers(stacks, &run)?, summary["verdict"].to_string()));
    }
    walls.sort();
    cpus.sort();
    let (answers, verdict) = said.context("no run")?;
    Ok(Cost {
        wall: walls[walls.len() / 2],
        cpu: cpus[cpus.len() / 2],
        memory,
        answers,
        verdict,
    })
}

/// How many answers there are; none that the stack asks for may be missing, on either side.
fn answers(stacks: &Path, run: &Path) -> Result<usize> {
    let stack = std::fs::read_to_string(stacks.join(DEMO).join("stack.yaml"))?;
    let stack: Value = serde_saphyr::from_str(&stack)?;
    let mut wanted = BTreeSet::new();
    for suite in stack["spec"]["suites"].as_array().into_iter().flatten() {
        let name = suite.as_str().context("no name of a suite")?;
        for check in Suite::load(name, Path::new("/nowhere"))?.checks {
            for phase in [Phase::CheckBefore, Phase::CheckAfter] {
                wanted.insert((phase, check.id.to_string()));
            }
        }
    }
    let mut given = BTreeSet::new();
    for event in read(&run.join("events.jsonl"))? {
        if let What::Check(result) = event?.what {
            given.insert((result.phase, result.id));
        }
    }
    ensure!(
        given == wanted,
        "answers are missing: {given:?} of {wanted:?}"
    );
    Ok(given.len())
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
