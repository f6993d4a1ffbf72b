//! scs-0217-v1 (draft): no component of the control plane listens in plain text but on its own machine's
//! loopback address.
//!
//! Flags say where it listens; what listens to others is asked by plain HTTP, by way of the API server's proxy
//! of its pod, and has to refuse that. Which ports other networks reach cannot be seen from inside a cluster:
//! kubeadm's own components listen on the machines' network, behind whatever firewall there is.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Result, bail};
use futures::{StreamExt, TryStreamExt, stream};
use http::Uri;

use super::components::{Component, replicas, unseen};
use super::endpoints::{ANSWER, Found, SIDE_BY_SIDE, ask};
use crate::checks::judgement::Judgement;
use crate::checks::{Answer, Native, Parameters, Target, needs};
use crate::record::Blocker;

/// The check.
pub const CHECK: Native = Native {
    name: "scs-0217-control-plane-ports",
    timeout: Duration::from_secs(60),
    parameters: Parameters::NONE,
    needs: &[needs::PODS, needs::POD_PROXY],
    run: |target| Box::pin(run(target)),
};

/// Each component, with the port that it serves by TLS unless `--secure-port` says otherwise; etcd has addresses.
const COMPONENTS: [(&str, Option<u16>); 4] = [
    ("kube-apiserver", Some(6443)),
    ("kube-controller-manager", Some(10257)),
    ("kube-scheduler", Some(10259)),
    ("etcd", None),
];
/// etcd's flags with the addresses at which it listens.
const ETCD: [&str; 4] = [
    "listen-client-urls",
    "listen-peer-urls",
    "listen-metrics-urls",
    "listen-client-http-urls",
];

async fn run(target: &Target<'_>) -> Result<Answer> {
    let mut seen = Vec::new();
    let mut why_not = None;
    let mut problems = Vec::new();
    for (name, port) in COMPONENTS {
        let components = replicas(target, name).await?;
        // etcd may run elsewhere; a control plane of which nothing is seen is not judged.
        if let Some(why) = unseen(name, &components) {
            why_not.get_or_insert(why);
            continue;
        }
        for one in components {
            let (listeners, wrong) = listeners(&one, port);
            let wrong = wrong.into_iter().map(|what| one.pod.blocker(what));
            problems.extend(wrong);
            seen.push((one, listeners));
        }
    }
    if let (true, Some(why)) = (seen.is_empty(), why_not) {
        return Ok(Judgement::Skip(why).into());
    }
    if !problems.is_empty() {
        return Ok(Judgement::Fail(problems).into());
    }
    asked(target, &seen).await
}

/// At which ports it listens to others, and where it does so in plain text by its own words.
fn listeners(component: &Component, secure: Option<u16>) -> (BTreeSet<u16>, Vec<String>) {
    let Some(default) = secure else {
        return etcd(component);
    };
    let port = match component.flag("secure-port") {
        "" => default,
        port => port.parse().unwrap_or(0),
    };
    let alone = port == 0 || is_loopback(component.flag("bind-address"));
    (BTreeSet::from_iter((!alone).then_some(port)), Vec::new())
}

/// kubeadm has etcd tell its metrics in plain text on loopback, which nobody else reaches.
fn etcd(etcd: &Component) -> (BTreeSet<u16>, Vec<String>) {
    let mut ports = BTreeSet::new();
    let mut wrong = Vec::new();
    for flag in ETCD {
        for url in etcd.list(flag) {
            let Ok(uri) = url.parse::<Uri>() else {
                wrong.push(format!("--{flag} names {url}, which is no address"));
                continue;
            };
            let host = uri.host().unwrap_or_default();
            if is_loopback(host) {
                continue;
            }
            if uri.scheme_str() == Some("http") {
                wrong.push(format!(
                    "--{flag} names {url}: plain text on an address that others reach"
                ));
            }
            ports.extend(uri.port_u16());
        }
    }
    (ports, wrong)
}

fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || host
            .parse()
            .is_ok_and(|address: std::net::IpAddr| address.is_loopback())
}

/// Asks each of them by plain HTTP. Who says nothing at once says nothing in plain text; where nobody answers at
/// all, it may be the way to them, and nothing is judged.
async fn asked(target: &Target<'_>, seen: &[(Component, BTreeSet<u16>)]) -> Result<Answer> {
    let within = target.context.scaled(ANSWER);
    let all = seen
        .iter()
        .flat_map(|(one, ports)| ports.iter().map(move |port| (one, *port)));
    // Collected first: a closure in the stream would not be general enough for a boxed future.
    let asking: Vec<_> = all
        .map(|(one, port)| async move {
            let (namespace, name) = (one.pod.namespace(), one.pod.name());
            let found = ask(target.workload, namespace, name, port.into(), within).await?;
            anyhow::Ok((one, port, found))
        })
        .collect();
    let found: Vec<_> = stream::iter(asking)
        .buffered(SIDE_BY_SIDE)
        .try_collect()
        .await?;
    let plain: Vec<Blocker> = found
        .iter()
        .filter(|(.., found)| *found == Found::Plain)
        .map(|(one, port, _)| {
            one.pod
                .blocker(format!("answers plain HTTP at port {port}"))
        })
        .collect();
    if !plain.is_empty() {
        return Ok(Judgement::Fail(plain).into());
    }
    let silent = |found: &&(&Component, u16, Found)| match &found.2 {
        Found::Silent(why) => Some(format!(
            "{}: {why}",
            found
                .0
                .pod
                .blocker(format!("cannot be asked at port {}", found.1))
        )),
        _ => None,
    };
    let silent: Vec<String> = found.iter().filter_map(|one| silent(&one)).collect();
    if !found.is_empty() && silent.len() == found.len() {
        bail!("{}", silent[0]);
    }
    let names: BTreeSet<&str> = seen
        .iter()
        .filter_map(|(one, _)| one.pod.label("component"))
        .collect();
    let names = Vec::from_iter(names).join(", ");
    let by_tls = found.len() - silent.len();
    let told = format!(
        "{names} open no port without TLS but on loopback; {by_tls} of the {} ports that listen to others were asked, and refuse plain HTTP",
        found.len()
    );
    let mut answer = Answer::from(Judgement::Pass(told));
    answer.evidence = silent;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::super::components::tests::replica;
    use super::*;
    use crate::checks::world::{World, list};
    use crate::record::Outcome;
    use serde_json::{Value, json};

    #[test]
    fn plain_text_is_for_loopback() {
        let judge = |flag: &str| etcd(&replica("etcd", &[flag])).1.concat();
        for good in [
            "--listen-metrics-urls=http://127.0.0.1:2381,http://localhost:2381,http://[::1]:2381",
            "--listen-client-urls=https://127.0.0.1:2379,https://172.18.0.3:2379",
        ] {
            assert_eq!(judge(good), "");
        }
        for bad in [
            "--listen-metrics-urls=http://0.0.0.0:2381",
            "--listen-client-urls=https://127.0.0.1:2379,http://172.18.0.3:2379",
            "--listen-peer-urls=http://[::]:2380",
        ] {
            assert!(judge(bad).contains("plain text"), "{bad}");
        }
    }

    #[test]
    fn what_listens_to_others_is_known_by_the_flags() {
        let ports = |name: &str, secure, flags: &[&str]| {
            Vec::from_iter(listeners(&replica(name, flags), secure).0)
        };
        assert_eq!(ports("kube-apiserver", Some(6443), &[]), [6443]);
        assert_eq!(
            ports("kube-apiserver", Some(6443), &["--secure-port", "443"]),
            [443]
        );
        let alone = ["--bind-address=127.0.0.1"];
        assert!(ports("kube-scheduler", Some(10259), &alone).is_empty());
        assert!(ports("kube-scheduler", Some(10259), &["--secure-port=0"]).is_empty());
        let urls = "--listen-client-urls=https://127.0.0.1:2379,https://172.18.0.3:2379";
        assert_eq!(ports("etcd", None, &[urls]), [2379]);
    }

    fn world(status: u16, message: &'static str) -> World {
        World::new(move |_, path| {
            if path.contains("/proxy") {
                let status: (u16, Value) = (
                    status,
                    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "code": status}),
                );
                return status;
            }
            list(
                "PodList",
                json!([{"metadata": {"name": "a", "namespace": "kube-system",
                    "labels": {"component": "kube-apiserver"}},
                "spec": {"containers": [{"name": "a", "command": ["kube-apiserver"]}]}}]),
            )
        })
    }

    #[tokio::test(start_paused = true)]
    async fn what_listens_is_asked_by_plain_http() {
        let tls = world(400, "Client sent an HTTP request to an HTTPS server.\n");
        let answer = run(&tls.target()).await.unwrap();
        assert_eq!(answer.outcome, Outcome::Pass, "{}", answer.message);
        let plain = world(404, "404 page not found");
        let answer = run(&plain.target()).await.unwrap();
        assert_eq!(answer.outcome, Outcome::Fail);
        assert!(
            answer.message.contains("answers plain HTTP at port 6443"),
            "{}",
            answer.message
        );
        let silent = world(503, "error trying to reach service: dial tcp: i/o timeout");
        let error = run(&silent.target()).await.unwrap_err().to_string();
        assert!(
            error.contains("cannot be asked at port 6443: dial tcp"),
            "{error}"
        );
    }
}
