//! Each rule of `stackgate lint`: a pair of releases that breaks it and one, close by, that does not, both
//! made from the demo stack; and the table of rules in `docs/lint.md`.

mod common {
    #![expect(dead_code, reason = "each test binary uses its own part")]
    pub mod variant;
}

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use common::variant::{N, N1, Variant, failing, named_by_values, stacks_dir};
use stackgate::lint::{self, By, Report};
use stackgate::record::Severity;
use stackgate::simulate::Scenario;
use stackgate::stack::{Delivery, Hashes, Stack, archive};

/// The next version for the same Kubernetes.
const N2: &str = "docker-demo-1-34-v2";

/// A stack, and what is done to its packed releases.
struct Made {
    variant: Variant,
    after: fn(&Path),
    /// Release N+1, where it is not the one of the stack's file.
    to: Option<&'static str>,
}

impl From<Variant> for Made {
    fn from(variant: Variant) -> Self {
        Self {
            variant,
            after: |_| {},
            to: None,
        }
    }
}

fn demo() -> Variant {
    Variant::from("docker-demo")
}

/// The demo stack whose packed releases are changed.
fn packed(after: fn(&Path)) -> Made {
    Made {
        variant: demo(),
        after,
        to: None,
    }
}

fn lint(made: impl Into<Made>) -> Report {
    let made = made.into();
    let folder = tempfile::tempdir().unwrap();
    let configs = folder.path().join("kind-configs");
    std::fs::create_dir(&configs).unwrap();
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("kind-configs/management.yaml");
    std::fs::copy(shipped, configs.join("management.yaml")).unwrap();
    let stack = made
        .variant
        .write(&folder.path().join("stacks/docker-demo"));
    (made.after)(&stack.join("releases/cluster-stacks"));
    let stack = Stack::load(&stack.to_string_lossy(), stack.parent().unwrap()).unwrap();
    let releases = &stack.spec.releases;
    let other = made.to.map(|tag| tag.parse().unwrap());
    lint::releases(
        &stack,
        &releases.from,
        other.as_ref().unwrap_or(&releases.to),
    )
}

fn broken(report: &Report) -> BTreeSet<&'static str> {
    report
        .findings
        .iter()
        .map(|finding| finding.rule.id)
        .collect()
}

/// A test for each rule: what breaks it, and what does not.
/// The chart `extra` is deleted just before the one that is named by its values.
fn deleted_before_named() -> Variant {
    let variant = extra(named_by_values(), N1);
    variant.edit(N1, STAGES, |text| {
        let (created, upgraded) = text.split_once("  BeforeClusterUpgrade:").unwrap();
        let deletes = format!("  - name: extra\n    action: delete\n{STORAGE}");
        format!(
            "{created}  BeforeClusterUpgrade:{}",
            upgraded.replace(STORAGE, &deletes)
        )
    })
}

#[test]
fn a_stage_that_deletes_hands_its_values_on_to_the_one_behind_it_issue_7() {
    for (overwrite, inherits) in [(None, true), (Some("{}\n"), false)] {
        let variant = match overwrite {
            Some(text) => {
                deleted_before_named().add(N1, "cluster-addon/extra/overwrite.yaml", text)
            }
            None => deleted_before_named(),
        };
        let report = lint(variant);
        let told = broken(&report).contains("values-inherited");
        assert_eq!(told, inherits, "{}", lint::output::terminal(&report));
    }
}

macro_rules! rules {
    ($($test:ident $id:literal breaks $broken:expr, keeps $kept:expr;)*) => {
        const TESTED: &[&str] = &[$($id),*];
        $(
            #[test]
            fn $test() {
                let report = lint($broken);
                assert!(broken(&report).contains($id), "{}", lint::output::terminal(&report));
                let report = lint($kept);
                assert!(!broken(&report).contains($id), "{}", lint::output::terminal(&report));
            }
        )*
    };
}

/// An object's template.
fn object(api: &str, kind: &str, name: &str, rest: &str) -> String {
    format!("apiVersion: {api}\nkind: {kind}\nmetadata:\n  name: {name}\n{rest}")
}

fn map(namespace: &str) -> String {
    object("v1", "ConfigMap", "more", namespace)
}

const IN_SYSTEM: &str = "  namespace: kube-system\n";
const MORE: &str = "cluster-addon/metrics-server/templates/more.yaml";
const CNI: &str = "cluster-addon/cni/templates/more.yaml";
const CLASS: &str = "cluster-class/templates/cluster-class.yaml";
const STAGES: &str = "clusteraddon.yaml";

/// A Deployment with an image.
fn deployment(image: &str, replicas: u8) -> String {
    object(
        "apps/v1",
        "Deployment",
        "more",
        &format!(
            "{IN_SYSTEM}spec:\n  replicas: {replicas}\n  selector: {{matchLabels: {{app: more}}}}\n  template:\n    metadata: {{labels: {{app: more}}}}\n    spec:\n      containers:\n      - name: more\n        image: {image}\n"
        ),
    )
}

/// The same workload in both releases, with other images.
fn images(before: &str, after: &str) -> Variant {
    let add = |variant: Variant, tag, image| variant.add(tag, MORE, &deployment(image, 1));
    add(add(demo(), N, before), N1, after)
}

fn definition(versions: &str) -> String {
    object(
        "apiextensions.k8s.io/v1",
        "CustomResourceDefinition",
        "things.example.org",
        &format!(
            "spec:\n  group: example.org\n  names: {{kind: Thing, plural: things}}\n  scope: Cluster\n  versions: {versions}\n"
        ),
    )
}

const V1: &str =
    "[{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}]";
const V1_AND_OLD: &str = "[{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}, {name: v1beta1, served: true, storage: false, schema: {openAPIV3Schema: {type: object}}}]";
const OLD: &str =
    "[{name: v1beta1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}]";

fn definitions(before: &str, after: &str) -> Variant {
    demo()
        .add(N, CNI, &definition(before))
        .add(N1, CNI, &definition(after))
}

/// A variable of the class, before the one that is there.
fn variable(variant: Variant, tag: &str, name: &str, more: &str) -> Variant {
    variant.edit(tag, CLASS, |text| {
        let added = format!("  variables:\n  - name: {name}\n    {more}\n");
        text.replace("  variables:\n", &added)
    })
}

const OPTIONAL: &str = "required: false\n    schema: {openAPIV3Schema: {type: string}}";
const NUMBER: &str = "required: false\n    schema: {openAPIV3Schema: {type: integer}}";
const REQUIRED: &str = "required: true\n    schema: {openAPIV3Schema: {type: string}}";
const WITH_DEFAULT: &str =
    "required: true\n    schema: {openAPIV3Schema: {type: string, default: a}}";

fn stages(change: impl FnOnce(&str) -> String) -> Variant {
    demo().edit(N1, STAGES, change)
}

const STORAGE: &str = "  - name: storage\n    action: apply\n";

/// A chart `extra` with one object.
fn extra(variant: Variant, tag: &str) -> Variant {
    variant
        .add(
            tag,
            "cluster-addon/extra/Chart.yaml",
            "apiVersion: v2\nname: extra\nversion: v1\n",
        )
        .add(
            tag,
            "cluster-addon/extra/templates/map.yaml",
            &map(IN_SYSTEM),
        )
}

fn extra_stage() -> Variant {
    let stage = "  - name: extra\n    action: apply\n";
    let variant = stages(|text| {
        let both = format!("{stage}  BeforeClusterUpgrade:");
        format!("{}{stage}", text.replace("  BeforeClusterUpgrade:", &both))
    });
    extra(variant, N1)
}

fn chart_file(text: &str) -> Variant {
    demo().edit(N1, "cluster-addon/cni/Chart.yaml", |chart| {
        format!("{chart}{text}")
    })
}

fn scaler(version: &str) -> String {
    object(
        &format!("autoscaling/{version}"),
        "HorizontalPodAutoscaler",
        "more",
        &format!(
            "{IN_SYSTEM}spec:\n  maxReplicas: 2\n  scaleTargetRef: {{apiVersion: apps/v1, kind: Deployment, name: metrics-server}}\n"
        ),
    )
}

fn budget(field: &str, replicas: u8) -> Variant {
    let budget = object(
        "policy/v1",
        "PodDisruptionBudget",
        "more",
        &format!("{IN_SYSTEM}spec:\n  {field}\n  selector: {{matchLabels: {{app: more}}}}\n"),
    );
    let image = "registry.k8s.io/e2e-test-images/agnhost:2.53";
    let both = format!("{}---\n{budget}", deployment(image, replicas));
    demo().add(N1, MORE, &both)
}

fn single() -> Variant {
    demo().single_chart(N).single_chart(N1)
}

fn single_of_other_version() -> Variant {
    single().edit(N1, "metadata.yaml", |text| {
        text.replace("clusterAddon: v1", "clusterAddon: v2")
    })
}

fn next(to: &str) -> Variant {
    demo().next_version(N, to)
}

fn next_with_addons() -> Variant {
    next(N2).edit(N2, "cluster-addon/metrics-server/values.yaml", |text| {
        text.replace("v0.8.0", "v0.8.1")
    })
}

fn thing() -> String {
    format!(
        "{}---\n{}",
        definition(V1),
        object("example.org/v1", "Thing", "one", "")
    )
}

fn template(value: &str) -> String {
    object(
        "bootstrap.cluster.x-k8s.io/v1beta2",
        "KubeadmConfigTemplate",
        "fixed",
        &format!(
            "spec: {{template: {{spec: {{joinConfiguration: {{skipPhases: [{value}]}}}}}}}}\n"
        ),
    )
}

fn worker_class(variant: Variant, tag: &str) -> Variant {
    variant.edit(tag, CLASS, |text| {
        let start = text.find("    - class: default-worker").unwrap();
        let end = text.find("  variables:").unwrap();
        let other = text[start..end].replace("class: default-worker", "class: other");
        format!("{}{other}{}", &text[..end], &text[end..])
    })
}

fn release_file(releases: &Path, name: &str) -> PathBuf {
    releases.join(N1).join(name)
}

fn copy(releases: &Path, name: &str) {
    let from = release_file(releases, "docker-demo-1-35-cluster-addon-v1.tgz");
    std::fs::copy(from, release_file(releases, name)).unwrap();
}

/// Writes a file into release N+1.
fn put(releases: &Path, name: &str, text: &str) {
    std::fs::write(release_file(releases, name), text).unwrap();
}

/// The hashes of a release's sources, as csctl would tell them.
fn hashes_of(releases: &Path, tag: &str) -> Hashes {
    let sources = releases.join("../../sources").join(tag);
    Hashes::of_sources(&archive::read_dir(&sources).unwrap())
}

/// The next version for the same Kubernetes, with another class; both tell the hashes of their sources.
fn next_with_class(variant: Variant) -> Made {
    let variant = variant.edit(N2, "cluster-class/values.yaml", |text| {
        text.replace(
            "kubeletExtraArgs:\n",
            "kubeletExtraArgs:\n  max-pods: \"100\"\n",
        )
    });
    let after = |releases: &Path| {
        for tag in [N, N2] {
            let (name, content) = hashes_of(releases, tag).file();
            std::fs::write(releases.join(tag).join(name), content).unwrap();
        }
    };
    Made {
        variant,
        after,
        to: None,
    }
}

/// Node images that a release declares.
fn node_images(version: &str) -> String {
    let api = "docker.infrastructure.clusterstack.x-k8s.io/v1alpha1";
    format!("apiVersion: {api}\ndockerImages: [node-{version}]\n")
}

/// An image that the class has downloaded.
fn download(version: &str, hash: &str) -> Variant {
    let content = format!(
        "spec:\n  resource:\n    content:\n      download:\n        url: https://example.org/kube-{version}.qcow2\n{hash}"
    );
    let image = object("openstack.k-orc.cloud/v1alpha1", "Image", "node", &content);
    demo().add(N1, "cluster-class/templates/image.yaml", &image)
}

const HASH: &str = "        hash: {algorithm: sha256, value: abc}\n";

rules! {
    release_files "release-files"
        breaks packed(|releases| std::fs::remove_file(release_file(releases, "metadata.yaml")).unwrap()),
        keeps demo();
    node_image_version "node-image-version"
        breaks packed(|releases| {
            let file = release_file(releases, "metadata.yaml");
            let text = std::fs::read_to_string(&file).unwrap();
            std::fs::write(file, text.replace("    nodeImage: v1\n", "")).unwrap();
        }),
        keeps demo();
    hook_unknown "hook-unknown"
        breaks stages(|text| format!("{text}  AfterClusterUpgrade:\n{STORAGE}")),
        keeps demo();
    stage_without_chart "stage-without-chart"
        breaks stages(|text| text.replace("name: storage", "name: storag")),
        keeps demo();
    chart_renders "chart-renders"
        breaks demo().add(N1, MORE, "{{ fail \"on purpose\" }}"),
        keeps demo().add(N1, MORE, "{{ if false }}{{ fail \"never\" }}{{ end }}");
    dependencies_vendored "dependencies-vendored"
        breaks chart_file("dependencies:\n- {name: below, version: 1.0.0}\n"),
        keeps chart_file("dependencies:\n- {name: below, version: 1.0.0}\n").add(
            N1,
            "cluster-addon/cni/charts/below/Chart.yaml",
            "apiVersion: v2\nname: below\nversion: 1.0.0\n",
        );
    stack_fits "stack-fits"
        breaks demo().edit_stack(|text| text.replace("class: default-worker", "class: other")),
        keeps demo();
    variable_newly_required "variable-newly-required"
        breaks variable(demo(), N1, "more", REQUIRED),
        keeps variable(demo(), N1, "more", WITH_DEFAULT);
    archive_ambiguous "archive-ambiguous"
        breaks packed(|releases| copy(releases, "docker-demo-1-35-cluster-addon-v10.tgz")),
        keeps packed(|releases| copy(releases, "notes.tgz"));
    values_unused "values-unused"
        breaks packed(|releases| {
            std::fs::write(release_file(releases, "cluster-addon-values.yaml"), "{}").unwrap();
        }),
        keeps single();
    kubernetes_step "kubernetes-step"
        breaks Made { to: Some("docker-demo-1-36-v1"), ..demo().other_minor("docker-demo-1-36-v1").into() },
        keeps demo();
    release_not_newer "release-not-newer" breaks next("docker-demo-1-34-v0"), keeps next(N2);
    channel_unstable "channel-unstable"
        breaks next("docker-demo-1-34-v2-sha-abc1234"),
        keeps next(N2);
    addon_version_kept "addon-version-kept" breaks single(), keeps single_of_other_version();
    addons_left_behind "addons-left-behind" breaks single_of_other_version(), keeps demo();
    chart_refuses_old_kubernetes "chart-refuses-old-kubernetes"
        breaks chart_file("kubeVersion: '>=1.35.0'\n"),
        keeps chart_file("kubeVersion: '>=1.34.0'\n");
    component_skew "component-skew"
        breaks images("x/cluster-autoscaler:v1.32.0", "x/cluster-autoscaler:v1.32.0"),
        keeps images("x/cluster-autoscaler:v1.34.0", "x/cluster-autoscaler:v1.34.0");
    cilium_step "cilium-step"
        breaks images("quay.io/cilium/cilium:v1.16.6", "quay.io/cilium/cilium:v1.18.9"),
        keeps images("quay.io/cilium/cilium:v1.16.6", "quay.io/cilium/cilium:v1.17.9");
    coredns_kept "coredns-kept" breaks failing("coredns"), keeps demo();
    cluster_api_version "cluster-api-version"
        breaks demo().edit_stack(|text| {
            let text = text.replace("clusterApi: v1.12.5", "clusterApi: v1.10.4");
            text.replace("cluster.x-k8s.io/v1beta2", "cluster.x-k8s.io/v1beta1")
        }),
        keeps demo();
    stage_lists_differ "stage-lists-differ"
        breaks stages(|text| {
            let hook = "BeforeClusterUpgrade:\n";
            text.replace(&format!("{hook}  - name: cni\n    action: apply\n"), hook)
        }),
        keeps demo();
    stage_dropped "stage-dropped"
        breaks stages(|text| text.replace(STORAGE, "")),
        keeps stages(|text| {
            let (before, after) = text.split_once("  BeforeClusterUpgrade:\n").unwrap();
            let deleted = STORAGE.replace("apply", "delete");
            format!(
                "{}  BeforeClusterUpgrade:\n{}",
                before.replace(STORAGE, ""),
                after.replace(STORAGE, &deleted)
            )
        });
    stage_added "stage-added" breaks extra_stage(), keeps extra(extra_stage(), N);
    values_inherited "values-inherited"
        breaks named_by_values(),
        keeps named_by_values().add(N1, "cluster-addon/storage/overwrite.yaml", "{}\n");
    resource_before_definition "resource-before-definition"
        breaks next(N2).add(N2, CNI, &thing()),
        keeps demo().add(N, CNI, &definition(V1)).next_version(N, N2).add(
            N2,
            MORE,
            &object("example.org/v1", "Thing", "one", ""),
        );
    condition_of_nothing "condition-of-nothing"
        breaks stages(|text| text.replace("name: kindnet", "name: kindnett")),
        keeps demo();
    addons_unordered "addons-unordered"
        breaks next_with_addons().edit(N2, "cluster-class/values.yaml", |text| {
            text.replace("kubeletExtraArgs:\n", "kubeletExtraArgs:\n  max-pods: \"100\"\n")
        }),
        keeps next_with_addons();
    api_version_moved "api-version-moved"
        breaks demo().add(N, MORE, &scaler("v1")).add(N1, MORE, &scaler("v2")),
        keeps demo().add(N, MORE, &scaler("v2")).add(N1, MORE, &scaler("v2"));
    removal_takes_data "removal-takes-data"
        breaks demo().add(N, CNI, &definition(V1)),
        keeps definitions(V1, V1);
    object_twice "object-twice"
        breaks demo().add(N1, MORE, &map(IN_SYSTEM)).add(N1, CNI, &map(IN_SYSTEM)),
        keeps demo().add(N1, MORE, &map(IN_SYSTEM));
    namespace_foreign "namespace-foreign"
        breaks demo().add(N1, MORE, &map("  namespace: default\n")),
        keeps demo().add(N1, MORE, &map("  namespace: {{ .Release.Namespace }}\n"));
    namespace_told "namespace-told"
        breaks demo().add(N, MORE, &map("")).add(N1, MORE, &map(IN_SYSTEM)),
        keeps demo().add(N, MORE, &map("")).add(N1, MORE, &map(""));
    namespace_told_no_more "namespace-told"
        breaks demo().add(N, MORE, &map(IN_SYSTEM)).add(N1, MORE, &map("")),
        keeps demo().add(N, MORE, &map(IN_SYSTEM)).add(N1, MORE, &map(IN_SYSTEM));
    helm_hook "helm-hook"
        breaks demo().add(N1, MORE, &map("  annotations:\n    \"helm.sh/hook\": post-install\n")),
        keeps demo().add(N1, MORE, &map(IN_SYSTEM));
    immutable_field "immutable-field"
        breaks demo().edit(N1, "cluster-addon/cni/templates/daemonset.yaml", |text| {
            text.replace("app.kubernetes.io/name: kindnet", "app.kubernetes.io/name: next")
        }),
        keeps demo().edit(N1, "cluster-addon/cni/templates/daemonset.yaml", |text| {
            text.replacen("app.kubernetes.io/name: kindnet", "app.kubernetes.io/name: next", 1)
        });
    template_changed "template-changed"
        breaks demo()
            .add(N, "cluster-class/templates/more.yaml", &template("a"))
            .add(N1, "cluster-class/templates/more.yaml", &template("b")),
        keeps demo()
            .add(N, "cluster-class/templates/more.yaml", &template("a"))
            .add(N1, "cluster-class/templates/more.yaml", &template("a"));
    api_removed "api-removed"
        breaks demo().add(N1, MORE, &object("policy/v1beta1", "PodDisruptionBudget", "more", IN_SYSTEM)),
        keeps demo().add(N1, MORE, &object("policy/v1", "PodDisruptionBudget", "more", IN_SYSTEM));
    api_not_yet_served "api-not-yet-served"
        breaks demo().add(
            N1,
            MORE,
            &object("storagemigration.k8s.io/v1beta1", "StorageVersionMigration", "more", ""),
        ),
        keeps demo().add(N1, MORE, &object("storage.k8s.io/v1", "VolumeAttributesClass", "more", ""));
    api_deprecated "api-deprecated"
        breaks demo().add(
            N1,
            MORE,
            &object("storage.k8s.io/v1beta1", "VolumeAttributesClass", "more", ""),
        ),
        keeps demo().add(N1, MORE, &object("storage.k8s.io/v1", "VolumeAttributesClass", "more", ""));
    definition_version_dropped "definition-version-dropped"
        breaks definitions(OLD, V1),
        keeps definitions(OLD, V1_AND_OLD);
    definition_version_unserved "definition-version-unserved"
        breaks definitions(V1_AND_OLD, V1),
        keeps definitions(V1, V1_AND_OLD);
    budget_never_met "budget-never-met"
        breaks budget("minAvailable: 2", 2),
        keeps budget("minAvailable: 1", 2);
    image_unpinned "image-unpinned"
        breaks images("nginx:1.29", "nginx"),
        keeps images("nginx:1.29", "nginx:1.29");
    image_unlisted "image-unlisted"
        breaks images("nginx:1.29", "nginx:1.29"),
        keeps images(
            "registry.k8s.io/e2e-test-images/agnhost:2.53",
            "registry.k8s.io/e2e-test-images/agnhost:2.53",
        );
    image_download_unpinned "image-unpinned"
        breaks download("v1.35.0", ""),
        keeps download("v1.35.0", HASH);
    hashes_differ "hashes-differ"
        breaks packed(|releases| {
            let wrong = Hashes {
                cluster_addon_dir: "abc1234".to_owned(),
                ..hashes_of(releases, N1)
            };
            let (name, content) = wrong.file();
            put(releases, &name, &String::from_utf8(content).unwrap());
        }),
        // As the stacks' own build.sh writes it: the commit of the sources, and nothing of their parts.
        keeps packed(|releases| {
            let sources = "0123456789abcdef0123456789abcdef01234567";
            put(releases, "hashes.json", &format!("{{\"clusterStack\": \"{sources}\"}}"));
        });
    change_unnoticed "change-unnoticed"
        breaks next_with_class(next(N2)),
        keeps next_with_class(next_with_addons());
    node_image_declared "node-image-declared"
        breaks packed(|releases| put(releases, "node-images.yaml", &node_images("v1.34.3"))),
        keeps packed(|releases| put(releases, "node-images.yaml", &node_images("v1.35.0")));
    node_image_downloaded "node-image-declared"
        breaks download("v1.34.3", HASH),
        keeps download("v1.35.0", HASH);
    node_image_stale "node-image-stale"
        breaks demo().edit(N1, "cluster-class/values.yaml", |text| {
            text.replace("kindest/node:v1.35.0", "kindest/node:v1.34.3")
        }),
        keeps demo();
    class_incompatible "class-incompatible"
        breaks demo().edit(N1, CLASS, |text| text.replace("DockerClusterTemplate", "OtherClusterTemplate")),
        keeps demo();
    worker_class_removed "worker-class-removed"
        breaks worker_class(demo(), N),
        keeps worker_class(worker_class(demo(), N), N1);
    variable_removed "variable-removed"
        breaks variable(demo(), N, "more", OPTIONAL),
        keeps variable(demo(), N1, "more", OPTIONAL);
    variable_tightened "variable-tightened"
        breaks variable(variable(demo(), N, "more", OPTIONAL), N1, "more", NUMBER),
        keeps variable(variable(demo(), N, "more", OPTIONAL), N1, "more", WITH_DEFAULT);
    class_kind_not_permitted "class-kind-not-permitted"
        breaks demo().add(N1, "cluster-class/templates/map.yaml", &map("")),
        keeps demo().add(
            N1,
            "cluster-class/templates/map.yaml",
            &object("v1", "Secret", "more", ""),
        );
}

#[test]
fn every_rule_has_a_test() {
    let tested: BTreeSet<&str> = TESTED.iter().copied().collect();
    let known: Vec<&str> = lint::all().map(|rule| rule.id).collect();
    assert_eq!(known.len(), tested.len(), "a rule is there twice");
    assert_eq!(tested, known.into_iter().collect());
}

#[test]
fn what_csctl_did_not_make_is_no_unnoticed_change_cs_264() {
    let without_hashes = Made {
        after: |_| {},
        ..next_with_class(next(N2))
    };
    assert!(!broken(&lint(without_hashes)).contains("change-unnoticed"));
}

#[test]
fn the_shipped_stack_is_clean() {
    let folder = stacks_dir().join("docker-demo");
    let stack = Stack::load(&folder.to_string_lossy(), &stacks_dir()).unwrap();
    let report = lint::pair(&stack, &stack.open_releases().unwrap());
    assert!(
        report.findings.is_empty(),
        "{}",
        lint::output::terminal(&report)
    );
    let plan = report.plan.unwrap();
    assert_eq!(plan.removed, ["ConfigMap kube-system/metrics-server-nanny"]);
    assert!(
        plan.added
            .contains(&"StorageClass standard-retain".to_owned())
    );
    let changed: Vec<&str> = plan.changed.iter().map(|one| one.object.as_str()).collect();
    assert!(
        changed.contains(&"DaemonSet kube-system/kindnet"),
        "{changed:?}"
    );
}

#[test]
fn a_finding_names_the_line_of_the_template() {
    let report = lint(budget("minAvailable: 2", 2));
    let finding = report
        .findings
        .iter()
        .find(|one| one.rule.id == "budget-never-met");
    let problem = &finding.unwrap().problem;
    assert!(
        problem
            .file
            .ends_with("docker-demo-1-35-cluster-addon-v1.tgz:metrics-server/templates/more.yaml"),
        "{}",
        problem.file.display()
    );
    let line = problem.place.as_ref().unwrap().line;
    let told = problem.to_string();
    assert_eq!(line, 22, "{told}");
    assert!(told.contains("  minAvailable: 2\n"), "{told}");
}

#[test]
fn what_only_the_operator_does_wrong_closes_the_gate_where_it_delivers() {
    let report = lint(stages(|text| text.replace(STORAGE, "")));
    let dropped = report
        .findings
        .iter()
        .find(|one| one.rule.id == "stage-dropped")
        .unwrap();
    assert_eq!(
        (dropped.rule.by, dropped.rule.severity),
        (By::Operator, Severity::Must)
    );
    assert!(report.causes(Delivery::Direct).is_empty());
    let causes = report.causes(Delivery::Operator);
    let names: Vec<&str> = causes.iter().map(|cause| cause.cause.as_str()).collect();
    assert_eq!(names, ["lint-stage-dropped"]);
}

#[test]
fn values_of_secrets_are_not_told() {
    let secret = |value: &str| {
        object(
            "v1",
            "Secret",
            "more",
            &format!("{IN_SYSTEM}stringData:\n  key: {value}\n"),
        )
    };
    let variant = demo()
        .add(N, MORE, &secret("hunter1"))
        .add(N1, MORE, &secret("hunter2"));
    let report = lint(variant);
    for told in [
        lint::output::terminal(&report),
        lint::output::json(&report).unwrap(),
        lint::output::sarif(&report).unwrap(),
    ] {
        assert!(!told.contains("hunter"), "{told}");
    }
    let plan = report.plan.unwrap();
    assert!(
        plan.changed
            .iter()
            .any(|one| one.object == "Secret kube-system/more")
    );
}

/// The table of rules, as it is written in the documentation.
fn table() -> String {
    let mut text = String::from(
        "| rule | force | asks | why | source | defects |\n| --- | --- | --- | --- | --- | --- |\n",
    );
    for rule in lint::all() {
        let by = if rule.by == By::Operator {
            " (operator)"
        } else {
            ""
        };
        text.push_str(&format!(
            "| `{}` | {}{by} | {} | {} | {} | {} |\n",
            rule.id,
            rule.severity,
            rule.asks,
            rule.why,
            rule.source,
            rule.defects.join(", "),
        ));
    }
    text
}

#[test]
fn the_table_in_docs_is_that_of_the_rules() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/lint.md");
    let (begin, end) = ("<!-- rules -->\n", "<!-- end of rules -->\n");
    let text = std::fs::read_to_string(&path).unwrap();
    let start = text.find(begin).unwrap() + begin.len();
    let stop = text.find(end).unwrap();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        let renewed = format!("{}{}{}", &text[..start], table(), &text[stop..]);
        std::fs::write(&path, renewed).unwrap();
        return;
    }
    assert!(
        text[start..stop] == table(),
        "docs/lint.md is old: run `UPDATE_DOCS=1 cargo test --test lint`"
    );
}

#[test]
fn of_a_random_pair_lint_finds_what_the_simulation_says_is_wrong_with_it_issue_4() {
    let mut met = BTreeSet::new();
    // Some of all, and more of those with a flaw.
    let all = (0..).map(Scenario::of_seed);
    for scenario in all
        .filter(|one| one.seed < 40 || one.flaw().is_some())
        .take(60)
    {
        let seed = scenario.seed;
        let folder = tempfile::tempdir().unwrap();
        let stack = scenario.write(folder.path()).unwrap();
        let stack = Stack::load(&stack.to_string_lossy(), stack.parent().unwrap()).unwrap();
        let pair = stack.open_releases().unwrap();
        let causes = lint::pair(&stack, &pair).causes(stack.spec.delivery);
        let causes: BTreeSet<&str> = causes.iter().map(|cause| cause.cause.as_str()).collect();
        let flaw = scenario.flaw().map(|rule| format!("lint-{rule}"));
        match &flaw {
            Some(flaw) => assert!(causes.contains(flaw.as_str()), "seed {seed}: {causes:?}"),
            None => assert_eq!(causes, BTreeSet::new(), "seed {seed}"),
        }
        met.extend(flaw);
    }
    assert_eq!(met.len(), 2, "{met:?}");
}
