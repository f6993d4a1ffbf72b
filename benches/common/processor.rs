//! What this process has taken of the processor: other programs do not count.

use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;

/// Processor time of this process so far.
///
/// # Errors
/// When the system does not tell.
pub fn time() -> nix::Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_SELF)?;
    let spent = usage.user_time() + usage.system_time();
    Ok(Duration::from_micros(
        spent.num_microseconds().unsigned_abs(),
    ))
}
