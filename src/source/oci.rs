//! Releases in an OCI registry, as csctl publishes them: one layer for each file, its title the file's name.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use docker_credential::{CredentialRetrievalError, DockerCredential, get_credential};
use oci_client::client::{ClientConfig, ClientProtocol};
use oci_client::manifest::OciDescriptor;
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference};
use tokio::io::AsyncWrite;

use super::ReleaseFiles;
use super::trouble::{SourceError, explain};
use crate::stack::ReleaseTag;

/// Names the file of a layer (OCI image specification).
const TITLE: &str = "org.opencontainers.image.title";
/// What a release's file may have in bytes, and how many there may be: far above what is published.
const FILE_BYTES: u64 = 64 << 20;
const FILES: usize = 64;
/// How long a registry may say nothing.
const SILENCE: Duration = Duration::from_secs(30);

/// A repository of a registry.
#[derive(Debug, Clone)]
pub struct Registry {
    /// Host and path, e.g. `registry.example.org/kaas/cluster-stacks`.
    pub repository: String,
    /// Whether it is spoken to without TLS. Only the machine itself is.
    plain: bool,
}

impl Registry {
    /// The repository of a name. A registry on the machine itself is spoken to without TLS, as Docker does.
    #[must_use]
    pub fn new(repository: &str) -> Self {
        let host = repository.split('/').next().unwrap_or_default();
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
        Self {
            repository: repository.to_owned(),
            plain: matches!(name, "localhost" | "127.0.0.1" | "[::1]"),
        }
    }
}

/// A release as it was pulled.
#[derive(Debug)]
pub struct Pulled {
    /// Its files.
    pub files: ReleaseFiles,
    /// Digest of its manifest, which stands for all of them.
    pub digest: String,
}

/// Pulls a release. Where a digest is pinned, the tag must stand for it.
///
/// # Errors
/// [`SourceError`], one message for whatever a registry can do wrong. Nothing is kept then.
pub async fn pull(
    registry: &Registry,
    tag: &ReleaseTag,
    pinned: Option<&str>,
) -> Result<Pulled, SourceError> {
    let what = format!("{}:{tag}", registry.repository);
    let reference: Reference = what
        .parse()
        .map_err(|_| SourceError::Repository(registry.repository.clone()))?;
    let host = reference.resolve_registry().to_owned();
    let auth = credentials(&host)?;
    // Whoever has chosen one before is right, too.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = Client::new(ClientConfig {
        protocol: if registry.plain {
            ClientProtocol::Http
        } else {
            ClientProtocol::Https
        },
        read_timeout: Some(SILENCE),
        connect_timeout: Some(SILENCE),
        user_agent: concat!("stackgate/", env!("CARGO_PKG_VERSION")),
        // A release is for no platform: an index of images is none.
        platform_resolver: None,
        ..ClientConfig::default()
    });
    let failed = |error| explain(&host, &what, error);
    let (manifest, digest) = client
        .pull_image_manifest(&reference, &auth)
        .await
        .map_err(failed)?;
    let moved = |was, before: &str, now: &str| SourceError::Moved {
        what: what.clone(),
        was,
        before: before.to_owned(),
        now: now.to_owned(),
    };
    if let Some(pinned) = pinned.filter(|pinned| *pinned != digest) {
        return Err(moved("the stack's file pins", pinned, &digest));
    }
    if manifest.layers.len() > FILES {
        let why = format!(
            "it has {} layers, at most {FILES} are files of one",
            manifest.layers.len()
        );
        return Err(SourceError::NoRelease { what, why });
    }
    let mut files = ReleaseFiles::new();
    for layer in &manifest.layers {
        let name = title(layer).map_err(|why| SourceError::NoRelease {
            what: what.clone(),
            why,
        })?;
        let mut out = Limited::new(layer);
        let file = format!("{name} of {what}");
        let pulled = client.pull_blob(&reference, layer, &mut out).await;
        pulled.map_err(|error| explain(&host, &file, error))?;
        if files.insert(name.to_owned(), out.bytes).is_some() {
            let why = format!("it has the file {name} twice");
            return Err(SourceError::NoRelease { what, why });
        }
    }
    if !files.contains_key("metadata.yaml") {
        let why = "it has no metadata.yaml".to_owned();
        return Err(SourceError::NoRelease { what, why });
    }
    if let Some(why) = contradiction(manifest.annotations.as_ref(), &files) {
        return Err(SourceError::NoRelease { what, why });
    }
    // Its files were pulled by their digests; whoever pulls the tag next must get the same.
    let now = client
        .fetch_manifest_digest(&reference, &auth)
        .await
        .map_err(failed)?;
    if now != digest {
        return Err(moved("it was", &digest, &now));
    }
    Ok(Pulled { files, digest })
}

/// What csctl writes beside a release, and the file and field that have to say the same.
const ANNOTATIONS: [(&str, &str, &str); 2] = [
    ("kubernetesVersion", "metadata.yaml", "/versions/kubernetes"),
    // The first letters of it.
    ("hash", "hashes.json", "/clusterStack"),
];

/// In what a manifest says something else than the files that it lists.
fn contradiction(
    annotations: Option<&BTreeMap<String, String>>,
    files: &ReleaseFiles,
) -> Option<String> {
    ANNOTATIONS.iter().find_map(|(name, file, field)| {
        let said = annotations?.get(*name).filter(|said| !said.is_empty())?;
        let text = std::str::from_utf8(files.get(*file)?).ok()?;
        // What cannot be read is told when the release is opened.
        let content: serde_json::Value = serde_saphyr::from_str(text).ok()?;
        let is = content.pointer(field)?.as_str()?;
        let same = is == said || (*name == "hash" && is.starts_with(said.as_str()));
        (!same).then(|| format!("its manifest says {name} {said}, and its {file} {is}"))
    })
}

/// The name of a layer's file: one that stays in the release's folder.
fn title(layer: &OciDescriptor) -> Result<&str, String> {
    let titles = layer.annotations.as_ref();
    let title = titles.and_then(|titles| titles.get(TITLE));
    let Some(title) = title else {
        return Err(format!(
            "layer {} has no title, so its file has no name",
            layer.digest
        ));
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if title.is_empty() || title.starts_with('.') || title.len() > 200 || !title.chars().all(plain)
    {
        return Err(format!(
            "{title:?} is no name of a file in a release's folder"
        ));
    }
    let size = u64::try_from(layer.size).unwrap_or(u64::MAX);
    if size > FILE_BYTES {
        return Err(format!(
            "{title} is said to have {} bytes, more than {FILE_BYTES}",
            layer.size
        ));
    }
    Ok(title)
}

/// What Docker knows of a registry: config.json in DOCKER_CONFIG or ~/.docker, and the helpers it names.
fn credentials(registry: &str) -> Result<RegistryAuth, SourceError> {
    let named = std::env::var_os("DOCKER_CONFIG").map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| Path::new(&home).join(".docker"));
    let folder = named.or_else(home);
    if folder.is_none_or(|folder| !folder.join("config.json").exists()) {
        return Ok(RegistryAuth::Anonymous);
    }
    match get_credential(registry) {
        Ok(DockerCredential::UsernamePassword(user, password)) => {
            Ok(RegistryAuth::Basic(user, password))
        }
        Ok(DockerCredential::IdentityToken(token)) => Ok(RegistryAuth::Bearer(token)),
        // Nobody logged in here.
        Err(
            CredentialRetrievalError::ConfigNotFound
            | CredentialRetrievalError::NoCredentialConfigured,
        ) => Ok(RegistryAuth::Anonymous),
        Err(error) => Err(SourceError::Credentials {
            registry: registry.to_owned(),
            why: match error {
                // What a helper printed may hold what it should not print.
                CredentialRetrievalError::HelperFailure { helper, .. } => {
                    format!("docker-credential-{helper} fails")
                }
                other => other.to_string(),
            },
        }),
    }
}

/// Takes as many bytes as a layer is said to have, and not one more.
struct Limited {
    bytes: Vec<u8>,
    limit: usize,
}

impl Limited {
    fn new(layer: &OciDescriptor) -> Self {
        Self {
            bytes: Vec::new(),
            limit: usize::try_from(layer.size).unwrap_or(0),
        }
    }
}

impl AsyncWrite for Limited {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.bytes.len() + buffer.len() > self.limit {
            let message = format!("more than the {} bytes that the manifest says", self.limit);
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, message)));
        }
        self.bytes.extend_from_slice(buffer);
        Poll::Ready(Ok(buffer.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_machine_itself_is_spoken_to_without_tls() {
        for (repository, plain) in [
            ("localhost:5000/a/b", true),
            ("127.0.0.1:5000/a", true),
            ("registry.example.org/a", false),
            ("localhost.example.org/a", false),
        ] {
            assert_eq!(Registry::new(repository).plain, plain, "{repository}");
        }
    }

    proptest::proptest! {
        #[test]
        fn a_title_never_leaves_the_folder(name in ".{0,40}", size in proptest::prelude::any::<i64>()) {
            let layer = OciDescriptor {
                size,
                annotations: Some([(TITLE.to_owned(), name)].into()),
                ..OciDescriptor::default()
            };
            if let Ok(title) = title(&layer) {
                let path = std::path::Path::new(title);
                proptest::prop_assert_eq!(path.components().count(), 1);
                proptest::prop_assert!(matches!(
                    path.components().next(),
                    Some(std::path::Component::Normal(_))
                ));
                proptest::prop_assert!(u64::try_from(size).is_ok_and(|size| size <= FILE_BYTES));
            }
        }
    }
}
