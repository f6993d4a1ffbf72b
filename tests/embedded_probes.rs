//! Each probe on a simulated cluster: it passes where all is well, and fails for what it is there for.

#[path = "common/simulated.rs"]
#[expect(
    dead_code,
    reason = "each test binary uses its own part of the fixtures"
)]
mod simulated;

use std::path::Path;
use std::sync::Arc;

use kube::Client;
use kubesim::Fault;
use kubesim::resource::builtin::{DEPLOYMENTS, NAMESPACES, PERSISTENT_VOLUMES, STORAGE_CLASSES};
use serde_json::json;
use simulated::{Shape, World, pass, virtual_time};
use stackgate::cluster::{Context, Interrupt, View, kinds};
use stackgate::engine::embedded::Tools;
use stackgate::probe::{Probing, Shown};
use stackgate::record::{Clock, Outcome, ProbeResult, Recorder, RunId, Verdict};
use stackgate::stack::{ProbeLimits, Stack};
use tempfile::TempDir;

/// A cluster that is measured.
struct Lab {
    world: World,
    probing: Probing,
    view: View,
    spec: stackgate::stack::Spec,
    _folder: TempDir,
}

impl Lab {
    /// A cluster, prepared in some way, with budgets of its own.
    async fn new(limits: &[(&str, ProbeLimits)], prepare: impl FnOnce(&World)) -> Self {
        let world = World::of(&Shape::exemplary()).await;
        let programs = world.simulation.programs();
        programs.install("agnhost", Arc::new(Tools));
        prepare(&world);
        let stacks = Path::new(env!("CARGO_MANIFEST_DIR")).join("stacks-under-test");
        let mut spec = Stack::load("docker-demo", &stacks).unwrap().spec;
        // Budgets as they are where a stack says nothing.
        (spec.probes.service, spec.probes.dns) = Default::default();
        for (name, limits) in limits {
            let probes = &mut spec.probes;
            let known = match *name {
                "api" => &mut probes.api,
                "service" => &mut probes.service,
                _ => panic!("no budget of {name} is set here"),
            };
            *known = limits.clone();
        }
        let folder = tempfile::tempdir().unwrap();
        let recorder = Recorder::create(folder.path(), Clock::rehearsed(), vec![]).unwrap();
        let context = Context::new(RunId::of_seed(1), recorder, Interrupt::default(), 1.0);
        let client = Client::new(world.cluster.service(), "default");
        let kinds = [(kinds::POD, ""), (kinds::NODE, "")];
        let view = View::start("workload", &client, &kinds);
        let probing = Probing::new(&context, &client, &spec, true);
        probing.begin(&view).await;
        Self {
            world,
            probing,
            view,
            spec,
            _folder: folder,
        }
    }

    async fn plain() -> Self {
        Self::new(&[], |_| {}).await
    }

    fn namespace(&self) -> String {
        let all = self.world.cluster.api().list(&NAMESPACES, None);
        let mut names = all
            .iter()
            .filter_map(|one| one["metadata"]["name"].as_str());
        let found = names.find(|name| name.starts_with("stackgate-probe-"));
        found.unwrap().to_owned()
    }

    fn scale(&self, namespace: &str, name: &str, replicas: u32) {
        self.world
            .change(&DEPLOYMENTS, namespace, name, |deployment| {
                deployment["spec"]["replicas"] = json!(replicas);
            });
    }

    /// The upgrade has ended; some time later it is over.
    async fn finish(self) -> Shown {
        self.probing.upgraded();
        pass(30).await;
        let shown = self.probing.finish().await;
        drop(self.view);
        shown
    }
}

#[track_caller]
fn of<'s>(shown: &'s Shown, probe: &str) -> &'s ProbeResult {
    let found = shown.results.iter().find(|result| result.probe == probe);
    found.unwrap()
}

/// The probe fails, with this cause and these words, and everything else passes.
#[track_caller]
fn fails(shown: &Shown, probe: &str, cause: &str, words: &[&str]) {
    for result in &shown.results {
        let expected = if result.probe == probe {
            Outcome::Fail
        } else {
            Outcome::Pass
        };
        assert_eq!(result.outcome, expected, "{result:?}");
    }
    let [finding] = shown.findings.as_slice() else {
        panic!("{:?}", shown.findings);
    };
    assert_eq!(finding.cause, cause);
    for word in words {
        assert!(
            finding.message.contains(word),
            "{word:?}: {}",
            finding.message
        );
    }
    let open = (Verdict::Open, String::new());
    assert_eq!(
        stackgate::probe::verdict(open, &shown.results).0,
        Verdict::Closed
    );
}

#[test]
fn embedded_probes_pass_where_nothing_is_lost_and_leave_nothing_behind() {
    virtual_time().block_on(async {
        let lab = Lab::plain().await;
        let (cluster, namespace) = (lab.world.cluster.clone(), lab.namespace());
        pass(120).await;
        let shown = lab.finish().await;
        for result in &shown.results {
            assert_eq!(result.outcome, Outcome::Pass, "{result:?}");
            assert_eq!((result.lost, &result.longest_gap), (0, &None), "{result:?}");
            assert!(result.tries > 30, "{result:?}");
            assert_eq!(result.unmeasured_ms, 0, "{result:?}");
        }
        let names: Vec<&str> = shown
            .results
            .iter()
            .map(|result| result.probe.as_str())
            .collect();
        assert_eq!(names, ["api", "service", "dns", "volume", "denied"]);
        pass(60).await;
        assert!(cluster.api().get(&NAMESPACES, "", &namespace).is_none());
    });
}

#[test]
fn embedded_probe_service_fails_while_no_replica_is_there() {
    virtual_time().block_on(async {
        let lab = Lab::plain().await;
        let namespace = lab.namespace();
        lab.scale(&namespace, "server", 0);
        pass(20).await;
        lab.scale(&namespace, "server", 2);
        pass(30).await;
        let shown = lab.finish().await;
        fails(
            &shown,
            "service",
            "service-interrupted",
            &["could not be reached for", "10.0 s is allowed"],
        );
        let gap = of(&shown, "service").longest_gap.clone().unwrap();
        assert_eq!(gap.reason, "REFUSED");
        assert!((10_000..30_000).contains(&gap.length_ms()), "{gap:?}");
    });
}

#[test]
fn embedded_probe_service_may_lose_what_the_stack_allows() {
    virtual_time().block_on(async {
        let limits = ProbeLimits {
            longest_gap: Some("60s".parse().unwrap()),
            share_lost: Some(50.0),
            skip: None,
        };
        let lab = Lab::new(&[("service", limits)], |_| {}).await;
        let namespace = lab.namespace();
        lab.scale(&namespace, "server", 0);
        pass(20).await;
        lab.scale(&namespace, "server", 2);
        let shown = lab.finish().await;
        let result = of(&shown, "service");
        assert_eq!(result.outcome, Outcome::Pass, "{result:?}");
        assert!(result.lost > 5, "{result:?}");
    });
}

#[test]
fn embedded_probe_dns_fails_while_nobody_resolves() {
    virtual_time().block_on(async {
        let lab = Lab::plain().await;
        lab.scale("kube-system", "coredns", 0);
        pass(25).await;
        lab.scale("kube-system", "coredns", 2);
        pass(20).await;
        let shown = lab.finish().await;
        let result = of(&shown, "dns");
        assert_eq!(result.outcome, Outcome::Fail, "{result:?}");
        assert!(
            result.message.starts_with("names were not resolved for"),
            "{result:?}"
        );
    });
}

#[test]
fn embedded_probe_denied_fails_when_a_connection_is_let_through_for_a_moment() {
    virtual_time().block_on(async {
        let lab = Lab::plain().await;
        pass(20).await;
        let enforce = |enforced| {
            for node in ["cp-1", "cp-2", "cp-3"] {
                let machines = lab.world.cluster.machines();
                machines.enforce_policies(node, enforced);
            }
        };
        enforce(false);
        pass(15).await;
        enforce(true);
        pass(15).await;
        let shown = lab.finish().await;
        let said = [
            "connections denied by a NetworkPolicy were let through for",
            "nothing is allowed",
        ];
        fails(&shown, "denied", "policy-not-enforced", &said);
        assert_eq!(
            shown.findings[0].object.to_string().split(' ').next(),
            Some("NetworkPolicy")
        );
    });
}

#[test]
fn embedded_probe_denied_is_skipped_where_policies_are_not_enforced_from_the_start() {
    virtual_time().block_on(async {
        let lab = Lab::new(&[], |world| {
            for node in ["cp-1", "cp-2", "cp-3"] {
                world.cluster.machines().enforce_policies(node, false);
            }
        });
        let shown = lab.await.finish().await;
        let result = of(&shown, "denied");
        assert_eq!(result.outcome, Outcome::Skip);
        assert!(
            result.message.contains("does not enforce NetworkPolicies"),
            "{result:?}"
        );
    });
}

#[test]
fn embedded_probe_api_allows_for_half_a_minute_and_not_for_more_than_the_stack_says() {
    let away = |limits: Vec<(&'static str, ProbeLimits)>| {
        virtual_time().block_on(async move {
            let lab = Lab::new(&limits, |_| {}).await;
            lab.world.simulation.faults().inject(Fault::ApiServerAway);
            pass(60).await;
            lab.world.simulation.faults().clear(Fault::ApiServerAway);
            let shown = lab.finish().await;
            of(&shown, "api").clone()
        })
    };
    let result = away(vec![]);
    assert_eq!(result.outcome, Outcome::Pass, "{result:?}");
    let gap = result.longest_gap.unwrap();
    assert!((29_000..36_000).contains(&gap.length_ms()), "{gap:?}");
    let limits = ProbeLimits {
        longest_gap: Some("10s".parse().unwrap()),
        ..ProbeLimits::default()
    };
    let result = away(vec![("api", limits)]);
    assert_eq!(result.outcome, Outcome::Fail, "{result:?}");
    assert!(
        result
            .message
            .starts_with("the API server did not answer for 3"),
        "{result:?}"
    );
}

#[test]
fn embedded_probe_volume_fails_when_what_was_written_is_gone() {
    virtual_time().block_on(async {
        let lab = Lab::plain().await;
        let volumes = lab.world.cluster.api().list(&PERSISTENT_VOLUMES, None);
        for volume in volumes {
            let name = volume["metadata"]["name"].as_str().unwrap();
            lab.world.cluster.machines().wipe(name);
        }
        let shown = lab.finish().await;
        fails(
            &shown,
            "volume",
            "volume-not-kept",
            &["was not there any more"],
        );
    });
}

#[test]
fn embedded_probe_volume_fails_when_its_pod_does_not_come_back() {
    virtual_time().block_on(async {
        let lab = Lab::plain().await;
        let namespace = lab.namespace();
        lab.scale(&namespace, "keeper", 0);
        pass(60).await;
        let shown = lab.finish().await;
        fails(
            &shown,
            "volume",
            "volume-not-kept",
            &["its pod did not come back"],
        );
    });
}

#[test]
fn embedded_probe_volume_is_skipped_without_a_storage_class_and_with_one_of_a_node() {
    for (provisioner, said) in [
        (None, "there is no default StorageClass"),
        (Some("kubernetes.io/host-path"), "are directories of a node"),
    ] {
        virtual_time().block_on(async {
            let lab = Lab::new(&[], |world| {
                let api = world.cluster.api();
                api.delete(&STORAGE_CLASSES, "", "standard", &Default::default()).unwrap();
                if let Some(provisioner) = provisioner {
                    let default = "storageclass.kubernetes.io/is-default-class";
                    world.create(json!({
                        "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "provisioner": provisioner,
                        "metadata": {"name": "host", "annotations": {default: "true"}},
                    }));
                }
            });
            let shown = lab.await.finish().await;
            let result = of(&shown, "volume");
            assert_eq!(result.outcome, Outcome::Skip, "{result:?}");
            assert!(result.message.contains(said), "{result:?}");
            assert!(of(&shown, "service").tries > 0);
        });
    }
}

#[test]
fn embedded_probes_that_go_dark_leave_no_verdict_and_a_pause_is_not_a_loss() {
    virtual_time().block_on(async {
        let lab = Lab::plain().await;
        let namespace = lab.namespace();
        lab.scale(&namespace, "asker", 0);
        pass(60).await;
        let shown = lab.finish().await;
        let result = of(&shown, "service");
        assert_eq!(result.outcome, Outcome::Abort, "{result:?}");
        assert_eq!(result.lost, 0);
        assert!(result.unmeasured_ms > 60_000, "{result:?}");
        let open = (Verdict::Open, String::new());
        assert_eq!(
            stackgate::probe::verdict(open, &shown.results).0,
            Verdict::None
        );

        let lab = Lab::plain().await;
        let namespace = lab.namespace();
        lab.scale(&namespace, "asker", 0);
        pass(60).await;
        lab.scale(&namespace, "asker", 2);
        pass(30).await;
        let shown = lab.finish().await;
        let result = of(&shown, "service");
        assert_eq!(
            (result.outcome, result.lost),
            (Outcome::Pass, 0),
            "{result:?}"
        );
        assert!(result.message.contains("not measured for"), "{result:?}");
    });
}

#[test]
fn embedded_probe_that_the_stack_skips_creates_nothing() {
    virtual_time().block_on(async {
        let limits = ProbeLimits {
            skip: Some("asked elsewhere".to_owned()),
            ..ProbeLimits::default()
        };
        let mut lab = Lab::new(&[("api", limits)], |_| {}).await;
        lab.spec.probes.api.skip = None;
        let shown = lab.finish().await;
        let result = of(&shown, "api");
        assert_eq!(result.message, "skipped by stack.yaml: asked elsewhere");
        assert_eq!((result.outcome, result.tries), (Outcome::Skip, 0));
    });
}
