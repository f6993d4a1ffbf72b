//! One run from its folder to its verdict: the stream, the live view, signals, panics, reports.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow};
use jiff::civil::Date;

use super::args::SummaryFormat;
use super::exit::{Ending, Failure};
use super::{ci, open, runs, signals, usage};
use crate::cluster::{Context, Interrupt};
use crate::engine::Kept;
use crate::gate::{self, Resumption};
use crate::record::{
    Clock, Counts, FORMAT, RECORDING, Recorder, Recording, Redactor, Rehearsal, ReleaseRef, RunId,
    Verdict, What,
};
use crate::report::overview::Overview;
use crate::report::terminal::{Live, Screen, Sections};
use crate::report::{self, STREAM, Summary};

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
    /// Set when the clusters are simulated.
    pub rehearsal: Option<Rehearsal>,
    /// Whether the run's time is virtual: waiting then takes no longer than its computation.
    pub virtual_time: bool,
    /// Whether what becomes of the clusters' objects is recorded.
    pub recorded: bool,
    /// The day that is judged by, where it is not the clock's own.
    pub judged_on: Option<Date>,
    /// Set when its process is gone and this one goes on with it: then its folder exists.
    pub resumed: Option<Resumption>,
    /// Whether the report is shown in a browser at the end.
    pub open: bool,
    /// How the outcome is printed.
    pub format: SummaryFormat,
}

impl Conduct {
    /// Runs `gate` with everything around it: appends the first and the last events, shows them live,
    /// listens to signals, survives a panic, writes the reports, and says where they are.
    ///
    /// # Errors
    /// When the folder or the reports cannot be written, or the gate panicked.
    pub fn run(self, gate: impl AsyncFnOnce(Context) -> gate::Ending) -> Result<Verdict, Failure> {
        let watch = usage::Stopwatch::start();
        let runtime = super::runtime_with(self.virtual_time)?;
        // Everything that is told of the run is told by its clock.
        let _clock = runtime.enter();
        let sections = Sections::of_environment();
        let live = Live::new(Screen::stderr(), sections, self.virtual_time);
        let clock = if let Some(resumed) = &self.resumed {
            Clock::resumed(resumed.began, resumed.told)
        } else if self.virtual_time {
            Clock::rehearsed()
        } else if self.rehearsal.is_some() {
            Clock::simulated()
        } else {
            Clock::system()
        };
        let (folder, live) = (&self.folder, vec![Box::new(live) as _]);
        let made = self.folder.parent().is_some_and(|place| !place.exists());
        let recorder = match &self.resumed {
            None => Recorder::create(folder, clock, live),
            Some(resumed) => Recorder::resume(folder, resumed.events, clock, live),
        };
        let recorder = recorder.map_err(Failure::infrastructure)?;
        // What is judged again has no recording, and is nothing to be run again: it is not what `latest` is for.
        if self.engine != gate::RECORDED {
            runs::link_latest(&self.folder);
        }
        if made {
            runs::explain(&self.folder);
        }
        let interrupt = Interrupt::default();
        let run_time = runtime.handle().clone();
        signals::listen(
            interrupt.clone(),
            recorder.clone(),
            self.run.clone(),
            run_time,
        )
        .map_err(Failure::infrastructure)?;
        let mut context = Context::new(self.run.clone(), recorder, interrupt, self.timeout_scale);
        if self.recorded {
            let redactor = context.recorder.redactor().clone();
            let path = self.folder.join(RECORDING);
            let recording = match &self.resumed {
                None => Recording::create(&path, clock, redactor),
                Some(_) => Recording::resume(&path, clock, redactor),
            };
            context.recording = Some(recording.map_err(Failure::infrastructure)?);
        }
        context.judged_on = self.judged_on;
        context.emit(self.first_event());

        let ended = catch_unwind(AssertUnwindSafe(|| runtime.block_on(gate(context.clone()))));

        if let Some(recording) = &context.recording {
            // The gate tells when it could not be written.
            let _ = recording.finish();
        }
        let panicked = ended.is_err();
        let gate::Ending {
            verdict,
            reason,
            kept,
        } = ended.unwrap_or_else(|payload| gate::Ending {
            verdict: Verdict::None,
            reason: format!("stackgate panicked: {}", panic_message(payload.as_ref())),
            kept: Vec::new(),
        });
        // The gate appends its verdict, with the comparison; here it is only made sure that there is one.
        let told = Overview::read(context.recorder.path());
        if told.is_ok_and(|overview| overview.verdict.is_none()) {
            let (reason, counts) = (reason.clone(), Counts::default());
            context.emit(What::Verdict {
                verdict,
                reason,
                counts,
            });
        }
        let usage = usage::measure(watch.seconds(), context.reactions());
        context.emit(What::Usage(usage));
        let seconds = clock.elapsed().as_secs_f64();
        let exit_code = Ending::Verdict(verdict).code();
        context.emit(What::RunFinished { exit_code, seconds });
        tell(&self.folder, &kept, self.format).map_err(Failure::infrastructure)?;
        if self.open {
            open::page(&self.folder.join(report::PAGE));
        }
        if panicked {
            let (run, folder) = (&self.run, self.folder.display());
            return Err(Failure::infrastructure(anyhow!(reason))
                .hint(format!("this is a bug; what happened is in {folder}"))
                .hint(format!("remove what is left with: stackgate clean {run}")));
        }
        Ok(verdict)
    }

    /// The command line without what is secret in it: words by their place, which no text shows.
    fn redacted_command(&self) -> Vec<String> {
        Redactor::default().words(&self.command)
    }

    fn first_event(&self) -> What {
        if let Some(resumed) = &self.resumed {
            return What::Resumed {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                phase: resumed.next,
            };
        }
        What::RunStarted {
            run: self.run.clone(),
            format: FORMAT,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            stack: self.stack.clone(),
            from: self.from.clone(),
            to: self.to.clone(),
            engine: self.engine.clone(),
            delivery: self.delivery.clone(),
            command: self.redacted_command(),
            rehearsal: self.rehearsal.clone(),
        }
    }
}

/// A folder that is not there yet: the same seed gives the same name again.
pub fn free(reports: &Path, name: &str) -> PathBuf {
    let numbered = (2..).map(|number| reports.join(format!("{name}-{number}")));
    std::iter::once(reports.join(name))
        .chain(numbered)
        .find(|folder| !folder.exists())
        .unwrap_or_else(|| reports.join(name))
}

/// Makes the reports and prints the last lines. A verdict whose evidence cannot be written is not
/// given: a pipeline that obeys the exit code must be able to show why.
fn tell(folder: &Path, kept: &[Kept], format: SummaryFormat) -> Result<()> {
    let written = report::write_all(folder)?;
    ci::tell(folder)?;
    if format == SummaryFormat::Json {
        let summary = Summary::read(&folder.join(STREAM))?;
        return super::print(&format!("{}\n", serde_json::to_string_pretty(&summary)?));
    }
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

#[cfg(test)]
mod tests {
    use nix::sys::signal::{Signal, raise};

    use super::*;
    use crate::record::Phase;

    fn run(folder: &Path) -> Conduct {
        let release = || ReleaseRef {
            tag: "demo-1".to_owned(),
            kubernetes: "v1.35.0".to_owned(),
        };
        Conduct {
            run: "7f3a09bc".parse().unwrap(),
            folder: folder.join("run"),
            timeout_scale: 1.0,
            stack: "demo".to_owned(),
            from: release(),
            to: release(),
            engine: "kind".to_owned(),
            delivery: "direct".to_owned(),
            command: vec![],
            recorded: true,
            judged_on: None,
            resumed: None,
            rehearsal: None,
            virtual_time: false,
            open: false,
            format: SummaryFormat::Plain,
        }
    }

    fn ended(verdict: Verdict) -> gate::Ending {
        gate::Ending {
            verdict,
            reason: "for a reason".to_owned(),
            kept: vec![],
        }
    }

    #[test]
    fn a_run_leaves_a_whole_stream_and_its_reports() {
        let folder = tempfile::tempdir().unwrap();
        let verdict = run(folder.path()).run(async |context| {
            context.emit(What::PhaseStarted {
                phase: Phase::Preflight,
                deadline_s: 60,
            });
            ended(Verdict::Closed)
        });
        assert_eq!(verdict.unwrap(), Verdict::Closed);
        let run = folder.path().join("run");
        let summary = Summary::read(&run.join(STREAM)).unwrap();
        assert_eq!(
            (summary.verdict, summary.exit_code),
            (Some(Verdict::Closed), Some(1))
        );
        assert_eq!(summary.reason, "for a reason");
        assert!(summary.usage.unwrap().peak_rss_mib > 0.0);
        assert!(run.join("junit.xml").exists() && run.join("summary.json").exists());
    }

    #[test]
    fn the_gates_own_verdict_is_the_only_one() {
        let folder = tempfile::tempdir().unwrap();
        let own = async |context: Context| {
            let (verdict, reason) = (Verdict::Open, "all kept".to_owned());
            let counts = Counts {
                kept: 3,
                ..Counts::default()
            };
            context.emit(What::Verdict {
                verdict,
                reason,
                counts,
            });
            ended(Verdict::Open)
        };
        run(folder.path()).run(own).unwrap();
        let summary = Summary::read(&folder.path().join("run").join(STREAM)).unwrap();
        assert_eq!((summary.counts.kept, &*summary.reason), (3, "all kept"));
    }

    #[test]
    fn a_panic_gives_no_verdict_and_says_where_the_run_is() {
        let folder = tempfile::tempdir().unwrap();
        let failure = run(folder.path()).run(async |context| {
            assert_eq!(context.run.as_str(), "nobody", "on purpose");
            ended(Verdict::Open)
        });
        let failure = failure.unwrap_err();
        assert!(
            failure.error.to_string().contains("panicked: "),
            "{failure:?}"
        );
        assert!(
            failure.error.to_string().contains("on purpose"),
            "{failure:?}"
        );
        assert!(failure.hints[0].ends_with("/run") && failure.hints[1].ends_with("clean 7f3a09bc"));
        assert_eq!(Ending::Failed(failure).code(), 3);
        let summary = Summary::read(&folder.path().join("run").join(STREAM)).unwrap();
        assert_eq!(
            (summary.verdict, summary.exit_code),
            (Some(Verdict::None), Some(3))
        );
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_told_before_anything_starts() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("run"), "in the way").unwrap();
        let failure = run(folder.path()).run(async |_| unreachable!("it has no folder"));
        let error = format!("{:#}", failure.unwrap_err().error);
        assert!(
            error.starts_with("failed to create the run's folder "),
            "{error}"
        );
    }

    #[test]
    fn the_first_signal_asks_the_run_to_stop_and_lets_it_tear_down() {
        let folder = tempfile::tempdir().unwrap();
        let verdict = run(folder.path()).run(async |context| {
            raise(Signal::SIGTERM).unwrap();
            context.interrupt.raised().await;
            context.note("torn down");
            ended(Verdict::Interrupted)
        });
        assert_eq!(verdict.unwrap(), Verdict::Interrupted);
        let stream = std::fs::read_to_string(folder.path().join("run").join(STREAM)).unwrap();
        assert!(stream.contains("the same signal once more leaves at once"));
        assert!(stream.contains("torn down"));
    }
}
