//! A management cluster without nodes: etcd, the API server, the few controllers that matter and Cluster
//! API's managers, each one container on a network of the run's own.
//!
//! Every program believes to be in a Pod: it finds the API server under the name, its ServiceAccount's
//! token in the folder, and its webhook's certificate in the mount that it has on a node. So its command
//! line stays as the provider wrote it, and its rights are those of its own roles.

mod container;
mod health;
mod manifests;
mod networks;
mod vigil;

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, anyhow};
use bollard::Docker;
use futures::future::{try_join, try_join_all, try_join3};
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::PostParams;
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::sync::watch;

use self::container::Part;
use self::manifests::{Manager, Providers};
use super::certificates::{Authority, Pair, signer};
use super::docker::Entry;
use super::management::{KUBECONFIG, answers, soon, told};
use super::operator::{self, Prepared};
use super::{KindOptions, access, images, providers};
use crate::cluster::{Applier, Apply, Context};
use crate::engine::EngineError;
use crate::engine::private::PrivateFolder;
use crate::record::RunId;

pub(super) use container::restart;
pub(super) use networks::remove as remove_network;
pub(super) use vigil::down;

/// The Kubernetes that serves and controls, and the etcd that its kubeadm would take. Any that Cluster API
/// supports would do: no node joins it. These are what was tried.
const API_SERVER: &str = "registry.k8s.io/kube-apiserver:v1.35.0";
const CONTROLLER_MANAGER: &str = "registry.k8s.io/kube-controller-manager:v1.35.0";
const ETCD: &str = "registry.k8s.io/etcd:3.6.6-0";
/// The controllers that matter where nothing runs: namespaces end, owned objects go with their owners,
/// namespaces get a ServiceAccount, aggregated ClusterRoles (Cluster API's own) are filled.
const CONTROLLERS: &str = "namespace-controller,garbage-collector-controller,serviceaccount-controller,clusterrole-aggregation-controller";
/// Where programs find the API server, as in a Pod.
const HOST: &str = "kubernetes.default.svc";
const PORT: u16 = 6443;
/// Where programs of the control plane find certificates.
const PKI: &str = "/pki";
/// Where client-go looks for a Pod's ServiceAccount.
const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// How long a ServiceAccount's token is good for, in seconds: longer than a run, since nobody renews it.
const TOKEN: i64 = 48 * 3600;
const SOURCE: &str = "Cluster API's components";

/// The images that a management cluster without nodes needs.
pub(super) fn images(manifests: &[Value]) -> BTreeSet<String> {
    let mut needed = images::of_objects(manifests);
    needed.extend([API_SERVER, CONTROLLER_MANAGER, ETCD].map(str::to_owned));
    needed
}

/// Makes a management cluster, with Cluster API answering.
///
/// # Errors
/// When a program cannot be started, ends, or does not answer in time.
pub(super) async fn fresh(
    context: &Context,
    docker: &Docker,
    options: &KindOptions,
    folder: &PrivateFolder,
    manifests: Vec<Value>,
) -> Result<Client, EngineError> {
    let steps = watch::Sender::new(String::new());
    let cluster = options.management_cluster();
    let operator = options
        .operator
        .as_ref()
        .map(|operator| operator.prepare(|name| std::env::var(name).ok()))
        .transpose()?;
    let site = Site {
        docker,
        run: &options.run,
        authority: Authority::new()?,
        steps: &steps,
    };
    let made = async {
        let died = vigil::first_death(docker, &options.run);
        tokio::select! {
            biased;
            death = died => Err(death),
            client = site.make(context, folder, manifests, operator) => client,
        }
    };
    let made = told(context, &cluster, &steps, made).await;
    match made {
        Ok(client) => Ok(client),
        // Whatever was being waited for, a program that is down is the reason.
        Err(EngineError::Infrastructure(error)) => {
            Err(match vigil::down(docker, &options.run).await {
                Some(finding) => EngineError::Cause(Box::new(finding)),
                None => EngineError::Infrastructure(error),
            })
        }
        Err(error) => Err(error),
    }
}

/// Where a management cluster is being made.
struct Site<'a> {
    docker: &'a Docker,
    run: &'a RunId,
    authority: Authority,
    steps: &'a watch::Sender<String>,
}

impl Site<'_> {
    async fn make(
        &self,
        context: &Context,
        folder: &PrivateFolder,
        mut manifests: Vec<Value>,
        operator: Option<Prepared>,
    ) -> Result<Client, EngineError> {
        self.step("starting etcd and the API server");
        networks::create(self.docker, self.run).await?;
        let mut files = Vec::new();
        if let Some(operator) = operator {
            manifests.extend(operator.objects);
            manifests.extend(operator.extensions);
            files = operator.files;
        }
        let Providers {
            objects,
            extensions,
            managers,
        } = manifests::take_apart(manifests, &self.authority.certificate)?;
        let containers = async {
            let made = managers
                .iter()
                .map(|manager| container::create(self.docker, self.run, &manager.part));
            try_join_all(made).await?;
            if !files.is_empty() {
                container::put(self.docker, self.run, operator::PART, &files).await?;
            }
            Ok(())
        };
        let ((), (), client) = try_join3(self.etcd(), containers, self.api_server(folder)).await?;
        self.step("applying Cluster API's definitions");
        let applied = async {
            let options = Apply {
                deadline: providers::DEADLINE,
                namespace: None,
                labels: &[],
                source: SOURCE,
            };
            Applier::new("management", client.clone())
                .apply(context, &objects, options)
                .await
                .map_err(providers::infrastructure)
        };
        let controllers = async { Ok(self.controller_manager().await?) };
        try_join(applied, controllers).await?;
        self.step("starting Cluster API's managers");
        try_join_all(
            managers
                .iter()
                .map(|manager| self.manager(&client, manager)),
        )
        .await?;
        providers::webhooks_answer(context, &client).await?;
        operator::discovered(context, &client, &extensions).await?;
        Ok(client)
    }

    fn step(&self, step: &str) {
        self.steps.send_replace(step.to_owned());
    }

    /// A pair's files, and the authority's certificate beside them.
    fn pki(&self, folder: &str, pair: &Pair) -> Vec<Entry> {
        vec![
            Entry::file(
                format!("{folder}/ca.crt"),
                self.authority.certificate.as_str(),
            ),
            Entry::file(format!("{folder}/tls.crt"), pair.certificate.as_str()),
            Entry::file(format!("{folder}/tls.key"), pair.key.as_str()),
        ]
    }

    async fn run(&self, part: &Part, files: &[Entry]) -> Result<()> {
        container::create(self.docker, self.run, part).await?;
        container::start(self.docker, self.run, &part.name, files).await
    }

    async fn etcd(&self) -> Result<(), EngineError> {
        let pair = self
            .authority
            .server(&["etcd".to_owned(), "127.0.0.1".to_owned()])?;
        let part = Part {
            name: "etcd".to_owned(),
            image: ETCD.to_owned(),
            command: vec!["etcd".to_owned()],
            arguments: arguments(&[
                ("data-dir", "/var/lib/etcd"),
                // What it holds goes with the run.
                ("unsafe-no-fsync", "true"),
                ("listen-client-urls", "https://0.0.0.0:2379"),
                ("advertise-client-urls", "https://etcd:2379"),
                ("listen-peer-urls", "http://127.0.0.1:2380"),
                ("initial-advertise-peer-urls", "http://127.0.0.1:2380"),
                ("initial-cluster", "default=http://127.0.0.1:2380"),
                ("client-cert-auth", "true"),
                ("trusted-ca-file", "/pki/ca.crt"),
                ("cert-file", "/pki/tls.crt"),
                ("key-file", "/pki/tls.key"),
            ]),
            aliases: vec!["etcd".to_owned()],
            ..Part::default()
        };
        Ok(self.run(&part, &self.pki(PKI, &pair)).await?)
    }

    /// Starts the API server, and waits until it takes the administrator's word.
    async fn api_server(&self, folder: &PrivateFolder) -> Result<Client, EngineError> {
        let names = [HOST, "localhost", "127.0.0.1"].map(str::to_owned);
        let pair = self.authority.server(&names)?;
        let (private, public) = signer()?;
        let part = Part {
            name: "kube-apiserver".to_owned(),
            image: API_SERVER.to_owned(),
            command: vec!["kube-apiserver".to_owned()],
            arguments: arguments(&[
                ("etcd-servers", "https://etcd:2379"),
                ("etcd-cafile", "/pki/ca.crt"),
                ("etcd-certfile", "/pki/tls.crt"),
                ("etcd-keyfile", "/pki/tls.key"),
                ("secure-port", &PORT.to_string()),
                ("tls-cert-file", "/pki/tls.crt"),
                ("tls-private-key-file", "/pki/tls.key"),
                ("client-ca-file", "/pki/ca.crt"),
                ("authorization-mode", "RBAC"),
                (
                    "service-account-issuer",
                    "https://kubernetes.default.svc.cluster.local",
                ),
                ("service-account-key-file", "/pki/sa.pub"),
                ("service-account-signing-key-file", "/pki/sa.key"),
                // Nobody has a Service here, and an address is asked for nevertheless.
                ("service-cluster-ip-range", "10.255.0.0/24"),
                ("endpoint-reconciler-type", "none"),
            ]),
            // Most of the time goes into its start and into reading Cluster API's definitions, and a good part of
            // that went into collecting garbage: it may let some lie, until there is much.
            environment: vec!["GOGC=400".to_owned(), "GOMEMLIMIT=640MiB".to_owned()],
            aliases: vec![HOST.to_owned()],
            ports: vec![PORT],
            ..Part::default()
        };
        let mut files = self.pki(PKI, &pair);
        files.push(Entry::file("/pki/sa.key", private));
        files.push(Entry::file("/pki/sa.pub", public));
        self.run(&part, &files).await?;
        let (host, port) = container::published(self.docker, self.run, &part.name, PORT).await?;
        let kubeconfig = self.administrator(&format!("https://{host}:{port}"))?;
        folder.write(KUBECONFIG, kubeconfig.as_bytes())?;
        let client = access::quick_client(&kubeconfig).await?;
        while answers(&client).await.is_err() {
            soon().await;
        }
        Ok(access::client(&kubeconfig).await?)
    }

    fn administrator(&self, server: &str) -> Result<String> {
        let pair = self.authority.client("stackgate", "system:masters")?;
        kubeconfig(server, &self.authority.certificate, &pair)
    }

    async fn controller_manager(&self) -> Result<()> {
        let part = Part {
            name: "kube-controller-manager".to_owned(),
            image: CONTROLLER_MANAGER.to_owned(),
            command: vec!["kube-controller-manager".to_owned()],
            arguments: arguments(&[
                ("kubeconfig", "/pki/kubeconfig"),
                ("controllers", CONTROLLERS),
                ("leader-elect", "false"),
                ("use-service-account-credentials", "false"),
            ]),
            aliases: vec!["kube-controller-manager".to_owned()],
            restarts: true,
            ..Part::default()
        };
        let server = format!("https://{HOST}:{PORT}");
        let files = [Entry::file("/pki/kubeconfig", self.administrator(&server)?)];
        self.run(&part, &files).await
    }

    /// Starts a manager, and waits until it says that it is ready.
    async fn manager(&self, client: &Client, manager: &Manager) -> Result<(), EngineError> {
        let part = &manager.part;
        let token = token(client, &manager.namespace, &manager.service_account).await?;
        let mut files = vec![
            Entry::file(
                format!("{ACCOUNT}/ca.crt"),
                self.authority.certificate.as_str(),
            ),
            Entry::file(format!("{ACCOUNT}/namespace"), manager.namespace.as_str()),
            Entry::file(format!("{ACCOUNT}/token"), token),
        ];
        if !manager.certificates.is_empty() {
            let pair = self.authority.server(&part.aliases)?;
            for folder in &manager.certificates {
                files.extend(self.pki(folder, &pair));
            }
        }
        container::start(self.docker, self.run, &part.name, &files).await?;
        if let Some((port, path)) = &manager.ready {
            let published = container::published(self.docker, self.run, &part.name, *port).await?;
            health::ready(published, path).await?;
        }
        Ok(())
    }
}

fn arguments(flags: &[(&str, &str)]) -> Vec<String> {
    let flags = flags.iter();
    flags
        .map(|(name, value)| format!("--{name}={value}"))
        .collect()
}

/// A token as a node would ask for one; made as soon as the ServiceAccount is there, which it is.
async fn token(client: &Client, namespace: &str, account: &str) -> Result<String> {
    let request = TokenRequest {
        spec: TokenRequestSpec {
            expiration_seconds: Some(TOKEN),
            ..TokenRequestSpec::default()
        },
        ..TokenRequest::default()
    };
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
    let answer = accounts
        .create_token_request(account, &PostParams::default(), &request)
        .await
        .with_context(|| {
            format!("failed to get a token for ServiceAccount {namespace}/{account}")
        })?;
    answer.status.map(|status| status.token).ok_or_else(|| {
        anyhow!(
            "failed to get a token for ServiceAccount {namespace}/{account}: the answer has none"
        )
    })
}

fn kubeconfig(server: &str, authority: &str, pair: &Pair) -> Result<String> {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    let name = "stackgate-management";
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": {
            "server": server,
            "certificate-authority-data": STANDARD.encode(authority),
        }}],
        "users": [{"name": name, "user": {
            "client-certificate-data": STANDARD.encode(&pair.certificate),
            "client-key-data": STANDARD.encode(&pair.key),
        }}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "current-context": name,
    });
    serde_saphyr::to_string(&config).context("failed to write a kubeconfig")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_administrators_kubeconfig_is_one_that_clients_take() {
        let authority = Authority::new().unwrap();
        let pair = authority.client("stackgate", "system:masters").unwrap();
        let text = kubeconfig("https://127.0.0.1:1", &authority.certificate, &pair).unwrap();
        assert!(access::client(&text).await.is_ok());
        let server = authority.server(&["etcd".to_owned(), "127.0.0.1".to_owned()]);
        assert!(server.unwrap().certificate.contains("BEGIN CERTIFICATE"));
    }

    #[test]
    fn its_images_are_those_of_the_manifests_and_its_own() {
        let manager =
            json!({"spec": {"template": {"spec": {"containers": [{"image": "capd:v1"}]}}}});
        let needed = images(&[manager]);
        assert!(
            needed.contains("capd:v1") && needed.contains(ETCD),
            "{needed:?}"
        );
        assert_eq!(needed.len(), 4);
    }
}
