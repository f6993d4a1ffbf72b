//! Tells what passes by itself in a young cluster from what does not.

/// What one attempt failed with.
pub(super) enum Failure {
    /// Expected for a while.
    Passing(String),
    /// Will not change by itself.
    Lasting(String),
}

/// Tells what passes by itself in a young cluster from what does not.
pub(super) fn judge(error: &kube::Error) -> Failure {
    use kube::Error::{Api, HyperError, ReadEvents, Service};
    match error {
        Api(status) => {
            let message = status.message.clone();
            let message = if message.is_empty() {
                format!("HTTP status {}", status.code)
            } else {
                message
            };
            // A webhook's own refusal may carry any code; one that cannot be reached is a 500.
            let denied = message.contains("denied the request");
            // What is not in a kind's schema is a 500, too.
            let malformed = message.contains("failed to create typed patch object");
            // Pods may be refused until the namespace's service account is there.
            let early = status.code == 403 && message.contains("error looking up service account");
            // Without details it is the kind that is missing, else what the object refers to.
            let unserved = status.code == 404
                && status
                    .details
                    .as_ref()
                    .is_none_or(|details| details.name.is_empty());
            let passing = matches!(status.code, 409 | 429 | 500..=599) || early || unserved;
            if passing && !denied && !malformed {
                Failure::Passing(message)
            } else {
                Failure::Lasting(message)
            }
        }
        Service(_) | HyperError(_) | ReadEvents(_) => Failure::Passing(sources(error)),
        _ => Failure::Lasting(sources(error)),
    }
}

/// An error with all that it wraps.
pub(super) fn sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        source = inner.source();
    }
    text
}
