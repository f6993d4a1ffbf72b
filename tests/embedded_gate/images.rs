//! Images that no registry has.

use crate::rehearsal::Rehearsal;
use crate::variant::{N, Variant};
use crate::variants::rehearse;

/// What N+1's addon names.
const NEEDED: &str = "registry.k8s.io/metrics-server/metrics-server:v0.8.1";

#[test]
fn embedded_image_that_no_registry_has_closes_the_gate() {
    let rehearsal = Rehearsal::demo(&["--seed", "5", "--missing-image", NEEDED]);
    rehearsal.is_closed_by(&["image-not-available", NEEDED]);
    let told = rehearsal.stdout();
    let sentence = format!("no registry has {NEEDED}");
    assert!(told.contains(&sentence), "{told}");
    let reproduce = rehearsal.summary["rehearsal"]["reproduce"].as_str();
    let option = format!("--missing-image {NEEDED}");
    assert!(reproduce.is_some_and(|it| it.contains(&option)), "{told}");
}

#[test]
fn embedded_image_that_nobody_wants_proves_nothing() {
    let rehearsal = Rehearsal::demo(&["--seed", "5", "--missing-image", "example.org/other:v1"]);
    assert_eq!(rehearsal.output.status.code(), Some(3));
    let reason = rehearsal.reason();
    let told = "no registry was to have image example.org/other:v1, and nothing had to pull it";
    assert!(reason.contains(told), "{reason}");
}

/// How long the upgrade took, in seconds.
fn upgrade(rehearsal: &Rehearsal) -> f64 {
    let phases = rehearsal.summary["phases"].as_array().unwrap();
    let upgrade = phases.iter().find(|phase| phase["phase"] == "upgrade");
    upgrade.unwrap()["seconds"].as_f64().unwrap()
}

#[test]
fn embedded_kube_proxy_waits_for_its_image_until_the_control_plane_has_moved_it_issue_7() {
    const IMAGE: &str = "registry.k8s.io/kube-proxy:v1.34.3";
    // Machines of N come with it, those of N+1 would have to pull it; three of them take longer than a minute.
    let comes_with_it = |text: &str| {
        let image = "      customImage: {{ $.Values.nodeImage }}\n";
        text.replace(image, &format!("{image}      preLoadImages: [{IMAGE}]\n"))
    };
    // Meanwhile what runs there reaches no Service.
    let three = |stack: &str| {
        let more = stack.replacen("replicas: 1", "replicas: 3", 1);
        more.replace(
            "{longestGap: 30s, shareLost: 15}",
            "{longestGap: 5m, shareLost: 100}",
        )
    };
    let variant = Variant::from("docker-demo")
        .edit(N, "cluster-class/templates/docker.yaml", comes_with_it)
        .edit_stack(three);
    let engine = ["--engine", "embedded", "--seed", "5"];
    let given = [&engine[..], &["--missing-image", IMAGE]].concat();
    rehearse(variant, &[], &given).is_open();
}

#[test]
fn embedded_an_image_that_other_nodes_run_is_waited_for_longer_issue_7() {
    let fault = ["--seed", "7", "--fault", "image-pull-fails"];
    let class_only = [&fault[..], &["--scenario", "class-only"]].concat();
    let known = Rehearsal::demo(&class_only);
    known.is_closed_by(&["image-not-available", "although another node has run it"]);
    assert!(
        (300.0..500.0).contains(&upgrade(&known)),
        "{}",
        known.stdout()
    );
    // What N+1 brings runs nowhere.
    let unknown = Rehearsal::demo(&fault);
    unknown.is_closed_by(&["image-not-available", "so Pod kube-system/kindnet"]);
    assert!(upgrade(&unknown) < 200.0, "{}", unknown.stdout());
    assert!(
        !unknown.reason().contains("although"),
        "{}",
        unknown.reason()
    );
}
