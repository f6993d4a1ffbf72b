//! One run from its folder to its verdict: the stream, the live view, signals, panics, reports.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Result;
use jiff::Timestamp;

use super::exit::{Ending, Exit, Failure};
use super::{signals, usage};
use crate::cluster::{Context, Interrupt};
use crate::engine::Kept;
use crate::gate;
use crate::record::{Counts, Recorder, ReleaseRef, RunId, Verdict, What};
use crate::report;
use crate::report::terminal::{Live, Screen};

/// Version of the event format.
const FORMAT: u32 = 1;

/// What a run is told about itself before it starts.
pub struct Conduct {
    /// The run's id.
    pub run: RunId,
    /// Where its stream and reports go; it must not exist.
    pub folder: PathBuf,
    /// Multiplies every deadline.
    pub timeout_scale: f64,
    /// Name of the stack under test.
    pub stack: String,
    /// Release N.
    pub from: ReleaseRef,
    /// Release N+1.
    pub to: ReleaseRef,
    /// Where clusters come from.
    pub engine: String,
    /// How releases get in.
    pub delivery: String,
    /// The command line, as given.
    pub command: Vec<String>,
}

impl Conduct {
    /// Runs `gate` with everything around it: appends the first and the last events, shows them live,
    /// listens to signals, survives a panic, writes the reports, and says where they are.
    ///
    /// # Errors
    /// When the folder or the reports cannot be written, or the gate panicked.
    pub fn run(self, gate: impl AsyncFnOnce(Context) -> gate::Ending) -> Result<Verdict, Failure> {
        let started = Instant::now();
        let runtime = super::runtime()?;
        let live = Live::new(Screen::stderr());
        let recorder = Recorder::create(&self.folder, Timestamp::now(), vec![Box::new(live)])
            .map_err(Failure::infrastructure)?;
        let interrupt = Interrupt::default();
        signals::listen(interrupt.clone(), recorder.clone(), self.run.clone())
            .map_err(Failure::infrastructure)?;
        let context = Context::new(self.run.clone(), recorder, interrupt, self.timeout_scale);
        context.emit(self.first_event());

        let ended = catch_unwind(AssertUnwindSafe(|| runtime.block_on(gate(context.clone()))));

        let (verdict, kept, panicked) = match ended {
            Ok(ended) => (ended.verdict, ended.kept, None),
            Err(payload) => {
                let reason = format!("stackgate panicked: {}", panic_message(payload.as_ref()));
                let (verdict, counts) = (Verdict::None, Counts::default());
                context.emit(What::Verdict {
                    verdict,
                    reason: reason.clone(),
                    counts,
                });
                (verdict, Vec::new(), Some(reason))
            }
        };
        let seconds = started.elapsed().as_secs_f64();
        context.emit(What::Usage(usage::measure(seconds, context.reactions())));
        let exit_code = Exit::of(&Ending::Verdict(verdict)).code();
        context.emit(What::RunFinished { exit_code, seconds });
        tell(&self.folder, &kept).map_err(Failure::infrastructure)?;
        match panicked {
            None => Ok(verdict),
            Some(reason) => Err(Failure::infrastructure(anyhow::anyhow!("{reason}"))
                .hint(format!(
                    "this is a bug; what happened is in {}",
                    self.folder.display()
                ))
                .hint(format!(
                    "remove what is left with: stackgate clean {}",
                    self.run
                ))),
        }
    }

    fn first_event(&self) -> What {
        What::RunStarted {
            run: self.run.clone(),
            format: FORMAT,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            stack: self.stack.clone(),
            from: self.from.clone(),
            to: self.to.clone(),
            engine: self.engine.clone(),
            delivery: self.delivery.clone(),
            command: self.command.clone(),
        }
    }
}

/// Makes the reports and prints the last lines. A verdict whose evidence cannot be written is not
/// given: a pipeline that obeys the exit code must be able to show why.
fn tell(folder: &Path, kept: &[Kept]) -> Result<()> {
    let written = report::write_all(folder)?;
    let mut text = report::terminal::closing(folder, &written, Screen::stdout())?;
    for Kept { what, command } in kept {
        text.push_str(&format!("kept {what}\n  {command}\n"));
    }
    super::print(&text)
}

fn panic_message(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("for an unknown reason")
}
