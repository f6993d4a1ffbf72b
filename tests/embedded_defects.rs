//! Every known defect of cluster stacks and their operator, as a pair of releases or an injected fault: what
//! finds it without a cluster, what the gate says, and after how long; and the table of that in `docs/`.

mod common {
    #![expect(dead_code, reason = "each test binary uses its own part")]
    pub mod rehearsal;
    pub mod variant;
}

use std::path::{Path, PathBuf};

use common::rehearsal::rehearse;
use common::variant::{
    N, N1, N2, THING, Variant, agent, cilium, failing, named_by_values, provided,
};
use stackgate::lint;
use stackgate::record::{PhaseOutcome, Severity, Verdict, What};
use stackgate::simulate::{self, Scenario};
use stackgate::stack::{Delivery, Hashes, ReleaseTag, Stack, archive};

const SEED: u64 = 7;

/// How a defect is made.
enum Made {
    /// A pair of releases, and what goes wrong with the operator while they are delivered.
    Pair(fn() -> Variant, &'static [&'static str]),
    /// A pair whose N+1 csctl refuses to make, so that it is not among the releases.
    Unmade(fn() -> Variant),
}

struct Defect {
    id: &'static str,
    what: &'static str,
    made: Made,
}

fn demo() -> Variant {
    Variant::from("docker-demo")
}

fn stages(change: impl FnOnce(&str) -> String) -> Variant {
    demo().edit(N1, "clusteraddon.yaml", change)
}

fn map(name: &str, namespace: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\n{namespace}")
}

const STORAGE: &str = "  - name: storage\n    action: apply\n";
const MORE: &str = "cluster-addon/metrics-server/templates/more.yaml";
const CNI: &str = "cluster-addon/cni/templates/more.yaml";

fn single() -> Variant {
    let next = demo().single_chart(N).next_version(N, N2);
    next.edit(N2, "cluster-addon/values.yaml", |text| {
        text.replace("kindnetd:", "kindnetd-next:")
    })
}

fn single_with_a_hook() -> Variant {
    let variant = demo().single_chart(N).single_chart(N1);
    variant.edit(N1, "metadata.yaml", |text| {
        text.replace("clusterAddon: v1", "clusterAddon: v2")
    })
}

fn class_alone() -> Variant {
    demo()
        .next_version(N, N2)
        .edit(N2, "cluster-class/values.yaml", |text| {
            text.replace(
                "kubeletExtraArgs:\n",
                "kubeletExtraArgs:\n  max-pods: \"100\"\n",
            )
        })
}

fn class_and_addons() -> Variant {
    class_alone().edit(N2, "cluster-addon/metrics-server/values.yaml", |text| {
        text.replace("v0.8.0", "v0.8.1")
    })
}

fn thing() -> Variant {
    let old = demo().add(N, MORE, &map("more", "  namespace: kube-system\n"));
    let next = old.next_version(N, N2).remove(N2, MORE);
    next.add(N2, CNI, THING)
}

fn scalers() -> Variant {
    let scaler = |version: &str| {
        format!(
            "apiVersion: autoscaling/{version}\nkind: HorizontalPodAutoscaler\nmetadata:\n  name: more\n  namespace: kube-system\nspec:\n  maxReplicas: 2\n  scaleTargetRef: {{apiVersion: apps/v1, kind: Deployment, name: metrics-server}}\n"
        )
    };
    demo()
        .add(N, MORE, &scaler("v1"))
        .add(N1, MORE, &scaler("v2"))
}

fn extra() -> Variant {
    let stage = "  - name: extra\n    action: apply\n";
    let variant = stages(|text| {
        let both = format!("{stage}  BeforeClusterUpgrade:");
        format!("{}{stage}", text.replace("  BeforeClusterUpgrade:", &both))
    });
    variant
        .add(
            N1,
            "cluster-addon/extra/Chart.yaml",
            "apiVersion: v2\nname: extra\nversion: v1\n",
        )
        .add(
            N1,
            "cluster-addon/extra/templates/map.yaml",
            &map("extra", ""),
        )
}

fn selector() -> Variant {
    demo().edit(N1, "cluster-addon/cni/templates/daemonset.yaml", |text| {
        text.replace(
            "app.kubernetes.io/name: kindnet",
            "app.kubernetes.io/name: next",
        )
    })
}

/// The network of N+1 ends as soon as it starts, and no stage waits for it.
fn crashing_network() -> Variant {
    let variant = stages(|text| {
        let waits = |line: &&str| line.starts_with("    ") && line.trim() != "action: apply";
        let kept = text.lines().filter(|line| !waits(line));
        kept.map(|line| format!("{line}\n")).collect()
    });
    variant.edit(N1, "cluster-addon/cni/templates/daemonset.yaml", |text| {
        let command =
            "registry.k8s.io/e2e-test-images/agnhost:2.53\n        args: [no-such-command]";
        text.replace("{{ .Values.image }}", command)
    })
}

/// The defects, in the order of where they were told of.
fn defects() -> Vec<Defect> {
    let pair = |id, what, variant: fn() -> Variant, faults| Defect {
        id,
        what,
        made: Made::Pair(variant, faults),
    };
    vec![
        pair(
            "CS#202",
            "addons of one chart stay at N, all is ready",
            single,
            &[],
        ),
        pair(
            "CSO#272, CSO#259",
            "BeforeClusterUpgrade blocks for ever",
            single_with_a_hook,
            &[],
        ),
        pair(
            "CSO#212, CSO#195",
            "a hook is kept after its work",
            demo,
            &["hook-kept"],
        ),
        pair(
            "CSO#337",
            "the operator crashes again and again",
            demo,
            &["operator-crash-loop"],
        ),
        pair(
            "CS#9, CSO#35",
            "addons and nodes change in no order, and an addon needs nodes of N+1",
            || agent(N2, "example.org/pool: next"),
            &[],
        ),
        Defect {
            id: "CS#264, CS#265",
            what: "a class-only change is not released",
            made: Made::Unmade(class_alone),
        },
        pair(
            "CS#143",
            "the network does not come up, the ClusterAddon is ready",
            crashing_network,
            &[],
        ),
        pair(
            "CS#213",
            "Cilium skips a minor version in one stage",
            cilium,
            &["cni-step-skipped"],
        ),
        pair(
            "CS#225, CS#129",
            "the operator may not apply a kind of the class chart",
            || demo().add(N1, "cluster-class/templates/map.yaml", &map("more", "")),
            &[],
        ),
        pair(
            "CSO#57, CSO#221",
            "USABLE and LATEST are wrong",
            demo,
            &["stack-columns-wrong"],
        ),
        pair(
            "CSO#59",
            "a release stays ready after its provider object is not",
            provided,
            &["provider-object-not-ready"],
        ),
        pair(
            "CSO#72, CSO#208, CSO#224",
            "a release cannot be downloaded",
            demo,
            &["release-not-downloaded"],
        ),
        pair(
            "CSO#254",
            "the class is of an API version that Cluster API does not serve",
            || {
                demo().edit_stack(|text| {
                    let text = text.replace("clusterApi: v1.12.5", "clusterApi: v1.10.4");
                    text.replace("cluster.x-k8s.io/v1beta2", "cluster.x-k8s.io/v1beta1")
                })
            },
            &[],
        ),
        pair(
            "a",
            "a stage whose chart does not render is skipped",
            demo,
            &["addon-stage-skipped"],
        ),
        pair(
            "a, chart missing",
            "a stage has no chart in the release",
            || stages(|text| text.replace("name: storage", "name: storag")),
            &[],
        ),
        pair(
            "a, chart fails",
            "a chart renders for no cluster",
            || demo().add(N1, MORE, "{{ fail \"on purpose\" }}"),
            &[],
        ),
        pair(
            "b",
            "what is dropped stays after a pause on the same Kubernetes",
            thing,
            &[],
        ),
        pair(
            "c",
            "an object of another apiVersion is deleted after it was applied",
            scalers,
            &[],
        ),
        pair(
            "d",
            "a stage that N has no chart for blocks the hook",
            extra,
            &[],
        ),
        pair(
            "e",
            "a hook is skipped for a Cluster of a name that was there",
            demo,
            &["hook-passed"],
        ),
        pair(
            "f",
            "charts of N that are gone crash the operator",
            demo,
            &["operator-crash-loop"],
        ),
        pair(
            "g",
            "a field that cannot change is tried for ever",
            selector,
            &[],
        ),
        pair(
            "h",
            "a failed download locks the operator up",
            demo,
            &["operator-locked-up"],
        ),
        pair(
            "i",
            "a restart loses what was downloaded",
            demo,
            &["operator-restart"],
        ),
        pair("j", "drift is not repaired", demo, &["addon-drift"]),
        pair(
            "k",
            "prune lists are rendered with the values of another chart",
            named_by_values,
            &[],
        ),
        pair(
            "l",
            "stages of a hook that never runs",
            || stages(|text| format!("{text}  AfterClusterUpgrade:\n{STORAGE}")),
            &[],
        ),
        pair(
            "m",
            "an addon that is dropped stays",
            || stages(|text| text.replace(STORAGE, "")),
            &[],
        ),
        pair(
            "n",
            "a chart that only new clusters get is deleted",
            || {
                stages(|text| {
                    let hook = "BeforeClusterUpgrade:\n";
                    text.replace(&format!("{hook}  - name: cni\n    action: apply\n"), hook)
                })
            },
            &[],
        ),
        pair(
            "o",
            "an object of another namespace is refused",
            || demo().add(N1, MORE, &map("more", "  namespace: default\n")),
            &[],
        ),
        pair(
            "o, told",
            "an object that tells its namespace from now on is deleted after it was applied",
            || {
                demo().add(N, MORE, &map("more", "")).add(
                    N1,
                    MORE,
                    &map("more", "  namespace: kube-system\n"),
                )
            },
            &[],
        ),
        pair(
            "selector",
            "an addon asks for nodes that N+1 does not have either",
            || agent(N1, "example.org/pool: nxt"),
            &[],
        ),
        pair(
            "budget",
            "a budget never lets a Pod go",
            || failing("blocked-drain"),
            &[],
        ),
    ]
}

/// Rules as the table names them, each once.
fn told(rules: impl Iterator<Item = &'static lint::Rule>) -> String {
    let rules = rules.map(|rule| format!("`{}` ({})", rule.id, rule.severity));
    let mut rules: Vec<String> = rules.collect();
    rules.dedup();
    if rules.is_empty() {
        "–".to_owned()
    } else {
        rules.join(", ")
    }
}

/// A row of the table.
fn row(defect: &Defect) -> String {
    let Defect { id, what, made } = defect;
    let (variant, faults) = match made {
        Made::Unmade(variant) => (variant, &[][..]),
        Made::Pair(variant, faults) => (variant, *faults),
    };
    let folder = tempfile::tempdir().unwrap();
    let stack = variant().write_apart(folder.path());
    let loaded = Stack::load(&stack.to_string_lossy(), stack.parent().unwrap()).unwrap();
    let releases = &loaded.spec.releases;
    let is_unmade = matches!(made, Made::Unmade(_));
    if is_unmade {
        // What something else built, and tells of its sources as csctl does, is there to be linted.
        for tag in [&releases.from, &releases.to] {
            let sources = stack.join("sources").join(tag.to_string());
            let hashes = Hashes::of_sources(&archive::read_dir(&sources).unwrap());
            let (name, content) = hashes.file();
            std::fs::write(folder_of(&stack, tag).join(name), content).unwrap();
        }
    }
    let report = lint::releases(&loaded, &releases.from, &releases.to);
    let findings = report.findings.iter().map(|finding| finding.rule);
    let lint = told(findings.filter(|rule| rule.severity != Severity::May));
    if is_unmade {
        std::fs::remove_dir_all(folder_of(&stack, &releases.to)).unwrap();
        let refused = loaded.open_releases().unwrap_err().to_string();
        for words in ["beside it: docker-demo-1-34-v1", "cluster-stacks#264"] {
            assert!(refused.contains(words), "{refused}");
        }
    }
    let how = match faults {
        [] if is_unmade => "pair that csctl does not make: N+1 is not there".to_owned(),
        [] => "pair".to_owned(),
        faults => format!("fault `{}`", faults.join("`, `")),
    };
    let refused = report.plan.is_none() || loaded.open_releases().is_err();
    let gate = if refused {
        "refused as invalid input, before anything is created".to_owned()
    } else {
        judged(&stack, faults)
    };
    format!("| {id} | {what} | {lint} | {gate} | {how} |\n")
}

/// The folder of a release.
fn folder_of(stack: &Path, tag: &ReleaseTag) -> PathBuf {
    stack.join("releases/cluster-stacks").join(tag.to_string())
}

#[test]
fn embedded_addons_that_change_with_the_machines_are_no_defect_where_nodes_of_n_suit_them_issue_7()
{
    let folder = tempfile::tempdir().unwrap();
    let stack = class_and_addons().write_apart(folder.path());
    let run = rehearse(&stack, Delivery::Operator, SEED, &[]);
    assert_eq!(run.verdict, Verdict::Open, "{}", run.reason);
}

#[test]
fn embedded_a_network_that_crashes_closes_the_gate_though_the_cluster_addon_is_ready_issue_7() {
    let folder = tempfile::tempdir().unwrap();
    let stack = crashing_network().write_apart(folder.path());
    let run = rehearse(&stack, Delivery::Operator, SEED, &[]);
    assert_eq!(run.verdict, Verdict::Closed, "{}", run.reason);
    let found = run.findings();
    assert_eq!(found[0].cause, "container-crash-loop");
    for words in ["container kindnet of Pod kube-system/", "last exit code 1)"] {
        assert!(found[0].message.contains(words), "{}", found[0].message);
    }
    // Waits look at the ClusterAddon: it blocks while it is not ready, and in the end the network alone does.
    let blocked = run.events.iter().filter_map(|event| match &event.what {
        What::Blocked { blockers, .. } => Some(blockers),
        _ => None,
    });
    let kinds = blocked.map(|all| all.iter().map(|one| one.object.kind.as_str()).collect());
    let kinds: Vec<Vec<&str>> = kinds.collect();
    assert!(kinds.iter().flatten().any(|kind| *kind == "ClusterAddon"));
    assert_eq!(kinds.last().unwrap(), &["DaemonSet"]);
}

/// What the gate says when nobody has linted, and after how long. It closes for each defect.
fn judged(stack: &Path, faults: &[&str]) -> String {
    let run = rehearse(stack, Delivery::Operator, SEED, faults);
    let why = format!("{}: {}", stack.display(), run.reason);
    assert_eq!(run.verdict, Verdict::Closed, "{faults:?}, {why}");
    let failed = run.events.iter().find_map(|event| match &event.what {
        What::PhaseFinished {
            phase,
            outcome: PhaseOutcome::Failed,
            seconds,
            ..
        } => Some(format!("{phase}, {seconds:.0} s")),
        _ => None,
    });
    let cause = run
        .findings()
        .first()
        .map(|finding| format!("`{}`", finding.cause));
    let when = failed.unwrap_or_else(|| "verdict".to_owned());
    format!(
        "{} ({when})",
        cause.unwrap_or_else(|| "closed, by its checks".to_owned())
    )
}

/// What is told of in the reference of cluster stacks; each has a row.
const KNOWN: &[&str] = &[
    "CS#202", "CSO#272", "CSO#259", "CSO#212", "CSO#195", "CSO#337", "CS#9", "CSO#35", "CS#264",
    "CS#265", "CS#143", "CS#213", "CS#225", "CS#129", "CSO#57", "CSO#221", "CSO#59", "CSO#72",
    "CSO#208", "CSO#224", "CSO#254", "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l",
    "m", "n", "o",
];

#[test]
fn every_known_defect_has_a_row() {
    let rows = defects();
    let ids: Vec<&str> = rows.iter().flat_map(|one| one.id.split(", ")).collect();
    for known in KNOWN {
        assert!(ids.contains(known), "{known} has no row");
    }
    // What a rule of lint says that it finds is one of them.
    for defect in lint::all().flat_map(|rule| rule.defects) {
        assert!(KNOWN.contains(defect), "{defect} is not known");
    }
}

#[test]
fn the_table_in_docs_is_what_lint_and_the_gate_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/defects.md");
    let (begin, end) = ("<!-- defects -->\n", "<!-- end of defects -->\n");
    let text = std::fs::read_to_string(&path).unwrap();
    let mut table = String::from(
        "| defect | what happens | lint | the gate, after | made as |\n| --- | --- | --- | --- | --- |\n",
    );
    for defect in defects() {
        table.push_str(&row(&defect));
    }
    let start = text.find(begin).unwrap() + begin.len();
    let stop = text.find(end).unwrap();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        let renewed = format!("{}{table}{}", &text[..start], &text[stop..]);
        std::fs::write(&path, renewed).unwrap();
        return;
    }
    assert_eq!(
        &text[start..stop],
        table,
        "docs/defects.md is old: run `UPDATE_DOCS=1 cargo test --test embedded_defects`"
    );
}

#[test]
fn embedded_random_pairs_that_the_operator_cannot_take_close_the_gate_issue_4() {
    for rule in ["stage-added", "stage-dropped"] {
        let seed = (0..).find(|seed| {
            let scenario = Scenario::of_seed(*seed);
            scenario.flaw() == Some(rule) && scenario.faults.is_empty()
        });
        let run = simulate::rehearse(seed.unwrap(), false, |_| 1).unwrap();
        assert_eq!(
            run.violations,
            Vec::<String>::new(),
            "{rule}: {}",
            run.reason
        );
        assert_eq!(run.verdict, Verdict::Closed);
    }
}

#[test]
fn embedded_what_nobody_can_remove_is_not_left_behind_issue_4() {
    for fault in ["certificate-expired@check-after", "webhook-down@upgrade"] {
        let seed = (0..).find(|seed| {
            let scenario = Scenario::of_seed(*seed);
            scenario.troubles() == [fault]
        });
        let run = simulate::rehearse(seed.unwrap(), false, |_| 1).unwrap();
        assert_eq!(
            run.violations,
            Vec::<String>::new(),
            "{fault}: {}",
            run.reason
        );
    }
}
