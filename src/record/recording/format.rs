//! What is in the file: frames, and the lines in them.

use std::borrow::Cow;
use std::io::{ErrorKind, Read};

use anyhow::{Context, Result, bail, ensure};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

/// The version of the format that is written; a reader refuses what it does not know.
pub(super) const FORMAT: u32 = 1;
/// A skippable frame's magic number (RFC 8878, 3.1.2).
const SKIPPABLE: u32 = 0x184D_2A5E;
/// More than any entry of the index takes.
const LONGEST_INFO: u32 = 4096;
/// More than any frame takes; a broken length must not take all memory.
const LONGEST_FRAME: u64 = 1 << 30;

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum FrameKind {
    /// What became of objects.
    Changes,
    /// Every object as it is at that moment.
    Key,
    /// What containers printed.
    Logs,
    /// How the engine's containers were, and what they used.
    Used,
}

/// An entry of the index, before its frame.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Info {
    pub(super) format: u32,
    pub(super) kind: FrameKind,
    /// The wall time at 0 ms.
    pub(super) epoch: Timestamp,
    /// Milliseconds since the run began, of the first and of the last line.
    pub(super) from_ms: u64,
    pub(super) to_ms: u64,
    /// The frame's length, and that of its lines.
    pub(super) length: u64,
    pub(super) raw: u64,
}

impl Info {
    /// As it is written: magic number, length, JSON.
    pub(super) fn encode(&self) -> Result<Vec<u8>> {
        let json = serde_json::to_vec(self)?;
        let mut bytes = Vec::with_capacity(json.len() + 8);
        bytes.extend_from_slice(&SKIPPABLE.to_le_bytes());
        bytes.extend_from_slice(&u32::try_from(json.len())?.to_le_bytes());
        bytes.extend_from_slice(&json);
        Ok(bytes)
    }

    /// Reads the next one, and how many bytes it took; none at the end, also in the middle of one.
    pub(super) fn read(file: &mut impl Read) -> Result<Option<(Self, u64)>> {
        let mut head = [0; 8];
        if !whole(file, &mut head)? {
            return Ok(None);
        }
        let word = |at: usize| {
            let bytes = [head[at], head[at + 1], head[at + 2], head[at + 3]];
            u32::from_le_bytes(bytes)
        };
        let (magic, length) = (word(0), word(4));
        if magic != SKIPPABLE || length > LONGEST_INFO {
            bail!("not a recording of stackgate");
        }
        let mut json = vec![0; length as usize];
        if !whole(file, &mut json)? {
            return Ok(None);
        }
        #[derive(Deserialize)]
        struct Versioned {
            format: u32,
        }
        let versioned: Versioned = serde_json::from_slice(&json).context("its index is broken")?;
        ensure!(
            versioned.format == FORMAT,
            "it is of format {}, and this version of stackgate reads format {FORMAT}",
            versioned.format
        );
        let info: Self = serde_json::from_slice(&json).context("its index is broken")?;
        ensure!(
            info.length <= LONGEST_FRAME && info.raw <= LONGEST_FRAME,
            "its index is broken"
        );
        Ok(Some((info, 8 + u64::from(length))))
    }
}

/// Fills a buffer, unless the file ends within.
fn whole(file: &mut impl Read, buffer: &mut [u8]) -> Result<bool> {
    match file.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Which object, by where the API serves it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id {
    /// `management` or `workload`.
    pub cluster: String,
    /// Plural and group, e.g. `deployments.apps`, `pods`.
    pub resource: String,
    /// Empty for what has none.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// A container, and which of its instances.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogOf {
    /// Namespace of the pod.
    pub namespace: String,
    /// The pod.
    pub pod: String,
    /// The container.
    pub container: String,
    /// The instance before the current one.
    pub previous: bool,
}

/// A line of a container's log: the time in its own words (RFC 3339) and what was printed.
pub type LogLine = (String, String);

/// Something that was recorded.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Milliseconds since the run began.
    pub at_ms: u64,
    /// What it tells.
    pub told: Told,
}

/// One of the engine's containers at a moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerUse {
    /// Whether it ran.
    pub running: bool,
    /// The memory that it had, in MiB.
    pub memory_mib: Option<u64>,
    /// The processor time that it had used since it was started, in seconds.
    pub cpu_seconds: Option<f64>,
}

/// What an entry tells.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    /// A cluster serves these kinds, in this version: the two documents of aggregated discovery.
    Served {
        /// `management` or `workload`.
        cluster: String,
        /// `{"version": "v1.35.0", "core": …, "groups": …}`
        served: Value,
    },
    /// An object is like this now.
    Object {
        /// Which.
        id: Id,
        /// All of it that may be written down.
        object: Value,
    },
    /// An object is gone.
    Gone {
        /// Which.
        id: Id,
        /// What it was: apiVersion, kind, name, namespace, uid.
        object: Value,
    },
    /// A container has printed this.
    Log {
        /// `management` or `workload`.
        cluster: String,
        /// Which container.
        of: LogOf,
        /// The lines.
        lines: Vec<LogLine>,
    },
}

/// What a line is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum LineKind {
    Served,
    Object,
    Gone,
    Log,
    Previous,
    Used,
}

/// A line of a frame. Its names are short, since there are many.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Line<'a> {
    pub(super) ms: u64,
    pub(super) kind: LineKind,
    #[serde(borrow)]
    pub(super) cluster: Cow<'a, str>,
    /// The resource; of a log the container.
    #[serde(borrow, default, skip_serializing_if = "str::is_empty")]
    pub(super) of: Cow<'a, str>,
    #[serde(borrow, default, skip_serializing_if = "str::is_empty")]
    pub(super) ns: Cow<'a, str>,
    #[serde(borrow, default, skip_serializing_if = "str::is_empty")]
    pub(super) name: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) is: &'a RawValue,
}

impl<'a> Line<'a> {
    pub(super) fn parse(line: &'a str) -> Result<Self> {
        serde_json::from_str(line).context("a line of the recording is broken")
    }

    pub(super) fn id(&self) -> Id {
        Id {
            cluster: self.cluster.to_string(),
            resource: self.of.to_string(),
            namespace: self.ns.to_string(),
            name: self.name.to_string(),
        }
    }

    pub(super) fn log_of(&self) -> LogOf {
        LogOf {
            namespace: self.ns.to_string(),
            pod: self.name.to_string(),
            container: self.of.to_string(),
            previous: self.kind == LineKind::Previous,
        }
    }

    pub(super) fn entry(&self) -> Result<Entry> {
        let broken = "a line of the recording is broken";
        let value = || serde_json::from_str::<Value>(self.is.get()).context(broken);
        let cluster = || self.cluster.to_string();
        let told = match self.kind {
            LineKind::Served => Told::Served {
                cluster: cluster(),
                served: value()?,
            },
            LineKind::Object => Told::Object {
                id: self.id(),
                object: value()?,
            },
            LineKind::Gone => Told::Gone {
                id: self.id(),
                object: value()?,
            },
            // It has frames of its own, which are read otherwise.
            LineKind::Used => anyhow::bail!("{broken}"),
            LineKind::Log | LineKind::Previous => Told::Log {
                cluster: cluster(),
                of: self.log_of(),
                lines: serde_json::from_str(self.is.get()).context(broken)?,
            },
        };
        let at_ms = self.ms;
        Ok(Entry { at_ms, told })
    }
}
