//! Versions in image references.

/// The tag of an image reference, empty when it has none.
pub fn tag(image: &str) -> &str {
    let named = image.split_once('@').map_or(image, |(named, _)| named);
    // A colon before the last slash belongs to the registry's port.
    let last = named.rsplit_once('/').map_or(named, |(_, last)| last);
    last.split_once(':').map_or("", |(_, tag)| tag)
}

/// Whether an image is tagged with a version. Build metadata is written with `_` in tags.
pub fn is_tagged(image: &str, version: &str) -> bool {
    tag(image) == version.replace('+', "_")
}

/// Major, minor and patch of a version such as `v1.12.1` or `v1.11.3-eksbuild.1`.
pub fn numbers(version: &str) -> Option<[u32; 3]> {
    let release = version
        .trim_start_matches('v')
        .split(['-', '+', '_'])
        .next()?;
    let parts: Option<Vec<u32>> = release.split('.').map(|part| part.parse().ok()).collect();
    parts?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_what_follows_the_name() {
        for (image, told) in [
            ("registry.k8s.io/kube-proxy:v1.35.0", "v1.35.0"),
            ("localhost:5000/kube-proxy:v1.35.0@sha256:abc", "v1.35.0"),
            ("localhost:5000/kube-proxy", ""),
            ("kube-proxy@sha256:abc", ""),
        ] {
            assert_eq!(tag(image), told, "{image}");
        }
        assert!(is_tagged("x/y:v1.35.0_vendor.1", "v1.35.0+vendor.1"));
    }

    #[test]
    fn versions_are_ordered_by_number() {
        assert!(numbers("v1.9.3") < numbers("v1.12.1"));
        assert_eq!(numbers("v1.11.3-eksbuild.1"), Some([1, 11, 3]));
        assert_eq!(numbers("latest"), None);
    }
}
