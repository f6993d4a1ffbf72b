//! Which images kubeadm of a version brings.

/// Where the project's images are.
pub const REPOSITORY: &str = "registry.k8s.io";

/// CoreDNS and etcd by the minor of Kubernetes 1.
///
/// Source: `CoreDNSVersion` and `SupportedEtcdVersion` in kubernetes/kubernetes
/// `cmd/kubeadm/app/constants/constants.go` of the release branches.
const BROUGHT: &[(u32, &str, &str)] = &[
    (32, "v1.11.3", "3.5.24-0"),
    (33, "v1.12.0", "3.5.24-0"),
    (34, "v1.12.1", "3.6.5-0"),
    (35, "v1.13.1", "3.6.6-0"),
    (36, "v1.14.2", "3.6.8-0"),
];

/// The minor of a version such as `v1.35.0`.
fn minor(version: &str) -> u32 {
    let mut parts = version.trim_start_matches('v').split('.');
    parts
        .nth(1)
        .and_then(|minor| minor.parse().ok())
        .unwrap_or(0)
}

/// The line for a version; the nearest one for minors that are not listed.
fn brought(version: &str) -> &'static (u32, &'static str, &'static str) {
    let minor = minor(version);
    let nearest = BROUGHT
        .iter()
        .min_by_key(|(listed, ..)| listed.abs_diff(minor));
    nearest.unwrap_or(&BROUGHT[0])
}

/// Tag of CoreDNS that kubeadm of a version installs.
#[must_use]
pub fn core_dns(version: &str) -> &'static str {
    brought(version).1
}

/// Tag of etcd that kubeadm of a version installs.
#[must_use]
pub fn etcd(version: &str) -> &'static str {
    brought(version).2
}

/// A version as a tag: build metadata is written with `_`.
pub(super) fn tag(version: &str) -> String {
    version.replace('+', "_")
}

/// The tag of an image, empty when it has none.
pub(super) fn tag_of(image: &str) -> &str {
    let last = image.rsplit('/').next().unwrap_or_default();
    last.split_once(':').map_or("", |(_, tag)| tag)
}

/// The same image with another tag.
pub(super) fn retagged(image: &str, tag: &str) -> String {
    let end = image.len() - tag_of(image).len();
    let named = image[..end].trim_end_matches(':');
    format!("{named}:{tag}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_exchanged_behind_any_registry() {
        assert_eq!(
            retagged("localhost:5000/kube-proxy:v1.34.0", "v1.35.0"),
            "localhost:5000/kube-proxy:v1.35.0"
        );
        assert_eq!(
            retagged("localhost:5000/kube-proxy", "v1"),
            "localhost:5000/kube-proxy:v1"
        );
    }

    #[test]
    fn each_minor_brings_its_own_and_unknown_ones_the_nearest() {
        assert_eq!(
            (core_dns("v1.34.3"), etcd("v1.35.0")),
            ("v1.12.1", "3.6.6-0")
        );
        assert_eq!(core_dns("v1.99.0"), "v1.14.2");
    }
}
