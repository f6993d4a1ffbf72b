//! The gate with the Cluster Stack Operator delivering, on simulated clusters: open for the demo, and
//! closed for each of the operator's defects, with its cause named.

mod common {
    #![expect(dead_code, reason = "each test binary uses its own part")]
    pub mod rehearsal;
    pub mod variant;
}

use std::path::Path;

use common::rehearsal::{Rehearsed, rehearse};
use common::variant::{N, N1, THING, Variant, stacks_dir};
use stackgate::record::{Finding, Verdict, What};
use stackgate::stack::Delivery::Operator;

/// The next version for the same Kubernetes.
const N2: &str = "docker-demo-1-34-v2";
const SEED: u64 = 7;

fn demo(faults: &[&str]) -> Rehearsed {
    rehearse(&stacks_dir().join("docker-demo"), Operator, SEED, faults)
}

fn on(variant: Variant, faults: &[&str]) -> Rehearsed {
    let folder = tempfile::tempdir().unwrap();
    // kind's configuration is looked for beside the folder of the stacks.
    let configs = folder.path().join("kind-configs");
    std::fs::create_dir(&configs).unwrap();
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("kind-configs/management.yaml");
    std::fs::copy(shipped, configs.join("management.yaml")).unwrap();
    let stack = variant.write(&folder.path().join("stacks/docker-demo"));
    rehearse(&stack, Operator, SEED, faults)
}

/// The one cause that a closed gate names.
#[track_caller]
fn closed(run: &Rehearsed, cause: &str) -> Finding {
    assert_eq!(run.verdict, Verdict::Closed, "{}", run.reason);
    let findings = run.findings();
    let causes: Vec<&str> = findings.iter().map(|one| one.cause.as_str()).collect();
    assert_eq!(causes, [cause], "{}", run.reason);
    let finding = findings[0].clone();
    assert!(run.reason.ends_with(&finding.message), "{}", run.reason);
    assert!(!finding.evidence.is_empty());
    finding
}

#[track_caller]
fn open(run: &Rehearsed) {
    assert_eq!(run.verdict, Verdict::Open, "{}", run.reason);
    assert!(run.findings().is_empty());
}

fn stages(change: impl Fn(&str) -> String) -> Variant {
    Variant::from("docker-demo").edit(N1, "clusteraddon.yaml", change)
}

/// A ConfigMap's template.
fn map(name: &str, namespace: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\n{namespace}")
}

#[test]
fn the_demo_is_open_and_the_same_seed_tells_the_same() {
    let run = demo(&[]);
    open(&run);
    let essence = |run: &Rehearsed| -> Vec<String> {
        let told = run
            .events
            .iter()
            .filter(|event| !matches!(event.what, What::Usage(_)));
        told.map(|event| format!("{event:?}")).collect()
    };
    assert_eq!(essence(&run), essence(&demo(&[])));
    // The upgrade was blocked by the hook while the addons were applied, and said so.
    let blocked = run.events.iter().any(|event| match &event.what {
        What::Blocked { blockers, .. } => blockers.iter().any(|one| {
            one.object.kind == "ClusterAddon" && one.condition.contains("stage metrics-server is")
        }),
        _ => false,
    });
    assert!(blocked);
    // For how long, the run tells as a wait and as a property.
    let seconds = run.events.iter().find_map(|event| match &event.what {
        What::WaitFinished { what, seconds, .. }
            if what.ends_with("addons applied by the operator") =>
        {
            Some(*seconds)
        }
        _ => None,
    });
    assert!(seconds > Some(1.0), "{seconds:?}");
    let told = run.events.iter().any(|event| {
        matches!(&event.what, What::Property { name, .. } if name == "addons.applied-after")
    });
    assert!(told);
}

#[test]
fn accidents_of_the_connection_change_nothing() {
    for fault in [
        "api-server-away",
        "watch-cut",
        "event-lost",
        "gone",
        "conflict",
        "throttled",
        "slow",
    ] {
        open(&demo(&[fault]));
    }
}

#[test]
fn what_is_not_the_operators_fault_is_not_blamed_on_it() {
    closed(&demo(&["drain-blocked"]), "drain-blocked-by-budget");
    closed(&demo(&["image-pull-fails"]), "image-not-available");
    closed(&demo(&["certificate-expired"]), "certificate-expired");
    // The addons' pods cannot be created, and the stage after them waits.
    let finding = closed(&demo(&["webhook-down"]), "addon-stage-failed");
    assert!(
        finding.message.contains("FailedToEvaluatePreCondition"),
        "{}",
        finding.message
    );
}

#[test]
fn the_next_version_of_the_same_kubernetes_is_open() {
    let variant = Variant::from("docker-demo").next_version(N, N2).edit(
        N2,
        "cluster-addon/metrics-server/values.yaml",
        |text| text.replace("v0.8.0", "v0.8.1"),
    );
    open(&on(variant, &[]));
}

#[test]
fn one_chart_for_all_is_left_behind_and_its_hook_is_forgotten() {
    let same_addons = || {
        Variant::from("docker-demo")
            .single_chart(N)
            .single_chart(N1)
    };
    let single = || {
        same_addons().edit(N1, "metadata.yaml", |text| {
            text.replace("clusterAddon: v1", "clusterAddon: v2")
        })
    };
    // SovereignCloudStack/cluster-stack-operator#272: the hook came while the chart was applied. By another seed it is
    // the first, and the upgrade goes on.
    closed(&on(single(), &[]), "hook-blocks-though-addon-ready");
    // SovereignCloudStack/cluster-stacks#202
    let same_kubernetes = Variant::from("docker-demo")
        .single_chart(N)
        .next_version(N, N2)
        .edit(N2, "cluster-addon/values.yaml", |text| {
            text.replace("kindnetd:", "kindnetd-next:")
        });
    let finding = closed(&on(same_kubernetes, &[]), "addon-left-behind");
    assert_eq!(finding.object.to_string(), "DaemonSet kube-system/kindnet");
    // An addon version that stays tells the operator that there is nothing to do, and so it does not answer the hook.
    closed(&on(same_addons(), &[]), "hook-blocks-though-addon-ready");
}

#[test]
fn addons_that_stay_behind_are_named_though_the_operator_says_ready() {
    // SovereignCloudStack/cluster-stacks#202, with stages
    let finding = closed(&demo(&["addon-left-behind"]), "addon-left-behind");
    assert!(
        finding.message.contains("kindnetd:v20250512"),
        "{}",
        finding.message
    );
}

#[test]
fn a_stage_that_is_skipped_is_named() {
    let finding = closed(&demo(&["addon-stage-skipped"]), "addon-stage-failed");
    assert!(
        finding.message.contains("TemplateNewClusterStackFailed"),
        "{}",
        finding.message
    );
}

#[test]
fn a_hook_that_blocks_for_nothing_is_named() {
    // SovereignCloudStack/cluster-stack-operator#272
    let finding = closed(&demo(&["hook-stuck"]), "hook-blocks-though-addon-ready");
    let said = "BeforeClusterUpgrade has been blocking for ";
    assert!(finding.message.starts_with(said), "{}", finding.message);
    assert!(
        finding.evidence[0].contains("TopologyReconciled False"),
        "{:?}",
        finding.evidence
    );
}

#[test]
fn an_operator_that_has_lost_what_it_downloaded_is_named_issue_7() {
    for fault in ["operator-restart", "operator-locked-up"] {
        let finding = closed(&demo(&[fault]), "release-not-downloaded");
        assert_eq!(finding.object.kind, "ClusterAddon");
        assert!(finding.message.contains(N), "{}", finding.message);
    }
}

#[test]
fn a_hook_that_is_kept_is_named() {
    // SovereignCloudStack/cluster-stack-operator#212
    closed(&demo(&["hook-kept"]), "hook-kept");
    let created = closed(&demo(&["hook-kept@create"]), "hook-kept");
    assert!(
        created.message.contains("keeps hook"),
        "{}",
        created.message
    );
}

#[test]
fn a_hook_that_is_passed_without_work_is_named() {
    let finding = closed(&demo(&["hook-passed"]), "hook-passed-without-addons");
    assert!(
        finding.message.contains("is still of docker-demo-1-34-v1"),
        "{}",
        finding.message
    );
}

#[test]
fn an_operator_that_crashes_is_named() {
    // SovereignCloudStack/cluster-stack-operator#337
    let finding = closed(&demo(&["operator-crash-loop"]), "operator-crash-loop");
    assert!(
        finding
            .evidence
            .iter()
            .any(|line| line.contains("nil pointer")),
        "{:?}",
        finding.evidence
    );
}

#[test]
fn a_release_that_is_never_downloaded_is_named() {
    let finding = closed(&demo(&["release-not-downloaded"]), "release-not-downloaded");
    assert!(
        finding
            .message
            .contains("not downloaded yet; its log, in cso-system, tells why"),
        "{}",
        finding.message
    );
    // N+1 is provided while the Cluster is created, and told when its turn comes.
    let later = closed(
        &demo(&["release-not-downloaded@create"]),
        "release-not-downloaded",
    );
    assert_eq!(later.object.name, N1);
}

#[test]
fn drift_that_nobody_repairs_is_named() {
    let finding = closed(&demo(&["addon-drift"]), "addon-deleted");
    assert_eq!(
        finding.object.to_string(),
        "Deployment kube-system/metrics-server"
    );
}

#[test]
fn what_is_dropped_stays_after_a_pause_on_the_same_kubernetes() {
    let dropped = "cluster-addon/metrics-server/templates/more.yaml";
    let variant = || {
        let old = map("more", "  namespace: kube-system\n");
        let next = Variant::from("docker-demo").add(N, dropped, &old);
        next.next_version(N, N2).remove(N2, dropped)
    };
    let thing = "cluster-addon/cni/templates/thing.yaml";
    let finding = closed(
        &on(variant().add(N2, thing, THING), &[]),
        "addon-not-pruned",
    );
    assert_eq!(finding.object.to_string(), "ConfigMap kube-system/more");
}

#[test]
fn an_object_whose_api_version_moves_is_missed() {
    let scaler = |version: &str| {
        format!(
            "apiVersion: autoscaling/{version}\nkind: HorizontalPodAutoscaler\nmetadata:\n  name: metrics-server\n  namespace: kube-system\nspec:\n  maxReplicas: 2\n  scaleTargetRef: {{apiVersion: apps/v1, kind: Deployment, name: metrics-server}}\n"
        )
    };
    let file = "cluster-addon/metrics-server/templates/scaler.yaml";
    let variant = Variant::from("docker-demo")
        .add(N, file, &scaler("v1"))
        .add(N1, file, &scaler("v2"));
    let finding = closed(&on(variant, &[]), "addon-deleted");
    assert_eq!(finding.object.kind, "HorizontalPodAutoscaler");
}

#[test]
fn a_stage_that_the_release_before_has_no_chart_for_is_named() {
    let stage = "  - name: extra\n    action: apply\n";
    let variant = stages(|text| {
        let text = text.replace(
            "  BeforeClusterUpgrade:",
            &format!("{stage}  BeforeClusterUpgrade:"),
        );
        format!("{text}{stage}")
    });
    let variant = variant
        .add(
            N1,
            "cluster-addon/extra/Chart.yaml",
            "apiVersion: v2\nname: extra\nversion: v1\n",
        )
        .add(
            N1,
            "cluster-addon/extra/templates/map.yaml",
            &map("extra", ""),
        );
    let finding = closed(&on(variant, &[]), "addon-stage-failed");
    assert!(
        finding
            .message
            .contains("what only the release before has cannot be found or removed"),
        "{}",
        finding.message
    );
}

#[test]
fn a_field_that_cannot_change_is_named() {
    let variant = Variant::from("docker-demo").edit(
        N1,
        "cluster-addon/cni/templates/daemonset.yaml",
        |text| {
            text.replace(
                "app.kubernetes.io/name: kindnet",
                "app.kubernetes.io/name: kindnet-next",
            )
        },
    );
    let finding = closed(&on(variant, &[]), "addon-stage-failed");
    assert!(
        finding
            .message
            .contains("failed to successfully apply helm chart: \"cni\"")
            && finding
                .evidence
                .iter()
                .any(|line| line.contains("DaemonSet kube-system/kindnet")),
        "{finding:?}"
    );
}

#[test]
fn values_that_a_chart_inherits_delete_what_was_just_applied() {
    let file = "cluster-addon/storage/templates/storageclass.yaml";
    let named = |text: &str| {
        text.replace(
            "name: standard\n",
            "name: {{ .Values.className | default \"standard\" }}\n",
        )
    };
    let variant = Variant::from("docker-demo")
        .edit(N, file, named)
        .edit(N1, file, named)
        .edit(N1, "cluster-addon/cni/overwrite.yaml", |text| {
            format!("{}\n  className: other\n", text.trim_end())
        });
    let finding = closed(&on(variant, &[]), "addon-deleted");
    assert_eq!(finding.object.to_string(), "StorageClass standard");
}

#[test]
fn an_addon_that_is_dropped_and_stays_is_named() {
    let variant = stages(|text| text.replace("  - name: storage\n    action: apply\n", ""));
    let finding = closed(&on(variant, &[]), "addon-not-pruned");
    assert_eq!(finding.object.to_string(), "StorageClass standard");
    let pruned = closed(&demo(&["addon-not-pruned"]), "addon-not-pruned");
    assert_eq!(
        pruned.object.to_string(),
        "ConfigMap kube-system/metrics-server-nanny"
    );
}

#[test]
fn a_network_that_only_new_clusters_get_is_deleted() {
    let variant = stages(|text| {
        text.replace(
            "BeforeClusterUpgrade:\n  - name: cni\n    action: apply\n",
            "BeforeClusterUpgrade:\n",
        )
    });
    let finding = closed(&on(variant, &[]), "addon-deleted");
    assert_eq!(finding.object.to_string(), "DaemonSet kube-system/kindnet");
    closed(&demo(&["cni-deleted"]), "addon-deleted");
}

#[test]
fn objects_of_another_namespace_and_of_none_are_named() {
    let file = "cluster-addon/metrics-server/templates/map.yaml";
    let variant =
        Variant::from("docker-demo").add(N1, file, &map("foreign", "  namespace: default\n"));
    let finding = closed(&on(variant, &[]), "addon-stage-failed");
    assert!(
        finding
            .evidence
            .iter()
            .any(|line| line == "ConfigMap default/foreign: missing"),
        "{finding:?}"
    );
    let told = map("told", "  namespace: kube-system\n");
    let variant = Variant::from("docker-demo")
        .add(N, file, &map("told", ""))
        .add(N1, file, &told);
    let finding = closed(&on(variant, &[]), "addon-missing");
    assert_eq!(finding.object.name, "told");
}

#[test]
fn a_class_chart_beyond_the_operators_role_is_named() {
    // SovereignCloudStack/cluster-stacks#225
    let file = "cluster-class/templates/map.yaml";
    let variant = Variant::from("docker-demo").add(N1, file, &map("more", ""));
    let finding = closed(&on(variant, &[]), "class-not-applied");
    assert!(
        finding
            .message
            .contains("cannot patch resource \"configmaps\""),
        "{}",
        finding.message
    );
}
