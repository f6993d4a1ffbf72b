//! Whether a manager says, at its own endpoint, that it is ready.

use anyhow::{Context as _, Result};
use kube::{Client, Config};

use crate::engine::kind::management::soon;

/// Asks until the endpoint at a host and port says yes. The caller bounds the wait.
///
/// # Errors
/// When the address is none.
pub(super) async fn ready((host, port): (String, String), path: &str) -> Result<()> {
    let address = format!("http://{host}:{port}");
    let mut config = Config::new(address.parse().context("failed to read an address")?);
    config.default_retry = false;
    let client = Client::try_from(config).context("failed to make a client")?;
    loop {
        let request = http::Request::get(path)
            .body(Vec::new())
            .context("failed to make a request")?;
        if client.request_text(request).await.is_ok() {
            return Ok(());
        }
        soon().await;
    }
}
