//! What a management cluster costs that has no nodes, beside one that kind makes: until it is ready, and for a whole
//! gate of the demo stack. Real clusters: needs Docker and what `stackgate doctor` asks for.
//!
//! `cargo bench --bench management [-- alone]` makes them in turn and fails above [`READY`], or when the one
//! without nodes is not [`TIMES_READY`] and [`TIMES_WHOLE`] as fast; `alone` leaves out the whole gates.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use stackgate::record::{Past, RECORDING};

/// How long one without nodes may take to be ready, in seconds.
const READY: f64 = 12.0;
/// How much faster than kind's it is to be ready.
const TIMES_READY: f64 = 4.0;
/// How much faster than kind's a whole gate is to be.
const TIMES_WHOLE: f64 = 1.3;
/// How often each is made alone; the first of each reads what it needs from a cold disk.
const TURNS: usize = 3;
/// As `--management` takes them.
const MODES: [&str; 2] = ["light", "kind"];

fn main() -> Result<()> {
    let alone = std::env::args().any(|word| word == "alone");
    let mut ready = [Vec::new(), Vec::new()];
    for _ in 0..TURNS {
        for (mode, seconds) in MODES.iter().zip(&mut ready) {
            let run = gate(mode, &["--pause", "before:release", "--pause-for", "1s"])?;
            println!("{mode}: ready after {:.1} s", run.management);
            seconds.push(run.management);
        }
    }
    let [light, kind] = ready.map(|mut seconds| {
        seconds.sort_by(f64::total_cmp);
        seconds[seconds.len() / 2]
    });
    let times = kind / light;
    println!(
        "ready: light {light:.1} s (at most {READY}), kind {kind:.1} s: {times:.1} times (at least {TIMES_READY})"
    );
    let mut good = light <= READY && times >= TIMES_READY;
    if !alone {
        let [light, kind] = [gate("light", &[])?, gate("kind", &[])?];
        for (mode, run) in [("light", &light), ("kind", &kind)] {
            ensure!(run.verdict == "open", "{mode}: the gate is {}", run.verdict);
            println!(
                "{mode}: open after {:.0} s, management {:.1} s of it; {} MiB in {} containers of the management part",
                run.whole, run.management, run.memory, run.containers
            );
        }
        let times = kind.whole / light.whole;
        println!("whole gate: {times:.2} times (at least {TIMES_WHOLE})");
        good &= times >= TIMES_WHOLE;
    }
    ensure!(
        good,
        "a management cluster without nodes costs more than it may"
    );
    Ok(())
}

/// What a run told.
struct Run {
    verdict: String,
    /// Until the management cluster was ready, in seconds.
    management: f64,
    /// The whole run, in seconds.
    whole: f64,
    /// The most memory that the management part had at a time, in MiB, …
    memory: u64,
    /// … and in how many containers.
    containers: usize,
}

fn gate(mode: &str, options: &[&str]) -> Result<Run> {
    let folder = tempfile::tempdir()?;
    let output = Command::new(env!("CARGO_BIN_EXE_stackgate"))
        .args([
            "run",
            "docker-demo",
            "--engine",
            "kind",
            "--management",
            mode,
        ])
        .args(options)
        .arg("--stacks")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/stacks-under-test"))
        .arg("--reports")
        .arg(folder.path())
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    let latest = folder.path().join("latest");
    let summary = std::fs::read(latest.join("summary.json")).with_context(|| said.to_string())?;
    let summary: Value = serde_json::from_slice(&summary)?;
    let phases = summary["phases"].as_array().context("no phases")?;
    let management = phases
        .iter()
        .find(|phase| phase["phase"] == "management")
        .filter(|phase| phase["outcome"] == "passed")
        .and_then(|phase| phase["seconds"].as_f64());
    let (memory, containers) = memory(&latest.join(RECORDING))?;
    Ok(Run {
        verdict: summary["verdict"].as_str().unwrap_or("none").to_owned(),
        management: management.with_context(|| format!("no management cluster:\n{said}"))?,
        whole: summary["seconds"].as_f64().context("no seconds")?,
        memory,
        containers,
    })
}

/// The most memory that the containers of the management part had at one look, and how many there were.
fn memory(recording: &std::path::Path) -> Result<(u64, usize)> {
    let mut looks = std::collections::BTreeMap::new();
    for (name, used) in Past::open(recording)?.used()? {
        if !name.starts_with("stackgate-") {
            continue;
        }
        for (at_ms, one) in used {
            let look: &mut (u64, usize) = looks.entry(at_ms).or_default();
            look.0 += one.memory_mib.unwrap_or_default();
            look.1 += 1;
        }
    }
    Ok(looks.into_values().max().unwrap_or_default())
}
