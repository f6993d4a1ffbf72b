//! Releases that are opened, and all the ways in which they cannot be.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

const TAG: &str = "docker-demo-1-34-v1";
const CLASS: &str = "docker-demo-1-34-cluster-class-v1.tgz";
const ADDON: &str = "docker-demo-1-34-cluster-addon-v1.tgz";

/// The demo stack's release N in a folder of its own.
struct Fixture {
    dir: TempDir,
}

impl Fixture {
    fn new() -> Self {
        let sources = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("stacks-under-test/docker-demo/sources")
            .join(TAG);
        Self::packed(&sources)
    }

    fn packed(sources: &Path) -> Self {
        let fixture = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        std::fs::create_dir(fixture.folder()).unwrap();
        for (name, content) in pack(sources, &TAG.parse().unwrap()).unwrap() {
            std::fs::write(fixture.file(&name), content).unwrap();
        }
        fixture
    }

    fn folder(&self) -> PathBuf {
        self.dir.path().join(TAG)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder().join(name)
    }

    fn remove(&self, name: &str) {
        std::fs::remove_file(self.file(name)).unwrap();
    }

    fn rename(&self, from: &str, to: &str) {
        std::fs::rename(self.file(from), self.file(to)).unwrap();
    }

    /// Puts an archive of these entries in the place of `name`: path, kind, content.
    fn archive(&self, name: &str, entries: &[(&str, tar::EntryType, &[u8])]) {
        let mut tar = tar::Builder::new(Vec::new());
        for (path, kind, content) in entries {
            let mut header = tar::Header::new_gnu();
            // Written as bytes: the builder itself would refuse a path that leaves the folder.
            let field = &mut header.as_old_mut().name;
            field[..path.len()].copy_from_slice(path.as_bytes());
            header.set_entry_type(*kind);
            header.set_mode(0o644);
            header.set_size(content.len() as u64);
            if kind.is_symlink() || kind.is_hard_link() {
                let field = &mut header.as_old_mut().linkname;
                field[..11].copy_from_slice(b"/etc/passwd");
            }
            header.set_cksum();
            tar.append(&header, *content).unwrap();
        }
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        gzip.write_all(&tar.into_inner().unwrap()).unwrap();
        std::fs::write(self.file(name), gzip.finish().unwrap()).unwrap();
    }

    fn open(&self) -> Result<Release, String> {
        let opened = Release::open(self.dir.path(), &TAG.parse().unwrap());
        opened.map_err(|error| {
            error
                .to_string()
                .replace(&format!("{}/", self.dir.path().display()), "")
        })
    }

    fn error(&self) -> String {
        self.open().unwrap_err()
    }
}

const FILE: tar::EntryType = tar::EntryType::Regular;

#[test]
fn a_release_is_opened() {
    let release = Fixture::new().open().unwrap();
    assert_eq!(release.class_name, "docker-demo-1-34-v1");
    assert_eq!(release.kubernetes_version.to_string(), "v1.34.3");
    assert_eq!(release.class_chart.name(), "docker-demo-1-34-cluster-class");
    let stages = release.addons.stages(Hook::BeforeClusterUpgrade);
    assert_eq!(
        stages
            .iter()
            .map(|stage| stage.name.as_str())
            .collect::<Vec<_>>(),
        ["cni", "storage", "metrics-server"]
    );
    assert!(stages[2].wait_for_pre_condition.is_some());
    let with_overwrite: Vec<&str> = release
        .addons
        .charts()
        .filter(|(_, addon)| addon.overwrite.is_some())
        .map(|(name, _)| name)
        .collect();
    assert_eq!(with_overwrite, ["cni", "metrics-server"]);
}

#[test]
fn files_that_the_format_does_not_know_are_tolerated() {
    let fixture = Fixture::new();
    for name in [
        "hashes.json",
        "node-images.yaml",
        "notes.txt",
        "docker-demo-1-34-cluster-class-v10.tgz",
    ] {
        std::fs::write(fixture.file(name), "x").unwrap();
    }
    assert!(fixture.open().is_ok());
}

#[test]
fn a_release_without_stages_has_one_chart_for_all_addons() {
    let sources = tempfile::tempdir().unwrap();
    for (name, text) in [
        (
            "metadata.yaml",
            "apiVersion: metadata.clusterstack.x-k8s.io/v1alpha1\nversions: {clusterStack: v1, kubernetes: v1.34.3, components: {clusterAddon: v1, nodeImage: v1}}\n",
        ),
        (
            "cluster-addon-values.yaml",
            "values: |\n  a: {{ .Cluster.metadata.name }}\n",
        ),
        (
            "cluster-class/Chart.yaml",
            "apiVersion: v2\nname: docker-demo-1-34-cluster-class\nversion: v1\n",
        ),
        (
            "cluster-addon/Chart.yaml",
            "apiVersion: v2\nname: docker-demo-1-34-cluster-addon\nversion: v1\n",
        ),
    ] {
        let file = sources.path().join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    }
    let fixture = Fixture::packed(sources.path());
    let release = fixture.open().unwrap();
    for hook in [
        Hook::AfterControlPlaneInitialized,
        Hook::BeforeClusterUpgrade,
    ] {
        let stages = release.addons.stages(hook);
        assert_eq!(stages.len(), 1);
        assert_eq!(stages[0].name, "docker-demo-1-34-cluster-addon");
    }
    fixture.remove("cluster-addon-values.yaml");
    assert!(
        fixture
            .error()
            .contains("there is no file clusteraddon.yaml")
    );
}

#[test]
fn all_missing_files_are_told_at_once() {
    let fixture = Fixture::new();
    fixture.remove("clusteraddon.yaml");
    fixture.remove(CLASS);
    fixture.remove(ADDON);
    let error = fixture.error();
    for name in ["clusteraddon.yaml", CLASS, ADDON] {
        assert!(
            error.contains(&format!("there is no file {name}")),
            "{error}"
        );
    }
    fixture.remove("metadata.yaml");
    assert!(fixture.error().contains("there is no file metadata.yaml"));
}

#[test]
fn archives_are_found_by_their_exact_name() {
    for (name, other) in [
        (CLASS, "docker-demo-1-34-cluster-class-v10.tgz"),
        (ADDON, "docker-demo-1-34-cluster-addon-v10.tgz"),
    ] {
        let fixture = Fixture::new();
        fixture.rename(name, other);
        let error = fixture.error();
        assert!(
            error.contains(&format!("there is no file {name}")),
            "{error}"
        );
        assert!(
            error.contains("the name must be exactly this; found ") && error.contains(other),
            "{error}"
        );
    }
}

#[test]
fn a_missing_folder_names_its_neighbours() {
    let fixture = Fixture::new();
    let error = Release::open(fixture.dir.path(), &"docker-demo-1-34-v2".parse().unwrap())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains(
            "docker-demo-1-34-v2: there is no such folder (beside it: docker-demo-1-34-v1)"
        ),
        "{error}"
    );
}

#[test]
fn a_class_chart_of_another_release_is_refused() {
    let fixture = Fixture::new();
    fixture.archive(
        CLASS,
        &[(
            "other/Chart.yaml",
            FILE,
            b"apiVersion: v2\nname: other\nversion: v3\n",
        )],
    );
    let error = fixture.error();
    assert!(
        error.contains("the name of the chart, `other`, contradicts the release's name"),
        "{error}"
    );
    assert!(
        error.contains("expected `docker-demo-1-34-cluster-class` in Chart.yaml"),
        "{error}"
    );
    assert!(
        error.contains("the version of the chart, `v3`, contradicts"),
        "{error}"
    );
}

#[test]
fn a_stage_without_chart_is_refused() {
    let fixture = Fixture::new();
    fixture.archive(
        ADDON,
        &[(
            "cni/Chart.yaml",
            FILE,
            b"apiVersion: v2\nname: cni\nversion: v1\n",
        )],
    );
    let error = fixture.error();
    for name in ["storage", "metrics-server"] {
        assert!(
            error.contains(&format!("the addon archive has no chart `{name}`")),
            "{error}"
        );
    }
    assert!(error.contains("expected one of cni"), "{error}");
}

#[test]
fn hostile_archives_are_refused() {
    let good: &[u8] = b"apiVersion: v2\nname: cni\nversion: v1\n";
    let cases: &[(&str, tar::EntryType)] = &[
        ("../evil/Chart.yaml", FILE),
        ("cni/../../evil", FILE),
        ("/etc/evil", FILE),
        ("cni/link", tar::EntryType::Symlink),
        ("cni/link", tar::EntryType::Link),
        ("cni/fifo", tar::EntryType::Fifo),
        ("cni/device", tar::EntryType::Char),
    ];
    for archive in [CLASS, ADDON] {
        for (path, kind) in cases {
            let fixture = Fixture::new();
            fixture.archive(
                archive,
                &[("cni/Chart.yaml", FILE, good), (path, *kind, b"")],
            );
            let error = fixture.error();
            assert!(
                error.contains(archive) && error.contains(path),
                "{path}: {error}"
            );
            assert!(
                std::fs::read_dir(fixture.dir.path()).unwrap().count() == 1,
                "{path} was unpacked"
            );
        }
        for content in [b"".as_slice(), b"no archive", &[0x1f, 0x8b, 8, 0]] {
            let fixture = Fixture::new();
            std::fs::write(fixture.file(archive), content).unwrap();
            assert!(fixture.error().contains(archive));
        }
    }
}

#[test]
fn a_chart_without_its_files_is_refused() {
    let fixture = Fixture::new();
    fixture.archive(ADDON, &[("cni/values.yaml", FILE, b"a: 1\n")]);
    assert!(
        fixture.error().contains("Chart.yaml"),
        "{}",
        fixture.error()
    );
    fixture.archive(
        ADDON,
        &[
            (
                "cni/Chart.yaml",
                FILE,
                b"apiVersion: v2\nname: cni\nversion: v1\n",
            ),
            ("cni/overwrite.yaml", FILE, &[0xff]),
        ],
    );
    assert!(
        fixture
            .error()
            .contains("cni/overwrite.yaml: cannot be read: invalid utf-8"),
        "{}",
        fixture.error()
    );
}

#[test]
fn sources_that_cannot_be_packed_say_why() {
    let sources = tempfile::tempdir().unwrap();
    let tag = TAG.parse().unwrap();
    let error = pack(sources.path(), &tag).unwrap_err().to_string();
    assert!(error.contains("metadata.yaml: cannot be read"), "{error}");
    std::fs::write(sources.path().join("metadata.yaml"), "apiVersion: metadata.clusterstack.x-k8s.io/v1alpha1\nversions: {clusterStack: v1, kubernetes: v1.34.3, components: {clusterAddon: v1, nodeImage: v1}}\n").unwrap();
    let error = pack(sources.path(), &tag).unwrap_err().to_string();
    assert!(
        error.contains("cluster-addon-values.yaml cannot be read"),
        "{error}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever the release's files hold, opening it ends in a release or a message.
    #[test]
    fn arbitrary_files_never_panic(name in prop::sample::select(vec!["metadata.yaml", "clusteraddon.yaml", CLASS, ADDON]), at in 0..2000usize, content in prop::collection::vec(any::<u8>(), 0..40)) {
        let fixture = Fixture::new();
        let mut bytes = std::fs::read(fixture.file(name)).unwrap();
        let at = at.min(bytes.len());
        let end = (at + content.len()).min(bytes.len());
        bytes.splice(at..end, content);
        std::fs::write(fixture.file(name), bytes).unwrap();
        let _ = fixture.open();
    }
}

#[test]
fn a_chart_is_rendered_once_for_the_same_values_unless_chance_is_in_it_issue_7() {
    let sources = tempfile::tempdir().unwrap();
    let demo = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("stacks-under-test/docker-demo/sources")
        .join(TAG);
    let put = |path: &Path, content: &[u8]| {
        let file = sources.path().join(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, content).unwrap();
    };
    for (path, content) in crate::stack::archive::read_dir(&demo).unwrap() {
        put(&path, &content);
    }
    let drawn =
        "apiVersion: v1\nkind: Secret\nmetadata: {name: drawn}\nstringData: {x: '{{ DRAWN }}'}\n";
    for (chart, call) in [
        ("storage", "randAlphaNum 20"),
        // What is no time stands for now.
        ("metrics-server", "date \".000000000\" \"\""),
    ] {
        let file = format!("cluster-addon/{chart}/templates/drawn.yaml");
        put(Path::new(&file), drawn.replace("DRAWN", call).as_bytes());
    }
    let release = Fixture::packed(sources.path()).open().unwrap();
    let context = |name: &str, network: &str| {
        serde_json::json!({
            "Cluster": {"metadata": {"name": name}, "spec": {"clusterNetwork": {"pods": {"cidrBlocks": [network]}}}},
            "ControlPlane": {"spec": {"replicas": 1}},
        })
    };
    let render = |chart: &str, context: &serde_json::Value| {
        release.render_chart(chart, Some(chart), context).unwrap()
    };
    // Of a copy, as the engines have one; and of another Cluster, whose name is no value of this chart.
    let first = render("cni", &context("a", "10.0.0.0/16"));
    let copy = release.clone();
    let again = copy.render_chart("cni", Some("cni"), &context("b", "10.0.0.0/16"));
    assert_eq!(again.unwrap(), first);
    assert_eq!(release.results.count("cni"), 1);
    let other = render("cni", &context("a", "10.9.0.0/16"));
    assert_ne!(other, first);
    assert_eq!(release.results.count("cni"), 2);
    for network in 1..9 {
        render("cni", &context("a", &format!("10.{network}.0.0/16")));
    }
    assert_eq!(release.results.count("cni"), 4);
    for chart in ["storage", "metrics-server"] {
        let drawn = || render(chart, &context("a", "10.0.0.0/16"));
        assert_ne!(drawn(), drawn());
        assert_eq!(release.results.count(chart), 0);
    }
}
