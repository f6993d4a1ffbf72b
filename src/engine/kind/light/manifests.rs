//! The providers' manifests taken apart: what goes into the API server, and what becomes a container.
//!
//! Roles, bindings and ServiceAccounts stay as they are, so that a rule that a provider forgot shows here
//! as it does on nodes. Services and Deployments have nobody to act on them; certificates are ours.

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::container::Part;
use super::{HOST, PORT, operator};
use crate::record::without_prose;

/// The providers, ready for a cluster without nodes.
#[derive(Debug)]
pub(super) struct Providers {
    /// What the API server gets.
    pub(super) objects: Vec<Value>,
    /// What it gets once Cluster API answers: its runtime extensions.
    pub(super) extensions: Vec<Value>,
    /// What runs.
    pub(super) managers: Vec<Manager>,
}

/// A provider's manager.
#[derive(Debug)]
pub(super) struct Manager {
    pub(super) namespace: String,
    pub(super) service_account: String,
    pub(super) part: Part,
    /// Where it looks for the certificate of its webhooks.
    pub(super) certificates: Vec<String>,
    /// Where it says that it is ready: port and path.
    pub(super) ready: Option<(u16, String)>,
}

/// Takes manifests apart. `authority` is the certificate by which the API server knows the webhooks.
///
/// # Errors
/// When a manifest asks for something that only a node can give.
pub(super) fn take_apart(manifests: Vec<Value>, authority: &str) -> Result<Providers> {
    let (services, rest): (Vec<Value>, Vec<Value>) = manifests
        .into_iter()
        .partition(|object| object["kind"] == "Service");
    let (deployments, rest): (Vec<Value>, Vec<Value>) = rest
        .into_iter()
        .partition(|object| object["kind"] == "Deployment");
    let routes = Routes {
        services: &services,
        deployments: &deployments,
        authority: STANDARD.encode(authority),
    };
    let mut objects: Vec<Value> = rest.into_iter().filter(is_kept).collect();
    for object in &mut objects {
        let shown = shown(object);
        routes
            .redirect(object)
            .with_context(|| format!("failed to reach the webhook of {shown} without nodes"))?;
    }
    let (extensions, objects): (Vec<Value>, Vec<Value>) = objects
        .into_iter()
        .partition(|object| object["kind"] == "ExtensionConfig");
    let managers = deployments
        .iter()
        .map(|deployment| {
            manager(deployment, &services, &objects)
                .with_context(|| format!("failed to run {} without nodes", shown(deployment)))
        })
        .collect::<Result<_>>()?;
    Ok(Providers {
        objects,
        extensions,
        managers,
    })
}

fn shown(object: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (kind, name) = (text(&object["kind"]), text(&object["metadata"]["name"]));
    match object["metadata"]["namespace"].as_str() {
        Some(namespace) => format!("{kind} {namespace}/{name}"),
        None => format!("{kind} {name}"),
    }
}

/// cert-manager's objects, and certificates that were made for webhooks on nodes, stay out.
fn is_kept(object: &Value) -> bool {
    let version = object["apiVersion"].as_str().unwrap_or_default();
    !version.starts_with("cert-manager.io/") && object["type"] != "kubernetes.io/tls"
}

struct Routes<'a> {
    services: &'a [Value],
    deployments: &'a [Value],
    /// As Kubernetes wants it: base64 of PEM.
    authority: String,
}

impl Routes<'_> {
    /// Turns references to Services into addresses, and leaves out what only an older cluster needs.
    fn redirect(&self, object: &mut Value) -> Result<()> {
        match object["kind"].as_str().unwrap_or_default() {
            "ValidatingWebhookConfiguration" | "MutatingWebhookConfiguration" => {
                let webhooks = object["webhooks"].as_array_mut();
                for webhook in webhooks.into_iter().flatten() {
                    self.address(&mut webhook["clientConfig"])?;
                }
            }
            "CustomResourceDefinition" => {
                if let Some(config) = object.pointer_mut("/spec/conversion/webhook/clientConfig") {
                    self.address(config)?;
                }
                // The API server reads each definition again and again while it is being established. Nobody asks this
                // one for prose, and nothing was ever stored here in a version that is served no more.
                let spec = &mut object["spec"];
                if let Some(versions) = spec["versions"].as_array_mut() {
                    versions
                        .retain(|version| version["served"] == true || version["storage"] == true);
                }
                without_prose(spec);
            }
            "ExtensionConfig" => {
                self.address(&mut object["spec"]["clientConfig"])?;
                operator::keeps_its_authority(object);
            }
            _ => {}
        }
        Ok(())
    }

    fn address(&self, config: &mut Value) -> Result<()> {
        let Some(reference) = config.get("service").cloned() else {
            return Ok(());
        };
        let text = |name: &str| reference[name].as_str().unwrap_or_default();
        let (namespace, name, path) = (text("namespace"), text("name"), text("path"));
        let port = reference["port"].as_u64().unwrap_or(443);
        let port = self.port(namespace, name, port)?;
        let path = path.trim_start_matches('/');
        let host = host(namespace, name);
        *config =
            json!({"url": format!("https://{host}:{port}/{path}"), "caBundle": self.authority});
        Ok(())
    }

    /// The container's port behind a Service's.
    fn port(&self, namespace: &str, name: &str, port: u64) -> Result<u64> {
        let service = self
            .services
            .iter()
            .find(|service| {
                service["metadata"]["name"] == name && service["metadata"]["namespace"] == namespace
            })
            .with_context(|| format!("the manifests have no Service {namespace}/{name}"))?;
        let target = service["spec"]["ports"]
            .as_array()
            .into_iter()
            .flatten()
            .find(|candidate| candidate["port"] == port)
            .map(|found| found.get("targetPort").unwrap_or(&found["port"]))
            .with_context(|| format!("Service {namespace}/{name} has no port {port}"))?;
        if let Some(number) = target.as_u64() {
            return Ok(number);
        }
        let wanted = target.as_str().unwrap_or_default();
        self.deployments
            .iter()
            .filter(|deployment| serves(service, deployment))
            .find_map(|deployment| named_port(pod_of(deployment), wanted))
            .with_context(|| {
                format!("no Deployment behind Service {namespace}/{name} has a port {wanted}")
            })
    }
}

/// The name under which a webhook is known on the run's network: the Service's own.
fn host(namespace: &str, service: &str) -> String {
    format!("{service}.{namespace}.svc")
}

fn pod_of(deployment: &Value) -> &Value {
    &deployment["spec"]["template"]["spec"]
}

fn named_port(pod: &Value, name: &str) -> Option<u64> {
    let containers = pod["containers"].as_array()?.iter();
    containers
        .filter_map(|container| container["ports"].as_array())
        .flatten()
        .find(|port| port["name"] == name)?["containerPort"]
        .as_u64()
}

/// Whether a Service's selector takes a Deployment's Pods.
fn serves(service: &Value, deployment: &Value) -> bool {
    let labels = &deployment["spec"]["template"]["metadata"]["labels"];
    let selector = service["spec"]["selector"].as_object();
    service["metadata"]["namespace"] == deployment["metadata"]["namespace"]
        && selector.is_some_and(|selector| {
            !selector.is_empty() && selector.iter().all(|(name, value)| labels[name] == *value)
        })
}

fn strings(list: &Value) -> Vec<String> {
    let list = list.as_array().into_iter().flatten();
    list.filter_map(Value::as_str).map(str::to_owned).collect()
}

fn manager(deployment: &Value, services: &[Value], objects: &[Value]) -> Result<Manager> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (namespace, name) = (
        text(&deployment["metadata"]["namespace"]),
        text(&deployment["metadata"]["name"]),
    );
    let pod = pod_of(deployment);
    let containers = pod["containers"].as_array().map_or(&[][..], Vec::as_slice);
    let [container] = containers else {
        bail!("it has {} containers, expected one", containers.len());
    };
    let service_account = pod["serviceAccountName"].as_str().unwrap_or("default");
    let mut environment = environment(
        &container["env"],
        &namespace,
        &name,
        service_account,
        objects,
    )?;
    // As a node tells each of its containers.
    environment.push(format!("KUBERNETES_SERVICE_HOST={HOST}"));
    environment.push(format!("KUBERNETES_SERVICE_PORT={PORT}"));
    let user = container
        .pointer("/securityContext/runAsUser")
        .or_else(|| pod.pointer("/securityContext/runAsUser"));
    let mut part = Part {
        name: name.clone(),
        image: text(&container["image"]),
        command: strings(&container["command"]),
        arguments: strings(&container["args"]),
        environment,
        user: user.and_then(Value::as_u64).map(|user| user.to_string()),
        aliases: services
            .iter()
            .filter(|service| serves(service, deployment))
            .map(|service| {
                host(
                    &namespace,
                    service["metadata"]["name"].as_str().unwrap_or_default(),
                )
            })
            .collect(),
        reaches_workloads: true,
        restarts: true,
        ..Part::default()
    };
    let mut certificates = Vec::new();
    for mount in container["volumeMounts"].as_array().into_iter().flatten() {
        let path = text(&mount["mountPath"]);
        let volumes = pod["volumes"].as_array().into_iter().flatten();
        let volume = volumes
            .clone()
            .find(|volume| volume["name"] == mount["name"])
            .with_context(|| format!("it mounts volume {}, which it has not", mount["name"]))?;
        if volume.get("secret").is_some() {
            certificates.push(path);
        } else if let Some(host) = volume.pointer("/hostPath/path").and_then(Value::as_str) {
            part.binds.push(format!("{host}:{path}"));
        } else if volume.get("emptyDir").is_some() {
            part.scratch.push(path);
        } else {
            bail!(
                "its volume {} is of a kind that only a node can give: expected a secret with the webhook's certificate, a hostPath or an emptyDir",
                volume["name"]
            );
        }
    }
    let ready = ready(container)?;
    part.ports = ready.iter().map(|(port, _)| *port).collect();
    Ok(Manager {
        namespace,
        service_account: service_account.to_owned(),
        part,
        certificates,
        ready,
    })
}

fn ready(container: &Value) -> Result<Option<(u16, String)>> {
    let Some(get) = container.pointer("/readinessProbe/httpGet") else {
        return Ok(None);
    };
    let port = match get["port"].as_str() {
        Some(name) => named_port(&json!({"containers": [container]}), name),
        None => get["port"].as_u64(),
    };
    let port = port.and_then(|port| u16::try_from(port).ok());
    let port = port.with_context(|| format!("its readiness probe has no port: {get}"))?;
    let path = get["path"].as_str().unwrap_or("/").to_owned();
    Ok(Some((port, path)))
}

/// What a Secret of the manifests has under a key.
fn secret(objects: &[Value], namespace: &str, reference: &Value) -> Option<String> {
    let secret = objects.iter().find(|object| {
        object["kind"] == "Secret"
            && object["metadata"]["namespace"] == namespace
            && object["metadata"]["name"] == reference["name"]
    })?;
    let key = reference["key"].as_str()?;
    if let Some(text) = secret["stringData"][key].as_str() {
        return Some(text.to_owned());
    }
    let encoded = secret["data"][key].as_str()?;
    String::from_utf8(STANDARD.decode(encoded).ok()?).ok()
}

/// The environment, with what a node would fill in.
fn environment(
    list: &Value,
    namespace: &str,
    name: &str,
    service_account: &str,
    objects: &[Value],
) -> Result<Vec<String>> {
    let list = list.as_array().into_iter().flatten();
    list.map(|variable| {
        let of = variable["name"].as_str().unwrap_or_default();
        if let Some(reference) = variable.pointer("/valueFrom/secretKeyRef") {
            let value = secret(objects, namespace, reference)
                .with_context(|| format!("its variable {of} comes from a Secret that the manifests do not have: {reference}"))?;
            return Ok(format!("{of}={value}"));
        }
        let field = variable.pointer("/valueFrom/fieldRef/fieldPath");
        let value = match (&variable["value"], field.and_then(Value::as_str)) {
            (Value::String(value), _) => value.as_str(),
            (_, Some("metadata.namespace")) => namespace,
            // There is one Pod, so to say, and it has the Deployment's name.
            (_, Some("metadata.name" | "metadata.uid")) => name,
            // By it a program reaches itself; nobody else is told of it.
            (_, Some("status.podIP")) => "127.0.0.1",
            (_, Some("spec.serviceAccountName")) => service_account,
            (Value::Null, None) if variable.get("valueFrom").is_none() => "",
            _ => bail!(
                "its variable {of} comes from something that only a node can give: {}",
                variable["valueFrom"]
            ),
        };
        Ok(format!("{of}={value}"))
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deployment(volume: Value) -> Value {
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "capd", "namespace": "capd-system"},
            "spec": {"template": {
                "metadata": {"labels": {"provider": "docker", "x": "y"}},
                "spec": {
                    "serviceAccountName": "capd-manager",
                    "containers": [{
                        "image": "capd:v1", "command": ["/manager"], "args": ["--leader-elect"],
                        "env": [
                            {"name": "POD_NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
                            {"name": "PLAIN", "value": "1"},
                        ],
                        "ports": [
                            {"containerPort": 9443, "name": "webhook-server"},
                            {"containerPort": 9440, "name": "healthz"},
                        ],
                        "readinessProbe": {"httpGet": {"path": "/readyz", "port": "healthz"}},
                        "securityContext": {"privileged": true},
                        "volumeMounts": [{"name": "cert", "mountPath": "/certs"}, {"name": "v", "mountPath": "/v"}],
                    }],
                    "volumes": [{"name": "cert", "secret": {"secretName": "capd-cert"}}, volume],
                },
            }},
        })
    }

    fn service() -> Value {
        json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "capd-webhook", "namespace": "capd-system"},
            "spec": {"selector": {"provider": "docker"}, "ports": [{"port": 443, "targetPort": "webhook-server"}]},
        })
    }

    fn reference(name: &str) -> Value {
        json!({"service": {"name": name, "namespace": "capd-system", "path": "/convert"}, "caBundle": "b2xk"})
    }

    fn definition(name: &str) -> Value {
        json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": "a"},
            "spec": {
                "conversion": {"strategy": "Webhook", "webhook": {"clientConfig": reference(name)}},
                "versions": [
                    {"name": "v1alpha4", "served": false, "storage": false},
                    {"name": "v1beta1", "served": true, "storage": false,
                        "schema": {"openAPIV3Schema": {"type": "object", "description": "prose"}}},
                    {"name": "v1beta2", "served": false, "storage": true},
                ],
            },
        })
    }

    fn socket() -> Value {
        json!({"name": "v", "hostPath": {"path": "/var/run/docker.sock"}})
    }

    #[test]
    fn a_provider_becomes_objects_and_a_container() {
        let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "r"}});
        let issuer = json!({"apiVersion": "cert-manager.io/v1", "kind": "Issuer", "metadata": {"name": "i"}});
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "metadata": {"name": "capd-cert"}});
        let webhooks = json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration",
            "metadata": {"name": "m"}, "webhooks": [{"clientConfig": reference("capd-webhook")}],
        });
        let manifests = vec![
            role.clone(),
            issuer,
            secret,
            definition("capd-webhook"),
            webhooks,
            service(),
            deployment(socket()),
        ];
        let Providers {
            objects, managers, ..
        } = take_apart(manifests, "PEM").unwrap();
        assert_eq!(objects.len(), 3);
        assert_eq!(objects[0], role);
        let address = json!({"url": "https://capd-webhook.capd-system.svc:9443/convert", "caBundle": STANDARD.encode("PEM")});
        assert_eq!(
            objects[1].pointer("/spec/conversion/webhook/clientConfig"),
            Some(&address)
        );
        let versions = objects[1]["spec"]["versions"].as_array().unwrap().iter();
        let versions: Vec<&Value> = versions.map(|version| &version["name"]).collect();
        assert_eq!(versions, ["v1beta1", "v1beta2"]);
        let schema = &objects[1]["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        assert_eq!(*schema, json!({"type": "object"}));
        assert_eq!(
            objects[2].pointer("/webhooks/0/clientConfig"),
            Some(&address)
        );
        let [manager] = managers.as_slice() else {
            panic!("{managers:?}")
        };
        assert_eq!(manager.service_account, "capd-manager");
        assert_eq!(manager.certificates, ["/certs"]);
        assert_eq!(manager.ready, Some((9440, "/readyz".to_owned())));
        let part = &manager.part;
        assert_eq!(part.aliases, ["capd-webhook.capd-system.svc"]);
        assert_eq!(
            part.environment,
            [
                "POD_NAMESPACE=capd-system",
                "PLAIN=1",
                "KUBERNETES_SERVICE_HOST=kubernetes.default.svc",
                "KUBERNETES_SERVICE_PORT=6443",
            ]
        );
        assert_eq!(part.binds, ["/var/run/docker.sock:/v"]);
        assert_eq!(
            (part.ports.as_slice(), part.command.len()),
            (&[9440][..], 1)
        );
    }

    #[test]
    fn an_extension_waits_for_cluster_api_and_keeps_the_runs_authority() {
        let extension = json!({
            "apiVersion": "runtime.cluster.x-k8s.io/v1alpha1", "kind": "ExtensionConfig",
            "metadata": {"name": "e", "annotations": {"runtime.cluster.x-k8s.io/inject-ca-from-secret": "n/s", "a": "b"}},
            "spec": {"clientConfig": reference("capd-webhook")},
        });
        let manifests = vec![extension, service(), deployment(socket())];
        let providers = take_apart(manifests, "PEM").unwrap();
        assert!(providers.objects.is_empty());
        let extension = &providers.extensions[0];
        assert_eq!(extension["metadata"]["annotations"], json!({"a": "b"}));
        let config = &extension["spec"]["clientConfig"];
        assert_eq!(config["caBundle"], STANDARD.encode("PEM"));
        assert_eq!(
            config["url"],
            "https://capd-webhook.capd-system.svc:9443/convert"
        );
    }

    #[test]
    fn what_only_a_node_can_give_is_refused_by_name() {
        let refused = |manifests| format!("{:#}", take_apart(manifests, "PEM").unwrap_err());
        let claim = json!({"name": "v", "persistentVolumeClaim": {"claimName": "c"}});
        let error = refused(vec![deployment(claim)]);
        assert!(error.contains("Deployment capd-system/capd"), "{error}");
        assert!(error.contains("its volume \"v\""), "{error}");
        let mut two = deployment(socket());
        let containers = two.pointer_mut("/spec/template/spec/containers").unwrap();
        let again = containers[0].clone();
        containers.as_array_mut().unwrap().push(again);
        assert!(refused(vec![two]).contains("2 containers"));
        let mut variable = deployment(socket());
        *variable
            .pointer_mut("/spec/template/spec/containers/0/env/0/valueFrom")
            .unwrap() = json!({"secretKeyRef": {"name": "s", "key": "k"}});
        let error = refused(vec![variable.clone()]);
        assert!(error.contains("POD_NAMESPACE"), "{error}");
        assert!(
            error.contains("a Secret that the manifests do not have"),
            "{error}"
        );
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": "capd-system"},
            "data": {"k": STANDARD.encode("v")}});
        let providers = take_apart(vec![variable, secret], "PEM").unwrap();
        let environment = &providers.managers[0].part.environment;
        assert_eq!(environment[0], "POD_NAMESPACE=v");
        let error = refused(vec![definition("other"), service(), deployment(socket())]);
        assert!(error.contains("no Service capd-system/other"), "{error}");
    }
}
