//! Nothing is left: after `kill -9` in each phase and `clean`, and after an interrupt by itself.

use std::process::{Child, Command};
use std::time::Duration;

use libtest_mimic::Failed;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use stackgate::record::{self, Phase, What};
use tokio::time::Instant;

use crate::failures::pause;
use crate::gate::{Gate, run_folder};
use crate::machine::traces;

/// Longer than any phase of the demo takes to be reached.
const PATIENCE: Duration = Duration::from_secs(600);

/// `kill -9` in each phase that creates something or runs beside it, then `stackgate clean`.
pub fn in_each_phase(management: &str) -> Result<(), Failed> {
    for phase in [
        Phase::Preflight,
        Phase::Management,
        Phase::Release,
        Phase::Create,
        Phase::CheckBefore,
        Phase::Upgrade,
        Phase::CheckAfter,
        Phase::Teardown,
    ] {
        let before = traces();
        let gate = Gate::demo().with(&["--management", management]);
        let mut run = gate.start();
        reach(&gate, phase, &mut run)?;
        run.kill()?;
        run.wait()?;
        let said = clean(&[])?;
        let after = traces();
        if before != after {
            return Err(format!(
                "killed in {phase}, clean left traces: {before:#?} against {after:#?}\n{said}"
            )
            .into());
        }
        eprintln!("killed in {phase}: nothing left after clean");
    }
    Ok(())
}

/// `kill -9` in a phase, then `stackgate resume`: the same stream goes on to its verdict, and nothing is left.
pub fn resumed() -> Result<(), Failed> {
    for (phase, management) in [
        (Phase::Create, "kind"),
        (Phase::CheckBefore, "light"),
        (Phase::Upgrade, "light"),
        (Phase::CheckAfter, "light"),
    ] {
        let before = traces();
        let gate = Gate::demo().with(&["--management", management]);
        let mut run = gate.start();
        reach(&gate, phase, &mut run)?;
        run.kill()?;
        run.wait()?;
        let folder = run_folder(&gate.reports()).ok_or("the run left no folder")?;
        let resume = || {
            let mut resume = Command::new(env!("CARGO_BIN_EXE_stackgate"));
            resume.arg("resume").arg(&folder).output()
        };
        let output = resume()?;
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        if output.status.code() != Some(0) {
            return Err(format!(
                "killed in {phase}, resume ended with {}:\n{said}",
                output.status
            )
            .into());
        }
        let events: Vec<_> =
            record::read(&folder.join("events.jsonl"))?.collect::<Result<_, _>>()?;
        let whole = events
            .iter()
            .enumerate()
            .all(|(at, event)| event.seq == at as u64);
        let forward = events.is_sorted_by_key(|event| event.elapsed_ms);
        let count =
            |wanted: fn(&What) -> bool| events.iter().filter(|event| wanted(&event.what)).count();
        let resumed = events.iter().find_map(|event| match event.what {
            What::Resumed { phase, .. } => Some(phase),
            _ => None,
        });
        let starts = count(|what| matches!(what, What::RunStarted { .. }));
        let verdicts = count(|what| matches!(what, What::Verdict { .. }));
        if !(whole && forward && (starts, verdicts) == (1, 1) && resumed == Some(phase)) {
            return Err(format!(
                "killed in {phase}: whole {whole}, forward {forward}, {starts} starts, {verdicts} verdicts, resumed with {resumed:?}"
            )
            .into());
        }
        // The recording goes on, too.
        let past = record::Past::open(&folder.join(record::RECORDING))?;
        let at_end = past.at(past.end_ms())?;
        if at_end
            .clusters
            .get("workload")
            .is_none_or(|cluster| cluster.is_empty())
        {
            return Err(format!(
                "killed in {phase}: the recording ends without a workload cluster"
            )
            .into());
        }
        let again = resume()?;
        let told = String::from_utf8_lossy(&again.stderr);
        if again.status.code() != Some(2) || !told.contains("stackgate reproduce") {
            return Err(format!("a run that has ended was gone on with: {told}").into());
        }
        let after = traces();
        if before != after {
            return Err(
                format!("killed in {phase} and resumed: {before:#?} against {after:#?}").into(),
            );
        }
        eprintln!("killed in {phase}: gone on with, and nothing left");
    }
    Ok(())
}

/// `kill -9`, then `clean`: what is gone cannot be gone on with, and it is told what to do instead.
pub fn cleaned_is_not_resumed() -> Result<(), Failed> {
    let gate = Gate::demo();
    let mut run = gate.start();
    reach(&gate, Phase::Create, &mut run)?;
    run.kill()?;
    run.wait()?;
    clean(&[])?;
    let folder = run_folder(&gate.reports()).ok_or("the run left no folder")?;
    let length = std::fs::metadata(folder.join("events.jsonl"))?.len();
    let output = Command::new(env!("CARGO_BIN_EXE_stackgate"))
        .arg("resume")
        .arg(&folder)
        .output()?;
    let told = String::from_utf8_lossy(&output.stderr);
    let untouched = std::fs::metadata(folder.join("events.jsonl"))?.len() == length;
    let refused = output.status.code() == Some(2) && told.contains("stackgate reproduce");
    if refused && untouched {
        return Ok(());
    }
    Err(format!(
        "expected a refusal that changes nothing, was {}:\n{told}",
        output.status
    )
    .into())
}

/// Ctrl-C once, in the middle of the creation: the run tears itself down and says so by its code.
pub fn interrupted(management: &str) -> Result<(), Failed> {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let before = traces();
        let gate = Gate::demo().with(&["--management", management]);
        let mut run = gate.start();
        reach(&gate, Phase::Create, &mut run)?;
        kill(Pid::from_raw(run.id().try_into()?), signal)?;
        let code = run.wait()?.code();
        let after = traces();
        if code != Some(130) || before != after {
            return Err(format!(
                "{signal}: exit code {code:?}, traces {before:#?} against {after:#?}"
            )
            .into());
        }
    }
    Ok(())
}

/// Runs `stackgate clean` with its options.
pub fn clean(options: &[&str]) -> Result<String, Failed> {
    let output = Command::new(env!("CARGO_BIN_EXE_stackgate"))
        .arg("clean")
        .args(options)
        .output()?;
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    if output.status.success() {
        Ok(said)
    } else {
        Err(format!("stackgate clean failed: {said}").into())
    }
}

/// Follows the run's stream until a phase has started, and a little into it.
fn reach(gate: &Gate, phase: Phase, run: &mut Child) -> Result<(), Failed> {
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        let started = run_folder(&gate.reports())
            .and_then(|folder| record::read(&folder.join("events.jsonl")).ok())
            .into_iter()
            .flatten()
            .flatten()
            .any(
                |event| matches!(event.what, What::PhaseStarted { phase: now, .. } if now == phase),
            );
        if started {
            // Into the phase, not at its door: three looks later something is under way.
            (0..3).for_each(|_| pause());
            return Ok(());
        }
        if let Some(status) = run.try_wait()? {
            // The last phases may be over between two looks.
            return if phase >= Phase::CheckAfter {
                Ok(())
            } else {
                Err(format!("the run ended with {status} before {phase}").into())
            };
        }
        pause();
    }
    Err(format!("{phase} was not reached").into())
}
