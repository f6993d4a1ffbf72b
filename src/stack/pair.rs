//! The pair of releases of a stack under test, and whether the stack's topology fits both classes.

use serde_json::Value;

use super::load::{Stack, StackError};
use super::problem::Problems;
use super::release::{Release, ReleaseError};
use super::values::ReleaseTag;

/// Release N and release N+1.
#[derive(Debug, Clone)]
pub struct Pair {
    /// What the cluster has before N.
    pub start: Option<Start>,
    pub from: Release,
    pub to: Release,
}

/// The release of which the cluster is created, where that is not N.
#[derive(Debug, Clone)]
pub struct Start {
    pub release: Release,
    /// Whether no cluster comes to be whole with it.
    pub broken: bool,
}

impl Pair {
    /// The release of which the cluster is created.
    #[must_use]
    pub fn first(&self) -> &Release {
        self.start
            .as_ref()
            .map_or(&self.from, |start| &start.release)
    }

    /// All releases, in the order in which the cluster has them.
    pub fn releases(&self) -> impl Iterator<Item = &Release> {
        let start = self.start.iter().map(|start| &start.release);
        start.chain([&self.from, &self.to])
    }
}

impl Stack {
    /// Opens both releases, renders both class charts, and checks that Kubernetes does not go
    /// back, that there is a node image for both, and that both classes have the stack's workers
    /// and variables.
    pub fn open_releases(&self) -> Result<Pair, StackError> {
        let dir = self.releases_dir();
        let open = |tag: &ReleaseTag| Release::open(&dir, tag);
        let start = match &self.spec.releases.start {
            None => None,
            Some(start) => Some(Start {
                release: open(&start.release)?,
                broken: start.broken,
            }),
        };
        let pair = match (open(&self.spec.releases.from), open(&self.spec.releases.to)) {
            (Ok(from), Ok(to)) => Pair { start, from, to },
            (Err(from), Err(to)) => return Err(StackError::Releases(from, to)),
            (Err(error), _) | (_, Err(error)) => return Err(error.into()),
        };
        self.problems_with(&pair)?.into_result()?;
        Ok(pair)
    }

    /// Whatever of this file does not fit a pair of releases: Kubernetes that goes back, node images
    /// that are missing, workers and variables that a class does not know.
    ///
    /// # Errors
    /// When a class chart does not render.
    pub fn problems_with(&self, pair: &Pair) -> Result<Problems, ReleaseError> {
        let mut problems = Problems::default();
        self.check_kubernetes(pair, &mut problems);
        for release in pair.releases() {
            self.check_topology(release, &mut problems)?;
        }
        Ok(problems)
    }

    fn check_kubernetes(&self, pair: &Pair, problems: &mut Problems) {
        let first = pair.first().kubernetes_version;
        let (from, to) = (pair.from.kubernetes_version, pair.to.kubernetes_version);
        for (field, from, to) in [("from", first, from), ("to", from, to)] {
            if to < from {
                problems.push(
                    self.source
                        .problem(
                            &["spec", "releases", field],
                            format!("Kubernetes cannot go back from {from} to {to}"),
                        )
                        .expected(format!("a release with Kubernetes {from} or later"))
                        .breaks("kubernetes-step"),
                );
            }
        }
        for release in pair.releases() {
            let version = release.kubernetes_version;
            if !self.spec.node_images.contains_key(&version) {
                problems.push(
                    self.source
                        .problem(
                            &["spec", "nodeImages"],
                            format!(
                                "there is no node image for {version} of release `{}`",
                                release.tag
                            ),
                        )
                        .expected(format!("an entry `{version}: IMAGE`")),
                );
            }
        }
    }

    fn check_topology(
        &self,
        release: &Release,
        problems: &mut Problems,
    ) -> Result<(), ReleaseError> {
        let rendered = release.render_class("default")?;
        let class = rendered
            .iter()
            .map(|rendered| &rendered.object)
            .find(|object| object["kind"] == "ClusterClass");
        let spec = class.map_or(&Value::Null, |class| &class["spec"]);
        let class_name = &release.class_name;

        let classes: Vec<&str> = list(&spec["workers"]["machineDeployments"])
            .filter_map(|class| class["class"].as_str())
            .collect();
        for (index, worker) in self.spec.cluster.workers.iter().enumerate() {
            if !classes.contains(&worker.class.as_str()) {
                problems.push(
                    self.source
                        .problem(
                            &["spec", "cluster", "workers", &index.to_string(), "class"],
                            format!(
                                "ClusterClass `{class_name}` has no class `{}`",
                                worker.class
                            ),
                        )
                        .expected(one_of(&classes)),
                );
            }
        }

        let given = &self.spec.cluster.variables;
        let at = ["spec", "cluster", "variables"];
        let mut known = Vec::new();
        for variable in list(&spec["variables"]) {
            let Some(name) = variable["name"].as_str() else {
                continue;
            };
            known.push(name);
            let schema = &variable["schema"]["openAPIV3Schema"];
            match given.get(name) {
                None if variable["required"] == true && schema["default"].is_null() => problems
                    .push(
                        self.source
                            .problem(
                                &at,
                                format!("ClusterClass `{class_name}` requires variable `{name}`"),
                            )
                            .expected(format!("an entry `{name}: VALUE`"))
                            .breaks("variable-required"),
                    ),
                Some(value) if !fits(value, schema["type"].as_str()) => problems.push(
                    self.source
                        .problem(
                            &[at[0], at[1], at[2], name],
                            format!(
                                "variable `{name}` has another type in ClusterClass `{class_name}`"
                            ),
                        )
                        .expected(schema["type"].as_str().unwrap_or_default()),
                ),
                _ => {}
            }
        }
        for name in given.keys().filter(|name| !known.contains(&name.as_str())) {
            problems.push(
                self.source
                    .problem(
                        &[at[0], at[1], at[2], name],
                        format!("ClusterClass `{class_name}` has no variable `{name}`"),
                    )
                    .expected(one_of(&known)),
            );
        }
        Ok(())
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn one_of(names: &[&str]) -> String {
    if names.is_empty() {
        "none, for it has none".to_owned()
    } else {
        format!("one of {}", names.join(", "))
    }
}

/// Whether a value has the type of its schema; the API server judges the rest.
fn fits(value: &Value, kind: Option<&str>) -> bool {
    match kind {
        Some("string") => value.is_string(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("number") => value.is_number(),
        Some("array") => value.is_array(),
        Some("object") => value.is_object(),
        _ => true,
    }
}
