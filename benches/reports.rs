//! Time and peak memory of `junit.xml`, `summary.json` and `report.html` for 2,000 and for 100,000 checks, each in a
//! process of its own, and how long a browser needs for the first paint of the page of 2,000.
//! Fails when a view of 100,000 takes more than two seconds, when the memory for the first two grows with
//! the number of checks, or when the first paint takes more than a second.
//!
//! `cargo bench --bench reports`

#[path = "../tests/common/browser.rs"]
#[expect(dead_code, reason = "only what measures is used")]
mod browser;
#[path = "common/processor.rs"]
mod processor;

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use stackgate::record::{
    Change, CheckResult, Counts, Event, Outcome, Phase, PhaseOutcome, ReleaseRef, Severity,
    Verdict, What,
};
use stackgate::report::Format;

/// Told to the processes that measure: the run's folder, and the view.
const FOLDER: &str = "STACKGATE_BENCH_FOLDER";
const VIEW: &str = "STACKGATE_BENCH_VIEW";
/// By how much two peaks may differ, in KiB: buffers, not checks.
const TOLERANCE: u64 = 2048;
/// How long a view of 100,000 checks may take, in seconds.
const SECONDS: f64 = 2.0;
/// How long the first paint of the page of 2,000 checks may take, in milliseconds.
const PAINT: f64 = 1000.0;

const VIEWS: [(&str, Format); 3] = [
    ("junit.xml", Format::Junit),
    ("summary.json", Format::Json),
    ("report.html", Format::Html),
];

fn main() -> Result<()> {
    if let (Some(folder), Ok(view)) = (std::env::var_os(FOLDER), std::env::var(VIEW)) {
        return measure(Path::new(&folder), &view);
    }
    println!(
        "{:>8}  {:<12}  {:>8}  {:>11}  {:>9}",
        "answers", "view", "seconds", "KiB", "peak KiB"
    );
    let (few, many) = (tempfile::tempdir()?, tempfile::tempdir()?);
    write_stream(few.path(), 2_000)?;
    write_stream(many.path(), 100_000)?;
    for (view, _) in VIEWS {
        let (_, small) = run(few.path(), 2_000, view)?;
        let (seconds, large) = run(many.path(), 100_000, view)?;
        ensure!(
            seconds <= SECONDS,
            "{view} of 100,000 answers took {seconds} s"
        );
        let grown = large.saturating_sub(small);
        let bounded = view != "report.html";
        ensure!(
            !bounded || grown <= TOLERANCE,
            "peak memory of {view} grew by {grown} KiB"
        );
    }
    match browser::program() {
        Some(program) => paint(program, few.path(), many.path()),
        None => {
            println!("no browser: the first paint is not measured");
            Ok(())
        }
    }
}

/// Measures in a child, prints a line, returns seconds and the peak in KiB.
fn run(folder: &Path, answers: usize, view: &str) -> Result<(f64, u64)> {
    let child = Command::new(std::env::current_exe()?)
        .env(FOLDER, folder)
        .env(VIEW, view)
        .output()?;
    ensure!(
        child.status.success(),
        "{}",
        String::from_utf8_lossy(&child.stderr)
    );
    let told = String::from_utf8(child.stdout)?;
    let (seconds, peak) = told.trim().split_once(' ').context("seconds and KiB")?;
    let size = folder.join(view).metadata()?.len() / 1024;
    println!("{answers:>8}  {view:<12}  {seconds:>8}  {size:>11}  {peak:>9}");
    Ok((seconds.parse()?, peak.parse()?))
}

fn measure(folder: &Path, view: &str) -> Result<()> {
    let (_, format) = VIEWS
        .into_iter()
        .find(|(name, _)| *name == view)
        .context("a view")?;
    let mut out = BufWriter::new(File::create(folder.join(view))?);
    format.write(folder, None, &mut out)?;
    out.flush()?;
    // One thread that waits for nothing: on a quiet machine this is the time that it takes.
    let usage = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_SELF)?;
    let seconds = processor::time()?.as_secs_f64();
    println!("{seconds:.3} {}", usage.max_rss());
    Ok(())
}

/// The median of five, of the page of 2,000; once of the other.
fn paint(program: &str, few: &Path, many: &Path) -> Result<()> {
    let mut browser = browser::Browser::start(program, 1400, 1000);
    let first = "new Promise((done) => { const told = () => performance.getEntriesByName('first-contentful-paint')[0]?.startTime;\
                 told() ? done(told()) : new PerformanceObserver(() => told() && done(told())).observe({type: 'paint'}); })";
    let mut measured = |folder: &Path| -> Result<f64> {
        browser.open(&folder.join("report.html"), "");
        browser.evaluate(first).as_f64().context("a time")
    };
    let mut times = (0..5)
        .map(|_| measured(few))
        .collect::<Result<Vec<f64>>>()?;
    times.sort_by(f64::total_cmp);
    let large = measured(many)?;
    println!(
        "first paint: {:.0} ms with 2,000 answers (median of 5), {large:.0} ms with 100,000",
        times[2]
    );
    ensure!(
        times[2] <= PAINT,
        "the first paint of 2,000 answers took {:.0} ms",
        times[2]
    );
    Ok(())
}

/// Each check before and after the upgrade; every tenth fails with evidence, every hundredth only after
/// it.
fn write_stream(folder: &Path, answers: usize) -> Result<()> {
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
    let outcome = |number: usize, phase: Phase| match (number % 10, number % 100, phase) {
        (0, 0, Phase::CheckBefore) => Outcome::Pass,
        (0, ..) => Outcome::Fail,
        _ => Outcome::Pass,
    };
    for phase in [Phase::CheckBefore, Phase::CheckAfter] {
        let deadline_s = 300;
        push(What::PhaseStarted { phase, deadline_s })?;
        for number in 0..answers / 2 {
            let outcome = outcome(number, phase);
            push(What::Check(CheckResult {
                phase,
                id: format!("check-{number}"),
                title: "asks one question to one cluster".to_owned(),
                suite: "bench".to_owned(),
                severity: Severity::Must,
                outcome,
                message: "the message of a check, with \u{1b}[31mcolour\u{1b}[0m".to_owned(),
                evidence: vec![
                    "a line of evidence".to_owned();
                    if outcome == Outcome::Fail { 20 } else { 0 }
                ],
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
    for number in 0..answers / 2 {
        let (before, after) = (
            outcome(number, Phase::CheckBefore),
            outcome(number, Phase::CheckAfter),
        );
        let change = match (before, after) {
            (Outcome::Pass, Outcome::Fail) => Change::Regressed,
            (Outcome::Fail, _) => Change::StillFailing,
            _ => Change::Kept,
        };
        let check = format!("check-{number}");
        push(What::Compared {
            check,
            before: Some(before),
            after: Some(after),
            change,
        })?;
    }
    let (verdict, reason) = (Verdict::Closed, "check-0, regressed".to_owned());
    push(What::Verdict {
        verdict,
        reason,
        counts: Counts::default(),
    })?;
    Ok(out.flush()?)
}
