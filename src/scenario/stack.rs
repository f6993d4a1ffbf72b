//! Writes the stack of a scenario: that of the user with other releases, in a folder of its own.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::change;
use super::load::{Scenario, ScenarioError};
use super::make::{Made, Maker, copy, put};
use crate::stack::{Delivery, Hooks, Machines, Pair, ProbeLimits, STACK_FILE, Stack};

impl Scenario {
    /// Writes the scenario's stack below `folder`, as `stacks/<name>` with kind's configuration beside it, and returns
    /// the stack's folder. `pair` are the releases of `stack`.
    ///
    /// # Errors
    /// When the stack has not what the scenario is about, or its files cannot be read or written.
    pub fn write(
        &self,
        stack: &Stack,
        pair: &Pair,
        folder: &Path,
    ) -> Result<PathBuf, ScenarioError> {
        let target = folder.join("stacks").join(&*stack.name);
        let releases = target.join("releases/cluster-stacks");
        std::fs::create_dir_all(&releases)?;
        let made = Maker::new(self, stack, pair, &releases).make()?;
        let text = std::fs::read(stack.folder.join(STACK_FILE))?;
        let mut file = change::mapping(&text).map_err(|why| ScenarioError::Unfit {
            scenario: self.name.to_string(),
            stack: stack.name.to_string(),
            why,
        })?;
        file["metadata"]["scenario"] = json!(self.name.to_string());
        self.adjust(&mut file["spec"], &made, stack);
        put(&target.join(STACK_FILE), format!("{file:#}\n").as_bytes())?;
        // What the file names beside it.
        if let Some(config) = &stack.kind_config {
            let name = config.file_name().unwrap_or_default();
            put(
                &folder.join("kind-configs").join(name),
                &std::fs::read(config)?,
            )?;
        }
        if let Some(file) = &stack.spec.ok_to_fail {
            put(&target.join(file), &std::fs::read(stack.folder.join(file))?)?;
        }
        let suites = stack.folder.join("suites");
        if suites.is_dir() {
            copy(&suites, &target.join("suites"))?;
        }
        Ok(target)
    }

    fn adjust(&self, spec: &mut Value, made: &Made, stack: &Stack) {
        let mut releases = json!({
            "directory": "releases",
            "from": made.from.to_string(),
            "to": made.to.to_string(),
        });
        if let (Some(tag), Some(recipe)) = (&made.start, &self.spec.start) {
            releases["start"] = json!({"release": tag.to_string(), "broken": recipe.broken});
        }
        spec["releases"] = releases;
        for (version, image) in &made.node_images {
            let known = spec["nodeImages"].as_object_mut();
            known.map(|known| {
                known
                    .entry(version.to_string())
                    .or_insert_with(|| json!(image))
            });
        }
        if !made.images.is_empty() {
            let mut images = spec["images"].as_array().cloned().unwrap_or_default();
            images.extend(made.images.iter().map(|image| json!(image)));
            spec["images"] = Value::Array(images);
        }
        if !self.spec.suites.is_empty() {
            let mut suites = stack.spec.suites.clone();
            suites.extend(self.spec.suites.iter().cloned());
            let mut seen = BTreeSet::new();
            suites.retain(|suite| seen.insert(suite.clone()));
            let suites: Vec<String> = suites.iter().map(ToString::to_string).collect();
            spec["suites"] = json!(suites);
        }
        if let Some(delivery) = self.spec.delivery {
            spec["delivery"] = json!(Delivery::from(delivery).name());
        }
        let machines = match self.spec.upgrade.machines {
            Machines::Any => "any",
            Machines::Kept => "kept",
            Machines::Replaced => "replaced",
        };
        let hooks = match self.spec.upgrade.hooks {
            Hooks::Any => "any",
            Hooks::Uncalled => "uncalled",
        };
        spec["upgrade"] = json!({"machines": machines, "hooks": hooks});
        if let Some(disturbance) = self.spec.upgrade.disturbance {
            spec["upgrade"]["disturbance"] = json!(disturbance.name());
        }
        let limits = self.spec.probes.named();
        for (name, limits) in limits
            .into_iter()
            .filter(|(_, one)| **one != ProbeLimits::default())
        {
            spec["probes"][name] = json!(limits);
        }
        if let (Some(least), Some(first)) = (self.spec.workers, stack.spec.cluster.workers.first())
        {
            spec["cluster"]["workers"][0]["replicas"] = json!(first.replicas.max(least));
        }
        if let Some(stable) = &self.spec.stable {
            spec["timeouts"]["stable"] = json!(format!("{}s", stable.get().as_secs()));
        }
        // These are relative to the folder of the stack.
        let install = spec["operator"]["install"].take();
        if let Value::Object(install) = install {
            spec["operator"]["install"] = Value::Object(absolute(install, &stack.folder));
            // What was made is in no registry.
            spec["operator"]["releases"] = json!("local");
        } else if let Some(fields) = spec.as_object_mut() {
            fields.remove("operator");
        }
    }
}

/// What installs the operator, wherever it is read from.
fn absolute(mut install: Map<String, Value>, folder: &Path) -> Map<String, Value> {
    let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    resolve(install.get_mut("manifests"), &folder);
    resolve(
        install
            .get_mut("chart")
            .and_then(|chart| chart.get_mut("path")),
        &folder,
    );
    install
}

fn resolve(path: Option<&mut Value>, folder: &Path) {
    if let Some(Value::String(path)) = path {
        *path = folder.join(&*path).to_string_lossy().into_owned();
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::scenario::names;
    use crate::stack::{Release, archive};

    fn shipped(name: &str) -> Stack {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        Stack::load(name, &root.join("stacks-under-test")).unwrap()
    }

    fn made(scenario: &str, stack: &Stack) -> (Stack, Pair, TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let scenario = Scenario::load(scenario, &stack.folder).unwrap();
        let pair = stack.open_releases().unwrap();
        let place = scenario.write(stack, &pair, folder.path()).unwrap();
        let stacks = place.parent().unwrap();
        let stack = Stack::load(&place.to_string_lossy(), stacks).unwrap();
        let pair = stack.open_releases().unwrap();
        (stack, pair, folder)
    }

    /// The releases in their order: version, Kubernetes, addons' version.
    fn releases(pair: &Pair) -> Vec<String> {
        let told = pair.releases().map(|release| {
            let (kubernetes, addons) = (release.kubernetes_version, &release.addon_version);
            format!("{} {kubernetes} {addons}", release.tag)
        });
        told.collect()
    }

    #[test]
    fn every_scenario_can_be_made_of_every_stack_that_ships_issue_7() {
        for name in ["docker-demo", "openstack-demo"] {
            let stack = shipped(name);
            for scenario in names(&stack.folder) {
                let (made, pair, _folder) = made(&scenario, &stack);
                assert_eq!(made.name, stack.name);
                assert_eq!(made.scenario.as_deref(), Some(&*scenario));
                for release in pair.releases() {
                    let image = &made.spec.node_images[&release.kubernetes_version];
                    let rendered = release.render_class("n").unwrap();
                    let text: String = rendered.iter().map(|one| one.object.to_string()).collect();
                    assert!(text.contains(image.as_str()), "{scenario}: {text}");
                }
            }
        }
    }

    #[test]
    fn each_release_that_is_made_has_a_version_of_its_own() {
        let demo = shipped("docker-demo");
        let told = |scenario: &str| releases(&made(scenario, &demo).1);
        let n = "docker-demo-1-34-v1 v1.34.3 v1";
        let n1 = "docker-demo-1-35-v1 v1.35.0 v1";
        assert_eq!(told("class-only"), [n, "docker-demo-1-34-v2 v1.34.3 v1"]);
        assert_eq!(told("addons-only"), [n, "docker-demo-1-34-v2 v1.34.3 v2"]);
        assert_eq!(
            told("kubernetes-patch"),
            [n, "docker-demo-1-34-v2 v1.34.4 v1"]
        );
        assert_eq!(told("kubernetes-minor"), [n, n1]);
        assert_eq!(told("same-again"), [n, n]);
        assert_eq!(
            told("three-releases"),
            [n, n1, "docker-demo-1-35-v2 v1.35.1 v1"]
        );
        // What mends is newer than what is broken.
        let recovery = told("recovery");
        assert_eq!(
            recovery[..2],
            [
                "docker-demo-1-34-v2 v1.34.3 v2",
                "docker-demo-1-34-v3 v1.34.3 v3"
            ]
        );
    }

    #[test]
    fn a_release_differs_from_its_base_in_what_the_recipe_says_alone() {
        let demo = shipped("docker-demo");
        let class = |pair: &Pair, release: usize| {
            let release = pair.releases().nth(release).unwrap();
            let rendered = release.render_class("n").unwrap();
            let objects: Vec<Value> = rendered.into_iter().map(|one| one.object).collect();
            let version = release.tag.version.dotted();
            json!(objects)
                .to_string()
                .replace(&format!("-{version}"), "-V")
        };
        let (_, pair, _folder) = made("class-only", &demo);
        let command = "\"preKubeadmCommands\":[\"echo changed by the class\"]";
        let changed = class(&pair, 1);
        assert_eq!(changed.matches(command).count(), 2, "{changed}");
        let back = changed
            .replace(&format!(",{command}"), "")
            .replace(&format!("{command},"), "");
        assert_eq!(back, class(&pair, 0));
        let (_, pair, _folder) = made("addons-only", &demo);
        assert_eq!(class(&pair, 0), class(&pair, 1));
        let (stack, pair, _folder) = made("node-image-only", &demo);
        let next = "kindest/node:v1.34.3-next";
        assert_eq!(
            class(&pair, 1).replace(next, "kindest/node:v1.34.3"),
            class(&pair, 0)
        );
        assert!(stack.spec.images.iter().any(|image| image.as_str() == next));
    }

    #[test]
    fn a_broken_release_has_an_image_that_nobody_has() {
        let (_, pair, _folder) = made("recovery", &shipped("docker-demo"));
        let images = |release: &Release| -> Vec<bool> {
            let files = archive::read(&release.addon_file()).unwrap();
            let template = &files[Path::new("cni/templates/daemonset.yaml")];
            let text = String::from_utf8_lossy(template).into_owned();
            let lines = text.lines().filter(|line| line.contains("image: "));
            lines.map(|line| line.ends_with(change::NO_IMAGE)).collect()
        };
        assert_eq!(
            (images(pair.first()), images(&pair.from)),
            (vec![true], vec![false])
        );
    }
}
