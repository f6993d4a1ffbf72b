//! Reads a recording: what there was at a moment, and what became of it from there on.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use serde_json::value::RawValue;

use super::format::{ContainerUse, Entry, FrameKind, Id, Info, Line, LineKind, LogLine, LogOf};

/// A recording that can be read at any moment.
#[derive(Debug)]
pub struct Past {
    path: PathBuf,
    frames: Vec<Place>,
}

/// Where a frame is.
#[derive(Clone, Debug)]
struct Place {
    info: Info,
    /// Where it begins in the file.
    at: u64,
}

/// What there was at a moment.
#[derive(Debug, Default)]
pub struct State {
    /// By name: `management`, `workload`.
    pub clusters: BTreeMap<String, ClusterPast>,
}

/// What there was in a cluster at a moment.
#[derive(Debug, Default)]
pub struct ClusterPast {
    /// What it served; see [`super::Told::Served`].
    pub served: Option<Value>,
    objects: BTreeMap<Id, Box<RawValue>>,
}

impl ClusterPast {
    /// Every object, by resource, namespace and name.
    ///
    /// # Errors
    /// When the recording is broken.
    pub fn objects(&self) -> impl Iterator<Item = Result<(&Id, Value)>> {
        self.objects.iter().map(|(id, raw)| {
            let object = serde_json::from_str(raw.get());
            Ok((id, object.context("an object of the recording is broken")?))
        })
    }

    /// How many objects there were.
    #[must_use]
    pub fn len(&self) -> usize {
        self.objects.len()
    }

    /// Whether there was none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }
}

impl Past {
    /// Opens a recording. What was torn at its end, since the run was killed, is left out.
    ///
    /// # Errors
    /// When there is none, or the file is something else.
    pub fn open(path: &Path) -> Result<Self> {
        let opening = || format!("failed to open the recording {}", path.display());
        let file = File::open(path).with_context(opening)?;
        let length = file.metadata().with_context(opening)?.len();
        let mut file = BufReader::new(file);
        let mut frames = Vec::new();
        let mut at = 0;
        while let Some((info, took)) = Info::read(&mut file).with_context(opening)? {
            at += took;
            let place = Place { info, at };
            at += place.info.length;
            if at > length {
                break;
            }
            let skip = i64::try_from(place.info.length)?;
            file.seek_relative(skip).with_context(opening)?;
            frames.push(place);
        }
        Ok(Self {
            path: path.to_owned(),
            frames,
        })
    }

    /// Where in the file the last whole frame ends.
    pub(super) fn whole(&self) -> u64 {
        let last = self.frames.last();
        last.map_or(0, |frame| frame.at + frame.info.length)
    }

    /// The wall time at 0 ms; none while nothing was recorded.
    #[must_use]
    pub fn epoch(&self) -> Option<Timestamp> {
        self.frames.first().map(|frame| frame.info.epoch)
    }

    /// Until when it tells, in milliseconds since the run began.
    #[must_use]
    pub fn end_ms(&self) -> u64 {
        let ends = self.frames.iter().map(|frame| frame.info.to_ms);
        ends.max().unwrap_or_default()
    }

    /// The wall time at a moment.
    #[must_use]
    pub fn wall(&self, at_ms: u64) -> Option<Timestamp> {
        let since = SignedDuration::from_millis(i64::try_from(at_ms).ok()?);
        self.epoch()?.checked_add(since).ok()
    }

    /// What there was at a moment.
    ///
    /// # Errors
    /// When the recording is broken.
    pub fn at(&self, at_ms: u64) -> Result<State> {
        let mut state = State::default();
        // A key frame tells how it is after everything before it in the file.
        let key = self
            .frames
            .iter()
            .rposition(|frame| frame.info.kind == FrameKind::Key && frame.info.to_ms <= at_ms);
        for frame in &self.frames[key.unwrap_or_default()..] {
            let wanted = match frame.info.kind {
                FrameKind::Key => key.is_some_and(|key| self.frames[key].at == frame.at),
                FrameKind::Changes => frame.info.from_ms <= at_ms,
                FrameKind::Logs | FrameKind::Used => false,
            };
            if wanted {
                self.each(frame, |line| {
                    if line.ms <= at_ms {
                        state.take(line)?;
                    }
                    Ok(())
                })?;
            }
        }
        Ok(state)
    }

    /// What was told of objects and kinds after a moment, in its order.
    pub fn after(&self, after_ms: u64) -> impl Iterator<Item = Result<Entry>> + use<'_> {
        self.told(None, FrameKind::Changes)
            .filter(move |entry| !entry.as_ref().is_ok_and(|entry| entry.at_ms <= after_ms))
    }

    /// Everything that was told of objects and kinds, in its order.
    pub fn changes(&self) -> impl Iterator<Item = Result<Entry>> + use<'_> {
        self.told(None, FrameKind::Changes)
    }

    /// What the containers of a cluster printed up to a moment.
    ///
    /// # Errors
    /// When the recording is broken.
    pub fn logs(&self, cluster: &str, at_ms: u64) -> Result<BTreeMap<LogOf, Vec<LogLine>>> {
        let until = self.wall(at_ms);
        let mut logs: BTreeMap<LogOf, Vec<LogLine>> = BTreeMap::new();
        let frames = self.frames.iter();
        for frame in frames.filter(|frame| frame.info.kind == FrameKind::Logs) {
            self.each(frame, |line| {
                if line.cluster != cluster {
                    return Ok(());
                }
                let of = line.log_of();
                if of.previous && line.ms > at_ms {
                    // Which instance it was is known when it was read.
                    return Ok(());
                }
                let lines: Vec<LogLine> = serde_json::from_str(line.is.get())
                    .context("a line of the recording is broken")?;
                let printed = |line: &LogLine| {
                    let time = line.0.parse::<Timestamp>();
                    !time.is_ok_and(|time| until.is_some_and(|until| time > until))
                };
                logs.entry(of)
                    .or_default()
                    .extend(lines.into_iter().filter(printed));
                Ok(())
            })?;
        }
        Ok(logs)
    }

    /// How each of the engine's containers was, by its name, with the moments at which it was looked at.
    ///
    /// # Errors
    /// When the recording is broken.
    pub fn used(&self) -> Result<BTreeMap<String, Vec<(u64, ContainerUse)>>> {
        let mut used: BTreeMap<String, Vec<_>> = BTreeMap::new();
        let frames = self.frames.iter();
        for frame in frames.filter(|frame| frame.info.kind == FrameKind::Used) {
            self.each(frame, |line| {
                let one = serde_json::from_str(line.is.get());
                let one = one.context("a line of the recording is broken")?;
                let of_it = used.entry(line.name.to_string()).or_default();
                of_it.push((line.ms, one));
                Ok(())
            })?;
        }
        Ok(used)
    }

    fn told(
        &self,
        from: Option<usize>,
        kind: FrameKind,
    ) -> impl Iterator<Item = Result<Entry>> + use<'_> {
        let frames = self.frames[from.unwrap_or_default()..].iter();
        frames
            .filter(move |frame| frame.info.kind == kind)
            .flat_map(|frame| {
                let mut entries = Vec::new();
                let read = self.each(frame, |line| {
                    entries.push(line.entry());
                    Ok(())
                });
                entries.extend(read.err().map(Err));
                entries
            })
    }

    /// Calls with each line of a frame.
    fn each(&self, frame: &Place, mut act: impl FnMut(&Line<'_>) -> Result<()>) -> Result<()> {
        let mut read = || -> Result<()> {
            let mut file = File::open(&self.path)?;
            file.seek(SeekFrom::Start(frame.at))?;
            let mut compressed = Vec::new();
            file.take(frame.info.length).read_to_end(&mut compressed)?;
            let raw = usize::try_from(frame.info.raw)?;
            let lines = zstd::bulk::decompress(&compressed, raw)?;
            for line in std::str::from_utf8(&lines)?.lines() {
                act(&Line::parse(line)?)?;
            }
            Ok(())
        };
        read().with_context(|| format!("failed to read the recording {}", self.path.display()))
    }
}

impl State {
    fn take(&mut self, line: &Line<'_>) -> Result<()> {
        let cluster = match self.clusters.get_mut(line.cluster.as_ref()) {
            Some(cluster) => cluster,
            None => self.clusters.entry(line.cluster.to_string()).or_default(),
        };
        match line.kind {
            LineKind::Served => {
                let served = serde_json::from_str(line.is.get());
                cluster.served = Some(served.context("a line of the recording is broken")?);
            }
            LineKind::Object => {
                cluster.objects.insert(line.id(), line.is.to_owned());
            }
            LineKind::Gone => {
                cluster.objects.remove(&line.id());
            }
            LineKind::Log | LineKind::Previous | LineKind::Used => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
