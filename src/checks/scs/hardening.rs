//! scs-0217-v1 (draft): what the control plane's flags say about admission, authentication and the
//! connection to etcd.

use std::time::Duration;

use super::components::{Component, judge_each};
use crate::checks::{Native, Parameters, needs};

const TIMEOUT: Duration = Duration::from_secs(30);
const API_SERVER: &str = "kube-apiserver";

/// Kubelets may change only their own nodes and pods.
pub const NODE_RESTRICTION: Native = Native {
    name: "scs-0217-node-restriction",
    timeout: TIMEOUT,
    parameters: Parameters::NONE,
    needs: &[needs::PODS],
    run: |target| Box::pin(judge_each(target, API_SERVER, node_restriction)),
};

/// Service account tokens and one more way to say who one is.
pub const AUTHENTICATION_METHODS: Native = Native {
    name: "scs-0217-authentication-methods",
    timeout: TIMEOUT,
    parameters: Parameters::NONE,
    needs: &[needs::PODS],
    run: |target| Box::pin(judge_each(target, API_SERVER, authentication)),
};

/// The API server talks to etcd by TLS, with a certificate of its own.
pub const ETCD_CLIENT_TLS: Native = Native {
    name: "scs-0217-etcd-client-tls",
    timeout: TIMEOUT,
    parameters: Parameters::NONE,
    needs: &[needs::PODS],
    run: |target| Box::pin(judge_each(target, API_SERVER, etcd_client)),
};

/// etcd demands certificates of its clients and of its peers.
pub const ETCD_TLS: Native = Native {
    name: "scs-0217-etcd-tls",
    timeout: TIMEOUT,
    parameters: Parameters::NONE,
    needs: &[needs::PODS],
    run: |target| Box::pin(judge_each(target, "etcd", etcd_server)),
};

fn node_restriction(server: &Component) -> Vec<String> {
    let named = |flag| server.list(flag).contains(&"NodeRestriction");
    let mut wrong = Vec::new();
    if !named("enable-admission-plugins") {
        wrong.push("--enable-admission-plugins does not name NodeRestriction".to_owned());
    }
    if named("disable-admission-plugins") {
        wrong.push("--disable-admission-plugins names NodeRestriction".to_owned());
    }
    wrong
}

fn authentication(server: &Component) -> Vec<String> {
    let mut wrong = Vec::new();
    if !server.has("service-account-issuer") {
        wrong.push("--service-account-issuer is not set: no service account tokens".to_owned());
    }
    let others = [
        "client-ca-file",
        "oidc-issuer-url",
        "authentication-token-webhook-config-file",
        "authentication-config",
    ];
    if !others.iter().any(|flag| server.has(flag)) {
        wrong.push(format!(
            "none of --{} is set: tokens are the only method",
            others.join(", --")
        ));
    }
    wrong
}

fn etcd_client(server: &Component) -> Vec<String> {
    let mut wrong: Vec<String> = ["etcd-cafile", "etcd-certfile", "etcd-keyfile"]
        .iter()
        .filter(|flag| !server.has(flag))
        .map(|flag| format!("--{flag} is not set"))
        .collect();
    let servers = server.list("etcd-servers");
    let plain = servers.iter().filter(|url| !url.starts_with("https://"));
    wrong.extend(plain.map(|url| format!("--etcd-servers names {url}, not https")));
    wrong
}

fn etcd_server(etcd: &Component) -> Vec<String> {
    let mut wrong = Vec::new();
    for flag in ["client-cert-auth", "peer-client-cert-auth"] {
        if etcd.flag(flag) != "true" {
            wrong.push(format!("--{flag} is not set"));
        }
    }
    for flag in [
        "trusted-ca-file",
        "peer-trusted-ca-file",
        "cert-file",
        "peer-cert-file",
    ] {
        if !etcd.has(flag) {
            wrong.push(format!("--{flag} is not set"));
        }
    }
    for flag in ["listen-client-urls", "listen-peer-urls"] {
        let plain = etcd
            .list(flag)
            .into_iter()
            .filter(|url| url.starts_with("http://"));
        wrong.extend(plain.map(|url| format!("--{flag} names {url}, not https")));
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::super::components::tests::told;
    use super::*;

    #[test]
    fn node_restriction_counts_wherever_it_stands_in_the_list() {
        let judge = |flags: &[&str]| told(API_SERVER, flags, node_restriction);
        assert_eq!(
            judge(&["--enable-admission-plugins=EventRateLimit,NodeRestriction"]),
            ""
        );
        assert!(judge(&["--enable-admission-plugins=NodeRestrictionX"]).contains("does not name"));
        assert!(
            judge(&[
                "--enable-admission-plugins=NodeRestriction",
                "--disable-admission-plugins=NodeRestriction"
            ])
            .contains("disable")
        );
    }

    #[test]
    fn client_certificates_are_a_method_of_authentication() {
        let judge = |flags: &[&str]| told(API_SERVER, flags, authentication);
        let tokens = "--service-account-issuer=https://kubernetes.default.svc";
        assert_eq!(judge(&[tokens, "--client-ca-file=/ca.crt"]), "");
        assert!(judge(&[tokens]).contains("the only method"));
        assert!(judge(&["--client-ca-file=/ca.crt"]).contains("no service account tokens"));
    }

    #[test]
    fn etcd_is_reached_and_served_by_tls_alone() {
        let files = ["--etcd-cafile=a", "--etcd-certfile=b", "--etcd-keyfile=c"];
        let with = |url| [&files[..], &[url]].concat();
        assert_eq!(
            told(
                API_SERVER,
                &with("--etcd-servers=https://127.0.0.1:2379"),
                etcd_client
            ),
            ""
        );
        assert!(
            told(
                API_SERVER,
                &with("--etcd-servers=http://127.0.0.1:2379"),
                etcd_client
            )
            .contains("not https")
        );
        assert!(told(API_SERVER, &files[1..], etcd_client).contains("--etcd-cafile is not set"));
        let server = [
            "--client-cert-auth=true",
            "--peer-client-cert-auth=true",
            "--trusted-ca-file=a",
            "--peer-trusted-ca-file=b",
            "--cert-file=c",
            "--peer-cert-file=d",
        ];
        assert_eq!(told("etcd", &server, etcd_server), "");
        assert!(told("etcd", &server[1..], etcd_server).contains("--client-cert-auth"));
        let plain = [&server[..], &["--listen-client-urls=https://a,http://b"]].concat();
        assert!(told("etcd", &plain, etcd_server).contains("http://b"));
    }
}
