//! scs-0217-v1 (draft): etcd runs on other machines than the API servers.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use anyhow::Result;
use http::Uri;

use super::components::{Component, replicas, unseen};
use crate::checks::judgement::Judgement;
use crate::checks::{Answer, Native, Parameters, Target, needs};

const API_SERVER: &str = "kube-apiserver";

/// The check.
pub const CHECK: Native = Native {
    name: "scs-0217-etcd-isolation",
    timeout: Duration::from_secs(30),
    parameters: Parameters::NONE,
    needs: &[needs::PODS],
    run: |target| Box::pin(run(target)),
};

async fn run(target: &Target<'_>) -> Result<Answer> {
    Ok(judge(&replicas(target, API_SERVER).await?).into())
}

/// An API server that talks to an address of its own machine, or of one that another API server runs on,
/// shares that machine with etcd.
fn judge(servers: &[Component]) -> Judgement {
    if let Some(why) = unseen(API_SERVER, servers) {
        return Judgement::Skip(why);
    }
    let machines: BTreeSet<&str> = servers.iter().flat_map(Component::addresses).collect();
    let nodes: BTreeSet<&str> = servers
        .iter()
        .map(|one| one.pod.str("/spec/nodeName"))
        .collect();
    let mut wrong = Vec::new();
    let mut apart = BTreeSet::new();
    for server in servers {
        let urls = server.list("etcd-servers");
        if urls.is_empty() {
            wrong.push(server.pod.blocker(
                "--etcd-servers is not set, so that etcd is looked for on the API server's machine",
            ));
        }
        for url in urls {
            let host = host(url);
            let beside = is_loopback(&host)
                || machines.contains(host.as_str())
                || nodes.contains(host.as_str());
            if beside {
                wrong.push(server.pod.blocker(format!(
                    "etcd at {url} runs on the same machine as an API server; separate machines are recommended"
                )));
            } else {
                apart.insert(host);
            }
        }
    }
    Judgement::unless(wrong, || {
        let apart = Vec::from_iter(apart).join(", ");
        format!("etcd runs at {apart}, apart from the API servers")
    })
}

/// The host of an address, without the brackets of IPv6.
fn host(url: &str) -> String {
    let uri = url.parse::<Uri>();
    let host = uri.ok().and_then(|uri| uri.host().map(str::to_owned));
    let host = host.unwrap_or_else(|| url.to_owned());
    host.trim_start_matches('[')
        .trim_end_matches(']')
        .to_owned()
}

fn is_loopback(host: &str) -> bool {
    let address = host.parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::super::components::tests::replica;
    use super::*;
    use crate::checks::health::fixtures::problems;

    fn told(flags: &[&str]) -> String {
        problems(&judge(&[replica(API_SERVER, flags)]))
    }

    #[test]
    fn etcd_on_a_machine_of_an_api_server_is_told_by_whatever_address() {
        for beside in [
            "https://127.0.0.1:2379",
            "https://127.8.0.1:2379",
            "https://localhost:2379",
            "https://[::1]:2379",
            // The machine's own address, and its name.
            "https://10.0.0.1:2379",
            "https://cp-1:2379",
            "https://etcd.example.org:2379,https://10.0.0.1:2379",
        ] {
            let told = told(&[&format!("--etcd-servers={beside}")]);
            assert!(told.contains("same machine"), "{beside}: {told}");
        }
        let advertised = [
            "--etcd-servers=https://192.0.2.7:2379",
            "--advertise-address=192.0.2.7",
        ];
        assert!(told(&advertised).contains("same machine"));
        assert!(told(&[]).contains("is not set"));
    }

    #[test]
    fn etcd_at_other_addresses_is_apart() {
        let urls = "--etcd-servers=https://10.0.0.5:2379,https://etcd.example.org:2379";
        assert_eq!(told(&[urls]), "");
        assert!(matches!(judge(&[]), Judgement::Skip(_)));
    }
}
