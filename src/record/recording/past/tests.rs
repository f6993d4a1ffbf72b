//! A recording, written and read back.

use std::time::Duration;

use proptest::prelude::*;
use serde_json::json;

use super::super::super::{Clock, Redactor};
use super::super::{Recording, Told};
use super::*;

fn id(name: &str) -> Id {
    Id {
        cluster: "workload".to_owned(),
        resource: "pods".to_owned(),
        namespace: "default".to_owned(),
        name: name.to_owned(),
    }
}

fn pod(name: &str, phase: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default", "uid": name},
        "status": {"phase": phase, "text": phase.repeat(50)}})
}

fn named(state: &State) -> BTreeMap<String, String> {
    let cluster = state.clusters.get("workload");
    let objects = cluster.into_iter().flat_map(ClusterPast::objects);
    objects
        .map(|found| {
            let (id, object) = found.unwrap();
            let phase = object["status"]["phase"].as_str().unwrap();
            (id.name.clone(), phase.to_owned())
        })
        .collect()
}

struct Written {
    _folder: tempfile::TempDir,
    path: PathBuf,
    recording: Recording,
}

fn recording() -> Written {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(super::super::RECORDING);
    let clock = Clock::starting_at(Timestamp::UNIX_EPOCH);
    let recording = Recording::create(&path, clock, Redactor::default()).unwrap();
    Written {
        _folder: folder,
        path,
        recording,
    }
}

async fn pass(milliseconds: u64) {
    tokio::time::advance(Duration::from_millis(milliseconds)).await;
}

#[tokio::test(start_paused = true)]
async fn a_moment_is_as_it_was() {
    let Written {
        path,
        recording,
        _folder,
    } = recording();
    recording.object(id("a"), pod("a", "Pending"));
    pass(1000).await;
    recording.object(id("a"), pod("a", "Running"));
    recording.object(id("b"), pod("b", "Pending"));
    recording.flush();
    pass(1000).await;
    recording.gone(&id("b"));
    recording.object(id("a"), pod("a", "Running"));
    recording.finish().unwrap();
    recording.object(id("late"), pod("late", "Running"));

    let past = Past::open(&path).unwrap();
    let at = |at_ms| -> String {
        let pods = named(&past.at(at_ms).unwrap()).into_iter();
        let pods = pods.map(|(name, phase)| format!("{name} {phase}"));
        pods.collect::<Vec<_>>().join(", ")
    };
    assert_eq!(at(999), "a Pending");
    assert_eq!(at(1000), "a Running, b Pending");
    assert_eq!(at(2000), "a Running");
    assert_eq!(
        (past.end_ms(), past.epoch()),
        (2000, Some(Timestamp::UNIX_EPOCH))
    );
    // What did not change is not told again.
    let told: Vec<Entry> = past.after(1000).map(Result::unwrap).collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        matches!(&told[0].told, Told::Gone { id, object } if id.name == "b" && object["metadata"]["uid"] == "b")
    );
}

#[tokio::test(start_paused = true)]
async fn a_recording_is_gone_on_with_by_another_process() {
    let Written {
        path,
        recording,
        _folder,
    } = recording();
    recording.object(id("a"), pod("a", "Running"));
    recording.object(id("b"), pod("b", "Running"));
    recording.flush();
    let whole = std::fs::metadata(&path).unwrap().len();
    pass(1000).await;
    recording.object(id("c"), pod("c", "Running"));
    recording.flush();
    drop(recording);
    // The process was killed while it wrote.
    let file = File::options().write(true).open(&path).unwrap();
    file.set_len(whole + 20).unwrap();
    let clock = Clock::starting_at(Timestamp::from_second(2).unwrap());
    pass(2000).await;
    let recording = Recording::resume(&path, clock, Redactor::default()).unwrap();
    pass(1000).await;
    recording.listed(
        "workload",
        "pods",
        vec![("default".to_owned(), "a".to_owned(), pod("a", "Running"))],
    );
    recording.finish().unwrap();
    let past = Past::open(&path).unwrap();
    let names = |at_ms| Vec::from_iter(named(&past.at(at_ms).unwrap()).into_keys());
    assert_eq!(names(0), ["a", "b"]);
    // What nobody saw any more is not there.
    assert_eq!(names(past.end_ms()), ["a"]);
    // Where there was none, one is begun.
    std::fs::remove_file(&path).unwrap();
    Recording::resume(&path, clock, Redactor::default()).unwrap();
    assert!(path.exists());
}

#[tokio::test(start_paused = true)]
async fn a_list_tells_what_is_gone() {
    let Written {
        path,
        recording,
        _folder,
    } = recording();
    recording.object(id("a"), pod("a", "Running"));
    recording.object(id("b"), pod("b", "Running"));
    let mut other = id("a");
    other.resource = "services".to_owned();
    recording.object(other, pod("a", "not a pod"));
    let listed = vec![("default".to_owned(), "b".to_owned(), pod("b", "Failed"))];
    recording.listed("workload", "pods", listed);
    recording.finish().unwrap();
    let state = Past::open(&path).unwrap().at(0).unwrap();
    assert_eq!(state.clusters["workload"].len(), 2);
    assert_eq!(named(&state)["b"], "Failed");
}

#[tokio::test(start_paused = true)]
async fn logs_are_told_up_to_a_moment_and_no_line_twice() {
    let Written {
        path,
        recording,
        _folder,
    } = recording();
    let of = LogOf {
        namespace: "default".to_owned(),
        pod: "a".to_owned(),
        container: "c".to_owned(),
        previous: false,
    };
    let line = |second: u32| {
        (
            format!("1970-01-01T00:00:0{second}Z"),
            format!("line {second}"),
        )
    };
    recording.log("workload", &of, vec![line(1), line(2)]);
    pass(5000).await;
    recording.log(
        "workload",
        &of,
        vec![
            line(2),
            line(3),
            (
                "1970-01-01T00:00:04Z".to_owned(),
                "token=abcdefgh".to_owned(),
            ),
        ],
    );
    recording.finish().unwrap();
    let past = Past::open(&path).unwrap();
    assert_eq!(
        past.logs("workload", 2500).unwrap()[&of],
        [line(1), line(2)]
    );
    let all = &past.logs("workload", 5000).unwrap()[&of];
    assert_eq!((all.len(), all[3].1.as_str()), (4, "token=(redacted)"));
    assert!(past.logs("management", 5000).unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_recording_is_for_the_user_alone_and_something_else_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let Written {
        path,
        _folder,
        recording,
    } = recording();
    assert_eq!(
        std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    recording.finish().unwrap();
    assert_eq!(Past::open(&path).unwrap().at(7).unwrap().clusters.len(), 0);
    std::fs::write(&path, "kind: Config\nclusters: []\n").unwrap();
    let error = format!("{:#}", Past::open(&path).unwrap_err());
    assert!(error.ends_with("not a recording of stackgate"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    /// Whatever happened, wherever the file ends: a moment is as everything that was told up to it says.
    #[test]
    fn any_history_is_read_back_also_without_its_end(
        steps in prop::collection::vec((0_usize..40, 0_u8..4, 0_u64..400), 1..400), cut in 0_usize..100_000,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let Written { path, recording, _folder } = recording();
            let mut truth = vec![(0, BTreeMap::new())];
            let mut now = 0;
            for (number, (name, what, wait)) in steps.into_iter().enumerate() {
                pass(wait).await;
                now += wait;
                let name = format!("pod-{name}");
                let mut there = truth.last().unwrap().1.clone();
                if what == 0 {
                    recording.gone(&id(&name));
                    there.remove(&name);
                } else {
                    // Long, so that there are key frames.
                    let phase = format!("{what}-{number}-{}", "x".repeat(800));
                    recording.object(id(&name), pod(&name, &phase));
                    there.insert(name, phase);
                }
                if what == 3 {
                    recording.flush();
                }
                truth.push((now, there));
            }
            recording.finish().unwrap();
            let expected = |at: u64| {
                let last = truth.iter().rfind(|(time, _)| *time <= at);
                last.map(|(_, there)| there.clone()).unwrap_or_default()
            };
            let past = Past::open(&path).unwrap();
            for at in (0..=now).step_by(usize::try_from(now / 20 + 1).unwrap()).chain([now]) {
                assert_eq!(named(&past.at(at).unwrap()), expected(at), "at {at}");
            }
            let bytes = std::fs::read(&path).unwrap();
            std::fs::write(&path, &bytes[..cut.min(bytes.len())]).unwrap();
            let torn = Past::open(&path).unwrap();
            // Of the last millisecond that it knows, it may know a part.
            if let Some(known) = torn.changes().last().and_then(|entry| entry.unwrap().at_ms.checked_sub(1)) {
                assert_eq!(named(&torn.at(known).unwrap()), expected(known), "torn, at {known}");
            }
        });
    }
}
