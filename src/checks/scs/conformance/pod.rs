//! The pod of a run: the image does its work, and a second container of it hands out what that wrote.
//!
//! The report cannot be copied out of a pod without `exec`, so it comes through the log. A log is cut by the
//! kubelet at 10 MiB, and the report of a certified run is 2.5 MB without a failure and grows with each:
//! so the logs of cases are left out and the rest is packed, which makes 90 kB of it; what would still not
//! fit is refused rather than cut. The tests' own log stays that of the first container, for people.

use std::io::Read as _;

use flate2::read::GzDecoder;
use k8s_openapi::ByteString;
use serde_json::{Value, json};

use super::judge::Exit;
use super::settings::Asked;
use crate::checks::pods::{self, text};
use crate::checks::sandbox::{self, SERVICE_ACCOUNT};
use crate::checks::{Target, judgement::problem};
use crate::cluster::Object;
use crate::record::Blocker;

/// The pod's name.
pub const POD: &str = "conformance";
/// The container that runs the tests.
pub const TESTS: &str = "conformance";
/// The container that hands out what they wrote.
pub const RESULTS: &str = "results";
/// Where the image writes to.
const FOLDER: &str = "/tmp/results";
/// How large a report may be once it is unpacked.
const REPORT: u64 = 64 << 20;

/// What the second container runs: while the tests do, it counts in their log, which has a dot for each
/// case that passed; then it prints which cases had to be tried again (the log names them below a line that says
/// so), and the report. The image writes `done` last, however it ends.
const SCRIPT: &str = r#"cd /tmp/results || exit 1
count() { grep -o "$1" e2e.log 2> /dev/null | wc -l; }
tell() {
  all=$(sed -n 's/^Will run \([0-9]*\) of .*/\1/p' e2e.log 2> /dev/null | head -n 1)
  now="progress ${all:-0} $(($(count '•') + $(count '↺'))) $(count '• \[[A-Z]') $(count 'FLAKEY TEST')"
  [ "$now" = "$last" ] || echo "$now"
  last=$now
}
until [ -e done ]; do tell; sleep 5; done
tell
grep -A 1 'FLAKEY TEST' e2e.log 2> /dev/null | grep -v -e 'FLAKEY TEST' -e '^--$' | sed 's/^/flaky /'
[ -e junit_01.xml ] || { echo 'results none'; exit 0; }
grep -v '<system-err>.*</system-err>$' junit_01.xml | gzip -9 > /tmp/junit.gz
size=$(wc -c < /tmp/junit.gz)
[ "$size" -le 6000000 ] || { echo "results too large: $size bytes"; exit 0; }
echo 'results begin'
base64 -w 4096 /tmp/junit.gz
echo 'results end'
"#;

/// The pod, for a run in a check's namespace. It may run anywhere, as some cases taint and cordon nodes.
pub fn object(target: &Target<'_>, check: &str, asked: &Asked) -> Value {
    let container = json!({
        "image": asked.image,
        "imagePullPolicy": "IfNotPresent",
        "volumeMounts": [{"name": "results", "mountPath": FOLDER}],
        "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
    });
    let (mut tests, mut results) = (container.clone(), container);
    tests["name"] = json!(TESTS);
    tests["env"] = environment(asked);
    results["name"] = json!(RESULTS);
    results["command"] = json!(["/bin/sh", "-c", SCRIPT]);
    json!({
        "metadata": {"name": POD, "labels": sandbox::labels(&target.context.run, check)},
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 1,
            "serviceAccountName": SERVICE_ACCOUNT,
            "automountServiceAccountToken": true,
            "enableServiceLinks": false,
            "tolerations": [{"operator": "Exists"}],
            "securityContext": {"runAsNonRoot": true, "runAsUser": 65534, "fsGroup": 65534,
                "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [tests, results],
            "volumes": [{"name": "results", "emptyDir": {}}],
        },
    })
}

/// `E2E_PARALLEL` is never set: with it, the image leaves out every case that is `[Serial]` unless
/// something else is skipped. Told how many processes there are, ginkgo runs these last, one at a time.
fn environment(asked: &Asked) -> Value {
    let mut ginkgo = Vec::new();
    if asked.processes > 1 {
        ginkgo.push(format!("--procs={}", asked.processes));
    }
    if asked.flake_attempts > 0 {
        ginkgo.push(format!("--flake-attempts={}", asked.flake_attempts));
    }
    json!([
        {"name": "E2E_FOCUS", "value": asked.focus},
        {"name": "E2E_SKIP", "value": asked.skip},
        {"name": "E2E_PROVIDER", "value": "skeleton"},
        {"name": "E2E_EXTRA_GINKGO_ARGS", "value": ginkgo.join(" ")},
        {"name": "RESULTS_DIR", "value": FOLDER},
    ])
}

/// What lets the pod do what the tests do, which is everything. It goes with the check's namespace, which
/// owns it, whoever removes that.
pub fn binding(target: &Target<'_>, check: &str, namespace: &str, uid: &str) -> Value {
    json!({
        "metadata": {
            "name": namespace,
            "labels": sandbox::labels(&target.context.run, check),
            "ownerReferences": [{"apiVersion": "v1", "kind": "Namespace", "name": namespace, "uid": uid}],
        },
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "ServiceAccount", "name": SERVICE_ACCOUNT, "namespace": namespace}],
    })
}

/// How one of the pod's containers is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It has not begun.
    Waits,
    /// It runs.
    Runs,
    /// It has ended.
    Ended(Exit),
}

/// How a container of the pod is.
pub fn stage(pod: &Object, container: &str) -> Stage {
    let mut named = pods::statuses(pod).filter(|status| text(status, "/name") == container);
    let Some(status) = named.next() else {
        return Stage::Waits;
    };
    if let Some(ended) = status.pointer("/state/terminated") {
        return Stage::Ended(Exit {
            // One that cannot be told is not the one of success.
            code: ended["exitCode"].as_i64().unwrap_or(-1),
            reason: text(ended, "/reason").to_owned(),
        });
    }
    match status.pointer("/state/running") {
        Some(_) => Stage::Runs,
        None => Stage::Waits,
    }
}

/// How far the tests are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many cases will run; none while that is not known.
    pub all: usize,
    /// How many have ended.
    pub ran: usize,
    /// How many of these failed.
    pub failed: usize,
    /// How many passed only when they were tried again.
    pub flaky: usize,
}

impl Tally {
    /// Reads a line of the second container's log.
    pub fn read(line: &str) -> Option<Self> {
        let words = line.strip_prefix("progress ")?.split(' ');
        let numbers: Result<Vec<usize>, _> = words.map(str::parse).collect();
        let [all, ran, failed, flaky] = numbers.ok()?.try_into().ok()?;
        Some(Self {
            all,
            ran,
            failed,
            flaky,
        })
    }

    /// As a wait tells it.
    pub fn blocker(&self, namespace: &str) -> Blocker {
        let Self {
            all, ran, failed, ..
        } = self;
        let how_far = match all {
            0 => "the tests have not begun".to_owned(),
            all => format!("{ran} of {all} cases, {failed} failed"),
        };
        problem("workload", "Pod", namespace, POD, how_far)
    }
}

/// What the second container's log says: how far the tests came, and their report.
pub fn results(log: &str) -> (Tally, Result<String, String>) {
    let tally = log.lines().rev().find_map(Tally::read);
    (tally.unwrap_or_default(), report(log))
}

/// The names of the cases that passed only when they were tried again, by the second container's log.
pub fn flakes(log: &str) -> Vec<String> {
    let named = log.lines().filter_map(|line| line.strip_prefix("flaky "));
    named
        .map(|name| uncoloured(name).trim().to_owned())
        .collect()
}

/// Without the codes by which a terminal shows colours.
fn uncoloured(text: &str) -> String {
    let mut parts = text.split('\u{1b}');
    let first = parts.next().unwrap_or_default();
    let others = parts.map(|part| part.split_once('m').map_or("", |(_, rest)| rest));
    std::iter::once(first).chain(others).collect()
}

fn report(log: &str) -> Result<String, String> {
    let mut lines = log.lines().skip_while(|line| !line.starts_with("results "));
    match lines.next() {
        Some("results begin") => {}
        Some("results none") => return Err("wrote no junit_01.xml".to_owned()),
        Some(other) => {
            let why = other.trim_start_matches("results ");
            return Err(format!("their results cannot be handed out: {why}"));
        }
        None => return Err("handed out no results".to_owned()),
    }
    let mut packed = String::new();
    let mut whole = false;
    for line in lines {
        if line == "results end" {
            whole = true;
            break;
        }
        packed.push_str(line);
    }
    if !whole {
        return Err("their results are cut off".to_owned());
    }
    unpacked(packed).map_err(|error| format!("their results are damaged: {error}"))
}

fn unpacked(packed: String) -> Result<String, String> {
    let bytes: ByteString =
        serde_json::from_value(Value::String(packed)).map_err(|error| error.to_string())?;
    let mut report = String::new();
    let read = GzDecoder::new(bytes.0.as_slice())
        .take(REPORT + 1)
        .read_to_string(&mut report);
    let length = read.map_err(|error| error.to_string())?;
    match u64::try_from(length) {
        Ok(length) if length <= REPORT => Ok(report),
        _ => Err(format!("more than {REPORT} bytes")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::scs::conformance::settings::{Mode, Settings};
    use crate::checks::world::World;
    use std::io::Write as _;

    fn packed(text: &str) -> String {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        gzip.write_all(text.as_bytes()).unwrap();
        let bytes = ByteString(gzip.finish().unwrap());
        let Value::String(text) = serde_json::to_value(bytes).unwrap() else {
            panic!("no text");
        };
        text
    }

    fn log(report: &str) -> String {
        let packed = packed(report);
        let (one, two) = packed.split_at(10);
        format!("progress 0 0 0 0\nprogress 3 3 1 1\nresults begin\n{one}\n{two}\nresults end\n")
    }

    #[test]
    fn a_report_comes_whole_through_the_log() {
        let (tally, report) = results(&log("<testsuites/>"));
        assert_eq!(report.as_deref(), Ok("<testsuites/>"));
        let expected = Tally {
            all: 3,
            ran: 3,
            failed: 1,
            flaky: 1,
        };
        assert_eq!(tally, expected);
        assert_eq!(
            tally.blocker("n").to_string(),
            "Pod n/conformance: 3 of 3 cases, 1 failed"
        );
    }

    #[test]
    fn cases_that_were_tried_again_are_named_without_colours() {
        let named = "progress 3 3 0 2\nflaky \u{1b}[0m[sig-a] one \u{1b}[38;5;243mtwo\u{1b}[0m\nflaky [sig-b] three\n";
        let all = format!("{named}{}", log("<testsuites/>"));
        assert_eq!(flakes(&all), ["[sig-a] one two", "[sig-b] three"]);
        assert!(results(&all).1.is_ok());
        assert!(flakes(&log("<testsuites/>")).is_empty());
    }

    #[test]
    fn what_is_missing_cut_off_or_damaged_is_no_report() {
        let whole = log("<testsuites/>");
        for (log, told) in [
            (String::new(), "handed out no results"),
            ("progress 3 1 0 0\n".to_owned(), "handed out no results"),
            ("results none\n".to_owned(), "wrote no junit_01.xml"),
            (
                "results too large: 7000000 bytes\n".to_owned(),
                "cannot be handed out: too large: 7000000 bytes",
            ),
            (whole.replace("results end\n", ""), "are cut off"),
            (
                whole.replace("results begin\n", "results begin\nAAAA"),
                "are damaged",
            ),
            (
                "results begin\nH4sI\nresults end\n".to_owned(),
                "are damaged",
            ),
            ("results begin\nresults end\n".to_owned(), "are damaged"),
        ] {
            let (_, report) = results(&log);
            assert!(report.clone().unwrap_err().contains(told), "{report:?}");
        }
    }

    #[tokio::test]
    async fn the_pod_asks_for_what_is_set_and_never_for_what_skips_serial_cases() {
        let world = World::new(|_, path| panic!("{path} is not asked for"));
        let set = json!({"mode": "nonDisruptive", "parallel": 4, "flakeAttempts": 2});
        let settings: Settings = serde_json::from_value(set).unwrap();
        let asked = settings.asked(Mode::Quick, "v1.35.0");
        let pod = object(&world.target(), "check", &asked);
        let environment = &pod["spec"]["containers"][0]["env"];
        assert!(!environment.to_string().contains("E2E_PARALLEL"));
        let of = |name: &str| {
            let all = environment.as_array().unwrap().iter();
            let mut named = all.filter(|one| one["name"] == name);
            named.next().unwrap()["value"].clone()
        };
        assert_eq!(of("E2E_EXTRA_GINKGO_ARGS"), "--procs=4 --flake-attempts=2");
        assert_eq!(of("E2E_SKIP"), r"\[Disruptive\]|NoExecuteTaintManager");
        for container in pod["spec"]["containers"].as_array().unwrap() {
            assert_eq!(container["image"], "registry.k8s.io/conformance:v1.35.0");
        }
    }

    #[test]
    fn a_container_is_where_its_status_says() {
        let pod = |state: Value| {
            let statuses = json!([{"name": TESTS, "state": state}]);
            Object::new(
                "workload",
                json!({"status": {"containerStatuses": statuses}}),
            )
        };
        assert_eq!(stage(&pod(json!({"waiting": {}})), TESTS), Stage::Waits);
        assert_eq!(stage(&pod(json!({"running": {}})), TESTS), Stage::Runs);
        assert_eq!(stage(&pod(json!({})), RESULTS), Stage::Waits);
        let killed = json!({"terminated": {"exitCode": 137, "reason": "OOMKilled"}});
        let exit = Exit {
            code: 137,
            reason: "OOMKilled".to_owned(),
        };
        assert_eq!(stage(&pod(killed), TESTS), Stage::Ended(exit));
    }
}
