//! A provider of node images: its object for each release, made of a template, and its work for it.

use serde_json::{Value, json};

use super::kinds::{PROVIDED, PROVIDER_TEMPLATES, errs, fails, holds};
use super::process::{Fault, Operator};
use crate::capi::referred;
use crate::cluster::Cluster;
use crate::controller::{Controller, Cx, Key, Next};
use crate::error::ApiError;
use crate::object::{is_deleting, namespace, text, truth};
use crate::registry::Write;
use crate::resource::GroupResource;
use crate::store::Change;

/// The field manager of what a provider says.
const MANAGER: &str = "cspo";

/// The reference to the provider's object of a release, which is created from the ClusterStack's template where it is
/// not there (upstream `createOrUpdateProviderClusterStackRelease`).
///
/// # Errors
/// When there is no such template, or those of the API.
pub(super) fn object(
    management: &Cluster,
    stack: &mut Value,
    tag: &str,
    now: &str,
) -> Result<Value, ApiError> {
    let reference = stack["spec"]["providerRef"].clone();
    let space = namespace(stack).to_owned();
    let Some(template) = referred(management, &space, &reference) else {
        let message =
            "provider template could not be found - check provider reference of cluster stack";
        let (kind, reason) = (
            "ProviderClusterStackReleasesSynced",
            "ProviderTemplateNotFound",
        );
        errs(stack, kind, reason, message, now);
        let named = text(&reference, "/name");
        return Err(ApiError::not_found(&PROVIDER_TEMPLATES[0], named));
    };
    let kind = text(&template, "/kind").trim_end_matches("Template");
    let catalogue = management.api().catalogue();
    let resource = catalogue.of_kind(text(&template, "/apiVersion"), kind);
    let resource = resource.ok_or_else(|| ApiError::bad_request(format!("no kind {kind}")))?;
    let made = json!({"apiVersion": template["apiVersion"], "kind": kind,
        "metadata": {"name": tag, "namespace": space}, "spec": template["spec"]["template"]["spec"]});
    let written = management
        .api()
        .create(&resource.id, made, &Write::by(super::kinds::MANAGER));
    match written {
        Err(error) if error.reason != "AlreadyExists" => Err(error),
        _ => Ok(
            json!({"apiVersion": template["apiVersion"], "kind": kind, "name": tag, "namespace": space}),
        ),
    }
}

/// The provider's controller: what is asked for is there at once, but for a fault.
pub(super) struct Provider(pub(super) Operator);

impl Controller for Provider {
    fn name(&self) -> &'static str {
        "cspo"
    }

    fn wakes(&self) -> Vec<GroupResource> {
        PROVIDED.to_vec()
    }

    fn keys(&self, _: &Cluster, change: &Change) -> Vec<Key> {
        vec![Key::of(change)]
    }

    fn reconcile(&mut self, cx: &mut Cx<'_>, key: &Key) -> Result<Next, ApiError> {
        let api = cx.cluster.api();
        let found = PROVIDED.iter().find_map(|id| {
            let object = api.get(id, &key.namespace, &key.name)?;
            (!is_deleting(&object)).then_some((id, object))
        });
        let Some((id, object)) = found else {
            return Ok(Next::Change);
        };
        let was = truth(&object, "/status/ready");
        let failing = self.0.has(Fault::ProviderFails);
        if was && failing {
            self.0.note(Fault::ProviderFails);
        }
        // Looked at again and again, as images in a cloud are.
        if was != failing {
            return Ok(Next::After(LOOK));
        }
        let now = api.clock().stamp();
        api.modify(id, &key.namespace, &key.name, MANAGER, |live| {
            live["status"]["ready"] = json!(!was);
            if was {
                fails(
                    live,
                    "Ready",
                    "ProcessOngoing",
                    "node images are not ready",
                    &now,
                );
            } else {
                holds(live, "Ready", &now);
            }
        })?;
        Ok(Next::After(LOOK))
    }
}

/// After how long a provider looks at its images again.
const LOOK: std::time::Duration = std::time::Duration::from_secs(30);
