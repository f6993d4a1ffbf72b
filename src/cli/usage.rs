//! What a run cost this process.

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

use crate::record::Usage;

/// The machine's own clock, beside the run's, which may be virtual.
pub struct Stopwatch(std::time::Instant);

impl Stopwatch {
    /// Starts to measure.
    #[expect(
        clippy::disallowed_methods,
        reason = "what a run costs is measured in the machine's time"
    )]
    pub fn start() -> Self {
        Self(std::time::Instant::now())
    }

    /// Seconds since the start.
    pub fn seconds(&self) -> f64 {
        self.0.elapsed().as_secs_f64()
    }
}

/// Measures the process so far. `seconds` is how long the run took by the machine's clock, `reactions`
/// are in milliseconds.
pub fn measure(seconds: f64, mut reactions: Vec<f64>) -> Usage {
    reactions.sort_by(f64::total_cmp);
    let (cpu_seconds, peak_rss_mib) =
        getrusage(UsageWho::RUSAGE_SELF).map_or((0.0, 0.0), |usage| {
            let cpu = usage.user_time() + usage.system_time();
            // Linux counts in KiB.
            (
                cpu.num_microseconds() as f64 / 1e6,
                usage.max_rss() as f64 / 1024.0,
            )
        });
    Usage {
        cpu_seconds,
        cpu_percent: if seconds > 0.0 {
            cpu_seconds / seconds * 100.0
        } else {
            0.0
        },
        wall_seconds: seconds,
        peak_rss_mib,
        reaction_median_ms: median(&reactions),
        reaction_max_ms: reactions.last().copied(),
    }
}

fn median(sorted: &[f64]) -> Option<f64> {
    let middle = sorted.len() / 2;
    let upper = *sorted.get(middle)?;
    Some(if sorted.len() % 2 == 1 {
        upper
    } else {
        f64::midpoint(sorted[middle - 1], upper)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reactions_are_summed_up_by_median_and_maximum() {
        let usage = measure(10.0, vec![9.0, 1.0, 2.0]);
        assert_eq!(
            (usage.reaction_median_ms, usage.reaction_max_ms),
            (Some(2.0), Some(9.0))
        );
        assert_eq!(measure(10.0, vec![4.0, 1.0]).reaction_median_ms, Some(2.5));
        assert_eq!(measure(10.0, vec![]).reaction_max_ms, None);
    }

    #[test]
    fn this_process_has_a_size_and_used_time() {
        let usage = measure(1.0, vec![]);
        assert!(usage.peak_rss_mib > 1.0, "{usage:?}");
        assert!(
            (usage.cpu_percent - usage.cpu_seconds * 100.0).abs() < 1e-9,
            "{usage:?}"
        );
    }
}
