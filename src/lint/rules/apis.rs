//! APIs that the Kubernetes of a release does not serve any more, not yet, or not for long.

use std::sync::OnceLock;

use serde::Deserialize;

use super::super::finding::Found;
use super::super::identity::{reference, text};
use super::super::rule::rules;
use super::super::subject::{Item, Side, Subject};
use crate::stack::Version;

const GUIDE: &str = "https://kubernetes.io/docs/reference/using-api/deprecation-guide/";

rules! {
    API_REMOVED = "api-removed", Must, Anyone, GUIDE, [],
        "every object is of an API that its release's Kubernetes serves",
        "the API server does not know the object; its stage fails, or it is gone after the upgrade",
        "move the object to the API that is named";
    API_NOT_YET = "api-not-yet-served", Must, Anyone, GUIDE, [],
        "the addons of N+1 are of APIs that N's Kubernetes serves, too",
        "addons are applied before the control plane is replaced: the old API server refuses what it does not know, and the hook blocks",
        "use the older API for one release more";
    API_DEPRECATED = "api-deprecated", Should, Anyone, GUIDE, [],
        "no object is of an API that is going to be removed",
        "one of the next releases will not have it, and objects that users made this way fail then",
        "move the object to the API that is named";
}

/// The APIs of `data/kubernetes-apis.json`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Data {
    #[expect(dead_code, reason = "the form's version, for readers of the file")]
    schema: u32,
    #[serde(rename = "generated_at")]
    #[expect(dead_code, reason = "for readers of the file")]
    generated_at: jiff::civil::Date,
    #[expect(dead_code, reason = "for readers of the file")]
    sources: Vec<serde_json::Value>,
    apis: Vec<Api>,
}

/// How long Kubernetes serves some kinds in one version of their API.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Api {
    api_version: String,
    kinds: Vec<String>,
    introduced: Minor,
    deprecated: Option<Minor>,
    removed: Option<Minor>,
    replacement: Option<String>,
}

/// A minor version, e.g. `1.34`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
struct Minor(u16, u16);

impl TryFrom<String> for Minor {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let parts = text.split_once('.');
        let minor =
            parts.and_then(|(major, minor)| Some(Self(major.parse().ok()?, minor.parse().ok()?)));
        minor.ok_or_else(|| format!("`{text}` is no minor version such as 1.34"))
    }
}

impl From<Version> for Minor {
    fn from(version: Version) -> Self {
        Self(version.major, version.minor)
    }
}

impl std::fmt::Display for Minor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "v{}.{}", self.0, self.1)
    }
}

fn apis() -> &'static [Api] {
    static DATA: OnceLock<Vec<Api>> = OnceLock::new();
    DATA.get_or_init(|| {
        let text = include_str!("../../../data/kubernetes-apis.json");
        // A test reads the file, so that this cannot come true in what ships.
        serde_json::from_str::<Data>(text).map_or_else(|_| Vec::new(), |data| data.apis)
    })
}

fn api(item: &Item) -> Option<&'static Api> {
    let (version, kind) = (
        text(&item.object, "/apiVersion"),
        text(&item.object, "/kind"),
    );
    apis()
        .iter()
        .find(|api| api.api_version == version && api.kinds.iter().any(|one| one == kind))
}

pub(super) fn check(subject: &Subject<'_>, found: &mut Found) {
    of_side(subject.from, found);
    of_side(subject.to, found);
    let old = Minor::from(subject.from.release.kubernetes_version);
    let new = Minor::from(subject.to.release.kubernetes_version);
    for item in subject.to.addons() {
        let Some(api) = api(item) else { continue };
        if api.introduced > old && api.introduced <= new {
            let message = format!(
                "Kubernetes {} does not serve {} yet; {} does",
                subject.from.release.kubernetes_version, api.api_version, api.introduced
            );
            let problem = subject.to.problem(item, &["apiVersion"], message);
            let object = Some(reference(&item.object));
            found.add(&API_NOT_YET, &subject.to.release.tag, object, problem);
        }
    }
}

fn of_side(side: &Side<'_>, found: &mut Found) {
    let kubernetes = side.release.kubernetes_version;
    let minor = Minor::from(kubernetes);
    for item in side.addons() {
        let Some(api) = api(item) else { continue };
        let (rule, message) = match (api.removed, api.deprecated) {
            (Some(removed), _) if minor >= removed => (
                &API_REMOVED,
                format!(
                    "Kubernetes serves {} no more from {removed} on",
                    api.api_version
                ),
            ),
            _ if api.introduced > minor => (
                &API_REMOVED,
                format!(
                    "Kubernetes {kubernetes} does not serve {} yet",
                    api.api_version
                ),
            ),
            (removed, Some(deprecated)) if minor >= deprecated => {
                let end = removed.map_or_else(String::new, |end| format!(", and goes with {end}"));
                let version = &api.api_version;
                (
                    &API_DEPRECATED,
                    format!("{version} is deprecated since {deprecated}{end}"),
                )
            }
            _ => continue,
        };
        let mut problem = side.problem(item, &["apiVersion"], message);
        if let Some(replacement) = &api.replacement {
            problem = problem.expected(replacement.clone());
        }
        let object = Some(reference(&item.object));
        found.add(rule, &side.release.tag, object, problem);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_that_ships_is_read_and_makes_sense() {
        let text = include_str!("../../../data/kubernetes-apis.json");
        let data: Data = serde_json::from_str(text).unwrap();
        assert_eq!(data.apis.len(), apis().len());
        for api in &data.apis {
            let ages = [Some(api.introduced), api.deprecated, api.removed];
            let ages: Vec<Minor> = ages.into_iter().flatten().collect();
            assert!(ages.is_sorted(), "{api:?}");
            assert!(
                api.removed.is_none()
                    || api.replacement.is_some()
                    || api.api_version.contains("alpha")
            );
        }
    }
}
