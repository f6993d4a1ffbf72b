//! Reads the stream of a run's folder back.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use anyhow::{Context, Result};
use jiff::Timestamp;
use serde::Deserialize;

use super::{CheckResult, Event, Phase, What};

/// What is looked at of a line before it is read whole, which takes a small part of the time.
#[derive(Debug, Deserialize)]
pub struct Head<'line> {
    /// The event's `type`.
    #[serde(rename = "type", borrow)]
    pub kind: &'line str,
    /// The phase that it tells of itself.
    pub phase: Option<Phase>,
}

/// Reads a stream back, line by line, without holding it in memory.
///
/// A torn last line (the process was killed while writing) ends the stream; a broken line in the
/// middle is an error with its line number.
///
/// # Errors
/// When the file cannot be opened.
pub fn read(path: &Path) -> Result<impl Iterator<Item = Result<Event>> + use<>> {
    read_if(path, |_| true)
}

/// Reads the events back that are wanted. As [`read`] does; of the others no more than the head is looked at.
///
/// # Errors
/// As for [`read`].
pub fn read_if<W>(path: &Path, is_wanted: W) -> Result<impl Iterator<Item = Result<Event>> + use<W>>
where
    W: Fn(&Head<'_>) -> bool,
{
    let file = File::open(path).with_context(|| {
        format!(
            "failed to open {}: expected a run's folder with its events",
            path.display()
        )
    })?;
    let shown = path.display().to_string();
    let mut file = BufReader::new(file);
    let (mut line, mut number) = (Vec::new(), 0);
    let mut next = move || {
        loop {
            line.clear();
            number += 1;
            let place = || format!("{shown}:{number}: not an event");
            match file.read_until(b'\n', &mut line) {
                Ok(0) => return Ok(None),
                Ok(_) => {}
                Err(error) => return Err(error).with_context(place),
            }
            match parse(&line, &is_wanted) {
                Ok(None) => {}
                Ok(Some(event)) => return Ok(Some(event)),
                Err(_) if file.fill_buf().is_ok_and(<[u8]>::is_empty) => return Ok(None),
                Err(error) => return Err(error).with_context(place),
            }
        }
    };
    Ok(std::iter::from_fn(move || next().transpose()))
}

/// An event of a line, where it is wanted.
fn parse(line: &[u8], is_wanted: impl Fn(&Head<'_>) -> bool) -> serde_json::Result<Option<Event>> {
    #[derive(Deserialize)]
    struct Line<'line> {
        #[serde(borrow)]
        what: Head<'line>,
    }
    /// An [`Event`] that is known to be a check's: an enum that has its tag inside is read by way of a copy, and
    /// nearly all of a long stream are checks.
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Check {
        seq: u64,
        at: Timestamp,
        elapsed_ms: u64,
        what: CheckResult,
    }
    let Line { what: head } = serde_json::from_slice(line)?;
    if !is_wanted(&head) {
        return Ok(None);
    }
    if head.kind != "check" {
        return serde_json::from_slice(line).map(Some);
    }
    let Check {
        seq,
        at,
        elapsed_ms,
        what,
    } = serde_json::from_slice(line)?;
    Ok(Some(Event {
        seq,
        at,
        elapsed_ms,
        what: What::Check(what),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Outcome, Severity, Standard, StandardStatus};

    #[test]
    fn a_check_is_read_as_any_event_is() {
        let event = Event {
            seq: 7,
            at: Timestamp::UNIX_EPOCH,
            elapsed_ms: 1500,
            what: What::Check(CheckResult {
                phase: Phase::CheckAfter,
                id: "nodes-ready".to_owned(),
                title: "All nodes are Ready".to_owned(),
                suite: "health".to_owned(),
                severity: Severity::Must,
                outcome: Outcome::Fail,
                message: "a \"name\" in quotes".to_owned(),
                evidence: vec!["one".to_owned()],
                seconds: 0.25,
                accepted: Some("known".to_owned()),
                standard: Some(Standard {
                    name: "scs-0210".to_owned(),
                    version: "v2".to_owned(),
                    status: StandardStatus::Draft,
                    url: None,
                    testcase: Some("k8s-version".to_owned()),
                }),
                excluded: true,
                surroundings: Default::default(),
            }),
        };
        let line = serde_json::to_vec(&event).unwrap();
        let as_any: Event = serde_json::from_slice(&line).unwrap();
        assert_eq!(as_any, event);
        let read = parse(&line, |head| head.phase == Some(Phase::CheckAfter)).unwrap();
        assert_eq!(read, Some(event));
        assert_eq!(parse(&line, |head| head.kind == "note").unwrap(), None);
    }
}
