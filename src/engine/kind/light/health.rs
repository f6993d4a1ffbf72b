//! Whether a manager says, at its own endpoint, that it is ready.

use anyhow::{Context as _, Result};
use bollard::Docker;
use kube::{Client, Config};

use crate::engine::kind::management::soon;
use crate::engine::kind::{access, docker};

/// Asks until a container's endpoint says yes. The caller bounds the wait.
///
/// # Errors
/// When the container publishes no such port.
pub(super) async fn ready(docker: &Docker, container: &str, port: u16, path: &str) -> Result<()> {
    let (host, published) = docker::inspect(docker, container)
        .await?
        .as_ref()
        .and_then(|found| access::published(found, port))
        .with_context(|| {
            format!("failed to ask {container} whether it is ready: port {port} is not published")
        })?;
    let address = format!("http://{host}:{published}");
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
