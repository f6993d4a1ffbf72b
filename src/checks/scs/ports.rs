//! scs-0217-v1 (draft): no component of the control plane listens in plain text but on its own machine's
//! loopback address.
//!
//! Which ports other networks reach cannot be seen from inside a cluster: kubeadm's own components
//! listen on the machines' network, behind whatever firewall there is.

use std::time::Duration;

use anyhow::Result;

use super::components::{Component, Rule, judge_each};
use crate::checks::{Answer, Native, Parameters, Target, needs};
use crate::record::Outcome;

/// The check.
pub const CHECK: Native = Native {
    name: "scs-0217-control-plane-ports",
    timeout: Duration::from_secs(30),
    parameters: Parameters::NONE,
    needs: &[needs::PODS],
    run: |target| Box::pin(run(target)),
};

/// Each component with the flags that open a port without TLS.
const COMPONENTS: [(&str, Rule); 4] = [
    (
        "kube-apiserver",
        Rule::of(|one| insecure_port(one, "insecure-port")),
    ),
    (
        "kube-controller-manager",
        Rule::of(|one| insecure_port(one, "port")),
    ),
    ("kube-scheduler", Rule::of(|one| insecure_port(one, "port"))),
    ("etcd", Rule::of(plain_urls)),
];

async fn run(target: &Target<'_>) -> Result<Answer> {
    let mut seen = Vec::new();
    let mut skipped = None;
    for (component, rule) in COMPONENTS {
        let answer = judge_each(target, component, rule).await?;
        match answer.outcome {
            Outcome::Fail => return Ok(answer),
            Outcome::Skip => skipped = Some(answer),
            _ => seen.push(component),
        }
    }
    // etcd may run elsewhere; a control plane of which nothing is seen is not judged.
    match skipped {
        Some(skipped) if seen.is_empty() => Ok(skipped),
        _ => Ok(Answer {
            outcome: Outcome::Pass,
            message: format!(
                "no flag of {} opens a port without TLS but on loopback",
                seen.join(", ")
            ),
            evidence: Vec::new(),
        }),
    }
}

/// Kubernetes has had no such ports since 1.24; a build of one's own may have them.
fn insecure_port(component: &Component, flag: &str) -> Vec<String> {
    match component.flag(flag) {
        "" | "0" => vec![],
        port => vec![format!("--{flag} is {port}: it is served without TLS")],
    }
}

/// kubeadm has etcd tell its metrics in plain text on loopback, which nobody else reaches.
fn plain_urls(etcd: &Component) -> Vec<String> {
    let flags = [
        "listen-client-urls",
        "listen-peer-urls",
        "listen-metrics-urls",
        "listen-client-http-urls",
    ];
    let mut wrong = Vec::new();
    for flag in flags {
        let plain = etcd.list(flag).into_iter().filter(|url| {
            let host = url.strip_prefix("http://");
            host.is_some_and(|host| {
                !["127.", "localhost:", "[::1]"]
                    .iter()
                    .any(|own| host.starts_with(own))
            })
        });
        wrong.extend(plain.map(|url| {
            format!("--{flag} names {url}: plain text on an address that others reach")
        }));
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::super::components::tests::told;
    use super::*;

    #[test]
    fn plain_text_is_for_loopback() {
        let judge = |flag: &str| told("etcd", &[flag], plain_urls);
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
    fn a_port_without_tls_is_named() {
        let judge = |flag: &str| {
            told("kube-apiserver", &[flag], |one| {
                insecure_port(one, "insecure-port")
            })
        };
        assert_eq!(judge("--insecure-port=0"), "");
        assert!(judge("--insecure-port=8080").contains("8080"));
    }
}
