//! scs-0217-v1 (draft): what EndpointSlices name at the ports of the control plane and the kubelets
//! speaks TLS.
//!
//! The API server is asked to send each of them a plain HTTP request, by way of a pod that has the
//! endpoint's address (`pods/POD:PORT/proxy`); on a node's network that is any pod there. What is written
//! in Go, as all of these are, answers by TLS alone and says so: *Client sent an HTTP request to an HTTPS
//! server*. Any other answer was given without TLS. This needs the right to get `pods/proxy`.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::Client;
use serde::de::DeserializeOwned;

use crate::checks::judgement::{Judgement, problem, read};
use crate::checks::{Answer, Native, Parameters, Target, needs};
use crate::cluster::{Object, kinds};

/// The check.
pub const CHECK: Native = Native {
    name: "scs-0217-endpoints-https",
    timeout: Duration::from_secs(120),
    parameters: Parameters::NONE,
    needs: &[needs::ENDPOINT_SLICES, needs::PODS, needs::POD_PROXY],
    run: |target| Box::pin(run(target)),
};

/// API server, controller manager, scheduler, kubelet, etcd.
const PORTS: [i32; 6] = [6443, 10257, 10259, 10250, 2379, 2380];
/// How long one of them may take to answer: what listens does so at once, and Kubernetes' own tests of networks
/// give it as long.
pub(super) const ANSWER: Duration = Duration::from_secs(1);
/// The same for who did not, before it is said that it cannot be asked.
const PATIENT: Duration = Duration::from_secs(10);
/// How many are asked at the same time.
pub(super) const SIDE_BY_SIDE: usize = 32;

/// An endpoint to be asked.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Endpoint {
    namespace: String,
    slice: String,
    address: String,
    port: i32,
}

/// What an endpoint was found to speak.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    Tls,
    Plain,
    /// It did not answer, with why.
    Silent(String),
}

async fn run(target: &Target<'_>) -> Result<Answer> {
    let client = target.workload;
    let view = target.view(&[(kinds::ENDPOINT_SLICE, ""), (kinds::POD, "")]);
    read(target, "endpoints and pods", &[&view]).await?;
    let slices: Vec<EndpointSlice> = typed(&view.list(&kinds::ENDPOINT_SLICE))?;
    let pods: Vec<Pod> = typed(&view.list(&kinds::POD))?;
    let mut asking = Vec::new();
    let mut unseen = Vec::new();
    for endpoint in endpoints(&slices) {
        let Some((namespace, pod)) = at(&pods, &endpoint.address) else {
            unseen.push(endpoint);
            continue;
        };
        asking.push(async move {
            let mut found = Found::Silent(String::new());
            for within in [ANSWER, PATIENT] {
                let within = target.context.scaled(within);
                found = ask(client, namespace, pod, endpoint.port, within).await?;
                if !matches!(found, Found::Silent(_)) {
                    break;
                }
            }
            anyhow::Ok((endpoint, found))
        });
    }
    let asked: Vec<_> = stream::iter(asking)
        .buffered(SIDE_BY_SIDE)
        .try_collect()
        .await?;
    judge(&asked, &unseen).map(Into::into)
}

fn typed<T: DeserializeOwned>(objects: &[Arc<Object>]) -> Result<Vec<T>> {
    let objects = objects
        .iter()
        .map(|one| serde_json::from_value(one.json.clone()));
    Ok(objects.collect::<Result<_, _>>()?)
}

fn endpoints(slices: &[EndpointSlice]) -> BTreeSet<Endpoint> {
    let mut all = BTreeSet::new();
    for slice in slices {
        let ports = slice.ports.iter().flatten().filter_map(|port| port.port);
        for port in ports.filter(|port| PORTS.contains(port)) {
            let addresses = slice.endpoints.iter().flat_map(|one| &one.addresses);
            all.extend(addresses.map(|address| Endpoint {
                namespace: slice.metadata.namespace.clone().unwrap_or_default(),
                slice: slice.metadata.name.clone().unwrap_or_default(),
                address: address.clone(),
                port,
            }));
        }
    }
    all
}

/// Namespace and name of a pod that has an address.
fn at<'p>(pods: &'p [Pod], address: &str) -> Option<(&'p str, &'p str)> {
    let pod = pods.iter().find(|pod| {
        let status = pod.status.as_ref();
        status.is_some_and(|status| {
            let mut all = status.pod_ips.iter().flatten().map(|one| one.ip.as_str());
            let own = status.pod_ip.as_deref() == Some(address) || all.any(|one| one == address);
            own && status.phase.as_deref() == Some("Running")
        })
    })?;
    Some((
        pod.metadata.namespace.as_deref()?,
        pod.metadata.name.as_deref()?,
    ))
}

/// Sends a plain HTTP request to a port of a pod.
pub(super) async fn ask(
    client: &Client,
    namespace: &str,
    pod: &str,
    port: i32,
    within: Duration,
) -> Result<Found> {
    let path = format!("/api/v1/namespaces/{namespace}/pods/{pod}:{port}/proxy/");
    let request = http::Request::get(&path).body(Vec::new())?;
    match tokio::time::timeout(within, client.request_text(request)).await {
        // A server that cannot be reached is tried again and again by the client itself.
        Err(_) => Ok(Found::Silent(format!(
            "no answer within {} s",
            within.as_secs()
        ))),
        Ok(Ok(_)) => Ok(Found::Plain),
        Ok(Err(kube::Error::Api(status))) => {
            if status
                .message
                .contains("cannot get resource \"pods/proxy\"")
            {
                return Err(kube::Error::Api(status))
                    .with_context(|| format!("failed to get {path}"));
            }
            // In the API server's own words: what is proxied has no reason.
            if status.reason == "NotFound" {
                return Ok(Found::Silent(status.message.clone()));
            }
            Ok(heard(&status.message))
        }
        Ok(Err(error)) => Err(error).with_context(|| format!("failed to get {path}")),
    }
}

/// What an answer that is no success tells.
fn heard(message: &str) -> Found {
    if message.contains("to an HTTPS server") || message.contains("to HTTPS port") {
        return Found::Tls;
    }
    let unreached = message.split_once("error trying to reach service: ");
    unreached.map_or(Found::Plain, |(_, why)| Found::Silent(why.to_owned()))
}

fn judge(asked: &[(Endpoint, Found)], unseen: &[Endpoint]) -> Result<Judgement> {
    let about = |endpoint: &Endpoint, condition: &str| {
        let Endpoint {
            namespace,
            slice,
            address,
            port,
        } = endpoint;
        let condition = format!("{address}:{port} {condition}");
        problem("workload", "EndpointSlice", namespace, slice, condition)
    };
    let plain = asked.iter().filter(|(_, found)| *found == Found::Plain);
    let plain: Vec<_> = plain
        .map(|(one, _)| about(one, "answers without TLS"))
        .collect();
    if !plain.is_empty() {
        return Ok(Judgement::Fail(plain));
    }
    for (endpoint, found) in asked {
        if let Found::Silent(why) = found {
            bail!("{}: {why}", about(endpoint, "cannot be asked"));
        }
    }
    if let Some(endpoint) = unseen.first() {
        bail!(
            "{}",
            about(endpoint, "cannot be asked: no pod has this address")
        );
    }
    if asked.is_empty() {
        return Ok(Judgement::Skip(format!(
            "no EndpointSlice names one of the ports {PORTS:?}"
        )));
    }
    Ok(Judgement::Pass(format!(
        "all {} endpoints at these ports speak TLS",
        asked.len()
    )))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::checks::health::fixtures::problems;

    #[test]
    fn the_ports_of_control_plane_and_kubelets_are_asked_wherever_they_are_named() {
        let slice = |port: i32| -> EndpointSlice {
            serde_json::from_value(
                json!({"metadata": {"name": "s", "namespace": "n"}, "addressType": "IPv4",
                "endpoints": [{"addresses": ["10.0.0.1"]}, {"addresses": ["10.0.0.2"]}],
                "ports": [{"port": port}, {"port": 9153}]}),
            )
            .unwrap()
        };
        assert_eq!(endpoints(&[slice(10250), slice(6443)]).len(), 4);
        assert_eq!(endpoints(&[slice(443)]).len(), 0);
    }

    #[test]
    fn an_answer_is_told_from_silence() {
        let refused = "dial tcp 1.2.3.4:2379: connect: connection refused";
        for (message, found) in [
            (
                "Client sent an HTTP request to an HTTPS server.\n",
                Found::Tls,
            ),
            ("404 page not found", Found::Plain),
            (
                &format!("error trying to reach service: {refused}"),
                Found::Silent(refused.to_owned()),
            ),
        ] {
            assert_eq!(heard(message), found);
        }
    }

    #[test]
    fn plain_text_fails_and_silence_is_not_judged() {
        let endpoint = || Endpoint {
            namespace: "n".to_owned(),
            slice: "s".to_owned(),
            address: "10.0.0.1".to_owned(),
            port: 10250,
        };
        let silent = || (endpoint(), Found::Silent("refused".to_owned()));
        let failed = judge(&[silent(), (endpoint(), Found::Plain)], &[]).unwrap();
        assert_eq!(
            problems(&failed),
            "EndpointSlice n/s: 10.0.0.1:10250 answers without TLS"
        );
        let told = judge(&[silent()], &[]).unwrap_err().to_string();
        assert!(told.ends_with("cannot be asked: refused"), "{told}");
        assert!(judge(&[], &[endpoint()]).is_err());
        assert!(matches!(judge(&[], &[]), Ok(Judgement::Skip(_))));
        assert!(matches!(
            judge(&[(endpoint(), Found::Tls)], &[]),
            Ok(Judgement::Pass(_))
        ));
    }
}
