//! Which images can be pulled: a model of all registries.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use crate::store::lock;

#[derive(Debug, Default)]
struct Inner {
    missing: BTreeSet<String>,
    away: BTreeSet<String>,
    refused: BTreeSet<String>,
}

/// Images by reference; whatever is not told otherwise can be pulled. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Images(Arc<Mutex<Inner>>);

impl Images {
    /// From now on, no registry has this reference, e.g. `example.org/app:v9`.
    pub fn remove(&self, reference: &str) {
        lock(&self.0).missing.insert(full(reference));
    }

    /// From now on, the registry has it (again).
    pub fn restore(&self, reference: &str) {
        lock(&self.0).missing.remove(&full(reference));
    }

    /// Whether somebody wanted a reference that was not there.
    #[must_use]
    pub fn was_refused(&self, reference: &str) -> bool {
        lock(&self.0).refused.contains(&full(reference))
    }

    /// From now on, a registry does not answer, e.g. `registry.k8s.io`.
    pub fn cut_off(&self, registry: &str) {
        lock(&self.0).away.insert(registry.to_owned());
    }

    /// From now on, it answers (again).
    pub fn reconnect(&self, registry: &str) {
        lock(&self.0).away.remove(registry);
    }

    /// Why a reference cannot be pulled, in the words of containerd.
    #[must_use]
    pub fn refusal(&self, reference: &str) -> Option<String> {
        let mut inner = lock(&self.0);
        let full = full(reference);
        let registry = full.split('/').next().unwrap_or_default();
        let failed = format!(
            "failed to pull and unpack image \"{full}\": failed to resolve reference \"{full}\""
        );
        if inner.away.contains(registry) {
            return Some(format!(
                "{failed}: failed to do request: Head \"https://{registry}/v2/\": dial tcp: i/o timeout"
            ));
        }
        let missing = inner.missing.contains(&full);
        missing.then(|| {
            let told = format!("rpc error: code = NotFound desc = {failed}: {full}: not found");
            inner.refused.insert(full);
            told
        })
    }

    /// The failure that a fault brings, in the same words.
    #[must_use]
    pub fn unreachable(reference: &str) -> String {
        let full = full(reference);
        let registry = full.split('/').next().unwrap_or_default();
        format!(
            "failed to pull and unpack image \"{full}\": failed to resolve reference \"{full}\": failed to do request: Head \"https://{registry}/v2/\": dial tcp: i/o timeout"
        )
    }
}

/// A reference with registry and tag, as containerd names images.
#[must_use]
pub fn full(reference: &str) -> String {
    let (path, digest) = reference
        .split_once('@')
        .map_or((reference, None), |(path, digest)| (path, Some(digest)));
    let first = path.split('/').next().unwrap_or_default();
    let named = if path.contains('/') && (first.contains(['.', ':']) || first == "localhost") {
        path.to_owned()
    } else if path.contains('/') {
        format!("docker.io/{path}")
    } else {
        format!("docker.io/library/{path}")
    };
    let tagged = named
        .rsplit('/')
        .next()
        .is_some_and(|last| last.contains(':'));
    match digest {
        Some(digest) => format!("{named}@{digest}"),
        None if tagged => named,
        None => format!("{named}:latest"),
    }
}

/// The digest that stands for an image's content: the same for the same reference, in the form of a
/// SHA-256.
#[must_use]
pub fn digest(reference: &str) -> String {
    if let Some((_, digest)) = reference.split_once('@') {
        return digest.to_owned();
    }
    let full = full(reference);
    let mut words = String::with_capacity(64);
    for round in 0..4_u8 {
        // FNV-1a: stable between builds. It only has to tell images apart.
        let hash = full
            .bytes()
            .chain([round])
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
            });
        words.push_str(&format!("{hash:016x}"));
    }
    format!("sha256:{words}")
}

/// `imageID` of a container's status.
#[must_use]
pub fn id(reference: &str) -> String {
    let full = full(reference);
    let path = full.split('@').next().unwrap_or_default();
    let last = path.rfind('/').unwrap_or_default();
    let end = path[last..]
        .find(':')
        .map_or(path.len(), |colon| last + colon);
    format!("{}@{}", &path[..end], digest(reference))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_completed_as_containerd_does() {
        for (short, long) in [
            ("nginx", "docker.io/library/nginx:latest"),
            ("library/nginx:1", "docker.io/library/nginx:1"),
            ("registry.k8s.io/pause:3.10", "registry.k8s.io/pause:3.10"),
            ("localhost:5000/a", "localhost:5000/a:latest"),
        ] {
            assert_eq!(full(short), long);
        }
        assert!(id("registry.k8s.io/pause:3.10").starts_with("registry.k8s.io/pause@sha256:"));
    }

    #[test]
    fn only_what_was_removed_or_cut_off_is_refused() {
        let images = Images::default();
        assert_eq!(images.refusal("nginx:1"), None);
        images.remove("nginx:1");
        images.cut_off("quay.io");
        assert!(!images.was_refused("nginx:1"));
        let told = images.refusal("nginx:1").unwrap();
        assert!(images.was_refused("docker.io/library/nginx:1"));
        assert!(
            told.ends_with("docker.io/library/nginx:1: not found"),
            "{told}"
        );
        assert!(
            images
                .refusal("quay.io/a/b:1")
                .unwrap()
                .contains("i/o timeout")
        );
        images.restore("nginx:1");
        assert_eq!(images.refusal("nginx:1"), None);
    }
}
