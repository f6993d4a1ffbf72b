//! The Cluster Stack Operator on a management cluster that this engine makes: its objects made ready for one
//! without cert-manager, the releases put where it looks for them, and its hooks discovered before anything
//! else happens.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bollard::Docker;
use kube::Client;
use serde_json::{Value, json};

use super::certificates::Authority;
use super::docker::{self, Entry};
use super::{images, providers, variables};
use crate::cluster::{Applier, Apply, Context, Progress, View, wait};
use crate::engine::{EngineError, Problem};

/// Where the operator looks for releases, on a node or in its own container.
const RELEASES: &str = "/stackgate/releases";
/// Gives a runtime extension the authority of its certificate (`runtime/v1beta2` of Cluster API).
const EXTENSION_AUTHORITY: &str = "runtime.cluster.x-k8s.io/inject-ca-from-secret";
/// Gives everything else that of a Certificate.
const AUTHORITY: &str = "cert-manager.io/inject-ca-from";
const SOURCE: &str = "the Cluster Stack Operator's manifests";
/// How long it may take to be known to Cluster API, which answers already: less than a phase, so that what it
/// waits for is told.
const DEADLINE: Duration = Duration::from_secs(90);
/// How its Deployment is called, and where there are no nodes its container.
pub(super) const PART: &str = "cso-controller-manager";

/// What is to be installed.
#[derive(Clone, Debug)]
pub struct OperatorOptions {
    /// Its objects, as chart or manifests have them.
    pub objects: Vec<Value>,
    /// Image of its manager, in place of theirs.
    pub image: Option<String>,
    /// The folders of the releases, each called by its tag; none where it fetches them itself.
    pub releases: Option<Vec<PathBuf>>,
    /// The repository that the stack has its releases from, where it is one of a registry.
    pub repository: Option<String>,
}

impl OperatorOptions {
    /// The images that it runs.
    pub(super) fn images(&self) -> BTreeSet<String> {
        match &self.image {
            Some(image) => [image.clone()].into(),
            None => images::of_objects(&self.objects),
        }
    }

    /// Its objects for any management cluster, and apart from them its extensions, which are taken only where
    /// Cluster API answers already. `environment` has what its Secrets are filled with.
    ///
    /// # Errors
    /// When they are not those of an operator with one manager.
    pub(super) fn prepare(&self, environment: impl Fn(&str) -> Option<String>) -> Result<Prepared> {
        let mut objects = self.objects.clone();
        let mut deployments = objects
            .iter_mut()
            .filter(|object| object["kind"] == "Deployment");
        let (Some(deployment), None) = (deployments.next(), deployments.next()) else {
            bail!(
                "failed to install the Cluster Stack Operator: expected one Deployment in its manifests"
            );
        };
        deployment["metadata"]["name"] = json!(PART);
        deployment["metadata"]["labels"][providers::PROVIDER_LABEL] =
            json!("cluster-stack-operator");
        let manager = manager(deployment)?;
        if let Some(image) = &self.image {
            manager["image"] = json!(image);
        }
        // What is on the node or in Docker already need not be pulled.
        manager["imagePullPolicy"] = json!("IfNotPresent");
        if self.releases.is_some() {
            let arguments = json!(["--local=true", format!("--release-dir={RELEASES}")]);
            extend(&mut manager["args"], arguments);
        }
        let manager = manager.clone();
        let given = |name: &str| environment(name).filter(|value| !value.is_empty());
        variables::fill(&manager, &mut objects, given, |name| self.of_source(name));
        let namespaces: BTreeSet<String> = objects
            .iter()
            .filter_map(|object| object["metadata"]["namespace"].as_str())
            .map(str::to_owned)
            .collect();
        for namespace in namespaces {
            let object =
                json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
            let is_there = |one: &Value| {
                one["kind"] == "Namespace" && one["metadata"]["name"] == namespace.as_str()
            };
            if !objects.iter().any(is_there) {
                objects.push(object);
            }
        }
        let (extensions, objects) = objects
            .into_iter()
            .partition(|object| object["kind"] == "ExtensionConfig");
        Ok(Prepared {
            objects,
            extensions,
            manager,
            files: self.files()?,
        })
    }

    /// What the stack's own source says of a variable: the operator is to have the same releases.
    fn of_source(&self, variable: &str) -> Option<String> {
        let repository = self.repository.as_ref()?;
        match variable {
            variables::REPOSITORY => Some(repository.clone()),
            // It gives its credentials to no other host.
            variables::REGISTRY => repository.split('/').next().map(str::to_owned),
            _ => None,
        }
    }

    /// What keeps it from being installed, or from fetching the releases that it is to fetch itself.
    pub(super) fn problem(&self, environment: impl Fn(&str) -> Option<String>) -> Option<Problem> {
        let prepared = match self.prepare(environment) {
            Ok(prepared) => prepared,
            Err(error) => {
                return Some(Problem {
                    what: format!("{error:#}"),
                    remedy: "name its chart or manifests in spec.operator of stack.yaml".to_owned(),
                });
            }
        };
        if self.releases.is_some() {
            return None;
        }
        let (manager, objects) = (&prepared.manager, &prepared.objects);
        let to_fetch =
            "the Cluster Stack Operator is to fetch releases itself (`releases: remote`)";
        if variables::is_local(manager) {
            return Some(Problem {
                what: format!("{to_fetch}, and its flag --local keeps it from that"),
                remedy:
                    "leave out the flag, or set `releases: local` in spec.operator of stack.yaml"
                        .to_owned(),
            });
        }
        let (source, missing) = variables::missing(manager, objects);
        if !missing.is_empty() {
            return Some(Problem {
                what: format!("{to_fetch} from {source}, and has no {}", missing.join(", ")),
                remedy: "set them in stackgate's environment, or name them in the values of the operator's chart"
                    .to_owned(),
            });
        }
        let mut own = self.objects.clone();
        variables::fill(manager, &mut own, |_| None, |_| None);
        let repository = self.repository.as_deref();
        let stranger = variables::strangers(manager, &own, objects, repository);
        let stranger = stranger.filter(|_| source == "oci")?;
        Some(Problem {
            what: format!("{to_fetch}: {stranger}"),
            remedy: "name one registry, and what is for it, in the operator's values or in stackgate's environment"
                .to_owned(),
        })
    }

    /// The releases, as the operator looks for them. It unpacks addons beside their archives, as a user of its
    /// own.
    fn files(&self) -> Result<Vec<Entry>> {
        let folder = format!("{RELEASES}/cluster-stacks");
        let mut files = Vec::new();
        if self.releases.is_some() {
            files.push(Entry::folder(RELEASES));
            files.push(Entry::folder(&folder));
        }
        for release in self.releases.iter().flatten() {
            let name = release.file_name().unwrap_or_default().to_string_lossy();
            let folder = format!("{folder}/{name}");
            let unread = || format!("failed to read release {}", release.display());
            files.push(Entry::folder(&folder));
            for entry in std::fs::read_dir(release).with_context(unread)? {
                let path = entry.with_context(unread)?.path();
                if path.is_file() {
                    let name = path.file_name().unwrap_or_default().to_string_lossy();
                    let content = std::fs::read(&path).with_context(unread)?;
                    files.push(Entry::file(format!("{folder}/{name}"), content).writable());
                }
            }
        }
        Ok(files)
    }
}

/// The operator, ready to be applied.
pub(super) struct Prepared {
    /// Everything but the extensions.
    pub(super) objects: Vec<Value>,
    /// Its ExtensionConfigs.
    pub(super) extensions: Vec<Value>,
    /// The container of its manager.
    manager: Value,
    /// What its manager finds in [`RELEASES`].
    pub(super) files: Vec<Entry>,
}

impl Prepared {
    /// For a cluster with nodes: with certificates of an authority of its own, and the folder of releases
    /// mounted.
    ///
    /// # Errors
    /// When its certificates cannot be made.
    fn with_nodes(mut self) -> Result<Self> {
        let authority = Authority::new()?;
        if !self.files.is_empty() {
            for deployment in &mut self.objects {
                if deployment["kind"] == "Deployment" {
                    mount(deployment)?;
                }
            }
        }
        let is_certificate =
            |object: &Value| object["kind"] == "Certificate" && of_cert_manager(object);
        let mut secrets = Vec::new();
        for certificate in self.objects.iter().filter(|object| is_certificate(object)) {
            secrets.push(issued(&authority, certificate)?);
        }
        self.objects.retain(|object| !of_cert_manager(object));
        self.objects.extend(secrets);
        let bundle = STANDARD.encode(&authority.certificate);
        for object in self.objects.iter_mut().chain(&mut self.extensions) {
            let annotations = &object["metadata"]["annotations"];
            if annotations[AUTHORITY].is_string() || annotations[EXTENSION_AUTHORITY].is_string() {
                trust(object, &bundle);
            }
        }
        Ok(self)
    }
}

fn of_cert_manager(object: &Value) -> bool {
    let version = object["apiVersion"].as_str().unwrap_or_default();
    version.starts_with("cert-manager.io/")
}

/// The container of its manager.
fn manager(deployment: &mut Value) -> Result<&mut Value> {
    let containers = deployment
        .pointer_mut("/spec/template/spec/containers")
        .and_then(Value::as_array_mut)
        .context(
            "failed to install the Cluster Stack Operator: its Deployment has no containers",
        )?;
    let only = containers.len() == 1;
    containers
        .iter_mut()
        .find(|container| only || container["name"] == "manager")
        .context("failed to install the Cluster Stack Operator: expected a container `manager`")
}

fn extend(list: &mut Value, more: Value) {
    match (list.as_array_mut(), more) {
        (Some(list), Value::Array(more)) => list.extend(more),
        (_, more) => *list = more,
    }
}

fn mount(deployment: &mut Value) -> Result<()> {
    let mount = json!([{"name": "stackgate-releases", "mountPath": RELEASES}]);
    extend(&mut manager(deployment)?["volumeMounts"], mount);
    let volume = json!([{
        "name": "stackgate-releases",
        "hostPath": {"path": RELEASES, "type": "DirectoryOrCreate"},
    }]);
    extend(
        &mut deployment["spec"]["template"]["spec"]["volumes"],
        volume,
    );
    Ok(())
}

/// The Secret that cert-manager would make of a Certificate.
fn issued(authority: &Authority, certificate: &Value) -> Result<Value> {
    let names: Vec<String> = certificate["spec"]["dnsNames"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|name| name.as_str().map(str::to_owned))
        .collect();
    let pair = authority.server(&names)?;
    Ok(json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/tls",
        "metadata": {
            "name": certificate["spec"]["secretName"],
            "namespace": certificate["metadata"]["namespace"],
        },
        "data": {
            "ca.crt": STANDARD.encode(&authority.certificate),
            "tls.crt": STANDARD.encode(pair.certificate),
            "tls.key": STANDARD.encode(pair.key),
        },
    }))
}

/// Lets the API server know by which authority a webhook's certificate is signed.
fn trust(object: &mut Value, bundle: &str) {
    for place in [
        "/spec/clientConfig",
        "/spec/conversion/webhook/clientConfig",
    ] {
        if let Some(config) = object.pointer_mut(place) {
            config["caBundle"] = json!(bundle);
        }
    }
    let webhooks = object.get_mut("webhooks").and_then(Value::as_array_mut);
    for webhook in webhooks.into_iter().flatten() {
        webhook["clientConfig"]["caBundle"] = json!(bundle);
    }
}

/// Installs the operator on a cluster with nodes whose Cluster API answers.
///
/// # Errors
/// When Docker or the API server refuses something, or the operator does not come up in time.
pub(super) async fn install(
    context: &Context,
    docker: &Docker,
    node: &str,
    client: &Client,
    options: &OperatorOptions,
) -> Result<(), EngineError> {
    let prepared = options
        .prepare(|name| std::env::var(name).ok())?
        .with_nodes()?;
    docker::upload(docker, node, &prepared.files).await?;
    let images = async {
        images::load(docker, node, &options.images()).await?;
        Ok(())
    };
    providers::install(context, client, &prepared.objects, images).await?;
    providers::ready(context, client).await?;
    discovered(context, client, &prepared.extensions).await
}

/// Applies the operator's extensions, and waits until Cluster API has asked each what hooks it answers: a hook
/// of one that is not discovered is not called.
///
/// # Errors
/// When one is refused, or not discovered in time.
pub(super) async fn discovered(
    context: &Context,
    client: &Client,
    extensions: &[Value],
) -> Result<(), EngineError> {
    let applier = Applier::new("management", client.clone());
    let options = Apply {
        deadline: DEADLINE,
        namespace: None,
        labels: &[],
        source: SOURCE,
    };
    applier
        .apply(context, extensions, options)
        .await
        .map_err(providers::infrastructure)?;
    for extension in extensions {
        let kind = applier.kind(extension).await?;
        let kind = kind.context("the management cluster does not serve ExtensionConfigs")?;
        let name = extension["metadata"]["name"].as_str().unwrap_or_default();
        let view = View::start("management", client, &[(kind.clone(), "")]);
        let what = format!("ExtensionConfig {name} discovered");
        wait(context, &what, DEADLINE, &[&view], None, || {
            let blockers = match view.get(&kind, "", name) {
                Some(found) => found.unless_true("Discovered").into_iter().collect(),
                None => crate::cluster::blind(&view),
            };
            Progress::unless(blockers)
        })
        .await
        .map_err(providers::waited)?;
    }
    Ok(())
}

/// Lets Cluster API leave alone the authority of an extension that has it already.
pub(super) fn keeps_its_authority(extension: &mut Value) {
    if let Some(annotations) = extension["metadata"]["annotations"].as_object_mut() {
        annotations.remove(EXTENSION_AUTHORITY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn objects() -> Vec<Value> {
        vec![
            json!({"apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "cso-controller-manager", "namespace": "cso-system"},
            "spec": {"template": {"spec": {"containers": [{
                "name": "manager", "image": "cso:v1", "imagePullPolicy": "Always",
                "args": ["--leader-elect=true"],
                "env": [
                    {"name": "PLAIN", "value": "x"},
                    {"name": "OCI_PASSWORD", "valueFrom": {"secretKeyRef": {"name": "vars", "key": "oci-password"}}},
                    {"name": "OCI_REGISTRY", "valueFrom": {"secretKeyRef": {"name": "vars", "key": "oci-registry"}}},
                ],
            }]}}}}),
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "vars", "namespace": "cso-system"},
                "data": {"oci-password": "", "oci-registry": "ZGVmYXVsdA=="}}),
            json!({"apiVersion": "cert-manager.io/v1", "kind": "Certificate",
                "metadata": {"name": "serving", "namespace": "cso-system"},
                "spec": {"secretName": "cso-cert", "dnsNames": ["cso.cso-system.svc"]}}),
            json!({"apiVersion": "cert-manager.io/v1", "kind": "Issuer", "metadata": {"name": "i", "namespace": "cso-system"}}),
            json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
                "metadata": {"name": "w", "annotations": {AUTHORITY: "cso-system/serving"}},
                "webhooks": [{"clientConfig": {"service": {"name": "cso"}}}]}),
            json!({"apiVersion": "runtime.cluster.x-k8s.io/v1alpha1", "kind": "ExtensionConfig",
                "metadata": {"name": "hooks", "annotations": {EXTENSION_AUTHORITY: "cso-system/hooks"}},
                "spec": {"clientConfig": {"service": {"name": "cso"}}}}),
        ]
    }

    fn release() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let release = folder.path().join("docker-demo-1-34-v1");
        std::fs::create_dir(&release).unwrap();
        std::fs::write(release.join("metadata.yaml"), "a: b").unwrap();
        (folder, release)
    }

    #[test]
    fn it_is_made_ready_for_a_cluster_without_cert_manager() {
        let (_folder, release) = release();
        let options = OperatorOptions {
            objects: objects(),
            image: Some("mine:1".to_owned()),
            releases: Some(vec![release]),
            repository: None,
        };
        assert_eq!(options.images(), ["mine:1".to_owned()].into());
        let environment = |name: &str| (name == "OCI_PASSWORD").then(|| "secret".to_owned());
        let prepared = options.prepare(environment).unwrap().with_nodes().unwrap();
        let find = |kind: &str, name: &str| {
            let found = prepared
                .objects
                .iter()
                .find(|object| object["kind"] == kind && object["metadata"]["name"] == name);
            found.unwrap_or_else(|| panic!("there is no {kind} {name}"))
        };
        let pod = &find("Deployment", "cso-controller-manager")["spec"]["template"]["spec"];
        let manager = &pod["containers"][0];
        assert_eq!(manager["image"], "mine:1");
        assert_eq!(manager["imagePullPolicy"], "IfNotPresent");
        assert_eq!(
            manager["args"],
            json!([
                "--leader-elect=true",
                "--local=true",
                "--release-dir=/stackgate/releases"
            ])
        );
        assert_eq!(manager["volumeMounts"][0]["mountPath"], RELEASES);
        assert_eq!(pod["volumes"][0]["hostPath"]["path"], RELEASES);
        let variables = &find("Secret", "vars")["data"];
        assert_eq!(variables["oci-password"], STANDARD.encode("secret"));
        assert_eq!(variables["oci-registry"], "ZGVmYXVsdA==");
        assert_eq!(find("Secret", "cso-cert")["type"], "kubernetes.io/tls");
        find("Namespace", "cso-system");
        assert!(!prepared.objects.iter().any(of_cert_manager));
        let bundle =
            &find("ValidatingWebhookConfiguration", "w")["webhooks"][0]["clientConfig"]["caBundle"];
        let [extension] = prepared.extensions.as_slice() else {
            panic!("{:?}", prepared.extensions)
        };
        assert!(bundle.is_string());
        // Nothing else is added: the API server refuses fields that a kind does not have.
        assert_eq!(extension.get("webhooks"), None);
        assert_eq!(extension["spec"]["clientConfig"]["caBundle"], *bundle);
        let paths: Vec<&str> = prepared.files.iter().map(Entry::path).collect();
        let folder = "/stackgate/releases/cluster-stacks";
        assert_eq!(
            paths,
            [
                RELEASES,
                folder,
                &format!("{folder}/docker-demo-1-34-v1"),
                &format!("{folder}/docker-demo-1-34-v1/metadata.yaml"),
            ]
        );
    }

    #[test]
    fn one_that_fetches_its_releases_has_them_from_where_the_stack_has_them_issue_7() {
        let mut options = OperatorOptions {
            objects: objects(),
            image: None,
            releases: None,
            repository: Some("host:5000/kaas/cluster-stacks".to_owned()),
        };
        let variables = |options: &OperatorOptions, registry: &str| {
            let environment = |name: &str| (name == "OCI_REGISTRY").then(|| registry.to_owned());
            let prepared = options.prepare(environment).unwrap();
            let secret = prepared.objects.iter().find(|one| one["kind"] == "Secret");
            secret.unwrap()["data"]["oci-registry"].clone()
        };
        // The environment wins, where it says anything; a registry of its own may have credentials of its own.
        assert_eq!(variables(&options, "other"), STANDARD.encode("other"));
        assert_eq!(variables(&options, ""), STANDARD.encode("default"));
        options.objects[1]["data"]["oci-registry"] = json!("");
        assert_eq!(variables(&options, ""), STANDARD.encode("host:5000"));
        options.repository = None;
        assert_eq!(variables(&options, ""), "");
        let told = |options: &OperatorOptions| options.problem(|_| None).unwrap().what;
        let missed = told(&options);
        assert!(
            missed.contains("from github, and has no GIT_PROVIDER"),
            "{missed}"
        );
        let container = "/spec/template/spec/containers/0/args";
        *options.objects[0].pointer_mut(container).unwrap() = json!(["--local", "--source=oci"]);
        assert!(told(&options).contains("its flag --local keeps it from that"));
        options.releases = Some(Vec::new());
        assert_eq!(options.problem(|_| None), None);
        // Nothing can be made of these, wherever the releases are.
        options.objects.remove(0);
        assert!(told(&options).contains("expected one Deployment"));
    }

    #[test]
    fn a_registry_that_the_stack_does_not_know_is_told_issue_7() {
        let mut options = OperatorOptions {
            objects: objects(),
            image: None,
            releases: None,
            repository: Some("host:5000/kaas/cluster-stacks".to_owned()),
        };
        let container = "/spec/template/spec/containers/0";
        let manager = options.objects[0].pointer_mut(container).unwrap();
        manager["args"] = json!(["--source=oci"]);
        let repository = json!({"name": "OCI_REPOSITORY", "value": "other/stacks"});
        manager["env"].as_array_mut().unwrap().push(repository);
        let told = options.problem(|_| None).unwrap().what;
        assert!(
            told.contains("from other, and stack.yaml has them from host:5000"),
            "{told}"
        );
        let manager = options.objects[0].pointer_mut(container).unwrap();
        manager["env"][3]["value"] = json!("host:5000/kaas/cluster-stacks");
        assert_eq!(options.problem(|_| None), None);
    }

    #[test]
    fn one_that_fetches_its_releases_keeps_its_flags() {
        let options = OperatorOptions {
            objects: objects(),
            image: None,
            releases: None,
            repository: None,
        };
        let prepared = options.prepare(|_| None).unwrap();
        let arguments = &prepared.objects[0]["spec"]["template"]["spec"]["containers"][0]["args"];
        assert_eq!(*arguments, json!(["--leader-elect=true"]));
        assert!(prepared.files.is_empty());
        assert_eq!(options.images(), ["cso:v1".to_owned()].into());
        let nothing = OperatorOptions {
            objects: Vec::new(),
            ..options
        };
        let error = nothing.prepare(|_| None).err().unwrap().to_string();
        assert!(error.contains("expected one Deployment"), "{error}");
    }
}
