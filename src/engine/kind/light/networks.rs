//! The run's own network, and the one that CAPD insists on and that kind would have made.

use std::collections::HashMap;

use anyhow::{Context as _, Result};
use bollard::Docker;
use bollard::errors::Error;
use bollard::models::NetworkCreateRequest;

use crate::engine::kind::docker;
use crate::engine::kind::names::{NETWORK, RUN_LABEL, of_run};
use crate::record::RunId;

/// Makes the run's network, and CAPD's where it is missing.
///
/// # Errors
/// When Docker cannot, e.g. for want of addresses.
pub(super) async fn create(docker: &Docker, run: &RunId) -> Result<()> {
    let labels = HashMap::from([(RUN_LABEL.to_owned(), run.to_string())]);
    make(docker, &of_run(run), Some(labels)).await?;
    if !docker::network_exists(docker, NETWORK).await? {
        // kind's own has no label either: who removes it is told by the run's private folder.
        make(docker, NETWORK, None).await?;
    }
    Ok(())
}

async fn make(docker: &Docker, name: &str, labels: Option<HashMap<String, String>>) -> Result<()> {
    let masquerade = "com.docker.network.bridge.enable_ip_masquerade".to_owned();
    let request = NetworkCreateRequest {
        name: name.to_owned(),
        driver: Some("bridge".to_owned()),
        options: Some(HashMap::from([(masquerade, "true".to_owned())])),
        labels,
        ..NetworkCreateRequest::default()
    };
    match docker.create_network(request).await {
        Ok(_) => Ok(()),
        // Another run was faster.
        Err(Error::DockerResponseServerError {
            status_code: 409, ..
        }) => Ok(()),
        Err(error) => {
            Err(error).with_context(|| format!("failed to create Docker's network {name}"))
        }
    }
}

/// Removes the run's own network; returns whether there was one. Its containers are gone by then.
pub(in crate::engine::kind) async fn remove(docker: &Docker, run: &RunId) -> Result<bool> {
    let name = of_run(run);
    docker::absent(docker.remove_network(&name).await)
        .map(|removed| removed.is_some())
        .with_context(|| format!("failed to remove Docker's network {name}"))
}
