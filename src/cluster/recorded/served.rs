//! Which kinds a cluster serves, by aggregated discovery (Kubernetes 1.30 and later).

use anyhow::{Context, Result};
use http::Request;
use http::header::ACCEPT;
use kube::Client;
use serde_json::{Value, json};

use super::super::Kind;

/// Both documents at once, instead of one for each group and version.
const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// What a cluster says of its kinds, as it is said.
#[derive(PartialEq, Eq)]
pub(super) struct Served {
    version: String,
    core: String,
    groups: String,
}

/// Asks for both documents of discovery, and for the version.
pub(super) async fn ask(client: &Client) -> Result<Served> {
    Ok(Served {
        version: client.apiserver_version().await?.git_version,
        core: document(client, "/api").await?,
        groups: document(client, "/apis").await?,
    })
}

async fn document(client: &Client, path: &str) -> Result<String> {
    let request = Request::get(path).header(ACCEPT, AGGREGATED);
    let request = request.body(Vec::new())?;
    let asked = client.request_text(request).await;
    asked.with_context(|| format!("failed to ask which kinds there are at {path}"))
}

impl Served {
    /// Reads it.
    pub(super) fn read(&self) -> Result<Value> {
        let items = |document: &str| -> Result<Value> {
            let mut document: Value = serde_json::from_str(document)?;
            Ok(document["items"].take())
        };
        let (core, groups) = (items(&self.core)?, items(&self.groups)?);
        Ok(json!({"version": self.version, "core": core, "groups": groups}))
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// The kinds that can be listed and watched, each in the version that the server prefers.
pub(super) fn kinds(served: &Value) -> Vec<Kind> {
    let mut found: Vec<Kind> = Vec::new();
    for group in ["core", "groups"]
        .iter()
        .flat_map(|part| list(&served[*part]))
    {
        let name = group["metadata"]["name"].as_str().unwrap_or_default();
        for version in list(&group["versions"]) {
            for resource in list(&version["resources"]) {
                let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                let kind = Kind {
                    group: name.to_owned().into(),
                    version: text(&version["version"]).into(),
                    kind: text(&resource["responseKind"]["kind"]).into(),
                    plural: text(&resource["resource"]).into(),
                };
                let can = |verb: &str| list(&resource["verbs"]).iter().any(|one| one == verb);
                // The core group's events are the same objects.
                let again = name == "events.k8s.io";
                let known = found
                    .iter()
                    .any(|known| known.group == kind.group && known.plural == kind.plural);
                if can("list") && can("watch") && !again && !known {
                    found.push(kind);
                }
            }
        }
    }
    found
}
