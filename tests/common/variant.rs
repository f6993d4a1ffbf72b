//! Stacks that differ from a shipped one in one thing, for tests that must see the gate close.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use stackgate::stack::{ReleaseTag, STACK_FILE, pack};

/// Release N of the demo stack.
pub const N: &str = "docker-demo-1-34-v1";
/// Release N+1 of the demo stack.
pub const N1: &str = "docker-demo-1-35-v1";

/// Another release of the Kubernetes version of N.
pub const N2: &str = "docker-demo-1-34-v2";

/// A kind and an object of it, in one file.
pub const THING: &str = "apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: things.example.org
spec:
  group: example.org
  names: {kind: Thing, plural: things}
  scope: Cluster
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
---
apiVersion: example.org/v1
kind: Thing
metadata:
  name: one
";

/// A workload on a worker whose Pod must not be evicted: a drain of its Node never ends.
const PINNED: &str = r#"apiVersion: apps/v1
kind: Deployment
metadata:
  name: pinned
  namespace: {{ .Release.Namespace }}
spec:
  replicas: 1
  selector:
    matchLabels:
      app.kubernetes.io/name: pinned
  template:
    metadata:
      labels:
        app.kubernetes.io/name: pinned
    spec:
      containers:
      - name: pause
        image: registry.k8s.io/e2e-test-images/agnhost:2.53
        args: [pause]
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: pinned
  namespace: {{ .Release.Namespace }}
spec:
  maxUnavailable: 0
  selector:
    matchLabels:
      app.kubernetes.io/name: pinned
"#;

/// Names of the variants of the demo stack that must close the gate.
pub const FAILING: [&str; 4] = ["addon-image", "kubelet-flag", "coredns", "blocked-drain"];

/// The variant of a name in [`FAILING`].
pub fn failing(name: &str) -> Variant {
    let demo = Variant::from("docker-demo");
    let class_values = "cluster-class/values.yaml";
    match name {
        // N+1 names an addon image that does not exist.
        "addon-image" => demo.edit(N1, "cluster-addon/metrics-server/values.yaml", |text| {
            text.replace(":v0.8.1", ":v0.8.1-missing")
        }),
        // N+1 sets a kubelet flag that does not exist.
        "kubelet-flag" => demo.edit(N1, class_values, |text| {
            text.replace(
                "kubeletExtraArgs:\n",
                "kubeletExtraArgs:\n  no-such-flag: \"true\"\n",
            )
        }),
        // N+1 does not move CoreDNS, whose old image the new nodes do not have.
        "coredns" => demo.edit(N1, class_values, |text| {
            text.replace("coreDNSImageTag: v1.13.1", "coreDNSImageTag: \"\"")
        }),
        // Both releases run a workload that blocks the drain of its Node.
        "blocked-drain" => {
            let file = "cluster-addon/storage/templates/pinned.yaml";
            demo.add(N, file, PINNED).add(N1, file, PINNED)
        }
        other => panic!("no variant `{other}`"),
    }
}

/// The sources of a stack, to be changed and written elsewhere.
pub struct Variant {
    /// Texts by their path in the stack's folder: `stack.yaml` and all of `sources/`.
    files: BTreeMap<PathBuf, String>,
}

impl Variant {
    /// The sources of the shipped stack `name`, unchanged.
    pub fn from(name: &str) -> Self {
        let folder = stacks_dir().join(name);
        let mut files = BTreeMap::new();
        collect(&folder, Path::new("sources"), &mut files);
        let stack = std::fs::read_to_string(folder.join(STACK_FILE)).unwrap();
        files.insert(STACK_FILE.into(), stack);
        Self { files }
    }

    /// Changes a file of release `tag`'s sources; a change that changes nothing is a mistake of the test.
    #[must_use]
    pub fn edit(self, tag: &str, file: &str, change: impl FnOnce(&str) -> String) -> Self {
        self.change(Path::new("sources").join(tag).join(file), change)
    }

    /// Adds a file to release `tag`'s sources.
    #[must_use]
    pub fn add(mut self, tag: &str, file: &str, text: &str) -> Self {
        let path = Path::new("sources").join(tag).join(file);
        let before = self.files.insert(path.clone(), text.to_owned());
        assert!(before.is_none(), "{} exists", path.display());
        self
    }

    /// Takes a file of release `tag`'s sources away.
    #[must_use]
    pub fn remove(mut self, tag: &str, file: &str) -> Self {
        let path = Path::new("sources").join(tag).join(file);
        assert!(
            self.files.remove(&path).is_some(),
            "no file {}",
            path.display()
        );
        self
    }

    /// Puts release `to`, the next version of `from` for the same Kubernetes, in the place of N+1.
    #[must_use]
    pub fn next_version(mut self, from: &str, to: &str) -> Self {
        let version = |tag: &str| tag.parse::<ReleaseTag>().unwrap().version.dotted();
        let (old, new) = (version(from), version(to));
        let folder = Path::new("sources").join(from);
        let copied: Vec<(PathBuf, String)> = self
            .files
            .iter()
            .filter_map(|(path, text)| {
                let inside = path.strip_prefix(&folder).ok()?;
                let versioned = ["metadata.yaml", "cluster-class/Chart.yaml"];
                let text = if versioned.iter().any(|file| inside == Path::new(file)) {
                    text.replace(&format!(": {old}\n"), &format!(": {new}\n"))
                } else {
                    text.clone()
                };
                Some((Path::new("sources").join(to).join(inside), text))
            })
            .collect();
        self.files.extend(copied);
        self.edit_stack(|text| text.replace(&format!("to: {N1}"), &format!("to: {to}")))
    }

    /// Adds release `to`, which is N+1 for another minor version of Kubernetes.
    #[must_use]
    pub fn other_minor(mut self, to: &str) -> Self {
        let minor = to.parse::<ReleaseTag>().unwrap().minor;
        let folder = Path::new("sources").join(N1);
        let renewed = |text: &str| {
            let text = text.replace("1-35", &format!("1-{minor}"));
            text.replace("v1.35.0", &format!("v1.{minor}.0"))
        };
        let copied: Vec<(PathBuf, String)> = self
            .files
            .iter()
            .filter_map(|(path, text)| {
                let inside = path.strip_prefix(&folder).ok()?;
                Some((Path::new("sources").join(to).join(inside), renewed(text)))
            })
            .collect();
        self.files.extend(copied);
        self
    }

    /// Makes one chart of release `tag`'s network and storage, as releases without stages have it.
    #[must_use]
    pub fn single_chart(mut self, tag: &str) -> Self {
        let release = Path::new("sources").join(tag);
        let addons = release.join("cluster-addon");
        let mut templates = Vec::new();
        let mut values = String::new();
        for chart in ["cni", "storage"] {
            for (path, text) in &self.files {
                let Ok(inside) = path.strip_prefix(addons.join(chart)) else {
                    continue;
                };
                if inside.starts_with("templates") {
                    templates.push((addons.join(inside), text.clone()));
                } else if inside == Path::new("values.yaml") {
                    values.push_str(text);
                }
            }
        }
        let overwrite = self.files[&addons.join("cni/overwrite.yaml")].clone();
        self.files.retain(|path, _| !path.starts_with(&addons));
        self.files.extend(templates);
        let chart = "apiVersion: v2\nname: addons\nversion: v1\n".to_owned();
        self.files.insert(addons.join("Chart.yaml"), chart);
        self.files.insert(addons.join("values.yaml"), values);
        let values = release.join("cluster-addon-values.yaml");
        self.files.insert(values, overwrite);
        self.remove(tag, "clusteraddon.yaml")
    }

    /// Changes `stack.yaml`.
    #[must_use]
    pub fn edit_stack(self, change: impl FnOnce(&str) -> String) -> Self {
        self.change(STACK_FILE.into(), change)
    }

    /// Writes it into a folder of its own, with what the repository has beside its stacks.
    pub fn write_apart(self, folder: &Path) -> PathBuf {
        let config = "kind-configs/management.yaml";
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join(config);
        write(&folder.join(config), &std::fs::read(shipped).unwrap());
        self.write(&folder.join("stacks/docker-demo"))
    }

    /// Writes the stack into `folder`, its releases packed, and returns the folder.
    pub fn write(self, folder: &Path) -> PathBuf {
        let mut tags: Vec<String> = Vec::new();
        for (path, text) in &self.files {
            write(&folder.join(path), text.as_bytes());
            if let Ok(source) = path.strip_prefix("sources") {
                let tag = source.iter().next().unwrap().to_str().unwrap().to_owned();
                if tags.last() != Some(&tag) {
                    tags.push(tag);
                }
            }
        }
        for tag in tags {
            let parsed: ReleaseTag = tag.parse().unwrap();
            let release = folder.join("releases/cluster-stacks").join(&tag);
            for (name, content) in pack(&folder.join("sources").join(&tag), &parsed).unwrap() {
                write(&release.join(name), &content);
            }
        }
        folder.to_owned()
    }

    fn change(mut self, path: PathBuf, change: impl FnOnce(&str) -> String) -> Self {
        let text = self
            .files
            .get_mut(&path)
            .unwrap_or_else(|| panic!("no file {}", path.display()));
        let changed = change(text);
        assert_ne!(*text, changed, "{} is unchanged", path.display());
        *text = changed;
        self
    }
}

/// The folder of the stacks that ship.
pub fn stacks_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("stacks-under-test")
}

fn collect(folder: &Path, path: &Path, files: &mut BTreeMap<PathBuf, String>) {
    for entry in std::fs::read_dir(folder.join(path)).unwrap() {
        let path = path.join(entry.unwrap().file_name());
        if folder.join(&path).is_dir() {
            collect(folder, &path, files);
        } else {
            let text = std::fs::read_to_string(folder.join(&path)).unwrap();
            files.insert(path, text);
        }
    }
}

fn write(file: &Path, content: &[u8]) {
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(file, content).unwrap();
}

/// The demo stack with a StorageClass whose name comes from values, and a chart before it that sets that value.
pub fn named_by_values() -> Variant {
    let file = "cluster-addon/storage/templates/storageclass.yaml";
    let named = |text: &str| {
        text.replace(
            "name: standard\n",
            "name: {{ .Values.className | default \"standard\" }}\n",
        )
    };
    let demo = Variant::from("docker-demo");
    demo.edit(N, file, named).edit(N1, file, named).edit(
        N1,
        "cluster-addon/cni/overwrite.yaml",
        |text| format!("{}\n  className: other\n", text.trim_end()),
    )
}

/// The demo stack with node images of a provider of its own.
pub fn provided() -> Variant {
    let template = "  providerTemplate:
    apiVersion: infrastructure.clusterstack.x-k8s.io/v1alpha1
    kind: DockerClusterStackReleaseTemplate
    metadata: {name: node-images}
    spec: {template: {spec: {}}}
  delivery:";
    Variant::from("docker-demo").edit_stack(|text| text.replace("  delivery:", template))
}

/// The demo stack with Cilium as its network, which leaves out a minor version.
pub fn cilium() -> Variant {
    let file = "cluster-addon/cni/templates/daemonset.yaml";
    let agent = |version: &'static str| {
        move |text: &str| {
            let image = format!(
                "quay.io/cilium/cilium:{version}\n        readinessProbe: {{httpGet: {{path: /healthz, port: 9879}}}}"
            );
            let text = text.replace("name: kindnet\n", "name: cilium\n");
            text.replace("{{ .Values.image }}", &image)
        }
    };
    let network = |text: &str| text.replace("name: kindnet\n", "name: cilium\n");
    let demo = Variant::from("docker-demo");
    let old = demo
        .edit(N, file, agent("v1.16.6"))
        .edit(N, "clusteraddon.yaml", network);
    old.edit(N1, file, agent("v1.18.9"))
        .edit(N1, "clusteraddon.yaml", network)
}

/// The demo stack with an agent of the workers, which from release `to` on ([`N1`] or [`N2`]) asks for another label than
/// all nodes have. Kubelets of `to` give `example.org/pool=next`: Cluster API would hand a label of the class's metadata
/// on to Machines that are there already. There is no machine to spare.
pub fn agent(to: &str, asks: &str) -> Variant {
    let agents = "cluster-addon/storage/templates/agent.yaml";
    let agent = |selector: &str| {
        format!(
            "apiVersion: apps/v1\nkind: DaemonSet\nmetadata:\n  name: agent\n  namespace: kube-system\nspec:\n  selector: {{matchLabels: {{app: agent}}}}\n  template:\n    metadata: {{labels: {{app: agent}}}}\n    spec:\n      nodeSelector: {{{selector}}}\n      containers:\n      - {{name: agent, image: 'registry.k8s.io/e2e-test-images/agnhost:2.53', args: [pause]}}\n"
        )
    };
    let class = "    - class: default-worker\n";
    let strategy = "{type: RollingUpdate, rollingUpdate: {maxSurge: 0, maxUnavailable: 1}}";
    let with_agent = |variant: Variant, tag: &str| {
        variant
            .add(tag, agents, &agent("kubernetes.io/os: linux"))
            .edit(tag, "cluster-class/templates/cluster-class.yaml", |text| {
                let rollout = format!("{class}      rollout: {{strategy: {strategy}}}\n");
                text.replace(class, &rollout)
            })
    };
    let old = with_agent(Variant::from("docker-demo"), N);
    let both = if to == N1 {
        with_agent(old, N1)
    } else {
        old.next_version(N, to)
    };
    both.edit(to, agents, |text| {
        text.replace("kubernetes.io/os: linux", asks)
    })
    .edit(to, "cluster-class/templates/worker.yaml", |text| {
        let flag = "          - name: node-labels\n            value: example.org/pool=next\n";
        format!("{}\n{flag}", text.trim_end())
    })
}
