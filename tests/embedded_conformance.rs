//! The heavy checks on a simulated cluster: what passes, what fails, and what is no verdict.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use kubesim::kubeadm::{self, Init, NodeSpec, Role};
use kubesim::kubelet::conformance::{Conformance, Course};
use kubesim::registry::{Deletion, Write};
use kubesim::{Cluster, GroupResource, Options, Simulation, controllers};
use serde_json::{Value, json};
use stackgate::checks::{Shared, Target};
use stackgate::cluster::{Context, Interrupt};
use stackgate::record::{CheckResult, Clock, Outcome, Phase, Recorder, RunId, What, read};
use stackgate::stack::OkToFail;
use stackgate::suite::{self, Acceptance, Memory, Place, Round, Suite};
use tempfile::TempDir;

const VERSION: &str = "v1.35.0";

/// A cluster with a worker and a network, and a run's context.
struct World {
    simulation: Simulation,
    cluster: Cluster,
    context: Context,
    folder: TempDir,
}

impl World {
    async fn new(course: Course) -> Self {
        let simulation = Simulation::new(&Options::default());
        simulation
            .programs()
            .install("conformance", Arc::new(Conformance::with(course)));
        let cluster = simulation.add_cluster("demo", controllers::all());
        let first = NodeSpec::new("control-1", Role::ControlPlane, VERSION);
        kubeadm::init(&cluster, &Init::new(first)).unwrap();
        kubeadm::join(&cluster, &NodeSpec::new("worker-1", Role::Worker, VERSION)).unwrap();
        let cni = json!({
            "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "cni", "namespace": "kube-system"},
            "spec": {
                "selector": {"matchLabels": {"app": "cni"}},
                "template": {
                    "metadata": {"labels": {"app": "cni"}},
                    "spec": {
                        "hostNetwork": true, "tolerations": [{"operator": "Exists"}],
                        "containers": [{"name": "cni", "image": "kindest/kindnetd:v1", "volumeMounts": [{"name": "cni", "mountPath": "/etc/cni/net.d"}]}],
                        "volumes": [{"name": "cni", "hostPath": {"path": "/etc/cni/net.d"}}],
                    },
                },
            },
        });
        let write = Write::by("test");
        let daemons = GroupResource::new("apps", "daemonsets");
        cluster.api().create(&daemons, cni, &write).unwrap();
        tokio::time::sleep(Duration::from_secs(60)).await;
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::starting_at(jiff::Timestamp::UNIX_EPOCH);
        let recorder = Recorder::create(folder.path(), clock, vec![]).unwrap();
        let run: RunId = "7f3a09bc".parse().unwrap();
        Self {
            simulation,
            cluster,
            context: Context::new(run, recorder, Interrupt::default(), 1.0),
            folder,
        }
    }

    /// The results of a suite, judged after the upgrade.
    async fn results(&self, suite: Suite, ok_to_fail: &[OkToFail]) -> Vec<CheckResult> {
        let client = Client::new(self.cluster.service(), "default");
        let target = Target {
            context: &self.context,
            workload: &client,
            management: None,
            kubernetes: VERSION,
            upgraded_from: None,
            addons: &[],
            dropped: &[],
            tools_image: stackgate::checks::TOOLS_IMAGE,
            shared: &Shared::default(),
            ok_to_fail,
            parameters: &Value::Null,
        };
        let round = Round {
            suites: &[suite],
            accepted: Acceptance {
                entries: &[],
                ok_to_fail,
            },
            phase: Phase::CheckAfter,
            place: &Place::default(),
            memory: &Memory::default(),
        };
        suite::run(&target, round).await
    }

    /// The result of the conformance tests with these parameters.
    async fn asked(&self, parameters: &Value, ok_to_fail: &[OkToFail]) -> CheckResult {
        let text = format!(
            "apiVersion: stackgate/v1alpha1\nkind: Suite\nmetadata: {{name: own}}\nspec:\n  description: own\n  checks:\n  - {{id: conformance, title: T, severity: MUST, weight: heavy, timeout: 4h, native: scs-0201-conformance, parameters: {parameters}}}\n"
        );
        std::fs::write(self.folder.path().join("own.yaml"), text).unwrap();
        let suite = Suite::load("own", self.folder.path()).unwrap();
        let mut results = self.results(suite, ok_to_fail).await;
        results.remove(0)
    }

    fn events(&self) -> Vec<What> {
        let events = read(self.context.recorder.path()).unwrap();
        events.map(|event| event.unwrap().what).collect()
    }

    fn notes(&self) -> Vec<String> {
        let notes = self.events().into_iter().filter_map(|what| match what {
            What::Note { message } => Some(message),
            _ => None,
        });
        notes.collect()
    }

    /// What a run left in the cluster once that had time to clear up.
    async fn traces(&self) -> Vec<String> {
        tokio::time::sleep(Duration::from_secs(120)).await;
        self.made()
    }

    /// What a run has made in the cluster.
    fn made(&self) -> Vec<String> {
        let of = |group: &'static str, plural: &'static str| {
            let all = self
                .cluster
                .api()
                .list(&GroupResource::new(group, plural), None);
            let names = all
                .into_iter()
                .filter_map(|object| object["metadata"]["name"].as_str().map(str::to_owned));
            names
                .filter(|name| name.starts_with("stackgate-") || name.starts_with("pods-"))
                .map(|name| format!("{plural}/{name}"))
                .collect::<Vec<_>>()
        };
        [
            of("", "namespaces"),
            of("", "pods"),
            of("rbac.authorization.k8s.io", "clusterrolebindings"),
        ]
        .concat()
    }

    /// Leaves a namespace as the tests do when they are cut off.
    fn leave_a_namespace(&self) {
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": "pods-1", "labels": {"e2e-run": "u"}}});
        let id = GroupResource::new("", "namespaces");
        let write = Write::by("e2e.test");
        self.cluster.api().create(&id, namespace, &write).unwrap();
    }
}

fn quick() -> Value {
    json!({"mode": "quick"})
}

fn entry(regex: &str) -> OkToFail {
    OkToFail {
        regex: regex.parse().unwrap(),
        reason: "upstream".to_owned(),
    }
}

#[tokio::test(start_paused = true)]
async fn embedded_the_suite_that_ships_passes_one_check_after_the_other() {
    let world = World::new(Course::Well).await;
    let suite = Suite::load("scs-heavy", Path::new("/nowhere")).unwrap();
    let results = world.results(suite, &[]).await;
    let told: Vec<(&str, Outcome, &str)> = results
        .iter()
        .map(|result| (result.id.as_str(), result.outcome, result.message.as_str()))
        .collect();
    assert_eq!(
        told,
        [
            (
                "scs-0201-conformance",
                Outcome::Pass,
                "441 of 441 cases passed"
            ),
            (
                "scs-0219-networking",
                Outcome::Pass,
                "50 of 50 cases passed"
            ),
        ]
    );
    assert!(
        results[0].evidence[0]
            .starts_with(r"mode certified: focus \[Conformance\], skip nothing, serial")
    );
    // Far more than an hour, of which a line tells every half a minute at most.
    assert!(results[0].seconds > 4410.0, "{}", results[0].seconds);
    assert_eq!(world.traces().await, Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn embedded_progress_is_told_while_the_tests_run() {
    let world = World::new(Course::Fails(vec!["thing 9 ".to_owned()])).await;
    let result = world
        .asked(&json!({"mode": "nonDisruptive", "parallel": 4}), &[])
        .await;
    assert_eq!(result.outcome, Outcome::Fail, "{}", result.message);
    assert!(
        result.message.starts_with("1 failed, 438 passed, 0 failed as accepted: Case [sig-network] Simulated [Serial] thing 9"),
        "{}",
        result.message
    );
    let told: Vec<String> = world
        .events()
        .into_iter()
        .filter_map(|what| match what {
            What::Blocked { blockers, .. } => Some(blockers[0].condition.clone()),
            _ => None,
        })
        .filter(|condition| condition.contains(" cases, "))
        .collect();
    assert!(told.len() > 20, "{told:?}");
    // A thousand seconds and some have no more half minutes than that.
    assert!(told.len() < 40, "{told:?}");
    assert!(
        told.last().unwrap().ends_with("of 439 cases, 1 failed"),
        "{told:?}"
    );
    assert_eq!(world.traces().await, Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn embedded_exempted_failures_pass_and_idle_exemptions_are_told() {
    let world = World::new(Course::Fails(vec!["thing 9 ".to_owned()])).await;
    let exempted = [entry("thing 9 "), entry("thing 10 "), entry("SCTP")];
    let result = world.asked(&json!({"mode": "certified"}), &exempted).await;
    assert_eq!(result.outcome, Outcome::Pass, "{}", result.message);
    assert_eq!(
        result.message,
        "440 of 441 cases passed, 1 failed as accepted"
    );
    assert!(result.evidence[1].contains("thing 9 should be as specified [Conformance] (upstream)"));
    assert_eq!(
        world.notes(),
        [
            "okToFail: every case that `thing 10 ` names (upstream) passes: remove the entry",
            "okToFail: no check of this run is named by `SCTP` (upstream)",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn embedded_what_shows_nothing_is_no_verdict() {
    for (course, parameters, told) in [
        (
            Course::Well,
            json!({"focus": "no such case"}),
            "no case passed",
        ),
        (
            Course::NotSetUp,
            quick(),
            "no case ran, since [SynchronizedBeforeSuite] failed",
        ),
        (
            Course::NoReport,
            quick(),
            "the tests ended with exit code 1, Error, and wrote no junit_01.xml",
        ),
        (
            Course::Killed,
            quick(),
            "the tests ended with exit code 137, Error, and handed out no results",
        ),
        (Course::CutOff, quick(), "and their results are cut off"),
        (Course::Hangs, quick(), "could not be judged within 14400 s"),
    ] {
        let world = World::new(course.clone()).await;
        let result = world.asked(&parameters, &[entry("Suite")]).await;
        assert_eq!(
            result.outcome,
            Outcome::Abort,
            "{course:?}: {}",
            result.message
        );
        assert!(
            result.message.contains(told),
            "{course:?}: {}",
            result.message
        );
        assert_eq!(world.traces().await, Vec::<String>::new(), "{course:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn embedded_a_pass_at_the_second_attempt_is_flaky() {
    let world = World::new(Course::Flaky(vec!["Pods should be submitted".to_owned()])).await;
    let once = world.asked(&quick(), &[]).await;
    assert_eq!(once.outcome, Outcome::Fail, "{}", once.message);
    let twice = world.asked(&json!({"flakeAttempts": 2}), &[]).await;
    assert_eq!(twice.outcome, Outcome::Flaky, "{}", twice.message);
    assert!(twice.evidence[0].contains("at most 2 attempt(s)"));
}

#[tokio::test(start_paused = true)]
async fn embedded_an_image_that_is_not_to_be_had_is_told() {
    let world = World::new(Course::Well).await;
    let image = "registry.k8s.io/conformance:v1.35.0";
    world.simulation.images().remove(image);
    let result = world.asked(&quick(), &[]).await;
    assert_eq!(result.outcome, Outcome::Abort);
    assert!(
        result.message.contains(&format!(
            "the image {image} is not to be had: Pod stackgate-check-"
        )),
        "{}",
        result.message
    );
    assert_eq!(world.traces().await, Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn embedded_tests_are_not_run_beside_others_and_what_they_leave_is_removed() {
    let world = World::new(Course::Hangs).await;
    world.leave_a_namespace();
    let result = world.asked(&quick(), &[]).await;
    assert!(
        result.message.contains(
            "another run of the e2e tests is at work, or has left its namespaces: pods-1"
        ),
        "{}",
        result.message
    );
    assert_eq!(world.traces().await, ["namespaces/pods-1"]);
    let api = world.cluster.api();
    let id = GroupResource::new("", "namespaces");
    api.delete(&id, "", "pods-1", &Deletion::default()).unwrap();
    assert_eq!(world.traces().await, Vec::<String>::new());
    let parameters = quick();
    let (result, ()) = futures::future::join(world.asked(&parameters, &[]), async {
        tokio::time::sleep(Duration::from_secs(600)).await;
        world.leave_a_namespace();
        let kinds: Vec<String> = world.made();
        let kinds: Vec<&str> = kinds
            .iter()
            .filter_map(|made| made.split('/').next())
            .collect();
        assert_eq!(
            kinds,
            ["namespaces", "namespaces", "clusterrolebindings"],
            "the tests' and the check's own"
        );
    })
    .await;
    assert_eq!(result.outcome, Outcome::Abort);
    assert_eq!(world.traces().await, Vec::<String>::new());
}
