//! Time and peak memory of `junit.xml` for 1,000 and for 100,000 cases, each in a process of its own.
//! Fails when memory grows with the number of cases.
//!
//! `cargo bench --bench junit`

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use stackgate::record::{
    CheckResult, Event, Outcome, Phase, PhaseOutcome, ReleaseRef, Severity, What,
};
use tokio::time::Instant;

/// Told to the processes that measure: the run's folder.
const FOLDER: &str = "STACKGATE_BENCH_FOLDER";
/// By how much the two peaks may differ, in KiB: buffers, not cases.
const TOLERANCE: u64 = 2048;

fn main() -> Result<()> {
    if let Some(folder) = std::env::var_os(FOLDER) {
        return measure(Path::new(&folder));
    }
    println!(
        "{:>8}  {:>10}  {:>11}  {:>11}",
        "cases", "seconds", "report KiB", "peak KiB"
    );
    let few = run(1_000)?;
    let many = run(100_000)?;
    let grown = many.saturating_sub(few);
    ensure!(
        grown <= TOLERANCE,
        "peak memory grew by {grown} KiB with the number of cases"
    );
    println!("peak memory differs by {grown} KiB, at most {TOLERANCE} KiB are allowed");
    Ok(())
}

/// Measures in a child, prints a line, returns the peak in KiB.
fn run(cases: usize) -> Result<u64> {
    let folder = tempfile::tempdir()?;
    write_stream(folder.path(), cases)?;
    let child = Command::new(std::env::current_exe()?)
        .env(FOLDER, folder.path())
        .output()?;
    ensure!(
        child.status.success(),
        "{}",
        String::from_utf8_lossy(&child.stderr)
    );
    let told = String::from_utf8(child.stdout)?;
    let (seconds, peak) = told.trim().split_once(' ').context("seconds and KiB")?;
    let size = folder.path().join("junit.xml").metadata()?.len() / 1024;
    println!("{cases:>8}  {seconds:>10}  {size:>11}  {peak:>11}");
    Ok(peak.parse()?)
}

fn measure(folder: &Path) -> Result<()> {
    let started = Instant::now();
    let mut out = BufWriter::new(File::create(folder.join("junit.xml"))?);
    stackgate::report::junit::write(&folder.join(stackgate::report::STREAM), &mut out)?;
    out.flush()?;
    let seconds = started.elapsed().as_secs_f64();
    let usage = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_SELF)?;
    println!("{seconds:.3} {}", usage.max_rss());
    Ok(())
}

/// Half of the checks before the upgrade, half after; every tenth fails with evidence.
fn write_stream(folder: &Path, cases: usize) -> Result<()> {
    let mut out = BufWriter::new(File::create(folder.join(stackgate::report::STREAM))?);
    let mut seq = 0;
    let mut push = |what: What| -> Result<()> {
        let event = Event {
            seq,
            at: Timestamp::UNIX_EPOCH,
            elapsed_ms: seq,
            what,
        };
        seq += 1;
        serde_json::to_writer(&mut out, &event)?;
        Ok(out.write_all(b"\n")?)
    };
    let release = || ReleaseRef {
        tag: "demo-1-v1".to_owned(),
        kubernetes: "v1.35.0".to_owned(),
    };
    push(What::RunStarted {
        run: "7f3a09bc".parse()?,
        format: 1,
        version: "0.1.0".to_owned(),
        stack: "demo".to_owned(),
        from: release(),
        to: release(),
        engine: "kind".to_owned(),
        delivery: "direct".to_owned(),
        command: vec![],
        rehearsal: None,
    })?;
    for phase in [Phase::CheckBefore, Phase::CheckAfter] {
        push(What::PhaseStarted {
            phase,
            deadline_s: 300,
        })?;
        for number in 0..cases / 2 {
            let failed = number % 10 == 0;
            push(What::Check(CheckResult {
                phase,
                id: format!("check-{number}"),
                title: "a check".to_owned(),
                suite: "bench".to_owned(),
                severity: Severity::Must,
                outcome: if failed { Outcome::Fail } else { Outcome::Pass },
                message: "\u{1b}[31mthe\u{1b}[0m message of a check".to_owned(),
                evidence: vec!["a line of evidence".to_owned(); if failed { 20 } else { 0 }],
                seconds: 0.1,
                accepted: None,
                standard: None,
                excluded: false,
                surroundings: Default::default(),
            }))?;
        }
        let (outcome, message) = (PhaseOutcome::Passed, None);
        push(What::PhaseFinished {
            phase,
            outcome,
            seconds: 10.0,
            message,
        })?;
    }
    Ok(out.flush()?)
}
