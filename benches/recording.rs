//! What a recording costs: its size, what it takes of a core while it is written, and how soon a moment is found.
//!
//! `cargo bench --bench recording` writes the five minutes of a gate on real clusters, as far as a recording sees
//! them: so many objects of such a size, changing so often; and fails above [`SIZE`], [`SHARE`] or [`SEEK`].

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use stackgate::record::{Clock, Id, Past, RECORDING, Recording, Redactor};

/// How large five minutes may be.
const SIZE: u64 = 10 << 20;
/// How much of a core writing may take.
const SHARE: f64 = 0.01;
/// How long a moment may take to be found.
const SEEK: Duration = Duration::from_millis(50);

/// How long the gate takes, in seconds, and how many objects change in each. On the testbed a gate of both
/// clusters sees some tens a second.
const SECONDS: u64 = 300;
const CHANGES: u64 = 40;
/// How many objects there are, in kinds of so many.
const OBJECTS: u64 = 1200;
const KINDS: u64 = 60;

fn main() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join(RECORDING);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()?;
    let (taken, raw) = runtime.block_on(write(&path))?;
    let size = std::fs::metadata(&path)?.len();
    let share = taken.as_secs_f64() / Duration::from_secs(SECONDS).as_secs_f64();
    let past = Past::open(&path)?;
    let mut longest = Duration::ZERO;
    for part in 0..=20 {
        let begun = now();
        // Opened anew, as a command does that looks at one moment.
        let state = Past::open(&path)?.at(past.end_ms() * part / 20)?;
        longest = longest.max(begun.elapsed());
        std::hint::black_box(state);
    }
    println!(
        "{SECONDS} s, {} changes: {:.1} MiB of {:.0} (at most {}), {:.2} % of a core (at most {}), a moment in {longest:.1?} (at most {SEEK:?})",
        SECONDS * CHANGES,
        mebibytes(size),
        mebibytes(raw),
        SIZE >> 20,
        share * 100.0,
        SHARE * 100.0,
    );
    ensure!(size <= SIZE, "the recording is too large");
    ensure!(share <= SHARE, "recording takes too much of a core");
    ensure!(longest <= SEEK, "a moment takes too long to be found");
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "it is shown with one digit")]
fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// Writes the recording, and returns how long the writing took, and what was told in all.
async fn write(path: &Path) -> Result<(Duration, u64)> {
    let clock = Clock::rehearsed();
    let recording = Recording::create(path, clock, Redactor::default())?;
    let mut taken = Duration::ZERO;
    let mut raw = 0;
    let mut tell = |number: u64, turn: u64| {
        let object = object(number, turn);
        raw += object.to_string().len() as u64;
        let id = id(number);
        let begun = now();
        recording.object(id, object);
        begun.elapsed()
    };
    for number in 0..OBJECTS {
        taken += tell(number, 0);
    }
    let mut drawn = 1_u64;
    for second in 1..=SECONDS {
        for _ in 0..CHANGES {
            drawn = drawn
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            taken += tell((drawn >> 33) % OBJECTS, second);
        }
        tokio::time::advance(Duration::from_secs(1)).await;
        if second % 2 == 0 {
            let begun = now();
            recording.flush();
            taken += begun.elapsed();
        }
    }
    recording.finish()?;
    Ok((taken, raw))
}

fn id(number: u64) -> Id {
    Id {
        cluster: ["workload", "management"][usize::from(number.is_multiple_of(3))].to_owned(),
        resource: format!("kinds{}.example.org", number % KINDS),
        namespace: "kube-system".to_owned(),
        name: format!("object-{number}"),
    }
}

/// An object about as large as a Pod, with a status that changes.
fn object(number: u64, turn: u64) -> Value {
    let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let conditions: Vec<Value> = ["Initialized", "Ready", "ContainersReady", "PodScheduled"]
        .iter()
        .map(|kind| {
            json!({"type": kind, "status": if (turn + number).is_multiple_of(2) { "True" } else { "False" },
                "lastTransitionTime": format!("2026-01-01T00:{:02}:{:02}Z", turn / 60, turn % 60),
                "reason": "ContainersNotReady", "message": format!("containers with unready status: [c{number}]")})
        })
        .collect();
    json!({
        "apiVersion": "example.org/v1", "kind": format!("Kind{}", number % KINDS),
        "metadata": {"name": format!("object-{number}"), "namespace": "kube-system",
            "uid": format!("{mixed:016x}-{:016x}", mixed.rotate_left(17)),
            "resourceVersion": (turn * 1000 + number).to_string(),
            "labels": {"app.kubernetes.io/name": format!("app-{}", number % 40), "pod-template-hash": format!("{:08x}", mixed as u32)},
            "annotations": {"note": "kept ".repeat(20)},
            "managedFields": [{"manager": "kubelet", "fieldsV1": {"f:status": {"f:conditions": {}}}}]},
        "spec": {"containers": [{"name": format!("c{number}"), "image": format!("registry.example.org/app-{}:v1.{}", number % 40, number % 7),
            "args": ["--v=2", format!("--id={mixed}")], "env": [{"name": "A", "value": "b"}],
            "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}},
            "volumeMounts": [{"name": "kube-api-access", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount", "readOnly": true}]}],
            "tolerations": [{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}],
            "nodeName": format!("node-{}", number % 5)},
        "status": {"phase": "Running", "conditions": conditions, "podIP": format!("10.244.{}.{}", number % 5, number % 250),
            "containerStatuses": [{"name": format!("c{number}"), "ready": turn.is_multiple_of(2), "restartCount": turn / 50,
                "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}},
                "imageID": format!("sha256:{mixed:016x}{mixed:016x}{mixed:016x}{mixed:016x}")}]},
    })
}

#[expect(
    clippy::disallowed_methods,
    reason = "a bench measures the machine's time"
)]
fn now() -> Instant {
    Instant::now()
}
