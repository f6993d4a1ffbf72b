//! Appends events to the run's folder and hands each to the live views.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::{Clock, Event, Redactor, What};
use anyhow::{Context, Result, anyhow};

/// A live view: sees each event right after it is on disk.
pub trait Sink: Send {
    /// Takes one event. It must not block.
    fn take(&mut self, event: &Event);
}

/// The one writer of the stream; clones write to the same stream.
#[derive(Clone)]
pub struct Recorder {
    inner: Arc<Mutex<Inner>>,
    path: PathBuf,
    clock: Clock,
    redactor: Redactor,
}

struct Inner {
    file: File,
    next: u64,
    sinks: Vec<Box<dyn Sink>>,
}

impl Recorder {
    /// Opens `events.jsonl` in the run's folder. Every event's time is `clock`'s, which starts with the run.
    /// With virtual time and the same seed the stream is the same, byte for byte, but for what was
    /// measured of stackgate itself ([`What::Usage`]) and the command line.
    ///
    /// # Errors
    /// When the folder or the file cannot be created.
    pub fn create(folder: &Path, clock: Clock, sinks: Vec<Box<dyn Sink>>) -> Result<Self> {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("failed to create the run's folder {}", folder.display()))?;
        let path = folder.join("events.jsonl");
        let file = OpenOptions::new()
            .create_new(true)
            .append(true)
            .open(&path)
            .with_context(|| format!("failed to create {}", path.display()))?;
        // Held as long as the process lives. Where nothing can be locked, nothing is.
        let _ = file.try_lock();
        Ok(Self::on(file, path, 0, clock, sinks))
    }

    /// Opens the stream of a run whose process is gone, to append events from the position `next` on. What was torn
    /// at its end is cut off.
    ///
    /// # Errors
    /// When it cannot be opened, or its process is not gone.
    pub fn resume(
        folder: &Path,
        next: u64,
        clock: Clock,
        sinks: Vec<Box<dyn Sink>>,
    ) -> Result<Self> {
        let path = folder.join("events.jsonl");
        let opening = || format!("failed to go on with {}", path.display());
        let mut options = OpenOptions::new();
        let file = options.read(true).append(true).open(&path);
        let file = file.with_context(opening)?;
        if let Err(TryLockError::WouldBlock) = file.try_lock() {
            return Err(anyhow!("another process writes it")).with_context(opening);
        }
        let text = std::fs::read(&path).with_context(opening)?;
        let whole = text.iter().rposition(|byte| *byte == b'\n');
        let whole = whole.map_or(0, |last| last as u64 + 1);
        file.set_len(whole).with_context(opening)?;
        Ok(Self::on(file, path, next, clock, sinks))
    }

    fn on(file: File, path: PathBuf, next: u64, clock: Clock, sinks: Vec<Box<dyn Sink>>) -> Self {
        let inner = Inner { file, next, sinks };
        Self {
            inner: Arc::new(Mutex::new(inner)),
            path,
            clock,
            redactor: Redactor::default(),
        }
    }

    /// Where the stream is on disk.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The run's clock.
    #[must_use]
    pub const fn clock(&self) -> Clock {
        self.clock
    }

    /// What takes out of the stream, and of everything else in the run's folder, what must not be there.
    #[must_use]
    pub const fn redactor(&self) -> &Redactor {
        &self.redactor
    }

    /// Appends one event, without what is secret. A full disk must not end a run that still has clusters to remove, so a
    /// failed write is told on the live views' side only, by the missing line.
    pub fn emit(&self, what: What) {
        let mut inner = self
            .inner
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let elapsed = self.clock.elapsed();
        let mut event = Event {
            seq: inner.next,
            at: self.clock.now(),
            elapsed_ms: u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
            what,
        };
        inner.next += 1;
        if let Ok(mut line) = serde_json::to_string(&event) {
            if let Some(redacted) = self.redactor.document(&line) {
                line = redacted.to_string();
                event = serde_json::from_value(redacted).unwrap_or_else(|_| Event {
                    what: What::Note {
                        message: super::REDACTED.to_owned(),
                    },
                    ..event
                });
            }
            line.push('\n');
            // One write per line: a killed process leaves at most one torn line at the end.
            let _ = inner.file.write_all(line.as_bytes());
        }
        for sink in &mut inner.sinks {
            sink.take(&event);
        }
    }
}

/// Whether a process writes a stream: none does where that cannot be told.
#[must_use]
pub fn is_written(path: &Path) -> bool {
    let file = OpenOptions::new().append(true).open(path);
    file.is_ok_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)))
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::record::{Phase, read, read_if};

    fn note(text: &str) -> What {
        What::Note {
            message: text.to_owned(),
        }
    }

    #[test]
    fn what_is_written_is_read_back_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let recorder = Recorder::create(
            folder.path(),
            Clock::starting_at(Timestamp::UNIX_EPOCH),
            vec![],
        )
        .unwrap();
        recorder.emit(note("one"));
        recorder.emit(What::PhaseStarted {
            phase: Phase::CheckBefore,
            deadline_s: 3,
        });
        let events: Vec<Event> = read(recorder.path()).unwrap().map(Result::unwrap).collect();
        assert_eq!(events.iter().map(|e| e.seq).collect::<Vec<_>>(), [0, 1]);
        assert_eq!(events[0].what, note("one"));
        let begun = read_if(recorder.path(), |head| head.kind == "phaseStarted").unwrap();
        let begun: Vec<Event> = begun.map(Result::unwrap).collect();
        assert_eq!(begun, events[1..]);
        let before = read_if(recorder.path(), |head| {
            head.phase == Some(Phase::CheckBefore)
        })
        .unwrap();
        assert_eq!(before.map(Result::unwrap).collect::<Vec<_>>(), events[1..]);
    }

    #[test]
    fn a_torn_last_line_is_the_end_and_a_broken_one_before_it_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let recorder = Recorder::create(
            folder.path(),
            Clock::starting_at(Timestamp::UNIX_EPOCH),
            vec![],
        )
        .unwrap();
        recorder.emit(note("one"));
        let mut file = OpenOptions::new()
            .append(true)
            .open(recorder.path())
            .unwrap();
        file.write_all(br#"{"seq":1,"at":"20"#).unwrap();
        assert_eq!(read(recorder.path()).unwrap().count(), 1);
        let notes = || read_if(recorder.path(), |head| head.kind == "note").unwrap();
        assert_eq!(notes().count(), 1);
        file.write_all(b"\n").unwrap();
        recorder.emit(note("three"));
        let results: Vec<_> = read(recorder.path()).unwrap().collect();
        let error = format!("{:#}", results[1].as_ref().unwrap_err());
        assert!(error.contains("events.jsonl:2"), "{error}");
        assert!(results[2].is_ok());
        let told: Vec<_> = notes().map(|event| event.is_ok()).collect();
        assert_eq!(told, [true, false, true]);
    }
    #[tokio::test(start_paused = true)]
    async fn a_stream_is_gone_on_with_when_nobody_writes_it_any_more() {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::starting_at(Timestamp::UNIX_EPOCH);
        let recorder = Recorder::create(folder.path(), clock, vec![]).unwrap();
        recorder.emit(note("one"));
        let resume = || Recorder::resume(folder.path(), 1, clock, vec![]);
        let error = format!("{:#}", resume().err().unwrap());
        assert!(error.ends_with("another process writes it"), "{error}");
        let path = recorder.path().to_owned();
        drop(recorder);
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(br#"{"seq":1,"at":"20"#).unwrap();
        resume().unwrap().emit(note("two"));
        let told: Vec<_> = read(&path).unwrap().map(|event| event.unwrap()).collect();
        let told: Vec<_> = told.iter().map(|event| (event.seq, &event.what)).collect();
        assert_eq!(told, [(0, &note("one")), (1, &note("two"))]);
    }
}
