//! What the run cost stackgate itself: processor time, memory, and how fast it reacted.

use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

use crate::record::Usage;

/// Measures this process (children such as `kind` not included) over a run of `elapsed`, with the
/// reactions in milliseconds.
#[must_use]
pub fn measure(elapsed: Duration, mut reactions: Vec<f64>) -> Usage {
    reactions.sort_by(f64::total_cmp);
    let (cpu_seconds, peak_rss_mib) =
        getrusage(UsageWho::RUSAGE_SELF).map_or((0.0, 0.0), |usage| {
            let cpu = usage.user_time() + usage.system_time();
            (
                cpu.num_milliseconds() as f64 / 1000.0,
                max_rss_mib(usage.max_rss()),
            )
        });
    Usage {
        cpu_seconds,
        cpu_percent: 100.0 * cpu_seconds / elapsed.as_secs_f64().max(0.001),
        peak_rss_mib,
        reaction_median_ms: reactions.get(reactions.len() / 2).copied(),
        reaction_max_ms: reactions.last().copied(),
    }
}

/// `ru_maxrss` is in KiB on Linux and in bytes on macOS.
fn max_rss_mib(max_rss: i64) -> f64 {
    let unit = if cfg!(target_os = "macos") {
        1024.0 * 1024.0
    } else {
        1024.0
    };
    max_rss as f64 / unit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_used_something() {
        let usage = measure(Duration::from_secs(1), vec![3.0, 1.0, 2.0]);
        assert!(usage.peak_rss_mib > 1.0);
        assert_eq!(
            (usage.reaction_median_ms, usage.reaction_max_ms),
            (Some(2.0), Some(3.0))
        );
        assert_eq!(measure(Duration::ZERO, vec![]).reaction_median_ms, None);
    }
}
