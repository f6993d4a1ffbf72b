//! Clients for clusters that are given by a kubeconfig.

use std::time::Duration;

use anyhow::{Context, Result};
use kube::Client;
use kube::config::{Config, KubeConfigOptions, Kubeconfig};

/// How long a connection may take: a node that is gone must not hold up a watch for half a minute.
const CONNECT: Duration = Duration::from_secs(5);
/// How long a read may be silent. Longer than the API server's own end of a watch (about 5 min).
const READ: Duration = Duration::from_secs(330);

/// A client for a kubeconfig.
pub(super) async fn client(kubeconfig: &str) -> Result<Client> {
    let kubeconfig = Kubeconfig::from_yaml(kubeconfig).context("failed to read a kubeconfig")?;
    client_of(kubeconfig).await
}

/// A client that does not itself try again, with pauses of its own, what an API server that is being
/// started refuses.
pub(super) async fn quick_client(kubeconfig: &str) -> Result<Client> {
    let mut config = config(kubeconfig).await?;
    config.default_retry = false;
    Client::try_from(config).context("failed to make a client from a kubeconfig")
}

/// A client for a kubeconfig that was read, with its current context.
pub(super) async fn client_of(kubeconfig: Kubeconfig) -> Result<Client> {
    Client::try_from(config_of(kubeconfig).await?)
        .context("failed to make a client from a kubeconfig")
}

async fn config(kubeconfig: &str) -> Result<Config> {
    let kubeconfig = Kubeconfig::from_yaml(kubeconfig).context("failed to read a kubeconfig")?;
    config_of(kubeconfig).await
}

async fn config_of(kubeconfig: Kubeconfig) -> Result<Config> {
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .context("failed to read a kubeconfig")?;
    config.connect_timeout = Some(CONNECT);
    config.read_timeout = Some(READ);
    Ok(config)
}
