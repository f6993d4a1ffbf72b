//! Why a release could not be had: one message each, with who has to act.

use std::path::PathBuf;

use oci_client::errors::{OciDistributionError, OciErrorCode};

use super::build::BuildError;
use crate::stack::ReleaseTag;

/// Why a release could not be had.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// What is named is no repository.
    #[error(
        "`{0}` is no repository of a registry, expected e.g. registry.example.org/kaas/cluster-stacks"
    )]
    Repository(String),
    /// The registry does not let the user in.
    #[error("{registry} does not let us read {what} (401)")]
    Unauthorized {
        /// The registry's host.
        registry: String,
        /// What was asked for.
        what: String,
    },
    /// Docker's configuration has credentials that cannot be read.
    #[error("the credentials for {registry} in Docker's config.json cannot be used: {why}")]
    Credentials {
        /// The registry's host.
        registry: String,
        /// Why.
        why: String,
    },
    /// The registry does not have it.
    #[error("{registry} does not have {what} (404)")]
    NotFound {
        /// The registry's host.
        registry: String,
        /// What was asked for.
        what: String,
    },
    /// The registry has the release before it, and not this one.
    #[error("{registry} does not have {what} (404), and has {before}")]
    Unreleased {
        /// The registry's host.
        registry: String,
        /// What was asked for.
        what: String,
        /// The release before.
        before: String,
        /// Why it may not be there, and what to do.
        why: String,
    },
    /// The registry asks to come later.
    #[error("{registry} has had too many requests (429) when asked for {what}")]
    TooMany {
        /// The registry's host.
        registry: String,
        /// What was asked for.
        what: String,
    },
    /// The content is not what its digest says.
    #[error("{what} from {registry} is not what its digest says: {why}")]
    Digest {
        /// The registry's host.
        registry: String,
        /// What was asked for.
        what: String,
        /// Both digests.
        why: String,
    },
    /// The tag stands for something else than it did.
    #[error("the tag {what} moved: {was} {before}, now {now}")]
    Moved {
        /// Repository and tag.
        what: String,
        /// Whose digest the first is.
        was: &'static str,
        /// The digest before.
        before: String,
        /// The digest now.
        now: String,
    },
    /// What is there is no release.
    #[error("{what} is no release of a cluster stack: {why}")]
    NoRelease {
        /// Repository and tag.
        what: String,
        /// Why.
        why: String,
    },
    /// The connection failed, or ended too early.
    #[error("the connection to {registry} failed while {what} was fetched: {why}")]
    Connection {
        /// The registry's host.
        registry: String,
        /// What was asked for.
        what: String,
        /// The innermost cause.
        why: String,
    },
    /// Whatever else a registry answers.
    #[error("{registry} refused {what}: {why}")]
    Other {
        /// The registry's host.
        registry: String,
        /// What was asked for.
        what: String,
        /// Its own words.
        why: String,
    },
    /// An archive that is no release.
    #[error("{} is no archive of a release: {why}", file.display())]
    Packed {
        /// The archive.
        file: PathBuf,
        /// Why.
        why: String,
    },
    /// The folder of a release is there already.
    #[error("{} is there already", .0.display())]
    Exists(PathBuf),
    /// The disk does not do as it is told.
    #[error("failed to write the release: {0}")]
    Local(std::io::Error),
    /// Sources that make no release.
    #[error(transparent)]
    Build(#[from] BuildError),
}

impl SourceError {
    pub(super) const fn local(error: std::io::Error) -> Self {
        Self::Local(error)
    }

    /// The same of release `tag`, where the source has the release `before`.
    pub(super) fn after(self, before: &ReleaseTag, tag: &ReleaseTag) -> Self {
        match (self, tag.unnoticed([before])) {
            (Self::NotFound { registry, what }, Some(why)) => Self::Unreleased {
                registry,
                what,
                before: before.to_string(),
                why,
            },
            (other, _) => other,
        }
    }

    /// Whether the surroundings are to blame: another day it may work as it stands.
    #[must_use]
    pub const fn is_infrastructure(&self) -> bool {
        matches!(
            self,
            Self::TooMany { .. }
                | Self::Digest { .. }
                | Self::Connection { .. }
                | Self::Other { .. }
                | Self::Local(_)
        )
    }

    /// What to do now.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Repository(_) => "name host and path, without https:// and without a tag".to_owned(),
            Self::Unauthorized { registry, .. } | Self::Credentials { registry, .. } => format!(
                "`docker login {registry}` writes credentials to ~/.docker/config.json; \
                 DOCKER_CONFIG names another folder"
            ),
            Self::NotFound { .. } => {
                "compare repository and tag; tags are in dash form, e.g. docker-scs-1-34-v1".to_owned()
            }
            Self::Unreleased { why, .. } => why.clone(),
            Self::TooMany { .. } => "wait, or log in: registries allow more to those they know".to_owned(),
            Self::Digest { .. } => {
                "something between here and the registry changes content, or the registry is damaged; nothing was kept".to_owned()
            }
            Self::Moved { .. } => {
                "find out who moved it; then pin the digest that is meant in spec.releases.source".to_owned()
            }
            Self::NoRelease { .. } => {
                "csctl publishes releases: one layer per file, each with its name as title".to_owned()
            }
            Self::Packed { .. } => {
                "pack the release's folder: tar -czf TAG.tar.gz TAG".to_owned()
            }
            Self::Connection { .. } | Self::Other { .. } => "try again; nothing was kept".to_owned(),
            Self::Exists(_) => "remove it, or name another folder".to_owned(),
            Self::Local(_) => "see that the folder can be written and the disk is not full".to_owned(),
            Self::Build(_) => "sources are a folder with csctl.yaml or metadata.yaml, and the charts".to_owned(),
        }
    }
}

/// What went wrong between us and a registry, in one message.
pub(super) fn explain(registry: &str, what: &str, error: OciDistributionError) -> SourceError {
    let (registry, what) = (registry.to_owned(), what.to_owned());
    use OciDistributionError as E;
    let status = match &error {
        E::UnauthorizedError { .. } | E::AuthenticationFailure(_) => Some(401),
        E::ImageManifestNotFoundError(_) => Some(404),
        E::ServerError { code, .. } => Some(*code),
        E::RequestError(error) => error.status().map(|status| status.as_u16()),
        E::RegistryError { envelope, .. } => {
            envelope.errors.iter().find_map(|one| match one.code {
                OciErrorCode::Unauthorized | OciErrorCode::Denied => Some(401),
                OciErrorCode::ManifestUnknown
                | OciErrorCode::NameUnknown
                | OciErrorCode::NotFound
                | OciErrorCode::BlobUnknown => Some(404),
                OciErrorCode::Toomanyrequests => Some(429),
                _ => None,
            })
        }
        _ => None,
    };
    match (status, &error) {
        (Some(401 | 403), _) => SourceError::Unauthorized { registry, what },
        (Some(404), _) => SourceError::NotFound { registry, what },
        (Some(429), _) => SourceError::TooMany { registry, what },
        (_, E::DigestError(why)) => SourceError::Digest {
            registry,
            what,
            why: why.to_string(),
        },
        // What was taken in was more than the manifest says.
        (_, E::IoError(error)) if error.kind() == std::io::ErrorKind::InvalidData => {
            SourceError::Digest {
                registry,
                what,
                why: innermost(error),
            }
        }
        (_, E::RequestError(error)) => SourceError::Connection {
            registry,
            what,
            why: innermost(error),
        },
        (_, E::IoError(error)) => SourceError::Connection {
            registry,
            what,
            why: innermost(error),
        },
        (_, E::ImageIndexParsingNoPlatformResolverError) => SourceError::NoRelease {
            what,
            why: "it is an index of images for several platforms".to_owned(),
        },
        (_, E::ManifestParsingError(why) | E::VersionedParsingError(why)) => {
            SourceError::NoRelease {
                what,
                why: why.clone(),
            }
        }
        (_, other) => SourceError::Other {
            registry,
            what,
            why: other.to_string(),
        },
    }
}

/// The cause that says most: libraries wrap it several times.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut inner = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner.to_string()
}
