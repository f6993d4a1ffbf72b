//! The recording of a run: what each object of its clusters looked like, and when, with the logs of the pods
//! that tell most.
//!
//! The file is a sequence of pairs: a skippable zstd frame that says what follows (the index: it is rebuilt
//! by jumping from one to the next), and a zstd frame of JSON lines that needs no other to be read. So it is
//! appended to and never rewritten, `zstd -dc` reads all of it, and a killed run's is whole up to its last
//! frame. Now and then a frame holds everything as it is at that moment, so that a moment is found by reading
//! little. What may not be written down never gets in ([`super::Redactor`]).

mod format;
mod past;
mod writer;

pub use format::{ContainerUse, Entry, Id, LogLine, LogOf, Told};
pub use past::{ClusterPast, Past, State};
pub use writer::{Recording, without_prose};

/// The recording's name in a run's folder.
pub const RECORDING: &str = "recording.jsonl.zst";
