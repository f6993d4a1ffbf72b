//! Wrong input to the real binary: one clear message on stderr, exit code 2, nothing created.

mod common;
#[path = "common/variant.rs"]
#[expect(
    dead_code,
    reason = "each test binary uses its own part of the fixtures"
)]
mod variant;

use std::io::Read as _;
use std::path::Path;

use common::TestContext;
use variant::{N1, Variant, stacks_dir};

const CLASS_ARCHIVE: &str = "docker-demo-1-35-cluster-class-v1.tgz";

/// Runs the gate on the stack in `folder`, and returns what a caller sees without the folder's name.
fn run(context: &TestContext, folder: &Path) -> String {
    let output = context
        .command()
        .arg("run")
        .arg(folder)
        .args(["--engine", "kind", "--stacks"])
        .arg(stacks_dir())
        .output();
    let shown = context.show(&output.expect("the binary starts"));
    assert!(
        shown.starts_with("exit code 2\n--- stdout\n--- stderr\n"),
        "{shown}"
    );
    let made: Vec<_> = std::fs::read_dir(context.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert!(made.len() <= 1, "created {made:?}");
    shown
}

/// What is shown for the demo stack after a change.
fn refused(variant: Variant, spoil: impl FnOnce(&Path)) -> String {
    let context = TestContext::new();
    let folder = variant.write(&context.path().join("stack"));
    spoil(&folder);
    run(&context, &folder)
}

fn demo() -> Variant {
    Variant::from("docker-demo")
}

#[test]
fn a_mistyped_stack_file_is_shown_with_its_line() {
    let shown = refused(
        demo().edit_stack(|text| {
            text.replace("replicas: 1\n    workers", "replicas: 2\n    workers")
        }),
        |_| {},
    );
    assert!(
        shown.contains("stack.yaml:20:17: a control plane of 2 Machines\n"),
        "{shown}"
    );
    assert!(shown.contains("20 |       replicas: 2\n"), "{shown}");
    assert!(shown.contains("^ expected an odd number"), "{shown}");
}

#[test]
fn a_malformed_stack_file_is_shown_with_its_line() {
    let shown = refused(
        demo().edit_stack(|text| text.replace("suites: [health, upgrade]", "suites: [health")),
        |_| {},
    );
    assert!(shown.contains("stack.yaml:4"), "{shown}");
}

#[test]
fn an_unknown_suite_is_refused() {
    let shown = refused(
        demo().edit_stack(|text| text.replace("suites: [health, upgrade]", "suites: [wealth]")),
        |_| {},
    );
    assert!(
        shown.contains("wealth") && shown.contains("health"),
        "{shown}"
    );
}

#[test]
fn the_operator_is_not_pretended_on_real_clusters() {
    let shown = refused(
        demo().edit_stack(|text| text.replace("delivery: direct", "delivery: operator")),
        |_| {},
    );
    let said = "delivery `operator` on real clusters needs to know the Cluster Stack Operator: stack.yaml has no spec.operator";
    assert!(shown.contains(said), "{shown}");
    assert!(
        shown.contains("hint: --engine embedded rehearses it"),
        "{shown}"
    );
}

#[test]
fn a_provider_of_node_images_is_not_pretended_on_real_clusters() {
    let shown = refused(
        variant::provided().edit_stack(|text| {
            let operator = "delivery: operator\n  operator: {install: {manifests: cso.yaml}}";
            text.replace("delivery: direct", operator)
        }),
        |_| {},
    );
    for words in [
        "stack.yaml has a spec.providerTemplate, and engine kind installs no provider of node images",
        "hint: --engine existing gates",
        "hint: --engine embedded rehearses it",
    ] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
}

#[test]
fn a_fault_of_the_operator_needs_the_operator() {
    let context = TestContext::new();
    let stacks = stacks_dir();
    let arguments = format!(
        "run docker-demo --stacks {} --engine embedded --fault hook-stuck",
        stacks.display()
    );
    let shown = context.run(&arguments);
    assert!(shown.starts_with("exit code 2\n"), "{shown}");
    assert!(
        shown.contains("fault hook-stuck is one of the Cluster Stack Operator"),
        "{shown}"
    );
    assert!(shown.contains("hint: add --delivery operator"), "{shown}");
}

#[test]
fn missing_release_files_are_all_named() {
    let shown = refused(demo(), |folder| {
        let release = folder.join("releases/cluster-stacks").join(N1);
        std::fs::remove_file(release.join(CLASS_ARCHIVE)).unwrap();
        std::fs::remove_file(release.join("clusteraddon.yaml")).unwrap();
    });
    for name in [CLASS_ARCHIVE, "clusteraddon.yaml"] {
        assert!(
            shown.contains(&format!("there is no file {name}")),
            "{shown}"
        );
    }
}

#[test]
fn a_release_that_csctl_did_not_make_is_refused_with_those_that_are_there_cs_264() {
    let next = "docker-demo-1-34-v2";
    let shown = refused(demo().edit_stack(|text| text.replace(N1, next)), |_| {});
    for words in [
        "invalid release `docker-demo-1-34-v2`",
        "there is no such folder (beside it: docker-demo-1-34-v1, docker-demo-1-35-v1)",
        "csctl, in its stable mode, makes no release after docker-demo-1-34-v1 of a change of the class",
        "(cluster-stacks#264): change an addon or a node image with it",
    ] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    // What is missing for another reason is not explained by it.
    let other = refused(
        demo().edit_stack(|text| text.replace(N1, "docker-demo-1-35-v2")),
        |folder| {
            std::fs::remove_dir_all(folder.join("releases/cluster-stacks").join(N1)).unwrap();
        },
    );
    assert!(other.contains("beside it: docker-demo-1-34-v1)"), "{other}");
    assert!(!other.contains("#264"), "{other}");
}

#[test]
fn a_release_whose_name_contradicts_its_metadata_is_refused() {
    let shown = refused(demo(), |folder| {
        let file = folder
            .join("releases/cluster-stacks")
            .join(N1)
            .join("metadata.yaml");
        let text = std::fs::read_to_string(&file)
            .unwrap()
            .replace("clusterStack: v1", "clusterStack: v2");
        std::fs::write(file, text).unwrap();
    });
    assert!(
        shown.contains(
            "metadata.yaml:3:17: `v2` contradicts the release's name `docker-demo-1-35-v1`"
        ),
        "{shown}"
    );
}

/// Puts an archive with one file of `size` zeros in the place of N+1's class archive.
fn replace_class_archive(folder: &Path, entry: &str, size: u64) {
    let gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let mut tar = tar::Builder::new(gzip);
    let mut header = tar::Header::new_gnu();
    header.as_old_mut().name[..entry.len()].copy_from_slice(entry.as_bytes());
    header.set_size(size);
    header.set_cksum();
    tar.append(&header, std::io::repeat(0).take(size)).unwrap();
    let archive = tar.into_inner().unwrap().finish().unwrap();
    let release = folder.join("releases/cluster-stacks").join(N1);
    std::fs::write(release.join(CLASS_ARCHIVE), archive).unwrap();
}

#[test]
fn an_archive_that_leaves_its_folder_is_refused() {
    let shown = refused(demo(), |folder| {
        replace_class_archive(folder, "../evil.yaml", 0)
    });
    assert!(
        shown.contains(&format!("{CLASS_ARCHIVE}: entry \"../evil.yaml\"")),
        "{shown}"
    );
}

#[test]
fn an_archive_bomb_is_refused() {
    let bomb = |folder: &Path| replace_class_archive(folder, "chart/zeros", 40 << 20);
    let shown = refused(demo(), bomb);
    assert!(
        shown.contains(CLASS_ARCHIVE) && shown.contains("chart/zeros"),
        "{shown}"
    );
}

#[test]
fn a_template_that_includes_itself_is_refused() {
    let helpers = "cluster-class/templates/_helpers.tpl";
    let endless = |text: &str| {
        text.replace(
            "criSocket: unix",
            "{{ include \"class.nodeRegistration\" . }}\ncriSocket: unix",
        )
    };
    let shown = refused(demo().edit(N1, helpers, endless), |_| {});
    assert!(
        shown.contains("docker-demo-1-35-v1") && shown.contains("_helpers.tpl"),
        "{shown}"
    );
}

#[test]
fn a_template_that_loops_is_refused() {
    let class = "cluster-class/templates/docker.yaml";
    let endless = |text: &str| {
        format!(
            "{text}{{{{- range $i := until 100000000 }}}}{{{{ range $j := until 100000000 }}}}x{{{{ end }}}}{{{{ end }}}}\n"
        )
    };
    let shown = refused(demo().edit(N1, class, endless), |_| {});
    assert!(
        shown.contains("docker-demo-1-35-v1") && shown.contains("docker.yaml"),
        "{shown}"
    );
}
