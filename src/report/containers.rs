//! The engine's containers as lanes of the timeline: whether each ran, and what it used.

use std::path::Path;

use anyhow::Result;

use super::timeline::{Group, Lane, Span, span};
use super::words::Tone;
use crate::record::{ContainerUse, Past};

/// How many stretches of time a lane has, at most.
const STRETCHES: usize = 60;

/// Reads the group of a recording, up to `end_ms`; none where no containers were looked at.
///
/// # Errors
/// When the recording cannot be read.
pub(super) fn read(path: &Path, end_ms: u64) -> Result<Option<Group>> {
    let used = Past::open(path)?.used()?;
    let lanes = used.into_iter().map(|(name, looks)| Lane {
        name,
        spans: spans(&looks, end_ms),
    });
    Ok(Group::new("containers and what they used", lanes))
}

fn spans(looks: &[(u64, ContainerUse)], end_ms: u64) -> Vec<Span> {
    let size = looks.len().div_ceil(STRETCHES).max(1);
    let begins: Vec<usize> = (0..looks.len()).step_by(size).collect();
    let stretch = |from: &usize| {
        // Up to the next look, with which the next one begins.
        let to = (from + size).min(looks.len() - 1);
        told(&looks[*from..=to.max(*from)], end_ms)
    };
    begins.iter().filter_map(stretch).collect()
}

/// One stretch: its first look to its last.
fn told(looks: &[(u64, ContainerUse)], end_ms: u64) -> Option<Span> {
    let ((from_ms, first), (to_ms, last)) = (looks.first()?, looks.last()?);
    if !first.running {
        let text = "not running".to_owned();
        return Some(span(
            *from_ms,
            (*to_ms).min(end_ms),
            Some(Tone::Attention),
            text,
        ));
    }
    let mut text = "running".to_owned();
    let memory = looks.iter().filter_map(|(_, one)| one.memory_mib).max();
    if let Some(memory) = memory {
        text.push_str(&format!(", {memory} MiB"));
    }
    let passed = to_ms.saturating_sub(*from_ms) as f64 / 1000.0;
    if let (Some(before), Some(after)) = (first.cpu_seconds, last.cpu_seconds)
        && passed > 0.0
        // One that was started again counts from nothing.
        && after >= before
    {
        let share = (after - before) / passed * 100.0;
        text.push_str(&format!(", {share:.0} % of a core"));
    }
    Some(span(*from_ms, (*to_ms).min(end_ms), None, text))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::record::{Clock, RECORDING, Recording, Redactor};

    fn used(running: bool, memory_mib: u64, cpu_seconds: f64) -> ContainerUse {
        ContainerUse {
            running,
            memory_mib: running.then_some(memory_mib),
            cpu_seconds: running.then_some(cpu_seconds),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn each_container_has_a_lane_of_what_it_used() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(RECORDING);
        let clock = Clock::starting_at(jiff::Timestamp::UNIX_EPOCH);
        let recording = Recording::create(&path, clock, Redactor::default()).unwrap();
        for (running, memory, time) in [
            (true, 500, 1.0),
            (true, 700, 6.0),
            (true, 600, 6.5),
            (false, 0, 0.0),
            (true, 100, 0.5),
        ] {
            recording.used("demo-0", &used(running, memory, time));
            tokio::time::advance(Duration::from_secs(10)).await;
        }
        recording.finish().unwrap();
        let group = read(&path, 45_000).unwrap().unwrap();
        assert_eq!(group.lanes[0].name, "demo-0");
        let shown = group.lanes[0].spans.iter().map(|span| {
            format!(
                "{}-{} {:?} {}",
                span.from_ms, span.to_ms, span.tone, span.what
            )
        });
        let shown: Vec<String> = shown.collect();
        insta::assert_snapshot!(shown.join("\n"), @"
        0-10000 None running, 700 MiB, 50 % of a core
        10000-20000 None running, 700 MiB, 5 % of a core
        20000-30000 None running, 600 MiB
        30000-40000 Some(Attention) not running
        40000-40000 None running, 100 MiB
        ");
    }

    #[tokio::test(start_paused = true)]
    async fn a_lane_stays_short_however_long_the_run_and_no_use_is_no_group() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(RECORDING);
        let clock = Clock::starting_at(jiff::Timestamp::UNIX_EPOCH);
        let recording = Recording::create(&path, clock, Redactor::default()).unwrap();
        recording.flush();
        assert_eq!(read(&path, 0).unwrap(), None);
        for look in 0..1000_u64 {
            recording.used("demo-0", &used(true, look, look as f64));
            tokio::time::advance(Duration::from_secs(10)).await;
        }
        recording.finish().unwrap();
        let group = read(&path, u64::MAX).unwrap().unwrap();
        let spans = &group.lanes[0].spans;
        assert!(
            spans.len() <= STRETCHES && spans.len() > STRETCHES / 2,
            "{}",
            spans.len()
        );
        assert!(
            spans
                .windows(2)
                .all(|pair| pair[0].to_ms == pair[1].from_ms)
        );
        assert!(
            spans
                .iter()
                .all(|span| span.what.ends_with("10 % of a core"))
        );
    }
}
