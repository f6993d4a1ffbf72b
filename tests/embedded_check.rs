//! The checks alone on a simulated cluster: what they ask for, with which rights, and what they say
//! without them.

#[path = "common/lab.rs"]
mod lab;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use k8s_openapi::api::rbac::v1::PolicyRule;
use kubesim::{GroupResource, User};
use lab::{Lab, Log};
use serde_json::Value;
use stackgate::checks::{self, Need};
use stackgate::record::{CheckResult, Outcome, Verdict};
use stackgate::suite::{Rights, Suite, names};

const ACCOUNT: &str = "system:serviceaccount:default:stackgate-check";
const ROLES: GroupResource = GroupResource::new("rbac.authorization.k8s.io", "clusterroles");

/// Every suite that ships but the heavy one: what that runs may do everything, and asks for hours.
fn shipped() -> Vec<String> {
    let mut names = names(Path::new("/nowhere"));
    names.retain(|name| name != "scs-heavy");
    names
}

fn rights(read_only: bool) -> Rights {
    let suites = shipped()
        .into_iter()
        .map(|name| Suite::load(&name, Path::new("/nowhere")).unwrap());
    Rights::of(&suites.collect::<Vec<_>>(), read_only)
}

/// Who has these rights.
fn account() -> Option<User> {
    Some(User::new(ACCOUNT, &[]))
}

/// Gives the account what the manifest says.
fn grant(lab: &Lab, rights: &Rights) {
    let manifest = rights.manifest().unwrap();
    let documents: Vec<Value> = serde_saphyr::from_multiple(&manifest).unwrap();
    for document in documents {
        lab.create(document);
    }
}

async fn ask(lab: &Lab, user: Option<User>, read_only: bool) -> (Verdict, Vec<CheckResult>, Log) {
    let log = Log::default();
    let suites = shipped();
    let suites: Vec<&str> = suites.iter().map(String::as_str).collect();
    let (ending, results) = lab.ask(user, &log, &suites, read_only).await;
    (ending.verdict, results, log)
}

fn outcomes(results: &[CheckResult]) -> BTreeMap<&str, (Outcome, &str)> {
    let told = results.iter().map(|result| {
        (
            result.id.as_str(),
            (result.outcome, result.message.as_str()),
        )
    });
    told.collect()
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_is_well_passes_with_few_requests() {
    let lab = Lab::settled().await;
    let (verdict, results, log) = ask(&lab, None, false).await;
    let failed: Vec<_> = results
        .iter()
        .filter(|one| matches!(one.outcome, Outcome::Fail | Outcome::Abort))
        .map(|one| format!("{} {}: {}", one.outcome, one.id, one.message))
        .collect();
    assert_eq!(verdict, Verdict::Open, "{failed:#?}");
    for must in [
        "dns-resolves",
        "claims-bound",
        "scs-0211-volume-keeps-data",
        "scs-0219-network-policy",
    ] {
        assert_eq!(outcomes(&results)[must].0, Outcome::Pass, "{failed:#?}");
    }
    let asked = log.all();
    assert!(asked.len() <= 200, "{} requests", asked.len());
}

#[tokio::test(start_paused = true)]
async fn who_may_only_read_reads_each_kind_once_and_is_told_what_is_left_out() {
    let lab = Lab::settled().await;
    grant(&lab, &rights(true));
    let (verdict, results, log) = ask(&lab, account(), true).await;
    assert_eq!(verdict, Verdict::Open, "{:#?}", outcomes(&results));
    let mut lists = BTreeMap::<String, usize>::new();
    for asked in log.all() {
        // A review is stored nowhere.
        let reads = asked.method == "GET" || asked.path.ends_with("/subjectaccessreviews");
        assert!(reads, "{asked:?}");
        if asked.right().is_some_and(|(verb, ..)| verb == "list") {
            *lists.entry(asked.path).or_default() += 1;
        }
    }
    assert!(lists.len() >= 10, "{lists:?}");
    assert!(lists.values().all(|count| *count == 1), "{lists:?}");
    let told = outcomes(&results);
    for (name, does) in [
        ("dns-resolves", "creates pods"),
        ("scs-0211-volume-keeps-data", "creates pods"),
        ("scs-0217-pod-security", "creates pods"),
        ("scs-0219-network-policy", "creates pods"),
    ] {
        let expected = format!("{does}; --read-only");
        assert_eq!(told[name], (Outcome::Skip, expected.as_str()));
    }
    assert!(
        told.values().all(|(outcome, _)| *outcome != Outcome::Abort),
        "{told:#?}"
    );
}

#[tokio::test(start_paused = true)]
async fn the_printed_role_is_enough_and_says_what_is_asked() {
    let lab = Lab::settled().await;
    let (_, by_admin, log) = ask(&lab, None, false).await;
    let rights = rights(false);
    grant(&lab, &rights);
    let (_, by_account, _) = ask(&lab, account(), false).await;
    assert_eq!(outcomes(&by_admin), outcomes(&by_account));
    let mut asked: BTreeSet<_> = log.all().iter().filter_map(lab::Asked::right).collect();
    // Everybody may ask what he himself may do.
    asked.retain(|(_, _, resource)| resource != "selfsubjectaccessreviews");
    let granted: BTreeSet<_> = rights.rules().iter().flat_map(single).collect();
    assert_eq!(asked, granted);
}

#[tokio::test(start_paused = true)]
async fn without_any_one_of_its_rights_a_check_names_what_is_missing() {
    let lab = Lab::settled().await;
    let rights = rights(false);
    grant(&lab, &rights);
    let all: Vec<_> = rights.rules().iter().flat_map(single).collect();
    assert!(all.len() > 20, "{all:?}");
    for (verb, group, resource) in &all {
        let rest = all
            .iter()
            .filter(|one| **one != (verb.clone(), group.clone(), resource.clone()));
        let rest = rest.map(|(verb, group, resource)| PolicyRule {
            api_groups: Some(vec![group.clone()]),
            resources: Some(vec![resource.clone()]),
            verbs: vec![verb.clone()],
            ..PolicyRule::default()
        });
        let rest = serde_json::to_value(rest.collect::<Vec<_>>()).unwrap();
        let api = lab.cluster.api();
        let change = |role: &mut Value| role["rules"] = rest.clone();
        api.modify(&ROLES, "", "stackgate-check", "lab", change)
            .unwrap();
        let (_, results, _) = ask(&lab, account(), false).await;
        let missing = format!("may not {verb} {resource}");
        let aborted: BTreeSet<&str> = results
            .iter()
            .filter(|one| one.outcome == Outcome::Abort && one.message.contains(&missing))
            .map(|one| one.id.as_str())
            .collect();
        let lacking: BTreeSet<&str> = checks::all()
            .iter()
            .filter(|native| {
                native
                    .needs()
                    .any(|need| needs(need, verb, group, resource))
            })
            .map(|native| native.name)
            .collect();
        assert!(
            !lacking.is_empty() && !aborted.is_empty(),
            "{missing}: {:#?}",
            outcomes(&results)
        );
        for result in &results {
            if lacking.contains(result.id.as_str()) {
                let applies = !matches!(result.outcome, Outcome::Skip);
                assert!(
                    !applies || result.outcome == Outcome::Abort,
                    "{missing}: {} {}: {}",
                    result.outcome,
                    result.id,
                    result.message
                );
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn without_rights_no_check_passes_and_each_names_what_is_missing() {
    let lab = Lab::settled().await;
    let (verdict, results, log) = ask(&lab, account(), false).await;
    assert_eq!(verdict, Verdict::None);
    for result in &results {
        let native = checks::all().iter().find(|native| native.name == result.id);
        let needs: Vec<Need> = native.into_iter().flat_map(|one| one.needs()).collect();
        let open = needs.iter().all(|need| matches!(need, Need::Open(_)));
        match result.outcome {
            // What everybody may ask, or what is not asked at all.
            Outcome::Pass => assert!(!needs.is_empty() && open, "{}", result.id),
            Outcome::Skip => assert!(
                ["management", "addon", "compares before with after"]
                    .iter()
                    .any(|word| result.message.contains(word)),
                "{}: {}",
                result.id,
                result.message
            ),
            _ => {
                assert_eq!(result.outcome, Outcome::Abort, "{}", result.id);
                assert!(
                    result.message.contains("may not "),
                    "{}: {}",
                    result.id,
                    result.message
                );
                assert!(result.seconds < 10.0, "{}: {} s", result.id, result.seconds);
            }
        }
    }
    let written = log
        .all()
        .into_iter()
        .filter(|asked| asked.method == "DELETE");
    assert_eq!(written.count(), 0, "what was never created is not removed");
}

#[tokio::test(start_paused = true)]
async fn without_rights_the_heavy_checks_abort_and_name_what_is_missing() {
    let lab = Lab::settled().await;
    let log = Log::default();
    let (ending, results) = lab.ask(account(), &log, &["scs-heavy"], false).await;
    assert_eq!((ending.verdict, results.len()), (Verdict::None, 2));
    for result in &results {
        let told = (
            result.outcome,
            result.message.contains("may not list namespaces"),
        );
        assert_eq!(
            told,
            (Outcome::Abort, true),
            "{}: {}",
            result.id,
            result.message
        );
    }
    assert!(
        log.all().iter().all(|asked| asked.method == "GET"),
        "nothing is created"
    );
}

#[tokio::test(start_paused = true)]
async fn each_answer_says_on_what_kind_of_cluster_it_was_given() {
    let lab = Lab::settled().await;
    let (_, results, _) = ask(&lab, None, true).await;
    for result in &results {
        let told = result.surroundings.to_string();
        assert!(
            told.contains("CNI docker.io/kindest/kindnetd:v20251212"),
            "{}: {told}",
            result.id
        );
        assert!(
            !result.surroundings.provider.is_empty() && !result.surroundings.node_image.is_empty(),
            "{told}"
        );
    }
    // Who may see neither nodes nor DaemonSets is answered all the same.
    let (_, results, _) = ask(&lab, account(), true).await;
    assert!(
        results
            .iter()
            .all(|result| result.surroundings.to_string() == "provider unknown")
    );
}

/// A rule's rights, one by one: verb, group, resource.
fn single(rule: &PolicyRule) -> Vec<(String, String, String)> {
    let mut all = Vec::new();
    for group in rule.api_groups.iter().flatten() {
        for resource in rule.resources.iter().flatten() {
            let of = |verb: &String| (verb.clone(), group.clone(), resource.clone());
            all.extend(rule.verbs.iter().map(of));
        }
    }
    all
}

fn needs(need: Need, verb: &str, group: &str, resource: &str) -> bool {
    match need {
        Need::Resource {
            group: own,
            resource: what,
            verbs,
        } => (own, what) == (group, resource) && verbs.contains(&verb),
        Need::Open(_) => false,
    }
}
