//! What an API server says to who may not, in few words, and why it cannot be asked.

use std::error::Error;
use std::sync::LazyLock;

use kube::client::AuthError;
use regex::Regex;

/// How an API server tells what is not allowed (`responsewriters.forbiddenMessage` in
/// kubernetes/kubernetes `staging/src/k8s.io/apiserver`).
static RESOURCE: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(
        r#"cannot (\S+) resource "([^"]+)" in API group "[^"]*"(?: in the namespace "([^"]+)")?"#,
    )
    .ok()
});
static PATH: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r#"cannot (\S+) path "([^"]+)""#).ok());

/// An API error in the server's own words, without their repetition.
#[must_use]
pub fn told(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        error => error.to_string(),
    }
}

/// What was not allowed, when that is why something failed: `may not create pods in demo`.
#[must_use]
pub fn refusal(error: &anyhow::Error) -> Option<String> {
    let forbidden = error.chain().find_map(|cause| {
        let error = cause.downcast_ref::<kube::Error>()?;
        match error {
            kube::Error::Api(status) if status.code == 403 => Some(status.message.clone()),
            _ => None,
        }
    })?;
    if let Some(found) = RESOURCE.as_ref()?.captures(&forbidden) {
        let place = found
            .get(3)
            .map(|namespace| format!(" in {}", namespace.as_str()));
        let place = place.unwrap_or_default();
        return Some(format!("may not {} {}{place}", &found[1], &found[2]));
    }
    let found = PATH.as_ref()?.captures(&forbidden)?;
    Some(format!("may not {} {}", &found[1], &found[2]))
}

/// An error with its causes, without what a credential plugin printed.
#[must_use]
pub fn without_secrets(error: &kube::Error) -> String {
    if let kube::Error::Auth(auth) = error {
        return match auth {
            AuthError::AuthExecRun { cmd, out } => {
                let program = cmd.split_whitespace().next().unwrap_or_default();
                format!("{} failed ({})", program.trim_matches('"'), out.status)
            }
            AuthError::AuthExecParse(_) => {
                "the credential plugin printed something else than credentials".to_owned()
            }
            AuthError::AuthExecStart(cause) => {
                format!("the credential plugin cannot be started: {cause}")
            }
            other => other.to_string(),
        };
    }
    let mut told: Vec<String> = match error {
        // It says nothing but that there is a cause.
        kube::Error::Service(_) | kube::Error::HyperError(_) => Vec::new(),
        error => vec![error.to_string()],
    };
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if told.last().is_none_or(|last| !last.contains(&text)) {
            told.push(text);
        }
        cause = error.source();
    }
    told.join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forbidden(message: &str) -> anyhow::Error {
        let status = serde_json::json!({"code": 403, "reason": "Forbidden", "message": message});
        let status = serde_json::from_value(status).unwrap();
        anyhow::Error::from(kube::Error::Api(Box::new(status))).context("failed to do it")
    }

    #[test]
    fn what_is_not_allowed_is_told_by_verb_and_resource() {
        for (message, expected) in [
            (
                "nodes is forbidden: User \"jane\" cannot list resource \"nodes\" in API group \"\" at the cluster scope",
                Some("may not list nodes"),
            ),
            (
                "pods \"a\" is forbidden: User \"jane\" cannot get resource \"pods/log\" in API group \"\" in the namespace \"demo\"",
                Some("may not get pods/log in demo"),
            ),
            (
                "forbidden: User \"jane\" cannot get path \"/readyz\"",
                Some("may not get /readyz"),
            ),
            ("pods \"a\" is forbidden: violates PodSecurity", None),
        ] {
            let told = refusal(&forbidden(message));
            assert_eq!(told.as_deref(), expected, "{message}");
        }
        assert_eq!(refusal(&anyhow::anyhow!("cannot get path \"/x\"")), None);
    }
}
