//! A scenario's stack as files: the class of the demo stack, and addons made up for it.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use kubesim::{Random, kubeadm};
use serde_json::{Value, json};

use super::scenario::Scenario;
use crate::stack::{ReleaseTag, STACK_FILE, pack};

/// The stack's name.
const NAME: &str = "docker-sim";
/// Version of Cluster API that it names.
const CLUSTER_API: &str = "v1.12.5";

macro_rules! demo {
    ($path:literal) => {
        (
            $path,
            include_str!(concat!(
                "../../stacks-under-test/docker-demo/sources/docker-demo-1-34-v1/",
                $path
            )),
        )
    };
}

/// What is taken from the demo stack as it is.
const SHARED: [(&str, &str); 11] = [
    demo!("cluster-class/templates/_helpers.tpl"),
    demo!("cluster-class/templates/cluster-class.yaml"),
    demo!("cluster-class/templates/control-plane.yaml"),
    demo!("cluster-class/templates/docker.yaml"),
    demo!("cluster-class/templates/worker.yaml"),
    demo!("cluster-addon/cni/Chart.yaml"),
    demo!("cluster-addon/cni/overwrite.yaml"),
    demo!("cluster-addon/cni/templates/daemonset.yaml"),
    demo!("cluster-addon/cni/templates/rbac.yaml"),
    demo!("cluster-addon/storage/Chart.yaml"),
    demo!("cluster-addon/storage/templates/storageclass.yaml"),
];

/// One release of the stack.
#[derive(Clone, Debug)]
pub(super) struct Release {
    kubernetes: String,
    tag: String,
    pub(super) addons: Vec<Addon>,
}

impl Release {
    pub(super) fn new(minor: usize, patch: usize, version: usize) -> Self {
        Self {
            kubernetes: format!("v1.{minor}.{patch}"),
            tag: format!("{NAME}-1-{minor}-v{version}"),
            addons: Vec::new(),
        }
    }

    /// Whether it has an addon of this name, of whatever version.
    pub(super) fn has(&self, addon: &Addon) -> bool {
        self.addons.iter().any(|own| own.name == addon.name)
    }

    fn node_image(&self) -> String {
        format!("kindest/node:{}", self.kubernetes)
    }

    /// The release's name and Kubernetes version, without its own.
    fn stem(&self) -> &str {
        self.tag
            .rsplit_once('-')
            .map_or(&self.tag, |(stem, _)| stem)
    }
}

/// One addon beside the network and the storage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Addon {
    pub(super) name: String,
    pub(super) version: usize,
    kind: &'static str,
    replicas: usize,
}

impl Addon {
    pub(super) fn random(name: &str, random: &mut Random) -> Self {
        Self {
            name: name.to_owned(),
            version: 1 + random.below(3),
            kind: if random.chance(0.7) {
                "Deployment"
            } else {
                "DaemonSet"
            },
            replicas: 1 + random.below(3),
        }
    }

    pub(super) fn is_deployment(&self) -> bool {
        self.kind == "Deployment"
    }

    /// The same in its next version.
    pub(super) fn next(&self) -> Self {
        Self {
            version: self.version + 1,
            ..self.clone()
        }
    }

    fn objects(&self) -> [Value; 2] {
        let labels = json!({"app.kubernetes.io/name": self.name});
        let mut workload = json!({
            "apiVersion": "apps/v1",
            "kind": self.kind,
            "metadata": {"name": self.name, "namespace": "kube-system", "labels": labels},
            "spec": {
                "selector": {"matchLabels": labels},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {"containers": [{
                        "name": "main",
                        "image": format!("registry.example.org/{}:v{}", self.name, self.version),
                    }]},
                },
            },
        });
        if self.kind == "Deployment" {
            workload["spec"]["replicas"] = json!(self.replicas);
        }
        let account = json!({
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": self.name, "namespace": "kube-system"},
        });
        [account, workload]
    }
}

/// Writes a scenario's stack, and returns its folder.
pub(super) fn write(scenario: &Scenario, folder: &Path) -> Result<PathBuf> {
    // kind's configuration is looked for beside the folder of the stacks.
    put(
        &folder.join("kind-configs/management.yaml"),
        include_bytes!("../../kind-configs/management.yaml"),
    )?;
    let stack = folder.join("stacks").join(NAME);
    for release in [&scenario.from, &scenario.to] {
        let sources = folder.join("sources").join(&release.tag);
        write_sources(release, &sources)?;
        let tag: ReleaseTag = release.tag.parse()?;
        let packed = pack(&sources, &tag)?;
        let place = stack.join("releases/cluster-stacks").join(&release.tag);
        for (name, bytes) in packed {
            put(&place.join(name), &bytes)?;
        }
    }
    put(
        &stack.join(STACK_FILE),
        stack_file(scenario).to_string().as_bytes(),
    )?;
    Ok(stack)
}

fn write_sources(release: &Release, folder: &Path) -> Result<()> {
    for (path, text) in SHARED {
        put(&folder.join(path), text.as_bytes())?;
    }
    let version = release.tag.rsplit('-').next().unwrap_or_default();
    let made = [
        (
            "metadata.yaml",
            json!({
                "apiVersion": "metadata.clusterstack.x-k8s.io/v1alpha1",
                "versions": {
                    "clusterStack": version,
                    "kubernetes": release.kubernetes,
                    "components": {"clusterAddon": version, "nodeImage": version},
                },
            }),
        ),
        ("clusteraddon.yaml", stages(release)),
        (
            "cluster-class/Chart.yaml",
            chart(&format!("{}-cluster-class", release.stem()), version),
        ),
        (
            "cluster-class/values.yaml",
            json!({
                "nodeImage": release.node_image(),
                "coreDNSImageTag": kubeadm::versions::core_dns(&release.kubernetes),
                // A label that a node can lose.
                "kubeletExtraArgs": {"node-labels": "example.org/pool=simulated"},
            }),
        ),
        (
            "cluster-addon/cni/values.yaml",
            json!({"image": "kindest/kindnetd:v20251212", "podSubnet": ""}),
        ),
        (
            "cluster-addon/storage/values.yaml",
            json!({"provisioner": "kubernetes.io/host-path"}),
        ),
    ];
    for (path, value) in made {
        put(&folder.join(path), value.to_string().as_bytes())?;
    }
    for addon in &release.addons {
        let place = folder.join("cluster-addon").join(&addon.name);
        put(
            &place.join("Chart.yaml"),
            chart(&addon.name, "v1").to_string().as_bytes(),
        )?;
        for (object, file) in addon.objects().iter().zip(["account", "workload"]) {
            let file = place.join("templates").join(format!("{file}.yaml"));
            put(&file, object.to_string().as_bytes())?;
        }
    }
    Ok(())
}

fn chart(name: &str, version: &str) -> Value {
    json!({"apiVersion": "v2", "type": "application", "name": name, "version": version})
}

fn stages(release: &Release) -> Value {
    let names = ["cni", "storage"].into_iter();
    let names = names.chain(release.addons.iter().map(|addon| addon.name.as_str()));
    let stages: Vec<Value> = names
        .map(|name| json!({"name": name, "action": "apply"}))
        .collect();
    json!({
        "apiVersion": "clusteraddonconfig.x-k8s.io/v1alpha1",
        "clusterAddonVersion": "clusteraddons.clusterstack.x-k8s.io/v1alpha1",
        "addonStages": {
            "AfterControlPlaneInitialized": stages,
            "BeforeClusterUpgrade": stages,
        },
    })
}

fn stack_file(scenario: &Scenario) -> Value {
    let workers: Vec<Value> = scenario
        .workers
        .iter()
        .enumerate()
        .map(|(number, replicas)| {
            json!({"class": "default-worker", "name": format!("md-{number}"), "replicas": replicas})
        })
        .collect();
    let mut variables = json!({});
    if !scenario.names.is_empty() {
        variables["certSANs"] = json!(scenario.names);
    }
    let mut images = json!({});
    for release in [&scenario.from, &scenario.to] {
        images[&release.kubernetes] = json!(release.node_image());
    }
    let mut stack = json!({
        "apiVersion": "stackgate/v1alpha1",
        "kind": "StackUnderTest",
        "metadata": {"name": NAME},
        "spec": {
            "releases": {"from": scenario.from.tag, "to": scenario.to.tag},
            "cluster": {
                "apiVersion": scenario.api_version,
                "controlPlane": {"replicas": scenario.control_planes},
                "workers": workers,
                "variables": variables,
            },
            "delivery": if scenario.operated { "operator" } else { "direct" },
            "nodeImages": images,
            "management": {
                "kindConfig": "management.yaml",
                "nodeImage": scenario.to.node_image(),
                "components": {"clusterApi": CLUSTER_API, "infrastructure": "docker"},
            },
            "timeouts": {"stable": format!("{}s", scenario.stable_seconds)},
            // On clusters as small as these all of CoreDNS may run on the machine that is drained.
            "probes": {
                "service": {"longestGap": "60s", "shareLost": 50},
                "dns": {"longestGap": "60s", "shareLost": 50},
            },
        },
    });
    if scenario.provided {
        stack["spec"]["providerTemplate"] = json!({
            "apiVersion": "infrastructure.clusterstack.x-k8s.io/v1alpha1",
            "kind": "OpenStackClusterStackReleaseTemplate",
            "metadata": {"name": "node-images"},
            "spec": {"template": {"spec": {}}},
        });
    }
    stack
}

fn put(file: &Path, bytes: &[u8]) -> Result<()> {
    let context = || format!("failed to write {}", file.display());
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder).with_context(context)?;
    }
    std::fs::write(file, bytes).with_context(context)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::{Keep, Plan};
    use crate::record::RunId;
    use crate::stack::Stack;
    use crate::suite::Suite;

    #[test]
    fn every_scenarios_stack_is_one_that_a_run_takes() {
        for seed in 0..20 {
            let folder = tempfile::tempdir().unwrap();
            let scenario = Scenario::of_seed(seed);
            let place = scenario.write(folder.path()).unwrap();
            let stacks = place.parent().unwrap();
            let stack = Stack::load(&place.to_string_lossy(), stacks).unwrap();
            let pair = stack
                .open_releases()
                .unwrap_or_else(|error| panic!("seed {seed}: {error}\n{scenario:#?}"));
            let suites = Suite::load_all(&stack.spec.suites, &place.join("suites")).unwrap();
            let run = RunId::of_seed(seed);
            Plan::new(stack, pair, suites, Keep::Never, &run)
                .unwrap_or_else(|error| panic!("seed {seed}: {error:#}\n{scenario:#?}"));
        }
    }
}
