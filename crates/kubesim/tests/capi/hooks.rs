//! Lifecycle hooks and what else holds an upgrade back.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::lab::{Lab, NAME, SPACE, VERSIONS, to_next, until};
use kubesim::capi::{self, Hook, HookAnswer, RuntimeExtension, kinds};
use kubesim::{Cluster, GroupResource};
use serde_json::{Value, json};

/// Notes what it is asked, with the versions of the parts at that moment, and blocks one hook so often.
#[derive(Default)]
struct Recorder {
    calls: Mutex<Vec<(Hook, String)>>,
    blocks: Mutex<Option<(Hook, u32)>>,
}

fn versions(management: &Cluster, resource: &GroupResource, pointer: &str) -> Vec<String> {
    let objects = management.api().list(resource, Some(SPACE));
    let version = |object: &Arc<Value>| {
        object
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or("-")
            .to_owned()
    };
    objects.iter().map(version).collect()
}

impl RuntimeExtension for Recorder {
    fn name(&self) -> &str {
        "recorder"
    }

    fn call(&self, management: &Cluster, hook: Hook, cluster: &Value) -> HookAnswer {
        assert_eq!(cluster["metadata"]["name"], NAME);
        let plane = versions(management, &kinds::CONTROL_PLANES, "/spec/version").join(" ");
        let workers = versions(
            management,
            &kinds::MACHINE_DEPLOYMENTS,
            "/spec/template/spec/version",
        )
        .join(" ");
        self.calls
            .lock()
            .unwrap()
            .push((hook, format!("{plane}|{workers}")));
        let mut blocks = self.blocks.lock().unwrap();
        match &mut *blocks {
            Some((blocked, left)) if *blocked == hook && *left > 0 => {
                *left -= 1;
                HookAnswer::Retry(Duration::from_secs(10), "addons are not ready".to_owned())
            }
            _ => HookAnswer::Success,
        }
    }
}

async fn lab(recorder: &Arc<Recorder>) -> Lab {
    let extensions: Vec<Arc<dyn RuntimeExtension>> = vec![recorder.clone()];
    Lab::new(&capi::Options {
        extensions,
        ..capi::Options::default()
    })
    .await
}

#[tokio::test(start_paused = true)]
async fn hooks_are_called_in_their_order_while_a_cluster_lives() {
    let recorder = Arc::new(Recorder::default());
    let lab = lab(&recorder).await;
    lab.settled(1, &[("md-0", 1)]).await;
    lab.patch(to_next()).await.unwrap();
    lab.arrived(VERSIONS[1]).await;
    lab.delete().await;
    until("the Cluster is gone", || lab.cluster().is_null()).await;
    let calls = recorder.calls.lock().unwrap().clone();
    let (n, n1) = (VERSIONS[0], VERSIONS[1]);
    let expected = [
        (Hook::BeforeClusterCreate, "|".to_owned()),
        (Hook::AfterControlPlaneInitialized, format!("{n}|{n}")),
        (Hook::BeforeClusterUpgrade, format!("{n}|{n}")),
        (Hook::BeforeControlPlaneUpgrade, format!("{n}|{n}")),
        (Hook::AfterControlPlaneUpgrade, format!("{n1}|{n}")),
        (Hook::BeforeWorkersUpgrade, format!("{n1}|{n}")),
        (Hook::AfterWorkersUpgrade, format!("{n1}|{n1}")),
        (Hook::AfterClusterUpgrade, format!("{n1}|{n1}")),
        (Hook::BeforeClusterDelete, format!("{n1}|{n1}")),
    ];
    assert_eq!(calls, expected);
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_blocks_holds_everything_at_n_and_says_so() {
    let recorder = Arc::new(Recorder::default());
    let lab = lab(&recorder).await;
    lab.settled(1, &[("md-0", 1)]).await;
    *recorder.blocks.lock().unwrap() = Some((Hook::BeforeClusterUpgrade, 6));
    recorder.calls.lock().unwrap().clear();
    lab.patch(to_next()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(45)).await;
    let (status, reason, message) = lab.condition("TopologyReconciled");
    // Cluster API 1.12 has one reason for an upgrade under way; the message tells of the hook.
    assert_eq!(
        (status.as_str(), reason.as_str()),
        ("False", "ClusterUpgrading")
    );
    let deployment = lab.list(&kinds::MACHINE_DEPLOYMENTS)[0]["metadata"]["name"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(
        message,
        format!(
            "Cluster is upgrading to v1.35.0\n  * Following hooks are blocking upgrade: BeforeClusterUpgrade: addons are not ready\n  * KubeadmControlPlane pending upgrade to version v1.35.0\n  * MachineDeployment {deployment} pending upgrade to version v1.35.0"
        )
    );
    assert_eq!(
        lab.condition("Available").0,
        "True",
        "an upgrade is no unavailability"
    );
    assert_eq!(
        versions(&lab.management, &kinds::CONTROL_PLANES, "/spec/version"),
        [VERSIONS[0]]
    );
    // Asked again every 10 s, not with each change.
    assert_eq!(recorder.calls.lock().unwrap().len(), 5);
    lab.arrived(VERSIONS[1]).await;
    let asked = recorder.calls.lock().unwrap().clone();
    assert_eq!(
        asked
            .iter()
            .filter(|(hook, _)| *hook == Hook::BeforeClusterUpgrade)
            .count(),
        7
    );
}

#[tokio::test(start_paused = true)]
async fn between_control_plane_and_workers_the_pending_hooks_are_told_as_an_annotation() {
    let recorder = Arc::new(Recorder::default());
    let lab = lab(&recorder).await;
    lab.settled(1, &[("md-0", 1)]).await;
    *recorder.blocks.lock().unwrap() = Some((Hook::AfterControlPlaneUpgrade, 3));
    lab.patch(to_next()).await.unwrap();
    until("the hook blocks", || {
        lab.condition("TopologyReconciled")
            .2
            .contains("AfterControlPlaneUpgrade")
    })
    .await;
    let pending = lab.cluster()["metadata"]["annotations"][kinds::PENDING_HOOKS].clone();
    assert_eq!(
        pending,
        "AfterClusterUpgrade,AfterControlPlaneUpgrade,AfterWorkersUpgrade,BeforeWorkersUpgrade"
    );
    assert_eq!(
        versions(
            &lab.management,
            &kinds::MACHINE_DEPLOYMENTS,
            "/spec/template/spec/version"
        ),
        [VERSIONS[0]]
    );
    lab.arrived(VERSIONS[1]).await;
    assert!(
        lab.cluster()["metadata"]["annotations"]
            .get(kinds::PENDING_HOOKS)
            .is_none()
    );
}

#[tokio::test(start_paused = true)]
async fn an_annotation_holds_an_upgrade_until_it_is_taken_away() {
    let lab = Lab::new(&capi::Options::default()).await;
    lab.settled(1, &[]).await;
    let key = "before-upgrade.hook.cluster.cluster.x-k8s.io/look";
    lab.patch(json!({"metadata": {"annotations": {key: ""}}}))
        .await
        .unwrap();
    lab.patch(to_next()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(120)).await;
    let told = lab.condition("TopologyReconciled").2;
    assert!(
        told.contains(&format!(
            "Following hooks are blocking upgrade: BeforeClusterUpgrade: annotation {key} is set"
        )),
        "{told}"
    );
    lab.patch(json!({"metadata": {"annotations": {key: null}}}))
        .await
        .unwrap();
    lab.arrived(VERSIONS[1]).await;
}

#[tokio::test(start_paused = true)]
async fn a_deferred_deployment_stays_while_the_others_move() {
    let lab = Lab::new(&capi::Options::default()).await;
    lab.settled(1, &[("a", 1), ("b", 1)]).await;
    let mut patch = to_next();
    let defer = json!({"annotations": {"topology.cluster.x-k8s.io/defer-upgrade": ""}});
    let entry = |name: &str| json!({"class": "default-worker", "name": name, "replicas": 1});
    let mut first = entry("a");
    first["metadata"] = defer;
    patch["spec"]["topology"]["workers"] = json!({"machineDeployments": [first, entry("b")]});
    lab.patch(patch).await.unwrap();
    until("deferred", || {
        lab.condition("TopologyReconciled").1 == "MachineDeploymentsUpgradeDeferred"
    })
    .await;
    let at = versions(
        &lab.management,
        &kinds::MACHINE_DEPLOYMENTS,
        "/spec/template/spec/version",
    );
    assert_eq!(at, [VERSIONS[0], VERSIONS[1]]);
    let workers = json!({"machineDeployments": [entry("a"), entry("b")]});
    lab.patch(json!({"spec": {"topology": {"workers": workers}}}))
        .await
        .unwrap();
    lab.arrived(VERSIONS[1]).await;
}

#[tokio::test(start_paused = true)]
async fn an_extension_that_fails_is_told_as_a_failed_reconciliation() {
    struct Broken;
    impl RuntimeExtension for Broken {
        fn name(&self) -> &str {
            "broken"
        }
        fn call(&self, _: &Cluster, hook: Hook, _: &Value) -> HookAnswer {
            match hook {
                Hook::BeforeClusterUpgrade => HookAnswer::Failure("no such release".to_owned()),
                _ => HookAnswer::Success,
            }
        }
    }
    let extensions: Vec<Arc<dyn RuntimeExtension>> = vec![Arc::new(Broken)];
    let lab = Lab::new(&capi::Options {
        extensions,
        ..capi::Options::default()
    })
    .await;
    lab.settled(1, &[]).await;
    lab.patch(to_next()).await.unwrap();
    until("failed", || {
        lab.condition("TopologyReconciled").1 == "ReconcileFailed"
    })
    .await;
    assert!(
        lab.condition("TopologyReconciled")
            .2
            .contains("failed to call extension handler \"broken\"")
    );
    assert_eq!(lab.condition("Available").0, "False");
}
