//! Every check that ships passes on a cluster that is as it should be, and fails with the fault that it
//! is there for; and the table of all checks in `docs/` says so.

#[path = "../common/kubeconfig.rs"]
mod kubeconfig;
#[expect(dead_code, reason = "it is shared; these tests need a part of it")]
#[path = "../../crates/kubesim/tests/capi/lab.rs"]
mod lab;
mod operated;
mod proofs;
#[path = "../common/simulated.rs"]
mod simulated;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kubesim::admission::{Admission, AdmissionRequest, Operation};
use kubesim::resource::builtin::NETWORK_POLICIES;
use kubesim::{ApiError, Cluster, GroupResource, capi};
use proofs::{MORE, PROOFS, Proof};
use serde_json::json;
use simulated::{Shape, Side, World, pass};
use stackgate::record::{CheckResult, Effect, Outcome, Phase};
use stackgate::suite::{self, Check, Suite};

fn suites() -> Vec<Suite> {
    let load = |name| Suite::load(name, Path::new("nowhere")).unwrap();
    suite::shipped().map(load).collect()
}

fn find(check: &str) -> Suite {
    let mut suites = suites().into_iter();
    let has = |suite: &Suite| suite.checks.iter().any(|one| *one.id == *check);
    suites.find(has).unwrap()
}

/// A workload cluster of a lab, with the management cluster that made it.
fn with_management(lab: lab::Lab, cluster: Cluster) -> World {
    let client = kube::Client::new(lab.management.service(), lab::SPACE);
    let mut world = World::around(lab.simulation.clone(), cluster, lab::VERSIONS[0]);
    world.management = Some(Side {
        cluster: lab.management,
        client,
        namespace: lab::SPACE,
        name: lab::NAME,
    });
    world
}

/// A cluster that Cluster API made.
async fn managed() -> World {
    let lab = lab::Lab::new(&capi::Options::default()).await;
    let cluster = lab.settled(1, &[("md-0", 1)]).await;
    with_management(lab, cluster)
}

/// What a check says after an upgrade, with or without its fault.
async fn answer(proof: &Proof, with_fault: bool) -> CheckResult {
    let suite = find(proof.check);
    let mut shape = Shape::exemplary();
    if with_fault {
        (proof.build)(&mut shape);
    }
    let world = if let Some(harm) = proof.operator {
        let (world, operator) = operated::operated().await;
        if with_fault {
            harm(&operator);
        }
        world
    } else if proof.managed {
        managed().await
    } else {
        World::of(&shape).await
    };
    (proof.prepare)(&world);
    pass(60).await;
    if *suite.name == *"upgrade" {
        world.ask(&suite, proof.check, Phase::CheckBefore).await;
    }
    if with_fault {
        (proof.act)(&world);
    }
    pass(90).await;
    world.ask(&suite, proof.check, Phase::CheckAfter).await
}

/// Everything that does not come out as it should, told at once.
fn prove(proofs: &[Proof], with_fault: bool, as_it_should: impl Fn(&Proof, &CheckResult) -> bool) {
    let mut wrong = String::new();
    for proof in proofs {
        let result = simulated::virtual_time().block_on(answer(proof, with_fault));
        if !as_it_should(proof, &result) {
            let CheckResult {
                outcome, message, ..
            } = &result;
            let evidence = result.evidence.join("\n    ");
            writeln!(
                wrong,
                "{}: {outcome} {message}\n    {evidence}",
                proof.check
            )
            .unwrap();
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

#[test]
fn every_check_passes_on_a_cluster_that_is_as_it_should_be() {
    prove(PROOFS, false, |_, result| result.outcome == Outcome::Pass);
}

#[test]
fn every_check_fails_with_the_fault_that_it_is_there_for_and_says_so() {
    prove(PROOFS, true, fails_as_told);
}

#[test]
fn other_faults_are_seen_as_well() {
    prove(MORE, true, fails_as_told);
}

fn fails_as_told(proof: &Proof, result: &CheckResult) -> bool {
    let told = format!("{}\n{}", result.message, result.evidence.join("\n"));
    result.outcome == Outcome::Fail && told.contains(proof.says)
}

#[test]
fn a_claim_that_was_never_there_is_not_kept() {
    let result = simulated::virtual_time().block_on(async {
        let world = World::of(&Shape::exemplary()).await;
        let suite = find("claims-kept");
        world.ask(&suite, "claims-kept", Phase::CheckBefore).await;
        world.ask(&suite, "claims-kept", Phase::CheckAfter).await
    });
    assert_eq!(result.outcome, Outcome::Skip);
    assert_eq!(
        result.message,
        "no PersistentVolumeClaim was there before the upgrade: there is nothing to compare"
    );
}

#[test]
fn methods_of_authorization_that_a_file_has_are_seen_to_decide() {
    let check = "scs-0217-authorization-methods";
    let mut shape = Shape::exemplary();
    shape.flag(
        "kube-apiserver",
        "authorization-config",
        "/etc/kubernetes/authorization.yaml",
    );
    let result = simulated::virtual_time().block_on(async {
        let world = World::of(&shape).await;
        world.ask(&find(check), check, Phase::CheckAfter).await
    });
    assert_eq!(result.outcome, Outcome::Pass, "{:?}", result.evidence);
    assert!(
        result.message.contains("Node and RBAC were seen to decide"),
        "{}",
        result.message
    );
}

/// Policies that somebody holds on to: a deletion is taken, and they stay in force.
struct Lasting;

impl Admission for Lasting {
    fn name(&self) -> &str {
        "lasting"
    }

    fn wants(&self, operation: Operation, resource: &GroupResource, _: &str) -> bool {
        operation == Operation::Create && *resource == NETWORK_POLICIES
    }

    fn admit(&self, request: &mut AdmissionRequest<'_>) -> Result<Vec<String>, ApiError> {
        request.object["metadata"]["finalizers"] = json!(["example.org/lasting"]);
        Ok(Vec::new())
    }
}

#[test]
fn policies_that_are_gone_and_still_deny_show_nothing_of_themselves() {
    let check = "scs-0219-network-policy";
    let result = simulated::virtual_time().block_on(async {
        let world = World::of(&Shape::exemplary()).await;
        world.cluster.admission(Arc::new(Lasting));
        world.ask(&find(check), check, Phase::CheckAfter).await
    });
    assert_eq!(result.outcome, Outcome::Fail, "{}", result.message);
    assert!(
        result.message.contains("the policies are gone"),
        "{}",
        result.message
    );
}

#[tokio::test(start_paused = true)]
async fn a_cluster_of_a_kubeconfig_is_asked_as_tests_ask() {
    let world = World::of(&Shape::exemplary()).await;
    // From here on there are sockets, and what is on the other side of them takes its time.
    tokio::time::resume();
    let server = kubesim::serve::Server::start(&world.cluster).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kubeconfig");
    std::fs::write(&path, server.kubeconfig().to_string()).unwrap();
    let ask = async |check: &str| {
        let result = kubeconfig::ask(&find(check), check, path.clone()).await;
        result.unwrap().outcome
    };
    for check in [
        "nodes-ready",
        "scs-0217-pod-security",
        "scs-0217-kubelet-anonymous-auth",
    ] {
        assert_eq!(ask(check).await, Outcome::Pass, "{check}");
    }
    let mut open = world.cluster.server().kubelet_configuration("cp-1");
    open["authentication"]["anonymous"]["enabled"] = true.into();
    world
        .cluster
        .server()
        .set_kubelet_configuration(Some("cp-1"), open);
    assert_eq!(ask("scs-0217-kubelet-anonymous-auth").await, Outcome::Fail);
}

#[test]
fn every_check_has_a_proof_and_every_proof_a_check() {
    let suites = suites();
    let checks: BTreeSet<&str> = suites
        .iter()
        .flat_map(|suite| &suite.checks)
        .map(|check| &*check.id)
        .collect();
    let proven: BTreeSet<&str> = PROOFS.iter().map(|proof| proof.check).collect();
    assert_eq!(proven.len(), PROOFS.len(), "a check is proven twice");
    let without: Vec<_> = checks.difference(&proven).collect();
    assert!(without.is_empty(), "without a proof: {without:?}");
    let nobody: Vec<_> = proven.difference(&checks).collect();
    assert!(nobody.is_empty(), "of no check that ships: {nobody:?}");
}

#[test]
fn the_table_in_docs_is_that_of_the_suites_and_the_proofs() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/checks-table.md");
    let table = table();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &table).unwrap();
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        there == table,
        "{} is not what the suites say: UPDATE_DOCS=1 cargo test --test embedded_proofs renews it",
        path.display()
    );
}

fn table() -> String {
    let mut text = "\
# All checks

Made from the suite files and from the proofs in `tests/embedded_proofs/`; `UPDATE_DOCS=1 cargo test --test
embedded_proofs` renews it. [checks.md](checks.md) tells how each judges. The fault is what makes the check fail
on a simulated cluster on which it passes without it.
"
    .to_owned();
    for suite in suites() {
        write!(text, "\n## {}\n{}\n\n", suite.name, suite.description).unwrap();
        text.push_str("| check | standard | severity | a failure | what is judged | not testable | the fault that proves it |\n");
        text.push_str("| --- | --- | --- | --- | --- | --- | --- |\n");
        for check in &suite.checks {
            text.push_str(&row(check));
        }
    }
    text
}

fn row(check: &Check) -> String {
    let standard = check.standard.as_ref().map(|standard| {
        let told = standard.to_string();
        match &standard.url {
            Some(url) => format!("[{told}]({url})"),
            None => told,
        }
    });
    let status = check.standard.as_ref().map(|standard| standard.status);
    let proof = PROOFS.iter().find(|proof| *check.id == *proof.check);
    let cells = [
        format!("`{}`", check.id),
        standard.unwrap_or_default(),
        check.severity.to_string(),
        Effect::of(check.severity, status).to_string(),
        check.title.clone(),
        check.not_testable.clone().unwrap_or_default(),
        proof
            .map(|proof| proof.fault.to_owned())
            .unwrap_or_default(),
    ];
    let cells = cells.map(|cell| cell.replace('|', "\\|"));
    format!("| {} |\n", cells.join(" | "))
}
