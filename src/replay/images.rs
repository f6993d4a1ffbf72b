//! Which images a recorded run could not have.

use std::collections::BTreeSet;

use anyhow::Result;
use serde_json::Value;

use crate::record::Past;

/// What a container says that waits for its image (`pkg/kubelet/images/types.go` of Kubernetes).
const REASONS: [&str; 2] = ["ErrImagePull", "ImagePullBackOff"];

/// The images that containers of either cluster were waiting for when the recording ended.
///
/// # Errors
/// When the recording is broken.
pub fn missing_images(past: &Past) -> Result<BTreeSet<String>> {
    let mut images = BTreeSet::new();
    for cluster in past.at(past.end_ms())?.clusters.values() {
        for object in cluster.objects() {
            let (id, pod) = object?;
            if id.resource == "pods" {
                images.extend(waited_for(&pod));
            }
        }
    }
    Ok(images)
}

fn waited_for(pod: &Value) -> impl Iterator<Item = String> + '_ {
    let lists = [
        ("initContainers", "initContainerStatuses"),
        ("containers", "containerStatuses"),
    ];
    lists.into_iter().flat_map(move |(specs, statuses)| {
        let waits = move |name: &Value| {
            let mut statuses = pod["status"][statuses].as_array().into_iter().flatten();
            statuses.any(|status| {
                let reason = status["state"]["waiting"]["reason"].as_str();
                status["name"] == *name && reason.is_some_and(|reason| REASONS.contains(&reason))
            })
        };
        // The status names an image as the container runtime does, the specification as the release does.
        let containers = pod["spec"][specs].as_array().into_iter().flatten();
        containers
            .filter(move |container| waits(&container["name"]))
            .filter_map(|container| container["image"].as_str().map(str::to_owned))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_container_that_waits_for_its_image_names_it() {
        let waiting = |reason| json!({"waiting": {"reason": reason}});
        let pod = json!({
            "spec": {
                "initContainers": [{"name": "prepare", "image": "prepare:v1"}],
                "containers": [{"name": "main", "image": "main:v1"}, {"name": "side", "image": "side:v1"}],
            },
            "status": {
                "initContainerStatuses": [{"name": "prepare", "state": waiting("ErrImagePull")}],
                "containerStatuses": [
                    {"name": "main", "image": "main@sha256:0", "state": waiting("ImagePullBackOff")},
                    {"name": "side", "state": waiting("ContainerCreating")},
                ],
            },
        });
        let images: Vec<String> = waited_for(&pod).collect();
        assert_eq!(images, ["prepare:v1", "main:v1"]);
        assert_eq!(waited_for(&json!({})).count(), 0);
    }
}
