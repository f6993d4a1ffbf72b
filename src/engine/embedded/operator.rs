//! The simulated Cluster Stack Operator's registry: the releases of the run, rendered as stackgate
//! renders them.

use std::collections::BTreeMap;
use std::sync::Arc;

use kubesim::cso::{self, Metadata, Objects, Operator, RenderError, Wait, Watched};
use serde_json::{Value, json};

use crate::cluster::cel;
use crate::stack::{Action, Condition, Hook, Release, ReleaseError, Version};

/// The releases by their tags.
struct Registry(BTreeMap<String, Release>);

/// An operator that has these releases in its reach, and applies classes to this version of Cluster API.
pub(super) fn operator(releases: &[Release], cluster_api: Version) -> Operator {
    let tagged = releases
        .iter()
        .map(|release| (release.tag.to_string(), release.clone()));
    let operator = Operator::new(Arc::new(Registry(tagged.collect())));
    operator.set_cluster_api(cluster_api.minor.into());
    operator
}

impl Registry {
    fn of(&self, tag: &str) -> Option<&Release> {
        self.0.get(tag)
    }
}

impl cso::Releases for Registry {
    fn tags(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }

    fn metadata(&self, tag: &str) -> Result<Metadata, String> {
        let release = self
            .of(tag)
            .ok_or_else(|| format!("failed to resolve {tag}: not found"))?;
        Ok(Metadata {
            kubernetes: release.kubernetes_version.to_string(),
            addon: release.addon_version.dashed(),
            staged: release.addons.is_staged(),
        })
    }

    fn class(&self, tag: &str, namespace: &str) -> Result<Vec<Value>, String> {
        let release = self.of(tag).ok_or_else(|| format!("no release {tag}"))?;
        let rendered = release.render_class(namespace);
        let rendered = rendered.map_err(|error| error.to_string())?;
        Ok(rendered.into_iter().map(|one| one.object).collect())
    }

    fn stages(&self, tag: &str, hook: &str) -> Vec<cso::Stage> {
        let hook = match hook {
            cso::CREATED => Hook::AfterControlPlaneInitialized,
            _ => Hook::BeforeClusterUpgrade,
        };
        let stages = self.of(tag).map(|release| release.addons.stages(hook));
        let stages = stages.unwrap_or_default().iter();
        stages
            .map(|stage| cso::Stage {
                name: stage.name.clone(),
                action: match stage.action {
                    Action::Apply => cso::Action::Apply,
                    Action::Delete => cso::Action::Delete,
                },
                before: stage.wait_for_pre_condition.as_ref().map(wait),
                after: stage.wait_for_post_condition.as_ref().map(wait),
            })
            .collect()
    }

    fn has_chart(&self, tag: &str, chart: &str) -> bool {
        let release = self.of(tag);
        release.is_some_and(|release| release.addons.chart(chart).is_some())
    }

    fn has_overwrite(&self, tag: &str, chart: &str) -> bool {
        let release = self.of(tag);
        let addon = release.and_then(|release| release.addons.chart(chart));
        addon.is_some_and(|addon| addon.overwrite.is_some())
    }

    fn addon(
        &self,
        tag: &str,
        chart: &str,
        values_of: Option<&str>,
        objects: &Objects,
    ) -> Result<Vec<Value>, RenderError> {
        let release = self.of(tag).ok_or(RenderError::Missing)?;
        if release.addons.chart(chart).is_none() {
            return Err(RenderError::Missing);
        }
        let context = json!({
            "Cluster": objects.cluster,
            "ControlPlane": objects.control_plane,
            "InfraCluster": objects.infrastructure,
        });
        let rendered = release.render_chart(chart, values_of, &context);
        let rendered = rendered.map_err(|error| match error {
            // The template of the values, or what came of it.
            ReleaseError::Invalid { .. } => RenderError::Values(error.to_string()),
            ReleaseError::Render { .. } => RenderError::Chart(error.to_string()),
        })?;
        Ok(rendered.into_iter().map(|one| one.object).collect())
    }

    fn holds(&self, expression: &str, objects: &[(String, Arc<Value>)]) -> Result<bool, String> {
        let condition = cel::Condition::parse(expression).map_err(|error| error.to_string())?;
        let objects = objects
            .iter()
            .map(|(key, object)| (key.as_str(), &**object));
        condition.holds(objects).map_err(|error| error.to_string())
    }
}

fn wait(condition: &Condition) -> Wait {
    Wait {
        objects: condition
            .objects
            .iter()
            .map(|object| Watched {
                key: object.key.clone(),
                api_version: object.api_version.clone(),
                kind: object.kind.clone(),
                name: object.name.clone(),
                namespace: object.namespace.clone(),
            })
            .collect(),
        expression: condition.conditions.clone(),
    }
}
