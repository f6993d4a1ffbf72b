//! The rights that suites need on a cluster of which nothing but its API is given, as a role.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule, RoleRef, Subject};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{ApiResource, GroupVersionKind};
use kube::core::GroupVersion;

use super::Suite;
use super::cel::only_compares;
use super::file::{CelCheck, WhichCluster};
use crate::checks::{self, Need};

/// What reading a kind takes.
const READ: [&str; 2] = ["list", "watch"];
/// The name of role, binding and account.
const NAME: &str = "stackgate-check";
/// Where the account lives.
const NAMESPACE: &str = "default";

/// What suites need.
#[derive(Debug, Default)]
pub struct Rights {
    /// Verbs by API group and resource.
    verbs: BTreeMap<(String, String), BTreeSet<String>>,
    /// Paths that everybody who is authenticated may get, unless somebody took that away.
    pub open: BTreeSet<&'static str>,
    /// Checks that are programs: nobody knows what these need.
    pub unknown: Vec<String>,
}

impl Rights {
    /// The rights that the checks of suites need; `read_only` leaves out those that create something.
    #[must_use]
    pub fn of(suites: &[Suite], read_only: bool) -> Self {
        let mut rights = Self::default();
        // Every answer tells on what kind of cluster it was given.
        rights.add_needs(
            checks::surroundings::NEEDS
                .iter()
                .copied()
                .flatten()
                .copied(),
        );
        for check in suites.iter().flat_map(|suite| &suite.checks) {
            let native = checks::all()
                .iter()
                .find(|native| Some(native.name) == check.native.as_deref());
            if let Some(native) = native.filter(|one| !(read_only && one.creates().is_some())) {
                rights.add_needs(native.needs());
            }
            if let Some(cel) = &check.cel {
                rights.add_cel(cel);
            }
            if check.exec.is_some() && !read_only {
                rights.unknown.push(check.id.to_string());
            }
        }
        rights
    }

    fn add_needs(&mut self, needs: impl Iterator<Item = Need>) {
        for need in needs {
            match need {
                Need::Resource {
                    group,
                    resource,
                    verbs,
                } => self.add(group, resource, verbs),
                Need::Open(path) => {
                    self.open.insert(path);
                }
            }
        }
    }

    fn add_cel(&mut self, check: &CelCheck) {
        // Without a management cluster, and without an upgrade, it is skipped.
        if check.cluster == WhichCluster::Management || only_compares(check) {
            return;
        }
        let selector = &check.objects;
        // Nothing is asked here, so the plural is the one that nearly every kind has.
        if let Ok(version) = selector.api_version.parse::<GroupVersion>() {
            let kind = GroupVersionKind::gvk(&version.group, &version.version, &selector.kind);
            let resource = ApiResource::from_gvk(&kind);
            self.add(&resource.group, &resource.plural, &READ);
        }
    }

    fn add(&mut self, group: &str, resource: &str, verbs: &[&str]) {
        let key = (group.to_owned(), resource.to_owned());
        let known = self.verbs.entry(key).or_default();
        known.extend(verbs.iter().map(|verb| (*verb).to_owned()));
    }

    /// The role's rules: what is done with one group alike stands in one.
    #[must_use]
    pub fn rules(&self) -> Vec<PolicyRule> {
        let mut alike: BTreeMap<(&String, &BTreeSet<String>), Vec<String>> = BTreeMap::new();
        for ((group, resource), verbs) in &self.verbs {
            let resources = alike.entry((group, verbs)).or_default();
            resources.push(resource.clone());
        }
        let rules = alike
            .into_iter()
            .map(|((group, verbs), resources)| PolicyRule {
                api_groups: Some(vec![group.clone()]),
                resources: Some(resources),
                verbs: verbs.iter().cloned().collect(),
                ..PolicyRule::default()
            });
        rules.collect()
    }

    /// Role, account and binding as one manifest.
    ///
    /// # Errors
    /// When it cannot be written as YAML.
    pub fn manifest(&self) -> anyhow::Result<String> {
        let metadata = |namespace: Option<&str>| ObjectMeta {
            name: Some(NAME.to_owned()),
            namespace: namespace.map(str::to_owned),
            ..ObjectMeta::default()
        };
        let role = ClusterRole {
            metadata: metadata(None),
            rules: Some(self.rules()),
            ..ClusterRole::default()
        };
        let account = ServiceAccount {
            metadata: metadata(Some(NAMESPACE)),
            ..ServiceAccount::default()
        };
        let binding = ClusterRoleBinding {
            metadata: metadata(None),
            role_ref: RoleRef {
                api_group: "rbac.authorization.k8s.io".to_owned(),
                kind: "ClusterRole".to_owned(),
                name: NAME.to_owned(),
            },
            subjects: Some(vec![Subject {
                kind: "ServiceAccount".to_owned(),
                name: NAME.to_owned(),
                namespace: Some(NAMESPACE.to_owned()),
                ..Subject::default()
            }]),
        };
        let documents = [
            serde_saphyr::to_string(&account)?,
            serde_saphyr::to_string(&role)?,
            serde_saphyr::to_string(&binding)?,
        ];
        let documents = documents
            .iter()
            .map(|text| format!("---\n{}\n", text.trim_end()));
        Ok(documents.collect())
    }

    /// How to become who the manifest gives these rights.
    #[must_use]
    pub fn token_command() -> String {
        format!("kubectl create token {NAME} --namespace {NAMESPACE}")
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn rights(checks: &str, read_only: bool) -> Rights {
        let folder = tempfile::tempdir().unwrap();
        let text = format!(
            "apiVersion: stackgate/v1alpha1\nkind: Suite\nmetadata: {{name: own}}\nspec:\n  description: own\n  checks:\n{checks}"
        );
        std::fs::write(folder.path().join("own.yaml"), text).unwrap();
        std::fs::write(folder.path().join("x.sh"), "#!/bin/sh\n").unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(folder.path().join("x.sh"), mode).unwrap();
        let suite = Suite::load("own", folder.path()).unwrap();
        Rights::of(&[suite], read_only)
    }

    fn told(rights: &Rights) -> Vec<String> {
        let rules = rights.rules().into_iter();
        rules
            .map(|rule| {
                let (groups, resources) = (rule.api_groups.unwrap(), rule.resources.unwrap());
                format!(
                    "{}/{}: {}",
                    groups.join(","),
                    resources.join(","),
                    rule.verbs.join(",")
                )
            })
            .collect()
    }

    #[test]
    fn what_is_done_alike_stands_in_one_rule_and_what_is_not_asked_in_none() {
        let checks = "
  - {id: a, title: A, severity: MUST, native: no-restarting-pods}
  - {id: b, title: B, severity: MUST, native: dns-resolves}
  - {id: c, title: C, severity: MUST, native: api-ready-endpoints}
  - {id: d, title: D, severity: MUST, exec: {command: x.sh}}
  - id: e
    title: E
    severity: MUST
    cel: {objects: {apiVersion: networking.k8s.io/v1, kind: NetworkPolicy}, rules: [{expression: 'true'}]}
  - id: f
    title: F
    severity: MUST
    cel: {cluster: management, objects: {apiVersion: v1, kind: Secret}, rules: [{expression: 'true'}]}
";
        let all = rights(checks, false);
        assert_eq!(
            told(&all),
            [
                "/serviceaccounts: create",
                "/namespaces: create,delete",
                "/pods: create,list,watch",
                "/nodes: list,watch",
                "apps/daemonsets: list,watch",
                "networking.k8s.io/networkpolicies: list,watch",
            ]
        );
        assert_eq!(all.unknown, ["d"]);
        assert_eq!(Vec::from_iter(&all.open), [&"/livez", &"/readyz"]);
        let reading = rights(checks, true);
        assert_eq!(
            told(&reading),
            [
                "/nodes,pods: list,watch",
                "apps/daemonsets: list,watch",
                "networking.k8s.io/networkpolicies: list,watch"
            ]
        );
        assert!(reading.unknown.is_empty());
    }

    #[test]
    fn the_manifest_is_read_back_as_what_it_says() {
        let suite = Suite::load("health", Path::new("/nowhere")).unwrap();
        let rights = Rights::of(&[suite], true);
        let manifest = rights.manifest().unwrap();
        let documents: Vec<serde_json::Value> = serde_saphyr::from_multiple(&manifest).unwrap();
        let kinds: Vec<&str> = documents
            .iter()
            .map(|one| one["kind"].as_str().unwrap())
            .collect();
        assert_eq!(
            kinds,
            ["ServiceAccount", "ClusterRole", "ClusterRoleBinding"]
        );
        let role: ClusterRole = serde_json::from_value(documents[1].clone()).unwrap();
        assert_eq!(role.rules, Some(rights.rules()));
        assert_eq!(
            documents[2]["roleRef"]["name"],
            documents[1]["metadata"]["name"]
        );
        assert_eq!(
            documents[2]["subjects"][0]["namespace"],
            documents[0]["metadata"]["namespace"]
        );
    }
}
