//! Which images a recorded run could not have.

use std::collections::BTreeSet;

use anyhow::Result;
use serde_json::Value;

use crate::record::Past;

/// What a container says that waits for its image (`pkg/kubelet/images/types.go` of Kubernetes).
const REASONS: [&str; 2] = ["ErrImagePull", "ImagePullBackOff"];

/// The images that containers of either cluster were waiting for when the recording ended, and that no other
/// container had: what one node holds and another cannot pull is there.
///
/// # Errors
/// When the recording is broken.
pub fn missing_images(past: &Past) -> Result<BTreeSet<String>> {
    let (mut missing, mut had) = (BTreeSet::new(), BTreeSet::new());
    for cluster in past.at(past.end_ms())?.clusters.values() {
        for object in cluster.objects() {
            let (id, pod) = object?;
            if id.resource == "pods" {
                sort(&pod, &mut missing, &mut had);
            }
        }
    }
    Ok(missing.into_iter().filter(|it| !had.contains(it)).collect())
}

fn sort(pod: &Value, missing: &mut BTreeSet<String>, had: &mut BTreeSet<String>) {
    let lists = [
        ("initContainers", "initContainerStatuses"),
        ("containers", "containerStatuses"),
    ];
    for (specs, statuses) in lists {
        let statuses = pod["status"][statuses].as_array();
        for container in pod["spec"][specs].as_array().into_iter().flatten() {
            // The status names an image as the container runtime does, the specification as the release does.
            let Some(image) = container["image"].as_str() else {
                continue;
            };
            let mut statuses = statuses.into_iter().flatten();
            let status = statuses.find(|status| status["name"] == container["name"]);
            let status = status.unwrap_or(&Value::Null);
            let reason = status["state"]["waiting"]["reason"].as_str();
            if reason.is_some_and(|reason| REASONS.contains(&reason)) {
                missing.insert(image.to_owned());
            } else if status["imageID"].as_str().is_some_and(|id| !id.is_empty()) {
                // Also one that ends again and again had it.
                had.insert(image.to_owned());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_image_is_missing_that_a_container_waits_for() {
        let waiting = |reason| json!({"waiting": {"reason": reason}});
        let pod = json!({
            "spec": {
                "initContainers": [{"name": "prepare", "image": "prepare:v1"}],
                "containers": [
                    {"name": "main", "image": "main:v1"},
                    {"name": "side", "image": "side:v1"},
                    {"name": "works", "image": "works:v1"},
                ],
            },
            "status": {
                "initContainerStatuses": [{"name": "prepare", "state": waiting("ErrImagePull")}],
                "containerStatuses": [
                    {"name": "main", "image": "main@sha256:0", "state": waiting("ImagePullBackOff")},
                    {"name": "side", "state": waiting("ContainerCreating")},
                    {"name": "works", "imageID": "works@sha256:1", "state": waiting("CrashLoopBackOff")},
                ],
            },
        });
        let (mut missing, mut had) = (BTreeSet::new(), BTreeSet::new());
        sort(&pod, &mut missing, &mut had);
        let set = |images: &[&str]| images.iter().map(ToString::to_string).collect();
        assert_eq!(missing, set(&["main:v1", "prepare:v1"]));
        assert_eq!(had, set(&["works:v1"]));
        sort(&json!({}), &mut missing, &mut had);
        assert_eq!((missing.len(), had.len()), (2, 1));
    }
}
