//! Appends to a recording.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::super::{Clock, Redactor};
use super::format::{ContainerUse, FORMAT, FrameKind, Id, Info, Line, LineKind, LogLine, LogOf};
use super::past::Past;

/// How hard is compressed: zstd's own default, some hundred MB a second.
const LEVEL: i32 = 3;
/// After how many bytes of lines a frame is written.
const FRAME: usize = 256 << 10;
/// After how many bytes of what containers use a frame is written.
const USED: usize = 4 << 10;
/// Everything is written down anew when changes since the last time are as long as it, but not for less.
const KEY: usize = 1 << 20;

/// The writer of a recording; clones write to the same file.
#[derive(Clone)]
pub struct Recording {
    inner: Arc<Mutex<Option<Writer>>>,
    redactor: Redactor,
    clock: Clock,
}

struct Writer {
    file: File,
    redactor: Redactor,
    clock: Clock,
    changes: Frame,
    logs: Frame,
    used: Frame,
    /// Every object that is there, as it was told last.
    objects: BTreeMap<Id, Box<RawValue>>,
    served: BTreeMap<String, Box<RawValue>>,
    /// What was told of each log: the last line.
    printed: BTreeMap<(String, LogOf), LogLine>,
    /// Bytes of changes since the last key frame, and how many that one had.
    since_key: usize,
    key: usize,
    compressor: zstd::bulk::Compressor<'static>,
    /// The disk is full, or gone: what follows is not taken, since it could not be read any more.
    broken: bool,
}

#[derive(Default)]
struct Frame {
    lines: Vec<u8>,
    from_ms: u64,
}

impl Recording {
    /// Begins a recording in a new file, for the user alone, by a run's clock.
    ///
    /// # Errors
    /// When the file cannot be created, or is there already.
    pub fn create(path: &Path, clock: Clock, redactor: Redactor) -> Result<Self> {
        let mut options = OpenOptions::new();
        let file = options.append(true).create_new(true).mode(0o600).open(path);
        let file =
            file.with_context(|| format!("failed to create the recording {}", path.display()))?;
        Self::on(file, clock, redactor)
    }

    /// Goes on with the recording of a run whose process is gone, or begins one. What was torn at its end is cut
    /// off, and everything is told anew: what was there may be gone.
    ///
    /// # Errors
    /// When there is another file in its place, or it cannot be written.
    pub fn resume(path: &Path, clock: Clock, redactor: Redactor) -> Result<Self> {
        if !path.exists() {
            return Self::create(path, clock, redactor);
        }
        let resuming = || format!("failed to go on with the recording {}", path.display());
        let whole = Past::open(path)?.whole();
        let file = OpenOptions::new().append(true).open(path);
        let file = file.with_context(resuming)?;
        file.set_len(whole).with_context(resuming)?;
        let recording = Self::on(file, clock, redactor)?;
        let at_ms = recording.now_ms();
        recording.with(|writer| writer.write_key(at_ms));
        Ok(recording)
    }

    fn on(file: File, clock: Clock, redactor: Redactor) -> Result<Self> {
        let writer = Writer {
            file,
            redactor: redactor.clone(),
            clock,
            changes: Frame::default(),
            logs: Frame::default(),
            used: Frame::default(),
            objects: BTreeMap::new(),
            served: BTreeMap::new(),
            printed: BTreeMap::new(),
            since_key: 0,
            key: 0,
            compressor: zstd::bulk::Compressor::new(LEVEL).context("failed to set up zstd")?,
            broken: false,
        };
        Ok(Self {
            inner: Arc::new(Mutex::new(Some(writer))),
            redactor,
            clock,
        })
    }

    /// Which kinds a cluster serves.
    pub fn served(&self, cluster: &str, served: &Value) {
        let at_ms = self.now_ms();
        self.with(|writer| {
            let Ok(raw) = serde_json::value::to_raw_value(served) else {
                return;
            };
            let known = writer.served.get(cluster);
            if known.is_none_or(|known| known.get() != raw.get()) {
                writer.change(at_ms, LineKind::Served, &of_cluster(cluster), &raw);
                writer.served.insert(cluster.to_owned(), raw);
            }
        });
    }

    /// An object is like this now.
    pub fn object(&self, id: Id, mut object: Value) {
        let at_ms = self.now_ms();
        self.prepare(&id.resource, &mut object);
        self.with(|writer| writer.object(at_ms, id, &object));
    }

    /// An object is gone.
    pub fn gone(&self, id: &Id) {
        let at_ms = self.now_ms();
        self.with(|writer| writer.gone(at_ms, id));
    }

    /// These are all objects of a resource that there are.
    pub fn listed(&self, cluster: &str, resource: &str, objects: Vec<(String, String, Value)>) {
        let at_ms = self.now_ms();
        let objects: Vec<(Id, Value)> = objects
            .into_iter()
            .map(|(namespace, name, mut object)| {
                self.prepare(resource, &mut object);
                let id = Id {
                    cluster: cluster.to_owned(),
                    resource: resource.to_owned(),
                    namespace,
                    name,
                };
                (id, object)
            })
            .collect();
        self.with(|writer| {
            let there: BTreeSet<&Id> = objects.iter().map(|(id, _)| id).collect();
            let first = Id {
                cluster: cluster.to_owned(),
                resource: resource.to_owned(),
                namespace: String::new(),
                name: String::new(),
            };
            let known = writer.objects.range(first..).map(|(id, _)| id);
            let known = known.take_while(|id| id.cluster == cluster && id.resource == resource);
            let gone: Vec<Id> = known.filter(|id| !there.contains(id)).cloned().collect();
            for id in gone {
                writer.gone(at_ms, &id);
            }
            for (id, object) in objects {
                writer.object(at_ms, id, &object);
            }
        });
    }

    /// A container has printed these lines; those that are known are not taken again.
    pub fn log(&self, cluster: &str, of: &LogOf, lines: Vec<LogLine>) {
        let at_ms = self.now_ms();
        let redacted = |text: String| match self.redactor.text(&text) {
            Cow::Owned(redacted) => redacted,
            Cow::Borrowed(_) => text,
        };
        let lines: Vec<LogLine> = lines
            .into_iter()
            .map(|(time, text)| (time, redacted(text)))
            .collect();
        self.with(|writer| {
            let key = (cluster.to_owned(), of.clone());
            let known = writer.printed.get(&key);
            let first = known.and_then(|known| lines.iter().rposition(|line| line == known));
            let new = &lines[first.map_or(0, |first| first + 1)..];
            let Some(last) = new.last() else { return };
            let Ok(raw) = serde_json::value::to_raw_value(new) else {
                return;
            };
            let kind = if of.previous {
                LineKind::Previous
            } else {
                LineKind::Log
            };
            let id = Id {
                cluster: cluster.to_owned(),
                resource: of.container.clone(),
                namespace: of.namespace.clone(),
                name: of.pod.clone(),
            };
            writer.logs.push(at_ms, kind, &id, &raw);
            writer.printed.insert(key, last.clone());
            if writer.logs.lines.len() >= FRAME {
                writer.write_logs(at_ms);
            }
        });
    }

    /// One of the engine's containers is like this now.
    pub fn used(&self, container: &str, used: &ContainerUse) {
        let at_ms = self.now_ms();
        let Ok(raw) = serde_json::value::to_raw_value(used) else {
            return;
        };
        let id = Id {
            name: container.to_owned(),
            ..of_cluster("")
        };
        self.with(|writer| {
            writer.used.push(at_ms, LineKind::Used, &id, &raw);
            // Little as it is, it is written down some minutes at a time.
            if writer.used.lines.len() >= USED {
                writer.write_used(at_ms);
            }
        });
    }

    /// Writes down what was told until now.
    pub fn flush(&self) {
        let at_ms = self.now_ms();
        self.with(|writer| {
            writer.write_changes(at_ms);
            writer.write_logs(at_ms);
        });
    }

    /// Writes out what is left; what is told afterwards is not taken any more.
    ///
    /// # Errors
    /// When something could not be written.
    pub fn finish(&self) -> Result<()> {
        self.flush();
        let at_ms = self.now_ms();
        self.with(|writer| writer.write_used(at_ms));
        match self.lock().take() {
            Some(writer) if writer.broken => {
                anyhow::bail!("failed to write the recording: it ends early")
            }
            _ => Ok(()),
        }
    }

    fn prepare(&self, resource: &str, object: &mut Value) {
        self.redactor.object(object);
        if resource == "customresourcedefinitions.apiextensions.k8s.io" {
            // Most of a schema is prose, which is in the release that brought it.
            without_prose(&mut object["spec"]);
        }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.clock.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn with(&self, act: impl FnOnce(&mut Writer)) {
        if let Some(writer) = self.lock().as_mut().filter(|writer| !writer.broken) {
            act(writer);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Writer>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is about a cluster as a whole.
fn of_cluster(cluster: &str) -> Id {
    Id {
        cluster: cluster.to_owned(),
        resource: String::new(),
        namespace: String::new(),
        name: String::new(),
    }
}

/// Takes the descriptions out of a definition's schema, which are most of it.
pub fn without_prose(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            // A property may be called so, too; then it is no text.
            fields.retain(|name, value| name != "description" || !value.is_string());
            fields.values_mut().for_each(without_prose);
        }
        Value::Array(items) => items.iter_mut().for_each(without_prose),
        _ => {}
    }
}

impl Frame {
    fn push(&mut self, at_ms: u64, kind: LineKind, id: &Id, is: &RawValue) {
        if self.lines.is_empty() {
            self.from_ms = at_ms;
        }
        let line = Line {
            ms: at_ms,
            kind,
            cluster: Cow::Borrowed(&id.cluster),
            of: Cow::Borrowed(&id.resource),
            ns: Cow::Borrowed(&id.namespace),
            name: Cow::Borrowed(&id.name),
            is,
        };
        // Writing to memory does not fail, and keys are strings.
        if serde_json::to_writer(&mut self.lines, &line).is_ok() {
            self.lines.push(b'\n');
        }
    }
}

impl Writer {
    fn object(&mut self, at_ms: u64, id: Id, object: &Value) {
        let Ok(raw) = serde_json::value::to_raw_value(object) else {
            return;
        };
        let known = self.objects.get(&id);
        if known.is_some_and(|known| known.get() == raw.get()) {
            return;
        }
        self.change(at_ms, LineKind::Object, &id, &raw);
        self.objects.insert(id, raw);
    }

    fn gone(&mut self, at_ms: u64, id: &Id) {
        let Some(last) = self.objects.remove(id) else {
            return;
        };
        let last: Value = serde_json::from_str(last.get()).unwrap_or_default();
        let metadata = &last["metadata"];
        let mut was = json!({"apiVersion": last["apiVersion"], "kind": last["kind"],
            "metadata": {"name": metadata["name"]}});
        for field in ["namespace", "uid"] {
            if let Some(value) = metadata.get(field) {
                was["metadata"][field] = value.clone();
            }
        }
        if let Ok(raw) = serde_json::value::to_raw_value(&was) {
            self.change(at_ms, LineKind::Gone, id, &raw);
        }
    }

    fn change(&mut self, at_ms: u64, kind: LineKind, id: &Id, is: &RawValue) {
        if self.changes.lines.len() >= FRAME {
            self.write_changes(at_ms);
        }
        self.changes.push(at_ms, kind, id, is);
    }

    fn write_changes(&mut self, at_ms: u64) {
        let frame = std::mem::take(&mut self.changes);
        if frame.lines.is_empty() {
            return;
        }
        self.write(FrameKind::Changes, &frame, at_ms);
        self.since_key += frame.lines.len();
        if self.since_key >= self.key.max(KEY) {
            self.write_key(at_ms);
        }
    }

    fn write_key(&mut self, at_ms: u64) {
        let mut frame = Frame {
            from_ms: at_ms,
            ..Frame::default()
        };
        for (cluster, served) in &self.served {
            frame.push(at_ms, LineKind::Served, &of_cluster(cluster), served);
        }
        for (id, object) in &self.objects {
            frame.push(at_ms, LineKind::Object, id, object);
        }
        self.write(FrameKind::Key, &frame, at_ms);
        self.key = frame.lines.len();
        self.since_key = 0;
    }

    fn write_logs(&mut self, at_ms: u64) {
        let frame = std::mem::take(&mut self.logs);
        if !frame.lines.is_empty() {
            self.write(FrameKind::Logs, &frame, at_ms);
        }
    }

    fn write_used(&mut self, at_ms: u64) {
        let frame = std::mem::take(&mut self.used);
        if !frame.lines.is_empty() {
            self.write(FrameKind::Used, &frame, at_ms);
        }
    }

    /// A recording that cannot be written must not end a run.
    fn write(&mut self, kind: FrameKind, frame: &Frame, at_ms: u64) {
        let mut written = || -> Result<()> {
            // A Secret may have been seen after what repeats it.
            let known = std::str::from_utf8(&frame.lines).ok();
            let known = known.and_then(|lines| self.redactor.known(lines));
            let lines = known.as_ref().map_or(&*frame.lines, String::as_bytes);
            let compressed = self.compressor.compress(lines)?;
            let elapsed = jiff::SignedDuration::try_from(self.clock.elapsed())?;
            let info = Info {
                format: FORMAT,
                kind,
                epoch: self.clock.now().checked_sub(elapsed)?,
                from_ms: frame.from_ms,
                to_ms: at_ms,
                length: u64::try_from(compressed.len())?,
                raw: u64::try_from(lines.len())?,
            };
            let mut bytes = info.encode()?;
            bytes.extend_from_slice(&compressed);
            // One write, so that a killed process leaves at most one torn pair at the end.
            (&self.file).write_all(&bytes)?;
            Ok(())
        };
        self.broken |= written().is_err();
    }
}
