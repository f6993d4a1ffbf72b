//! kind's own configuration of a cluster, as far as it can keep a run from starting.

use std::net::{IpAddr, TcpListener, UdpSocket};
use std::path::Path;

use serde_json::Value;

use crate::engine::Problem;

/// CAPD's way to Docker, from inside the management node.
const SOCKET: &str = "/var/run/docker.sock";

/// What is wrong with a configuration; `ports` are looked at when it is going to be used.
pub(super) fn problems(path: &Path, ports: bool) -> Vec<Problem> {
    let shown = path.display();
    let remedy = "expected a Cluster of kind.x-k8s.io/v1alpha4, see https://kind.sigs.k8s.io/docs/user/configuration";
    let failed = |what: String| {
        vec![Problem {
            what,
            remedy: remedy.to_owned(),
        }]
    };
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => return failed(format!("{shown} cannot be read: {error}")),
    };
    let config: Value = match serde_saphyr::from_str(&text) {
        Ok(config) => config,
        Err(error) => return failed(format!("{shown} is not YAML: {error}")),
    };
    if config["kind"] != "Cluster" || config["apiVersion"] != "kind.x-k8s.io/v1alpha4" {
        return failed(format!("{shown} is not kind's configuration of a cluster"));
    }
    let mut problems = Vec::new();
    let nodes = config["nodes"].as_array().map_or(&[][..], Vec::as_slice);
    let mounted = nodes
        .iter()
        .filter_map(|node| node["extraMounts"].as_array())
        .flatten()
        .any(|mount| mount["containerPath"] == SOCKET);
    if !mounted {
        problems.push(Problem {
            what: format!("{shown} does not mount {SOCKET} into a node: CAPD cannot make containers"),
            remedy: format!("add to its control-plane node: extraMounts: [{{hostPath: {SOCKET}, containerPath: {SOCKET}}}]"),
        });
    }
    if ports {
        problems.extend(wanted(&config).iter().filter_map(|port| port.problem(path)));
    }
    problems
}

/// A port of this machine that the configuration asks for.
#[derive(Debug, PartialEq, Eq)]
struct Port {
    field: &'static str,
    address: IpAddr,
    port: u16,
    udp: bool,
}

/// Every port that is asked for by number; kind chooses the others (0, -1, or no number).
fn wanted(config: &Value) -> Vec<Port> {
    let parse = |field, address: &Value, default: &str, port: &Value, protocol: &Value| {
        let port = u16::try_from(port.as_i64()?)
            .ok()
            .filter(|port| *port > 0)?;
        let address = address.as_str().unwrap_or(default).parse().ok()?;
        let udp = protocol
            .as_str()
            .is_some_and(|p| p.eq_ignore_ascii_case("udp"));
        Some(Port {
            field,
            address,
            port,
            udp,
        })
    };
    let networking = &config["networking"];
    let api_server = parse(
        "networking.apiServerPort",
        &networking["apiServerAddress"],
        "127.0.0.1",
        &networking["apiServerPort"],
        &Value::Null,
    );
    let nodes = config["nodes"].as_array().map_or(&[][..], Vec::as_slice);
    let mappings = nodes
        .iter()
        .filter_map(|node| node["extraPortMappings"].as_array())
        .flatten()
        .filter_map(|mapping| {
            let (address, port) = (&mapping["listenAddress"], &mapping["hostPort"]);
            parse("hostPort", address, "0.0.0.0", port, &mapping["protocol"])
        });
    api_server.into_iter().chain(mappings).collect()
}

impl Port {
    fn problem(&self, path: &Path) -> Option<Problem> {
        let address = (self.address, self.port);
        let error = if self.udp {
            UdpSocket::bind(address).err()?
        } else {
            TcpListener::bind(address).err()?
        };
        let Self {
            field,
            address,
            port,
            ..
        } = self;
        Some(Problem {
            what: format!(
                "port {port} of {address} ({field} in {}) cannot be used: {error}",
                path.display()
            ),
            remedy: format!(
                "end what listens there (ss -lpn 'sport = :{port}'), or choose another port"
            ),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Vec<Problem> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("demo.yaml");
        std::fs::write(&path, text).unwrap();
        problems(&path, true)
    }

    const HEAD: &str = "kind: Cluster\napiVersion: kind.x-k8s.io/v1alpha4\n";
    const NODE: &str = "nodes:\n- role: control-plane\n  extraMounts:\n  - {hostPath: /var/run/docker.sock, containerPath: /var/run/docker.sock}\n";

    #[test]
    fn a_good_configuration_has_no_problem() {
        assert_eq!(of(&format!("{HEAD}{NODE}")), []);
        let chosen = "networking: {apiServerPort: 0}\n";
        assert_eq!(of(&format!("{HEAD}{chosen}{NODE}")), []);
    }

    #[test]
    fn anything_else_is_told_with_its_file() {
        for (text, expected) in [
            ("kind: [", "is not YAML"),
            ("kind: Pod\napiVersion: v1\n", "is not kind's configuration"),
            (HEAD, "does not mount /var/run/docker.sock"),
        ] {
            let found = of(text);
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].what.contains(expected), "{found:?}");
            assert!(found[0].what.contains("demo.yaml"), "{found:?}");
        }
        let absent = problems(Path::new("/nowhere/demo.yaml"), true);
        assert!(absent[0].what.contains("cannot be read"), "{absent:?}");
    }

    #[test]
    fn a_port_in_use_is_told_before_anything_is_made() {
        let holder = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = holder.local_addr().unwrap().port();
        let text = format!("{HEAD}networking: {{apiServerPort: {port}}}\n{NODE}");
        let found = of(&text);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].what.contains(&format!("port {port} of 127.0.0.1")),
            "{found:?}"
        );
        drop(holder);
        assert_eq!(of(&text), []);
    }

    #[test]
    fn every_port_with_a_number_is_wanted() {
        let config: Value = serde_saphyr::from_str(
            "networking: {apiServerAddress: '::1', apiServerPort: 6443}\nnodes:\n- extraPortMappings:\n  - {containerPort: 80, hostPort: 8080}\n  - {containerPort: 53, hostPort: 5353, listenAddress: 127.0.0.1, protocol: UDP}\n  - {containerPort: 81, hostPort: -1}\n  - {containerPort: 82}\n",
        )
        .unwrap();
        let found: Vec<_> = wanted(&config)
            .into_iter()
            .map(|port| (port.address.to_string(), port.port, port.udp))
            .collect();
        assert_eq!(
            found,
            [
                ("::1".to_owned(), 6443, false),
                ("0.0.0.0".to_owned(), 8080, false),
                ("127.0.0.1".to_owned(), 5353, true),
            ]
        );
    }
}
