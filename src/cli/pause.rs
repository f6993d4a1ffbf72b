//! `--pause`, and `stackgate resume|abort RUN`, which tell a paused run how to go on.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::anyhow;
use clap::Args;
use jiff::SignedDuration;

use super::args::EngineKind;
use super::exit::{Ending, Failure};
use super::inputs::Inputs;
use super::reproduce::{as_asked, value, withheld};
use super::run::{self, Begins};
use super::runs;
use crate::engine::existing;
use crate::gate::{Pauses, Point, Resumption, Wish, ask};
use crate::record::{Pause, What, is_written, read};
use crate::report::STREAM;

/// Where a run stands still.
#[derive(Debug, Default, Args)]
pub struct PauseArgs {
    /// Stand still, to be looked at with kubectl: before:PHASE, PHASE+DURATION (upgrade+40s), on-failure; may be
    /// given again. It goes on, begins the phase again or tears down by the keys c, r, a, or by `stackgate
    /// resume|abort`
    #[arg(long, value_name = "POINT")]
    pub pause: Vec<Point>,
    /// How long to wait at a pause before giving up: without anybody there is no verdict
    #[arg(long, value_name = "DURATION", default_value = "2h", value_parser = at_most, requires = "pause")]
    pub pause_for: Duration,
}

impl PauseArgs {
    /// The same, with nothing left to interpret.
    #[must_use]
    pub fn resolve(self, virtual_time: bool) -> Pauses {
        Pauses {
            points: self.pause,
            at_most: self.pause_for,
            virtual_time,
            keys: true,
        }
    }
}

/// A wait without an end is none.
fn at_most(text: &str) -> Result<Duration, String> {
    let expected = "expected a duration from 1s to 7 days, such as 30m or 2h";
    let read: SignedDuration = text.parse().map_err(|_| expected)?;
    let duration = Duration::try_from(read).map_err(|_| expected)?;
    let bounds = Duration::from_secs(1)..=Duration::from_secs(7 * 24 * 3600);
    if bounds.contains(&duration) {
        Ok(duration)
    } else {
        Err(expected.to_owned())
    }
}

#[derive(Debug, Args)]
pub struct ResumeArgs {
    /// The run: its folder, its id, or `latest`
    #[arg(value_name = "RUN", default_value = "latest")]
    pub run: String,
    /// Begin the phase again instead of going on in it, or after it
    #[arg(long)]
    pub retry: bool,
    /// Of a run whose process is gone: the folder of its stack, as for `stackgate reproduce`
    #[arg(long, value_name = "STACK")]
    pub originals: Option<PathBuf>,
    /// Where runs are found by id
    #[arg(long, value_name = "DIR", default_value = "reports")]
    pub reports: PathBuf,
}

#[derive(Debug, Args)]
pub struct AbortArgs {
    /// The run: its folder, its id, or `latest`
    #[arg(value_name = "RUN", default_value = "latest")]
    pub run: String,
    /// Where runs are found by id
    #[arg(long, value_name = "DIR", default_value = "reports")]
    pub reports: PathBuf,
}

/// Lets a paused run go on; and one whose process is gone, while its clusters are there.
///
/// # Errors
/// When there is no such run, it neither is paused nor can be gone on with, or it cannot be reached.
pub fn resume(args: &ResumeArgs, command: Vec<String>) -> Result<Ending, Failure> {
    let folder = runs::find(&args.run, &args.reports)?;
    if is_gone(&folder) {
        return go_on(args, folder, command);
    }
    let (wish, done) = if args.retry {
        (Wish::Retry, "begins the phase again")
    } else {
        (Wish::GoOn, "goes on")
    };
    tell(&folder, wish, done)
}

/// Has a paused run torn down.
///
/// # Errors
/// When there is no such run, it is not paused, or it cannot be reached.
pub fn abort(args: &AbortArgs) -> Result<Ending, Failure> {
    let folder = runs::find(&args.run, &args.reports)?;
    if is_gone(&folder) {
        let shown = folder.display();
        let error = anyhow!("failed to abort the run in {shown}: its process is gone");
        return Err(Failure::input(error).hint("remove what is left with: stackgate clean"));
    }
    tell(&folder, Wish::Abort, "is torn down")
}

/// Whether nobody writes a run's stream that has not ended.
fn is_gone(folder: &Path) -> bool {
    let ended = matches!(state(folder), Ok(State::Ended) | Err(_));
    !ended && !is_written(&folder.join(STREAM))
}

/// Goes on with a run whose process is gone.
fn go_on(args: &ResumeArgs, folder: PathBuf, command: Vec<String>) -> Result<Ending, Failure> {
    let shown = folder.display().to_string();
    let refuse = |error: anyhow::Error| {
        Failure::input(error.context(format!("failed to go on with the run in {shown}")))
            .hint(format!("run it again with: stackgate reproduce {shown}"))
            .hint("remove what is left with: stackgate clean")
    };
    let events = read(&folder.join(STREAM)).map_err(Failure::input)?;
    let events: Vec<_> = events.collect::<Result<_, _>>().map_err(Failure::input)?;
    let resumption = Resumption::of(events).map_err(|refusal| refuse(refusal.into()))?;
    let inputs = Inputs::read(&folder, args.originals.as_deref()).map_err(withheld)?;
    let engine = value::<EngineKind>("engine", &inputs.asked.engine)?;
    let mut args = as_asked(&inputs, engine)?;
    if engine == EngineKind::Existing {
        args.existing.kubeconfig = Some(existing::kubeconfig_of(&resumption.run));
    }
    let begins = Begins::Resumed(folder, Box::new(resumption));
    run::begin(args, command, begins).map(Ending::Verdict)
}

fn tell(folder: &Path, wish: Wish, done: &str) -> Result<Ending, Failure> {
    let shown = folder.display();
    let pause = match state(folder).map_err(Failure::input)? {
        State::Paused(pause) => pause,
        State::UnderWay => {
            let error = anyhow!("failed to go on with the run in {shown}: it is not paused");
            return Err(
                Failure::input(error).hint("Ctrl-C in its terminal, or SIGTERM, tears it down")
            );
        }
        State::Ended => {
            let error = anyhow!("failed to go on with the run in {shown}: it has ended");
            let hint = format!("run it again with: stackgate reproduce {shown}");
            return Err(Failure::input(error).hint(hint));
        }
    };
    ask(Path::new(&pause.control), wish).map_err(Failure::infrastructure)?;
    super::note(&format!("the run that was paused {} {done}", pause.place));
    Ok(Ending::Done)
}

/// How far a run is, as far as its stream tells.
enum State {
    Paused(Box<Pause>),
    UnderWay,
    Ended,
}

fn state(folder: &Path) -> anyhow::Result<State> {
    let mut state = State::UnderWay;
    for event in read(&folder.join(STREAM))? {
        match event?.what {
            What::Paused(pause) => state = State::Paused(Box::new(pause)),
            What::PauseEnded { .. } => state = State::UnderWay,
            What::RunFinished { .. } => state = State::Ended,
            _ => {}
        }
    }
    Ok(state)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_wait_is_without_an_end() {
        for (text, seconds) in [("30m", 1800), ("2h", 7200), ("1s", 1), ("168h", 604_800)] {
            assert_eq!(at_most(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "0s", "-1h", "forever", "169h", "2"] {
            assert!(at_most(text).is_err(), "{text}");
        }
    }
}
