//! Why following a kind came to an end.

use crate::cluster::Kind;
use crate::cluster::refusal::told;

/// Why it came to an end.
pub(super) enum End {
    /// What changed since the last list is forgotten on the server: an everyday event, which a new list
    /// mends. What is known is no older than the watch before it.
    Forgotten,
    Failed {
        why: String,
        refused: bool,
    },
}

impl End {
    pub(super) fn of(verb: &str, kind: &Kind, error: &kube::Error) -> Self {
        match error {
            kube::Error::Api(status) if status.code == 410 => Self::Forgotten,
            kube::Error::Api(status) if status.code == 403 => Self::Failed {
                why: format!("may not {verb} {}: {}", kind.plural, status.message),
                refused: true,
            },
            error => Self::Failed {
                why: format!("failed to {verb} {}: {}", kind.plural, told(error)),
                refused: false,
            },
        }
    }
}
