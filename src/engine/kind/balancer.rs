//! A workload cluster's load balancer that Docker does not start: trouble of this machine, which says nothing
//! about the stack.

use std::time::Duration;

use jiff::Timestamp;
use kube::Api;
use kube::api::{DynamicObject, ListParams};

use super::causes::{NO_IMAGE, Session};
use crate::cluster::{Kind, Object, kinds};
use crate::engine::ENGINE;
use crate::record::{Finding, ObjectRef};

/// For how long Docker has to refuse it: CAPD tries again after seconds at first, and ever more seldom.
const REFUSING: Duration = Duration::from_secs(60);
/// How Docker's client begins what its daemon has answered; CAPD passes it on.
const DAEMON: &str = "Error response from daemon: ";
/// What the daemon answers when there is no such image, or its name is none.
const ODD_IMAGE: [&str; 2] = ["no such image", "invalid reference format"];
/// CAPD's side of a Cluster, in the version that all its releases so far serve.
const DOCKER_CLUSTER: Kind = Kind::new(
    "infrastructure.cluster.x-k8s.io",
    "v1beta1",
    "DockerCluster",
    "dockerclusters",
);

/// The first cluster of the namespace whose load balancer Docker has refused for so long that it is a cause.
pub(super) async fn refused((client, context): &Session, namespace: &str) -> Option<Finding> {
    let resource = DOCKER_CLUSTER.resource();
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource);
    // What cannot be looked at now can be next time.
    let clusters = api.list(&ListParams::default()).await.ok()?;
    clusters.into_iter().find_map(|cluster| {
        let cluster = Object::new("management", serde_json::to_value(cluster).ok()?);
        let (answer, lasted) = refusal(&cluster, context.now())?;
        (lasted >= context.scaled(REFUSING)).then(|| finding(&cluster, answer))
    })
}

/// What Docker's daemon answers, and for how long. A missing image may be the stack's own choice, and is not
/// taken for the machine's trouble.
fn refusal(cluster: &Object, now: Timestamp) -> Option<(String, Duration)> {
    let condition = cluster.condition("LoadBalancerAvailable")?;
    let (_, answer) = condition.message.split_once(DAEMON)?;
    let told = answer.to_lowercase();
    let image = NO_IMAGE.iter().chain(&ODD_IMAGE);
    if condition.status != "False" || image.into_iter().any(|word| told.contains(word)) {
        return None;
    }
    let lasted = now.duration_since(condition.since?).unsigned_abs();
    Some((answer.to_owned(), lasted))
}

fn finding(cluster: &Object, answer: String) -> Finding {
    Finding {
        cause: "docker-refuses".to_owned(),
        message: format!(
            "Docker does not start the load balancer of {}: {answer}; every container of a node needs as much, so see to Docker (`stackgate doctor`)",
            cluster.reference()
        ),
        object: ObjectRef {
            cluster: ENGINE.to_owned(),
            kind: "container".to_owned(),
            namespace: None,
            name: format!(
                "{}-lb",
                cluster.label(kinds::CLUSTER_NAME).unwrap_or(cluster.name())
            ),
        },
        evidence: vec![answer],
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn cluster(status: &str, message: &str) -> Object {
        Object::new(
            "management",
            json!({
                "kind": "DockerCluster",
                "metadata": {
                    "name": "demo-7f3a09bc-cf4jk", "namespace": "stackgate-7f3a09bc",
                    "labels": {"cluster.x-k8s.io/cluster-name": "demo-7f3a09bc"},
                },
                "status": {"conditions": [{
                    "type": "LoadBalancerAvailable", "status": status, "severity": "Warning",
                    "reason": "LoadBalancerProvisioningFailed", "message": message,
                    "lastTransitionTime": "2026-01-01T10:00:00Z",
                }]},
            }),
        )
    }

    fn refused(status: &str, message: &str) -> Option<(String, Duration)> {
        refusal(
            &cluster(status, message),
            "2026-01-01T10:01:30Z".parse().unwrap(),
        )
    }

    #[test]
    fn what_the_daemon_refuses_is_told_in_its_words_and_blamed_on_the_machine() {
        let message = "error starting container \"demo-7f3a09bc-lb\": Error response from daemon: failed to create shim task: unable to apply caps: operation not permitted";
        let (answer, lasted) = refused("False", message).unwrap();
        assert_eq!(lasted, Duration::from_secs(90));
        let found = finding(&cluster("False", message), answer);
        assert_eq!(found.object.cluster, ENGINE);
        assert_eq!(found.object.name, "demo-7f3a09bc-lb");
        assert!(
            found.message.starts_with(
                "Docker does not start the load balancer of DockerCluster stackgate-7f3a09bc/demo-7f3a09bc-cf4jk: failed to create shim task: unable to apply caps: operation not permitted; "
            ),
            "{}",
            found.message
        );
    }

    #[test]
    fn what_is_under_way_or_may_be_the_stacks_own_choice_is_no_trouble_of_the_machine() {
        for (status, message) in [
            ("True", "Error response from daemon: odd"),
            ("False", "waiting for the load balancer to get an address"),
            (
                "False",
                "failed to pull image: Error response from daemon: No such image: demo/haproxy:v1",
            ),
            (
                "False",
                "Error response from daemon: manifest unknown: manifest unknown",
            ),
        ] {
            assert_eq!(refused(status, message), None, "{message}");
        }
    }
}
