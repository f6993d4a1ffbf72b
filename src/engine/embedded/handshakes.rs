//! What the servers of a simulated cluster show: there are no sockets, so it is told.

use anyhow::{Context as _, Result};
use futures::future::BoxFuture;
use kubesim::{Cluster, network};

use crate::cluster::{Handshakes, Validity};

/// The servers of a simulated cluster.
#[derive(Clone, Debug)]
pub struct Simulated(pub Cluster);

impl Handshakes for Simulated {
    fn api(&self) -> Option<(String, u16)> {
        None
    }

    fn shown<'a>(&'a self, host: &'a str, port: u16) -> BoxFuture<'a, Result<Validity>> {
        Box::pin(async move {
            let shown = network::certificate(&self.0, host, port);
            let (not_before, not_after) = shown.context("connection refused")?;
            Ok(Validity {
                not_before,
                not_after,
            })
        })
    }
}
