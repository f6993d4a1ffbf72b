//! Which images a recorded run could not have.

use std::collections::BTreeSet;

use anyhow::Result;
use serde_json::Value;

use crate::record::Past;

/// What a container says that waits for an image that is not to be had (`pkg/kubelet/images/types.go` of Kubernetes).
/// One with an invalid name is as invalid the next time.
const REASONS: [&str; 5] = [
    "ErrImagePull",
    "ImagePullBackOff",
    "ErrImageNeverPull",
    "RegistryUnavailable",
    "SignatureValidationFailed",
];

/// The images that containers of either cluster were waiting for at a moment (in milliseconds since the run began),
/// and that no other container had: what one node holds and another cannot pull is there.
///
/// # Errors
/// When the recording is broken.
pub fn missing_images(past: &Past, at_ms: u64) -> Result<BTreeSet<String>> {
    let mut images = Images::default();
    for cluster in past.at(at_ms)?.clusters.values() {
        for object in cluster.objects() {
            let (id, pod) = object?;
            if id.resource == "pods" {
                images.of(&pod);
            }
        }
    }
    Ok(images.nobody_has())
}

#[derive(Default)]
struct Images {
    missing: BTreeSet<String>,
    had: BTreeSet<String>,
}

impl Images {
    fn of(&mut self, pod: &Value) {
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
                    self.missing.insert(image.to_owned());
                } else if status["imageID"].as_str().is_some_and(|id| !id.is_empty()) {
                    // Also one that ends again and again had it.
                    self.had.insert(image.to_owned());
                }
            }
        }
    }

    fn nobody_has(self) -> BTreeSet<String> {
        &self.missing - &self.had
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
        let mut images = Images::default();
        images.of(&pod);
        images.of(&json!({}));
        let set = |images: &[&str]| images.iter().map(ToString::to_string).collect();
        assert_eq!(images.missing, set(&["main:v1", "prepare:v1"]));
        assert_eq!(images.had, set(&["works:v1"]));
        // Another node has one of them.
        images.of(&json!({
            "spec": {"containers": [{"name": "main", "image": "prepare:v1"}]},
            "status": {"containerStatuses": [{"name": "main", "imageID": "prepare@sha256:2"}]},
        }));
        assert_eq!(images.nobody_has(), set(&["main:v1"]));
    }
}
