//! Decompression that stops at what only bombs have.

use std::io::{self, Read};

use flate2::read::MultiGzDecoder;

use super::{Limits, RATIO_FLOOR, Reason};

/// Marks an I/O error as a passed limit, so that it survives the tar reader.
#[derive(Debug, thiserror::Error)]
#[error("more than {limit} {what}")]
struct OverLimit {
    what: &'static str,
    limit: u64,
}

pub(super) fn stream_reason(error: io::Error) -> Reason {
    match error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<OverLimit>())
    {
        Some(&OverLimit { what, limit }) => Reason::TooMuch { what, limit },
        None => match error.get_ref().and_then(find_io_cause) {
            Some(&OverLimit { what, limit }) => Reason::TooMuch { what, limit },
            None => Reason::Damaged(error),
        },
    }
}

/// The tar reader wraps errors of the stream below it in its own, sometimes twice.
fn find_io_cause<'e>(
    error: &'e (dyn std::error::Error + Send + Sync + 'static),
) -> Option<&'e OverLimit> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(current) = cause {
        if let Some(over) = current.downcast_ref::<OverLimit>() {
            return Some(over);
        }
        if let Some(inner) = current
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref)
            && let Some(over) = find_io_cause(inner)
        {
            return Some(over);
        }
        cause = current.source();
    }
    None
}

/// Decompresses and stops at the total size or at a compression ratio that only bombs have.
pub(super) struct Metered<R: Read> {
    inner: MultiGzDecoder<Counted<R>>,
    out: u64,
    limits: Limits,
}

struct Counted<R> {
    inner: R,
    read: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buf)?;
        self.read += n as u64;
        Ok(n)
    }
}

impl<R: Read> Metered<R> {
    pub(super) fn new(packed: R, limits: &Limits) -> Self {
        let counted = Counted {
            inner: packed,
            read: 0,
        };
        Metered {
            inner: MultiGzDecoder::new(counted),
            out: 0,
            limits: *limits,
        }
    }
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buf)?;
        self.out += n as u64;
        if self.out > self.limits.total_bytes {
            let limit = self.limits.total_bytes;
            return Err(io::Error::other(OverLimit {
                what: "unpacked bytes",
                limit,
            }));
        }
        let packed = self.inner.get_ref().read.max(1);
        if self.out > RATIO_FLOOR && self.out / packed > self.limits.ratio {
            let limit = self.limits.ratio;
            return Err(io::Error::other(OverLimit {
                what: "unpacked bytes per packed byte",
                limit,
            }));
        }
        Ok(n)
    }
}
