//! From an object's `apiVersion` and `kind` to the path under which the API server keeps it.

use std::collections::BTreeMap;

use kube::api::{ApiResource, DynamicObject, GroupVersionKind};
use kube::core::GroupVersion;
use kube::discovery::{ApiCapabilities, Scope, pinned_group};
use kube::{Api, Client};
use serde_json::Value;
use tokio::sync::Mutex;

use super::Kind;

/// What a group and version serves.
type Served = Vec<(ApiResource, ApiCapabilities)>;

/// Why an object has no path.
#[derive(Debug, thiserror::Error)]
pub(super) enum ResolveError {
    /// It is not an object that an API server could take.
    #[error("{0}")]
    Malformed(&'static str),
    /// The API server does not serve its kind (yet).
    #[error("the API server serves no {kind} in {api_version}")]
    NotServed { kind: String, api_version: String },
    /// The API server could not be asked.
    #[error(transparent)]
    Api(#[from] kube::Error),
}

/// Asks the API server for its kinds, each group and version once, and again only for a kind that it
/// did not serve the last time.
pub(super) struct Resolver {
    client: Client,
    served: Mutex<BTreeMap<String, Served>>,
}

impl Resolver {
    pub(super) fn new(client: Client) -> Self {
        Self {
            client,
            served: Mutex::default(),
        }
    }

    /// The API for an object, and the object's namespace where its kind has one: its own, else
    /// `default`.
    pub(super) async fn api(
        &self,
        object: &Value,
        default: &str,
    ) -> Result<(Api<DynamicObject>, Option<String>), ResolveError> {
        let field = |name: &str| object[name].as_str().filter(|text| !text.is_empty());
        let api_version = field("apiVersion").ok_or(ResolveError::Malformed(
            "it has no apiVersion; expected a Kubernetes object",
        ))?;
        let kind = field("kind").ok_or(ResolveError::Malformed(
            "it has no kind; expected a Kubernetes object",
        ))?;
        let version: GroupVersion = api_version
            .parse()
            .map_err(|_| ResolveError::Malformed("its apiVersion is not GROUP/VERSION"))?;
        let wanted = GroupVersionKind::gvk(&version.group, &version.version, kind);
        let (resource, capabilities) = self.resource(&version, &wanted).await?;
        if capabilities.scope == Scope::Cluster {
            return Ok((Api::all_with(self.client.clone(), &resource), None));
        }
        let namespace = object["metadata"]["namespace"]
            .as_str()
            .filter(|namespace| !namespace.is_empty())
            .unwrap_or(default);
        let api = Api::namespaced_with(self.client.clone(), namespace, &resource);
        Ok((api, Some(namespace.to_owned())))
    }

    /// The kind of an object, or none while the API server does not serve it.
    pub(super) async fn kind(&self, object: &Value) -> anyhow::Result<Option<Kind>> {
        match self.api(object, "default").await {
            Ok(_) => {}
            Err(ResolveError::NotServed { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        let version: GroupVersion = object["apiVersion"].as_str().unwrap_or_default().parse()?;
        let kind = object["kind"].as_str().unwrap_or_default();
        let wanted = GroupVersionKind::gvk(&version.group, &version.version, kind);
        let (resource, _) = self.resource(&version, &wanted).await?;
        Ok(Some(Kind::discovered(&resource)))
    }

    async fn resource(
        &self,
        version: &GroupVersion,
        wanted: &GroupVersionKind,
    ) -> Result<(ApiResource, ApiCapabilities), ResolveError> {
        let find = |served: &Served| {
            served
                .iter()
                .find(|(resource, _)| resource.kind == wanted.kind)
                .cloned()
        };
        // Held while asking, so that objects applied side by side ask once.
        let mut cache = self.served.lock().await;
        if let Some(found) = cache.get(&version.api_version()).and_then(find) {
            return Ok(found);
        }
        let served = match pinned_group(&self.client, version).await {
            Ok(group) => group.versioned_resources(&version.version),
            Err(kube::Error::Api(status)) if status.code == 404 => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        let found = find(&served);
        cache.insert(version.api_version(), served);
        found.ok_or_else(|| ResolveError::NotServed {
            kind: wanted.kind.clone(),
            api_version: version.api_version(),
        })
    }
}
