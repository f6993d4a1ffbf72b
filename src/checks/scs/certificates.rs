//! scs-0215-v1 (draft): certificates last for a year at most, so that whoever runs the cluster has to renew
//! them. Judged by those that API servers, etcd and kubelets show when somebody begins to talk TLS with them.
//!
//! The nodes' addresses are asked from where stackgate runs. Where these are out of reach, what the kubeconfig's
//! address shows is what is left; without any certificate of an API server nothing is judged. What only
//! listens on loopback (kubeadm's controller manager and scheduler), and the certificates by which clients
//! say who they are, cannot be seen.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use futures::{StreamExt, stream};
use http::Uri;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::components::Component;
use crate::checks::judgement::{Judgement, problem, read};
use crate::checks::{Answer, Native, Parameters, Target, needs};
use crate::cluster::{Object, Validity, kinds};
use crate::record::Blocker;

/// The check.
pub const CHECK: Native = Native {
    name: "scs-0215-certificate-validity",
    timeout: Duration::from_secs(60),
    parameters: Parameters::NONE,
    needs: &[needs::NODES, needs::PODS],
    run: |target| Box::pin(run(target)),
};

/// A year, as kubeadm counts it, and a margin: kubeadm begins five minutes before its moment, a kubelet that
/// signs for itself an hour (client-go `cert.GenerateSelfSignedCertKey`), and a year may have 366 days.
const LONGEST: SignedDuration = SignedDuration::from_hours(366 * 24);
/// How long a server may take to show its certificate: from outside a cluster its machines are often out of
/// reach without a word, and who is within reach shows it in three round trips.
const ANSWER: Duration = Duration::from_secs(1);
/// The same for the API server under the address that is used, which is within reach.
const PATIENT: Duration = Duration::from_secs(5);
/// How many servers are asked at the same time.
const SIDE_BY_SIDE: usize = 16;

/// A server that speaks TLS.
#[derive(Clone, Debug)]
struct Server {
    /// Whom a problem is about: a pod, a node, the API.
    blocker: Blocker,
    host: String,
    port: u16,
    /// Whether it is an API server.
    api: bool,
}

async fn run(target: &Target<'_>) -> Result<Answer> {
    let Some(handshakes) = target.shared.handshakes.as_deref() else {
        bail!("there is no way to the cluster's servers from here");
    };
    let view = target.view(&[(kinds::NODE, ""), (kinds::POD, "kube-system")]);
    read(target, "nodes and the control plane's pods", &[&view]).await?;
    let servers = servers(
        &view.list(&kinds::NODE),
        &view.list(&kinds::POD),
        handshakes.api(),
    );
    let api = handshakes.api();
    let in_use = |server: &Server| {
        let api = api.as_ref();
        api.is_some_and(|(host, port)| *host == server.host && *port == server.port)
    };
    let asking: Vec<_> = servers
        .into_iter()
        .map(|server| {
            let within = if in_use(&server) { PATIENT } else { ANSWER };
            (server, target.context.scaled(within))
        })
        .map(|(server, within)| async move {
            let shown = handshakes.shown(&server.host, server.port);
            let shown = match tokio::time::timeout(within, shown).await {
                Ok(shown) => shown.map_err(|error| format!("{error:#}")),
                Err(_) => Err(format!("no answer within {} s", within.as_secs())),
            };
            (server, shown)
        })
        .collect();
    let shown: Vec<_> = stream::iter(asking).buffered(SIDE_BY_SIDE).collect().await;
    judge(&shown, target.context.today())
}

/// Every server that listens to others, each address once.
fn servers(nodes: &[Arc<Object>], pods: &[Arc<Object>], api: Option<(String, u16)>) -> Vec<Server> {
    let mut found = Vec::new();
    for (component, port) in [("kube-apiserver", Some(6443)), ("etcd", None)] {
        for pod in pods
            .iter()
            .filter(|pod| pod.label("component") == Some(component))
        {
            let one = Component::of(Object::clone(pod));
            let Some(machine) = one.addresses().into_iter().next().map(str::to_owned) else {
                continue;
            };
            let places = match port {
                Some(port) => {
                    let own = one.flag("secure-port").parse().unwrap_or(port);
                    BTreeSet::from([(machine, own)])
                }
                None => etcd(&one, &machine),
            };
            found.extend(places.into_iter().map(|(host, port)| Server {
                blocker: pod.blocker(""),
                host,
                port,
                api: component == "kube-apiserver",
            }));
        }
    }
    for node in nodes {
        let addresses = node.array("/status/addresses").iter();
        let mut internal = addresses.filter(|one| one["type"] == "InternalIP");
        let Some(host) = internal.next().and_then(|one| one["address"].as_str()) else {
            continue;
        };
        let port = node.int("/status/daemonEndpoints/kubeletEndpoint/Port");
        found.push(Server {
            blocker: node.blocker(""),
            host: host.to_owned(),
            port: port
                .and_then(|port| u16::try_from(port).ok())
                .unwrap_or(10250),
            api: false,
        });
    }
    if let Some((host, port)) = api {
        found.push(Server {
            blocker: problem("workload", "API server", "", "(kubeconfig)", ""),
            host,
            port,
            api: true,
        });
    }
    let mut seen = BTreeSet::new();
    found.retain(|one| seen.insert((one.host.clone(), one.port)));
    found
}

/// Where etcd speaks TLS to others.
fn etcd(etcd: &Component, machine: &str) -> BTreeSet<(String, u16)> {
    let urls = ["listen-client-urls", "listen-peer-urls"];
    let urls = urls.iter().flat_map(|flag| etcd.list(flag));
    let uris = urls.filter_map(|url| url.parse::<Uri>().ok());
    let secure = uris.filter(|uri| uri.scheme_str() == Some("https"));
    secure
        .filter_map(|uri| {
            let host = uri.host()?.trim_matches(['[', ']']);
            let address = host.parse::<std::net::IpAddr>();
            let host = match address {
                Ok(address) if address.is_loopback() => return None,
                Ok(address) if address.is_unspecified() => machine,
                _ => host,
            };
            Some((host.to_owned(), uri.port_u16().unwrap_or(2379)))
        })
        .collect()
}

fn judge(shown: &[(Server, Result<Validity, String>)], today: Date) -> Result<Answer> {
    let about = |server: &Server, what: String| {
        let mut blocker = server.blocker.clone();
        blocker.condition = what;
        blocker
    };
    let at = |server: &Server| format!("{}:{}", server.host, server.port);
    let mut problems = Vec::new();
    let mut seen = Vec::new();
    let mut unseen = Vec::new();
    for (server, validity) in shown {
        match validity {
            Ok(validity) => {
                let what = wrong(*validity, today);
                let what =
                    what.map(|what| format!("shows at {} a certificate that {what}", at(server)));
                problems.extend(what.map(|what| about(server, what)));
                seen.push((server, validity));
            }
            Err(why) => {
                let what = format!("shows no certificate at {}: {why}", at(server));
                unseen.push((server, about(server, what).to_string()));
            }
        }
    }
    if !problems.is_empty() {
        return Ok(Judgement::Fail(problems).into());
    }
    if !seen.iter().any(|(server, _)| server.api) {
        let mut ours = unseen.iter().filter(|(server, _)| server.api);
        match ours.next() {
            Some((_, why)) => bail!("no certificate of an API server can be seen: {why}"),
            None => bail!("no API server can be seen whose certificate could be asked for"),
        }
    }
    let first = seen.iter().map(|(_, validity)| validity.not_after).min();
    let first = first.map(|first| format!("; the first ends on {}", day(first)));
    let message = format!(
        "the certificates of {} of {} servers were seen, and are good for a year at most{}",
        seen.len(),
        shown.len(),
        first.unwrap_or_default()
    );
    let mut answer = Answer::from(Judgement::Pass(message));
    answer.evidence = unseen.into_iter().map(|(_, why)| why).collect();
    Ok(answer)
}

fn wrong(validity: Validity, today: Date) -> Option<String> {
    let Validity {
        not_before,
        not_after,
    } = validity;
    let (begins, ends) = (day(not_before), day(not_after));
    if ends < today {
        return Some(format!("ended on {ends}"));
    }
    let lasts = not_after.duration_since(not_before);
    (lasts > LONGEST).then(|| {
        let days = lasts.as_hours() / 24;
        format!("is good for {days} days, from {begins} to {ends}, longer than a year")
    })
}

fn day(at: Timestamp) -> Date {
    at.to_zoned(TimeZone::UTC).date()
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use serde_json::json;

    use super::*;

    const TODAY: Date = date(2026, 5, 1);

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn valid(from: &str, to: &str) -> Result<Validity, String> {
        Ok(Validity {
            not_before: at(from),
            not_after: at(to),
        })
    }

    fn a_year() -> Result<Validity, String> {
        valid("2026-01-01T11:55:00Z", "2027-01-01T12:00:00Z")
    }

    fn server(name: &str, api: bool) -> Server {
        Server {
            blocker: problem("workload", "Pod", "kube-system", name, ""),
            host: "10.0.0.1".to_owned(),
            port: 6443,
            api,
        }
    }

    fn told(shown: Vec<(Server, Result<Validity, String>)>) -> String {
        match judge(&shown, TODAY) {
            Ok(answer) => format!(
                "{} {} {}",
                answer.outcome,
                answer.message,
                answer.evidence.join("; ")
            ),
            Err(error) => format!("error {error}"),
        }
    }

    #[test]
    fn a_year_is_the_longest_and_the_margin_is_a_day() {
        let good = told(vec![(server("a", true), a_year())]);
        assert!(
            good.starts_with("pass") && good.contains("ends on 2027-01-01"),
            "{good}"
        );
        // kubeadm's own year, begun five minutes early, and a leap year.
        for (from, to) in [
            ("2026-04-30T00:00:00Z", "2027-05-01T00:00:00Z"),
            ("2026-04-30T00:00:00Z", "2026-05-01T00:00:00Z"),
        ] {
            assert!(
                told(vec![(server("a", true), valid(from, to))]).starts_with("pass"),
                "{from} {to}"
            );
        }
        for (from, to, why) in [
            (
                "2026-04-30T00:00:00Z",
                "2027-05-01T00:00:01Z",
                "good for 366 days",
            ),
            (
                "2026-01-01T00:00:00Z",
                "2036-01-01T00:00:00Z",
                "good for 3652 days",
            ),
            (
                "2025-04-01T00:00:00Z",
                "2026-04-01T00:00:00Z",
                "ended on 2026-04-01",
            ),
        ] {
            let told = told(vec![
                (server("a", true), a_year()),
                (server("b", false), valid(from, to)),
            ]);
            assert!(
                told.starts_with("FAIL Pod kube-system/b") && told.contains(why),
                "{told}"
            );
        }
    }

    #[test]
    fn without_a_certificate_of_an_api_server_nothing_is_judged() {
        let away = || Err("connection refused".to_owned());
        let pass = told(vec![
            (server("a", true), a_year()),
            (server("etcd", false), away()),
        ]);
        assert!(pass.contains("1 of 2 servers were seen"), "{pass}");
        assert!(
            pass.contains(
                "Pod kube-system/etcd: shows no certificate at 10.0.0.1:6443: connection refused"
            ),
            "{pass}"
        );
        let error = told(vec![
            (server("a", true), away()),
            (server("etcd", false), a_year()),
        ]);
        assert!(
            error.starts_with(
                "error no certificate of an API server can be seen: Pod kube-system/a"
            ),
            "{error}"
        );
        assert!(told(vec![]).starts_with("error no API server can be seen"));
    }

    #[test]
    fn servers_are_found_where_they_listen_to_others_and_each_once() {
        let object = |json| Arc::new(Object::new("workload", json));
        let pod = |component: &str, flags: &[&str]| {
            object(
                json!({"kind": "Pod", "metadata": {"name": component, "namespace": "kube-system", "labels": {"component": component}},
                "spec": {"containers": [{"command": flags}]}, "status": {"hostIP": "10.0.0.1"}}),
            )
        };
        let node = object(
            json!({"kind": "Node", "metadata": {"name": "n"}, "status": {
            "addresses": [{"type": "Hostname", "address": "n"}, {"type": "InternalIP", "address": "10.0.0.1"}]}}),
        );
        let pods = [
            pod("kube-apiserver", &["kube-apiserver", "--secure-port=443"]),
            pod(
                "etcd",
                &[
                    "etcd",
                    "--listen-client-urls=https://127.0.0.1:2379,https://0.0.0.0:2379",
                    "--listen-peer-urls=https://10.0.0.1:2380",
                ],
            ),
            pod("kube-scheduler", &["kube-scheduler"]),
        ];
        let found = servers(&[node], &pods, Some(("10.0.0.1".to_owned(), 443)));
        let found: Vec<String> = found
            .iter()
            .map(|one| format!("{} {}:{}", one.blocker.object.kind, one.host, one.port))
            .collect();
        assert_eq!(
            found,
            [
                "Pod 10.0.0.1:443",
                "Pod 10.0.0.1:2379",
                "Pod 10.0.0.1:2380",
                "Node 10.0.0.1:10250"
            ]
        );
    }
}
