//! Kubeconfigs of clusters in containers, made to work from where stackgate runs.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use bollard::Docker;
use bollard::models::ContainerInspectResponse;
use serde_json::{Value, json};

use super::docker;
pub(super) use crate::engine::access::{client, quick_client};

/// Where kubeadm writes the administrator's kubeconfig in a control-plane node.
const ADMIN: &str = "/etc/kubernetes/admin.conf";
/// The API server's port in a container.
const PORT: u16 = 6443;
/// How long an address may take to answer before it counts as out of reach.
const REACH: Duration = Duration::from_secs(2);

/// The administrator's kubeconfig of a cluster of kind's, read out of its control-plane node as soon as
/// kubeadm has written it; none until then.
pub(super) async fn kubeconfig(docker: &Docker, node: &str) -> Result<Option<String>> {
    let Some(text) = docker::read_file(docker, node, ADMIN).await? else {
        return Ok(None);
    };
    let Some(container) = docker::inspect(docker, node).await? else {
        return Ok(None);
    };
    let Some((host, port)) = published(&container, PORT) else {
        return Ok(None);
    };
    with_server(&text, &format!("https://{host}:{port}"), None).map(Some)
}

/// A workload cluster's kubeconfig as CAPD gives it, with an address that works from here: containers
/// are in reach on Linux; elsewhere the load balancer's published port is.
pub(super) async fn reachable(docker: &Docker, cluster: &str, kubeconfig: &str) -> Result<String> {
    let (host, port) = server(kubeconfig)?;
    let connect = tokio::net::TcpStream::connect((host.as_str(), port));
    if matches!(tokio::time::timeout(REACH, connect).await, Ok(Ok(_))) {
        return Ok(kubeconfig.to_owned());
    }
    // The name is CAPD's (`containerName` of its load balancer).
    let balancer = format!("{cluster}-lb");
    let container = docker::inspect(docker, &balancer).await?;
    let (published_host, published_port) = container
        .as_ref()
        .and_then(|container| published(container, PORT))
        .with_context(|| {
            format!("failed to reach {cluster}: {host}:{port} does not answer, and container {balancer} publishes no port {PORT}")
        })?;
    let server = format!("https://{published_host}:{published_port}");
    with_server(kubeconfig, &server, Some(&host))
}

/// The address under which a container's port is published on this machine.
pub(super) fn published(
    container: &ContainerInspectResponse,
    port: u16,
) -> Option<(String, String)> {
    let ports = container.network_settings.as_ref()?.ports.as_ref()?;
    let binding = ports.get(&key(port))?.as_ref()?.first()?;
    let port = binding.host_port.clone().filter(|port| !port.is_empty())?;
    let host = match binding.host_ip.as_deref().unwrap_or_default() {
        "" | "0.0.0.0" => "127.0.0.1".to_owned(),
        "::" => "[::1]".to_owned(),
        ip if ip.parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv6()) => format!("[{ip}]"),
        ip => ip.to_owned(),
    };
    Some((host, port))
}

/// A port as Docker names it.
fn key(port: u16) -> String {
    format!("{port}/tcp")
}

fn parse(kubeconfig: &str) -> Result<Value> {
    serde_saphyr::from_str(kubeconfig)
        // The parser's message may quote the text, which is a secret.
        .map_err(|_| anyhow::anyhow!("failed to read a kubeconfig: it is not YAML"))
}

/// Host and port of the first cluster's server.
fn server(kubeconfig: &str) -> Result<(String, u16)> {
    let parsed = parse(kubeconfig)?;
    let server = parsed
        .pointer("/clusters/0/cluster/server")
        .and_then(Value::as_str)
        .context("failed to read a kubeconfig: expected clusters[0].cluster.server")?;
    let address = server.trim_start_matches("https://").trim_end_matches('/');
    let (host, port) = address.rsplit_once(':').unwrap_or((address, "443"));
    let port = port
        .parse()
        .with_context(|| format!("failed to read the server's port in {server}"))?;
    Ok((host.trim_matches(['[', ']']).to_owned(), port))
}

/// The same kubeconfig with another address; the certificate is then checked against `name`.
fn with_server(kubeconfig: &str, server: &str, name: Option<&str>) -> Result<String> {
    let mut parsed = parse(kubeconfig)?;
    let cluster = parsed
        .pointer_mut("/clusters/0/cluster")
        .and_then(Value::as_object_mut)
        .context("failed to read a kubeconfig: expected clusters[0].cluster")?;
    cluster.insert("server".to_owned(), json!(server));
    if let Some(name) = name {
        cluster.insert("tls-server-name".to_owned(), json!(name));
    }
    serde_saphyr::to_string(&parsed).context("failed to write a kubeconfig")
}

#[cfg(test)]
mod tests {
    use bollard::models::{NetworkSettings, PortBinding};

    use super::*;

    const TEXT: &str = "apiVersion: v1\nkind: Config\nclusters:\n- name: a\n  cluster:\n    certificate-authority-data: QQ==\n    server: https://172.18.0.3:6443\nusers:\n- name: u\n  user: {client-key-data: SECRET}\n";

    fn container(ip: &str, port: &str) -> ContainerInspectResponse {
        let binding = PortBinding {
            host_ip: Some(ip.to_owned()),
            host_port: Some(port.to_owned()),
        };
        ContainerInspectResponse {
            network_settings: Some(NetworkSettings {
                ports: Some([(key(PORT), Some(vec![binding]))].into()),
                ..NetworkSettings::default()
            }),
            ..ContainerInspectResponse::default()
        }
    }

    #[test]
    fn the_address_changes_and_nothing_else() {
        assert_eq!(server(TEXT).unwrap(), ("172.18.0.3".to_owned(), 6443));
        let moved = with_server(TEXT, "https://127.0.0.1:40001", Some("172.18.0.3")).unwrap();
        assert_eq!(server(&moved).unwrap(), ("127.0.0.1".to_owned(), 40001));
        let (mut before, mut after) = (parse(TEXT).unwrap(), parse(&moved).unwrap());
        assert_eq!(
            after["clusters"][0]["cluster"]["tls-server-name"],
            "172.18.0.3"
        );
        for value in [&mut before, &mut after] {
            value["clusters"][0]["cluster"] = Value::Null;
        }
        assert_eq!(before, after);
    }

    #[test]
    fn a_published_port_is_found_where_docker_says_it_is() {
        for (ip, expected) in [
            ("127.0.0.1", "127.0.0.1"),
            ("0.0.0.0", "127.0.0.1"),
            ("", "127.0.0.1"),
            ("::1", "[::1]"),
            ("10.0.0.7", "10.0.0.7"),
        ] {
            let found = published(&container(ip, "40001"), PORT).unwrap();
            assert_eq!(found, (expected.to_owned(), "40001".to_owned()));
        }
        assert_eq!(published(&container("127.0.0.1", ""), PORT), None);
        assert_eq!(published(&ContainerInspectResponse::default(), PORT), None);
    }

    #[test]
    fn a_broken_kubeconfig_is_refused_without_quoting_it() {
        for broken in ["{SECRET", "SECRET: [", "[]", "clusters: []"] {
            let error = format!(
                "{:#}",
                with_server(broken, "https://x:1", None).unwrap_err()
            );
            assert!(!error.contains("SECRET"), "{error}");
            assert!(error.contains("kubeconfig"), "{error}");
        }
    }
}
