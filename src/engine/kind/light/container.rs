//! One program of the management cluster as a container: on the run's network, with what it needs in
//! it, and without a privilege.

use std::collections::HashMap;

use anyhow::{Context as _, Result};
use bollard::Docker;
use bollard::models::{
    ContainerCreateBody, EndpointSettings, HostConfig, NetworkConnectRequest, NetworkingConfig,
    PortBinding, RestartPolicy, RestartPolicyNameEnum,
};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, CreateImageOptionsBuilder, RestartContainerOptionsBuilder,
    StartContainerOptions,
};
use futures::TryStreamExt;

use crate::engine::kind::docker::Entry;
use crate::engine::kind::names::{CLUSTER_LABEL, NETWORK, PART_LABEL, RUN_LABEL, of_run};
use crate::engine::kind::{access, docker};
use crate::record::RunId;

/// How often a manager that ends with an error is started again before that is a cause.
pub(super) const RESTARTS: i64 = 2;

/// A program of the management cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Part {
    /// Its name within the run, e.g. `etcd`.
    pub(super) name: String,
    pub(super) image: String,
    /// The program, where it is not the image's own.
    pub(super) command: Vec<String>,
    pub(super) arguments: Vec<String>,
    /// `NAME=VALUE`.
    pub(super) environment: Vec<String>,
    /// As whom it runs, where that is not the image's own.
    pub(super) user: Option<String>,
    /// Under which names it is known on the run's network.
    pub(super) aliases: Vec<String>,
    /// Ports that are published on loopback, each under a free one.
    pub(super) ports: Vec<u16>,
    /// `HOST:CONTAINER`.
    pub(super) binds: Vec<String>,
    /// Folders in memory.
    pub(super) scratch: Vec<String>,
    /// Whether it talks to workload clusters, which are in CAPD's network.
    pub(super) reaches_workloads: bool,
    /// Whether it is started again when it fails, as a node would.
    pub(super) restarts: bool,
}

/// The container's name.
fn name_of(run: &RunId, part: &str) -> String {
    format!("{}-{part}", of_run(run))
}

/// Makes the container, which does not run yet; its image is pulled when Docker has it not.
///
/// # Errors
/// When the image cannot be had, or Docker does not take the container.
pub(super) async fn create(docker: &Docker, run: &RunId, part: &Part) -> Result<()> {
    image(docker, &part.image).await?;
    let name = name_of(run, &part.name);
    let options = CreateContainerOptionsBuilder::new().name(&name).build();
    docker
        .create_container(Some(options), body(run, part))
        .await
        .with_context(|| format!("failed to create container {name}"))?;
    if part.reaches_workloads {
        let request = NetworkConnectRequest {
            container: name.clone(),
            endpoint_config: None,
        };
        docker
            .connect_network(NETWORK, request)
            .await
            .with_context(|| format!("failed to connect {name} to Docker's network {NETWORK}"))?;
    }
    Ok(())
}

fn body(run: &RunId, part: &Part) -> ContainerCreateBody {
    let network = of_run(run);
    let key = |port: &u16| format!("{port}/tcp");
    let bound = |port: &u16| {
        let binding = PortBinding {
            host_ip: Some("127.0.0.1".to_owned()),
            // Docker takes a free one.
            host_port: Some(String::new()),
        };
        (key(port), Some(vec![binding]))
    };
    let endpoint = EndpointSettings {
        aliases: Some(part.aliases.clone()),
        ..EndpointSettings::default()
    };
    let some = |list: &[String]| (!list.is_empty()).then(|| list.to_vec());
    ContainerCreateBody {
        image: Some(part.image.clone()),
        entrypoint: some(&part.command),
        cmd: Some(part.arguments.clone()),
        env: some(&part.environment),
        user: part.user.clone(),
        labels: Some(HashMap::from([
            // By this one it is found and removed with the run's other containers.
            (CLUSTER_LABEL.to_owned(), network.clone()),
            (RUN_LABEL.to_owned(), run.to_string()),
            (PART_LABEL.to_owned(), part.name.clone()),
        ])),
        exposed_ports: Some(part.ports.iter().map(key).collect()),
        host_config: Some(HostConfig {
            network_mode: Some(network.clone()),
            port_bindings: Some(part.ports.iter().map(bound).collect()),
            binds: some(&part.binds),
            tmpfs: Some(
                part.scratch
                    .iter()
                    .map(|folder| (folder.clone(), "mode=1777".to_owned()))
                    .collect(),
            ),
            restart_policy: part.restarts.then_some(RestartPolicy {
                name: Some(RestartPolicyNameEnum::ON_FAILURE),
                maximum_retry_count: Some(RESTARTS),
            }),
            ..HostConfig::default()
        }),
        networking_config: Some(NetworkingConfig {
            endpoints_config: Some(HashMap::from([(network, endpoint)])),
        }),
        ..ContainerCreateBody::default()
    }
}

/// Puts files into a container that was made, and starts it.
///
/// # Errors
/// When Docker does not take the files, or cannot start the program.
pub(super) async fn start(docker: &Docker, run: &RunId, part: &str, files: &[Entry]) -> Result<()> {
    let name = name_of(run, part);
    docker::upload(docker, &name, files).await?;
    docker
        .start_container(&name, None::<StartContainerOptions>)
        .await
        .with_context(|| format!("failed to start container {name}"))
}

/// Ends a program at once, and starts it again.
///
/// # Errors
/// When Docker does not do it.
pub(in crate::engine::kind) async fn restart(
    docker: &Docker,
    run: &RunId,
    part: &str,
) -> Result<()> {
    let name = name_of(run, part);
    let at_once = RestartContainerOptionsBuilder::new().t(0).build();
    docker
        .restart_container(&name, Some(at_once))
        .await
        .with_context(|| format!("failed to restart container {name}"))
}

/// Puts files into a container that was made and does not run yet.
///
/// # Errors
/// When Docker does not take the files.
pub(super) async fn put(docker: &Docker, run: &RunId, part: &str, files: &[Entry]) -> Result<()> {
    docker::upload(docker, &name_of(run, part), files).await
}

/// The address under which a port of a running part is published on this machine.
///
/// # Errors
/// When Docker does not answer, or publishes no such port.
pub(super) async fn published(
    docker: &Docker,
    run: &RunId,
    part: &str,
    port: u16,
) -> Result<(String, String)> {
    let name = name_of(run, part);
    docker::inspect(docker, &name)
        .await?
        .as_ref()
        .and_then(|found| access::published(found, port))
        .with_context(|| format!("failed to reach {name}: Docker does not publish its port {port}"))
}

async fn image(docker: &Docker, image: &str) -> Result<()> {
    let found = docker::absent(docker.inspect_image(image).await)
        .with_context(|| format!("failed to look for image {image}"))?;
    if found.is_some() {
        return Ok(());
    }
    let options = CreateImageOptionsBuilder::new().from_image(image).build();
    docker
        .create_image(Some(options), None, None)
        .try_for_each(|_| async { Ok(()) })
        .await
        .with_context(|| format!("failed to pull image {image}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_found_by_its_run_and_is_published_on_loopback_alone() {
        let run: RunId = "7f3a09bc".parse().unwrap();
        let part = Part {
            name: "apiserver".to_owned(),
            image: "kube-apiserver:v1".to_owned(),
            ports: vec![6443],
            ..Part::default()
        };
        let body = body(&run, &part);
        let labels = body.labels.unwrap();
        assert_eq!(labels[CLUSTER_LABEL], "stackgate-7f3a09bc");
        assert_eq!(labels[RUN_LABEL], "7f3a09bc");
        let host = body.host_config.unwrap();
        assert_eq!(host.privileged, None);
        assert_eq!(host.restart_policy, None);
        let binding = &host.port_bindings.unwrap()["6443/tcp"];
        let binding = &binding.as_ref().unwrap()[0];
        assert_eq!(binding.host_ip.as_deref(), Some("127.0.0.1"));
    }
}
