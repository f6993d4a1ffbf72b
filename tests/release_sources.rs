//! Releases from a registry, with whatever a registry can do wrong, and from sources of both layouts.

mod common;
#[path = "common/variant.rs"]
#[expect(
    dead_code,
    reason = "each test binary uses its own part of the fixtures"
)]
mod variant;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{TestContext, copy};
use oci_client::secrets::RegistryAuth;
use serde_json::json;
use sha2::{Digest, Sha256};
use stackgate::scenario;
use stackgate::source::{self, Registry, ReleaseFiles, SourceError};
use stackgate::stack::archive;
use stackgate::stack::{Hashes, Release, ReleaseTag, Stack};
use variant::{N, N1, stacks_dir};

const PATH: &str = "kaas/cluster-stacks";

/// What a registry answers.
#[derive(Clone, Default)]
struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    /// Whether the connection ends after half of the body.
    cut: bool,
}

impl Answer {
    fn ok(body: Vec<u8>) -> Self {
        Self {
            status: 200,
            body,
            ..Self::default()
        }
    }

    fn error(status: u16, code: &str) -> Self {
        let body = json!({"errors": [{"code": code, "message": "told by the registry"}]});
        Self {
            status,
            body: body.to_string().into_bytes(),
            ..Self::default()
        }
    }
}

/// A registry on this machine for as long as the process lives: a path, and how often it was asked for, to
/// an answer.
fn serve(answer: impl Fn(&str, usize, Option<&str>) -> Answer + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let asked = Arc::new(AtomicUsize::new(0));
    let answer = Arc::new(answer);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (answer, asked) = (Arc::clone(&answer), Arc::clone(&asked));
            std::thread::spawn(move || converse(stream, &*answer, &asked));
        }
    });
    format!("{host}/{PATH}")
}

fn converse(
    stream: TcpStream,
    answer: &(impl Fn(&str, usize, Option<&str>) -> Answer + ?Sized),
    manifests: &AtomicUsize,
) {
    let mut reader = BufReader::new(stream);
    loop {
        let mut first = String::new();
        if reader.read_line(&mut first).unwrap_or(0) == 0 {
            return;
        }
        let mut authorization = None;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 || line == "\r\n" {
                break;
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("authorization")
            {
                authorization = Some(value.trim().to_owned());
            }
        }
        let mut words = first.split(' ');
        let (method, path) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
        let turn = if path.contains("/manifests/") {
            manifests.fetch_add(1, Ordering::SeqCst)
        } else {
            0
        };
        let told = answer(path, turn, authorization.as_deref());
        let mut head = format!(
            "HTTP/1.1 {} told\r\ncontent-length: {}\r\n",
            told.status,
            told.body.len()
        );
        for (name, value) in &told.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        let stream = reader.get_mut();
        let body = if method == "HEAD" {
            &[][..]
        } else {
            &told.body
        };
        let sent = if told.cut {
            &body[..body.len() / 2]
        } else {
            body
        };
        if stream
            .write_all(head.as_bytes())
            .and_then(|()| stream.write_all(sent))
            .is_err()
            || told.cut
        {
            return;
        }
    }
}

fn digest(bytes: &[u8]) -> String {
    let hash = Sha256::digest(bytes);
    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

/// A release as csctl publishes it.
#[derive(Clone)]
struct Published {
    manifest: Vec<u8>,
    blobs: BTreeMap<String, Vec<u8>>,
}

fn media_type(name: &str) -> &'static str {
    match name {
        "metadata.yaml" => "application/vnd.scs.metadata.layer.v1+yaml",
        "clusteraddon.yaml" => "application/vnd.scs.cluster-addon.config.layer.v1+yaml",
        name if name.contains("cluster-class") => "application/vnd.scs.cluster-class.v1.tar+gzip",
        _ => "application/vnd.scs.cluster-addon.layer.v1.tar+gzip",
    }
}

impl Published {
    fn of(files: &[(String, Vec<u8>)]) -> Self {
        let mut blobs = BTreeMap::from([(digest(b"{}"), b"{}".to_vec())]);
        let layers: Vec<_> = files
            .iter()
            .map(|(name, content)| {
                blobs.insert(digest(content), content.clone());
                json!({
                    "mediaType": media_type(name),
                    "digest": digest(content),
                    "size": content.len(),
                    "annotations": {"org.opencontainers.image.title": name},
                })
            })
            .collect();
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "artifactType": "application/vnd.scs.cluster-stacks.v1",
            "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": digest(b"{}"), "size": 2},
            "layers": layers,
        });
        Self {
            manifest: manifest.to_string().into_bytes(),
            blobs,
        }
    }

    fn answer(&self, path: &str) -> Answer {
        if path == "/v2/" {
            return Answer::ok(Vec::new());
        }
        if path.contains("/manifests/") {
            let mut told = Answer::ok(self.manifest.clone());
            let kind = "application/vnd.oci.image.manifest.v1+json".to_owned();
            told.headers = vec![
                ("content-type", kind),
                ("docker-content-digest", digest(&self.manifest)),
            ];
            return told;
        }
        let blob = path
            .rsplit('/')
            .next()
            .and_then(|digest| self.blobs.get(digest));
        blob.map_or_else(
            || Answer::error(404, "BLOB_UNKNOWN"),
            |blob| Answer::ok(blob.clone()),
        )
    }
}

/// The files of a release that ships.
fn shipped(tag: &str) -> Vec<(String, Vec<u8>)> {
    let folder = stacks_dir()
        .join("docker-demo/releases/cluster-stacks")
        .join(tag);
    let mut files: Vec<(String, Vec<u8>)> = std::fs::read_dir(folder)
        .unwrap()
        .map(Result::unwrap)
        .map(|entry| {
            (
                entry.file_name().into_string().unwrap(),
                std::fs::read(entry.path()).unwrap(),
            )
        })
        .collect();
    files.sort();
    files
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

fn pull(repository: &str, pinned: Option<&str>) -> Result<source::Pulled, SourceError> {
    let tag: ReleaseTag = N.parse().unwrap();
    runtime().block_on(source::pull(&Registry::new(repository), &tag, pinned))
}

/// The error of a pull that must fail, with its words.
#[track_caller]
fn refused(repository: &str, words: &[&str]) -> SourceError {
    let error = pull(repository, None)
        .map(|pulled| pulled.digest)
        .unwrap_err();
    let told = error.to_string();
    for word in words {
        assert!(told.contains(word), "expected {word:?} in: {told}");
    }
    assert!(!error.hint().is_empty());
    assert_eq!(told.lines().count(), 1, "{told}");
    error
}

#[test]
fn a_release_is_pulled_as_it_was_published() {
    let published = Published::of(&shipped(N));
    let expected = digest(&published.manifest);
    let repository = serve(move |path, _, _| published.answer(path));
    let pulled = pull(&repository, Some(&expected)).unwrap();
    assert_eq!(pulled.digest, expected);
    assert_eq!(
        pulled.files,
        shipped(N).into_iter().collect::<ReleaseFiles>()
    );
    let folder = tempfile::tempdir().unwrap();
    let tag = N.parse().unwrap();
    source::write(folder.path(), &tag, &pulled.files).unwrap();
    Release::open(folder.path(), &tag).unwrap();
    // What is there is never overwritten.
    let again = source::write(folder.path(), &tag, &pulled.files).unwrap_err();
    assert!(matches!(again, SourceError::Exists(_)), "{again}");
}

#[test]
fn whatever_a_registry_refuses_is_one_message() {
    let told = |status: u16, code: &'static str| {
        serve(move |path, _, _| match path {
            "/v2/" => Answer::ok(Vec::new()),
            _ => Answer::error(status, code),
        })
    };
    let error = refused(
        &told(401, "UNAUTHORIZED"),
        &["does not let us read", "(401)", N],
    );
    assert!(
        error.hint().contains("docker login 127.0.0.1:"),
        "{}",
        error.hint()
    );
    assert!(!error.is_infrastructure());
    let error = refused(&told(404, "MANIFEST_UNKNOWN"), &["does not have", "(404)"]);
    assert!(!error.is_infrastructure());
    let error = refused(&told(429, "TOOMANYREQUESTS"), &["too many requests (429)"]);
    assert!(error.is_infrastructure());
    assert!(refused(&told(500, "UNKNOWN"), &["refused"]).is_infrastructure());
}

#[test]
fn a_connection_that_is_cut_leaves_nothing() {
    let published = Published::of(&shipped(N));
    let repository = serve(move |path, _, _| {
        let mut told = published.answer(path);
        told.cut = path.contains("/blobs/");
        told
    });
    let error = refused(
        &repository,
        &["the connection to 127.0.0.1:", "failed while"],
    );
    assert!(error.is_infrastructure());
    // Nobody listens there.
    let error = refused("127.0.0.1:1/a", &["the connection to 127.0.0.1:1 failed"]);
    assert!(error.is_infrastructure());
}

#[test]
fn content_that_is_not_what_its_digest_says_is_refused() {
    let published = Published::of(&shipped(N));
    let repository = serve(move |path, _, _| {
        let mut told = published.answer(path);
        if path.contains("/blobs/") {
            let last = told.body.len() - 1;
            told.body[last] ^= 1;
        }
        told
    });
    refused(&repository, &["is not what its digest says"]);
    // Nor more than the manifest says, however much there is.
    let published = Published::of(&shipped(N));
    let repository = serve(move |path, _, _| {
        let mut told = published.answer(path);
        if path.contains("/blobs/") {
            told.body.extend(vec![0; 1 << 20]);
        }
        told
    });
    refused(
        &repository,
        &["more than the", "bytes that the manifest says"],
    );
}

#[test]
fn a_tag_that_moves_is_refused() {
    let (one, other) = (Published::of(&shipped(N)), Published::of(&shipped(N1)));
    let (before, now) = (digest(&one.manifest), digest(&other.manifest));
    let repository = serve(move |path, turn, _| {
        let moved = path.contains("/manifests/") && turn > 0;
        if moved {
            other.answer(path)
        } else {
            one.answer(path)
        }
    });
    refused(&repository, &["moved: it was", &before, &now]);
    let published = Published::of(&shipped(N));
    let repository = serve(move |path, _, _| published.answer(path));
    let error = pull(&repository, Some(&now))
        .map(|pulled| pulled.digest)
        .unwrap_err();
    assert!(
        error.to_string().contains("the stack's file pins"),
        "{error}"
    );
}

#[test]
fn what_is_no_release_is_refused() {
    let of = |files: &[(&str, &str)]| {
        let files: Vec<(String, Vec<u8>)> = files
            .iter()
            .map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec()))
            .collect();
        let published = Published::of(&files);
        serve(move |path, _, _| published.answer(path))
    };
    refused(&of(&[("../metadata.yaml", "a")]), &["is no name of a file"]);
    refused(&of(&[("/etc/x", "a")]), &["is no name of a file"]);
    refused(
        &of(&[("a.yaml", "a"), ("a.yaml", "b")]),
        &["has the file a.yaml twice"],
    );
    refused(&of(&[("a.yaml", "a")]), &["has no metadata.yaml"]);
    // A container image is none either, whatever it is for.
    let index = json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": []});
    let index = serve(move |path, _, _| match path {
        "/v2/" => Answer::ok(Vec::new()),
        _ => {
            let mut told = Answer::ok(index.to_string().into_bytes());
            let kind = "application/vnd.oci.image.index.v1+json".to_owned();
            told.headers = vec![("content-type", kind)];
            told
        }
    });
    assert!(!refused(&index, &[N, "an index of images"]).is_infrastructure());
    let no_json = serve(|path, _, _| match path {
        "/v2/" => Answer::ok(Vec::new()),
        _ => Answer::ok(b"<html>".to_vec()),
    });
    refused(&no_json, &[N]);
}

#[test]
fn a_manifest_that_says_something_else_than_its_files_is_refused_issue_7() {
    let said = |annotations: serde_json::Value| {
        let mut files = shipped(N);
        let hashes = br#"{"clusterStack": "abc1234def"}"#.to_vec();
        files.retain(|(name, _)| name != "hashes.json");
        files.push(("hashes.json".to_owned(), hashes));
        let mut published = Published::of(&files);
        let mut manifest: serde_json::Value = serde_json::from_slice(&published.manifest).unwrap();
        manifest["annotations"] = annotations;
        published.manifest = manifest.to_string().into_bytes();
        serve(move |path, _, _| published.answer(path))
    };
    let same = said(json!({"kubernetesVersion": "v1.34.3", "hash": "abc1234", "other": "x"}));
    pull(&same, None).unwrap();
    refused(
        &said(json!({"kubernetesVersion": "v1.34.4"})),
        &["its manifest says kubernetesVersion v1.34.4, and its metadata.yaml v1.34.3"],
    );
    refused(
        &said(json!({"hash": "abc1235"})),
        &["its manifest says hash abc1235, and its hashes.json abc1234def"],
    );
}

#[test]
fn what_is_refused_in_the_middle_of_a_pull_is_one_message_issue_7() {
    let stopped = |status: u16, code: &'static str| {
        let published = Published::of(&shipped(N));
        serve(move |path, _, _| match path.contains("/blobs/") {
            true => Answer::error(status, code),
            false => published.answer(path),
        })
    };
    // Which file is missed is told: the first.
    let (first, _) = &shipped(N)[0];
    refused(
        &stopped(404, "BLOB_UNKNOWN"),
        &[&format!("does not have {first} of "), "(404)"],
    );
    refused(
        &stopped(429, "TOOMANYREQUESTS"),
        &["too many requests (429)"],
    );
    refused(
        &stopped(401, "UNAUTHORIZED"),
        &["does not let us read", "(401)"],
    );
    // Whoever gives out tokens cannot be reached, so there is none.
    let repository = serve(move |path, _, _| {
        let mut told = Answer::error(401, "UNAUTHORIZED");
        if !path.starts_with("/token") {
            let realm = "Bearer realm=\"http://127.0.0.1:1/token\",service=\"registry\"";
            told.headers = vec![("www-authenticate", realm.to_owned())];
        }
        told
    });
    refused(&repository, &["does not let us read", "(401)"]);
}

#[test]
fn a_pull_by_hand_and_its_exit_codes() {
    let published = Published::of(&shipped(N));
    let repository = serve(move |path, _, authorization| {
        // As `docker login` stores it: user:secret.
        if authorization != Some("Basic dXNlcjpzZWNyZXQ=") {
            let mut told = Answer::error(401, "UNAUTHORIZED");
            told.headers = vec![("www-authenticate", "Basic realm=\"registry\"".to_owned())];
            return told;
        }
        published.answer(path)
    });
    let context = TestContext::new();
    let run = |arguments: &[&str]| {
        let mut command = context.command();
        command
            .args(arguments)
            .env("DOCKER_CONFIG", context.path())
            .output()
            .unwrap()
    };
    let reference = format!("{repository}:{N}");
    let output = run(&["release", "pull", &reference]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("hint: `docker login"),
        "{output:?}"
    );

    let host = repository.split('/').next().unwrap();
    let config = json!({"auths": {host: {"auth": "dXNlcjpzZWNyZXQ="}}});
    context.write("config.json", &config.to_string());
    let output = run(&["release", "pull", &reference]);
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(
        stdout.contains("ClusterClass docker-demo-1-34-v1"),
        "{stdout}"
    );
    assert!(stdout.contains("@sha256:"), "{stdout}");
    let shown = format!("{output:?}");
    assert!(
        !shown.contains("secret") && !shown.contains("dXNlcjpz"),
        "{shown}"
    );
    let folder = format!("releases/cluster-stacks/{N}");
    assert_eq!(run(&["release", "verify", &folder]).status.code(), Some(0));
    assert_eq!(run(&["release", "pull", &reference]).status.code(), Some(2));
}

/// A stack whose releases are in a registry, which counts how often it is asked for a tag. With what its manifest of
/// N+1 has for a digest.
fn stack_in_a_registry(context: &TestContext) -> (Arc<AtomicUsize>, String) {
    let all: BTreeMap<String, Published> = [N, N1]
        .into_iter()
        .map(|tag| (tag.to_owned(), Published::of(&shipped(tag))))
        .collect();
    let expected = digest(&all[N1].manifest);
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let repository = serve(move |path, _, _| {
        let named = all.iter().find(|(tag, _)| path.ends_with(tag.as_str()));
        match named {
            Some((_, published)) => {
                counted.fetch_add(1, Ordering::Relaxed);
                published.answer(path)
            }
            None => all
                .values()
                .map(|published| published.answer(path))
                .find(|told| told.status == 200)
                .unwrap_or_else(|| Answer::error(404, "BLOB_UNKNOWN")),
        }
    });
    let stack = std::fs::read_to_string(stacks_dir().join("docker-demo/stack.yaml")).unwrap();
    let source = format!("source: {{oci: {{repository: '{repository}'}}}}");
    context.write(
        "stacks/docker-demo/stack.yaml",
        &stack.replace("directory: releases", &source),
    );
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("kind-configs/management.yaml");
    context.write(
        "kind-configs/management.yaml",
        &std::fs::read_to_string(config).unwrap(),
    );
    (asked, expected)
}

const REHEARSED: [&str; 8] = [
    "run",
    "docker-demo",
    "--stacks",
    "stacks",
    "--engine",
    "embedded",
    "--seed",
    "1",
];

#[test]
fn a_run_takes_its_releases_from_a_registry_and_says_which() {
    let context = TestContext::new();
    let (_, expected) = stack_in_a_registry(&context);
    let output = context.command().args(REHEARSED).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let stream =
        std::fs::read_to_string(context.path().join("reports/latest/events.jsonl")).unwrap();
    assert!(stream.contains(&format!("{N1}@{expected}")));
}

#[test]
fn a_command_gets_its_releases_once_for_all_scenarios_issue_7() {
    let context = TestContext::new();
    let (asked, _) = stack_in_a_registry(&context);
    let mut before = 0;
    let mut since = |output: std::process::Output| {
        let now = asked.load(Ordering::Relaxed);
        let since = now - std::mem::replace(&mut before, now);
        (since, String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let lint = ["lint", "docker-demo", "--stacks", "stacks"];
    let (once, _) = since(context.command().args(lint).output().unwrap());
    assert!(once >= 2, "both tags are asked for");
    let list = ["scenarios", "list", "docker-demo", "--stacks", "stacks"];
    let (listed, told) = since(context.command().args(list).output().unwrap());
    assert_eq!(listed, once, "{told}");

    // All but two cannot be made of this stack, so that the test is short.
    let stack = context.path().join("stacks/docker-demo");
    for name in scenario::names(&stack) {
        if !["same-again", "class-only"].contains(&name.as_str()) {
            let other = format!(
                "apiVersion: stackgate/v1alpha1\nkind: Scenario\nmetadata: {{name: {name}}}\nspec:\n  description: None\n  newMinor: true\n  from: {{base: from}}\n  to: {{base: from, classCommand: 'true'}}\n"
            );
            context.write(&format!("stacks/docker-demo/scenarios/{name}.yaml"), &other);
        }
    }
    let mut all = context.command();
    all.args(REHEARSED).args(["--scenario", "all"]);
    let (ran, told) = since(all.output().unwrap());
    assert!(told.contains("all scenarios: gate open (2 of "), "{told}");
    assert_eq!(ran, once, "{told}");
}

#[test]
fn a_release_that_csctl_did_not_make_is_refused_with_why_cs_264() {
    const N2: &str = "docker-demo-1-34-v2";
    let published = Published::of(&shipped(N));
    let repository = serve(move |path, _, _| {
        if path.ends_with(N2) {
            Answer::error(404, "MANIFEST_UNKNOWN")
        } else {
            published.answer(path)
        }
    });
    let context = TestContext::new();
    let stack = std::fs::read_to_string(stacks_dir().join("docker-demo/stack.yaml")).unwrap();
    let source = format!("source: {{oci: {{repository: '{repository}'}}}}");
    let stack = stack.replace("directory: releases", &source);
    context.write("stacks/docker-demo/stack.yaml", &stack.replace(N1, N2));
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("kind-configs/management.yaml");
    context.write(
        "kind-configs/management.yaml",
        &std::fs::read_to_string(config).unwrap(),
    );
    let output = context.command().args(REHEARSED).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{told}");
    for words in [
        "does not have",
        "(404), and has docker-demo-1-34-v1",
        "cluster-stacks#264",
        "stackgate release build SOURCES --tag docker-demo-1-34-v2",
    ] {
        assert!(told.contains(words), "{words}: {told}");
    }
    assert!(!context.path().join("reports").exists());
}

/// Sources of the demo stack in the layouts that others have.
fn sources(folder: &Path, minor: bool) {
    let own = stacks_dir().join("docker-demo/sources").join(N1);
    let into = if minor {
        folder.join("1-35")
    } else {
        folder.to_owned()
    };
    copy(&own, &into);
    std::fs::remove_file(into.join("metadata.yaml")).unwrap();
    let chart = into.join("cluster-class/Chart.yaml");
    let text = std::fs::read_to_string(&chart).unwrap();
    std::fs::write(
        chart,
        text.replace("version: v1", "version: << .ClusterClassVersion >>"),
    )
    .unwrap();
    let csctl = "apiVersion: csctl.clusterstack.x-k8s.io/v1alpha1\nconfig:\n  kubernetesVersion: v1.35.0\n  clusterStackName: demo\n  provider:\n    type: docker\n    apiVersion: docker.csctl.clusterstack.x-k8s.io/v1alpha1\n";
    std::fs::write(into.join("csctl.yaml"), csctl).unwrap();
    if minor {
        let stack =
            "provider: docker\nclusterStackName: demo\nkubernetesVersion: 1.35.0\naddons: {}\n";
        std::fs::write(into.join("stack.yaml"), stack).unwrap();
    }
}

#[test]
fn sources_of_both_layouts_make_a_release() {
    let tag: ReleaseTag = "docker-demo-1-35-v0-sha-abc1234".parse().unwrap();
    let mut made = Vec::new();
    let mut hashes = Vec::new();
    for minor in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        sources(folder.path(), minor);
        let mut files = source::build(folder.path(), &tag).unwrap();
        assert!(
            files == source::build(folder.path(), &tag).unwrap(),
            "the same sources, the same bytes"
        );
        let into = tempfile::tempdir().unwrap();
        source::write(into.path(), &tag, &files).unwrap();
        let release = Release::open(into.path(), &tag).unwrap();
        release.render_class("default").unwrap();
        assert_eq!(release.class_name, "docker-demo-1-35-v0-sha.abc1234");
        // The tag is named by a hash that they do not have.
        let wrong = release.hashes().unwrap_err().to_string();
        assert!(wrong.contains("is named by another hash"), "{wrong}");
        let told = files.remove("hashes.json").unwrap();
        let told: serde_json::Value = serde_json::from_slice(&told).unwrap();
        hashes.push(told);
        made.push(files);
    }
    assert!(made[0] == made[1]);
    // What csctl reads is another file in each layout, the addons are the same.
    let of = |field| (&hashes[0][field], &hashes[1][field]);
    assert_eq!(of("clusterAddonDir").0, of("clusterAddonDir").1);
    assert_ne!(of("clusterStack").0, of("clusterStack").1);
    // Stackgate's own sources are packed as they are.
    let own = stacks_dir().join("docker-demo/sources").join(N1);
    let files = source::build(&own, &N1.parse().unwrap()).unwrap();
    assert_eq!(files, shipped(N1).into_iter().collect::<ReleaseFiles>());
}

#[test]
fn hashes_and_node_images_are_made_and_told_apart_issue_7() {
    let context = TestContext::new();
    let folder = context.path().join("sources");
    sources(&folder, false);
    // As csctl's sources have had it: the version of an addon is put in.
    let chart = folder.join("cluster-addon/cni/Chart.yaml");
    let text = std::fs::read_to_string(&chart).unwrap();
    let marked = text.replace("version: v1", "version: << .ClusterAddonVersion >>");
    assert_ne!(text, marked);
    std::fs::write(&chart, marked).unwrap();
    let declared = "apiVersion: docker.infrastructure.clusterstack.x-k8s.io/v1alpha1\ndockerImages: [node-v1.35.0]\n";
    std::fs::create_dir(folder.join("node-images")).unwrap();
    std::fs::write(folder.join("node-images/config.yaml"), declared).unwrap();

    let build = |tag: &str| context.run(&format!("release build sources --tag {tag} --output out"));
    let told = build("docker-demo-1-35-v0-sha-abc1234");
    assert!(
        told.starts_with("exit code 2\n")
            && told.contains("hashes.json:")
            && told.contains("is named by another hash"),
        "{told}"
    );
    assert!(
        !context
            .path()
            .join("out/docker-demo-1-35-v0-sha-abc1234")
            .exists()
    );
    let hashes = Hashes::of_sources(&archive::read_dir(&folder).unwrap());
    let tag = format!("docker-demo-1-35-v0-sha-{}", &hashes.cluster_stack[..7]);
    let told = build(&tag);
    assert!(
        told.starts_with("exit code 0\n")
            && told.contains("(node-v1.35.0)")
            && told.contains(&format!("sources: {}", hashes.cluster_stack)),
        "{told}"
    );

    let release = context.path().join("out").join(&tag);
    let verify = || context.run(&format!("release verify out/{tag}"));
    let put = |name: &str, content: &[u8]| std::fs::write(release.join(name), content).unwrap();
    let read = |name: &str| std::fs::read(release.join(name)).unwrap();
    assert!(verify().starts_with("exit code 0\n"));
    let addons = format!(
        "docker-demo-1-35-cluster-addon-v0-sha.{}.tgz",
        &hashes.cluster_stack[..7]
    );
    let nodes = addons.replace("cluster-addon", "node-image");
    let mut changed = archive::read(&release.join(&addons)).unwrap();
    changed.insert("cni/values.yaml".into(), b"changed: true\n".to_vec());
    let changed = archive::pack_files("addons", &changed).unwrap();
    for (name, content, words) in [
        (addons.as_str(), changed, "holds other addons"),
        (&nodes, read(&addons), "holds other node images"),
        ("hashes.json", b"{}".to_vec(), "`` is no hash of csctl's"),
        ("hashes.json", b"{".to_vec(), "hashes.json:"),
        (
            "node-images.yaml",
            declared.replace("v1.35.0", "v1.34.3").into_bytes(),
            "no node image of Kubernetes v1.35.0",
        ),
    ] {
        let before = std::fs::read(release.join(name)).ok();
        put(name, &content);
        let told = verify();
        assert!(
            told.starts_with("exit code 2\n") && told.contains(words),
            "{words}: {told}"
        );
        match before {
            Some(before) => put(name, &before),
            None => std::fs::remove_file(release.join(name)).unwrap(),
        }
    }
    assert!(verify().starts_with("exit code 0\n"));
}

#[test]
fn marks_in_any_file_are_a_doubt_and_no_refusal_issue_7() {
    let context = TestContext::new();
    // As docker/ferrol of SovereignCloudStack/cluster-stacks: one chart, its values for the Cluster beside it, and node
    // images whose names tell no version.
    let ferrol = context.path().join("ferrol");
    sources(&ferrol, false);
    let addons = ferrol.join("cluster-addon");
    copy(&addons.join("storage"), &context.path().join("storage"));
    std::fs::remove_dir_all(&addons).unwrap();
    std::fs::rename(context.path().join("storage"), &addons).unwrap();
    std::fs::remove_file(ferrol.join("clusteraddon.yaml")).unwrap();
    let chart = std::fs::read_to_string(addons.join("Chart.yaml")).unwrap();
    let chart = chart.replace("version: v1", "version: << .ClusterAddonVersion >>");
    let chart = chart.replace("name: storage", "name: docker-demo-1-35-cluster-addon");
    context.write("ferrol/cluster-addon/Chart.yaml", &chart);
    let values = "values: |\n  labels:\n    domain: '{{ .Cluster.spec.controlPlaneEndpoint.host }}'\n    clusterAddonVersion: << .ClusterAddonVersion >>\n";
    context.write("ferrol/cluster-addon-values.yaml", values);
    context.write("ferrol/node-images.yaml", "apiVersion: docker.infrastructure.clusterstack.x-k8s.io/v1alpha1\ndockerImages: [controlplaneamd64, workeramd64]\n");
    // With stages, and a mark in the values of a chart.
    let staged = context.path().join("staged");
    sources(&staged, false);
    context.write(
        "staged/cluster-addon/cni/values.yaml",
        "addons: << .ClusterAddonVersion >>\n",
    );

    let tag = "docker-demo-1-35-v2";
    let release = |sources: &str| context.path().join(format!("out-{sources}/{tag}"));
    for (sources, doubt) in [
        ("ferrol", "cluster-addon-values.yaml is another one"),
        ("staged", "holds other addons"),
    ] {
        let build = format!("release build {sources} --tag {tag} --output out-{sources}");
        let built = context.run(&build);
        assert!(built.starts_with("exit code 0\n"), "{built}");
        // They were computed a moment before.
        assert!(!built.contains("warning"), "{built}");
        let told = context.run(&format!("release verify out-{sources}/{tag}"));
        let (stdout, stderr) = told.split_once("--- stderr\n").unwrap();
        assert!(stdout.starts_with("exit code 0\n"), "{told}");
        assert!(
            stderr.starts_with("warning: ")
                && stderr.contains(doubt)
                && stderr.contains("csctl's marks"),
            "{told}"
        );
    }
    // No version stands there, so that no mark did.
    std::fs::write(
        release("ferrol").join("cluster-addon-values.yaml"),
        "values: ''\n",
    )
    .unwrap();
    let told = context.run(&format!("release verify out-ferrol/{tag}"));
    assert!(
        told.starts_with("exit code 2\n")
            && told.contains("cluster-addon-values.yaml is another one"),
        "{told}"
    );
}

#[test]
fn the_version_of_an_api_is_no_mark_issue_7() {
    let context = TestContext::new();
    let folder = context.path().join("sources");
    sources(&folder, false);
    // Charts are of API v2, and objects of API v1: a release may be called the same.
    for version in ["v1", "v2"] {
        let tag = format!("docker-demo-1-35-{version}");
        let built = context.run(&format!("release build sources --tag {tag} --output out"));
        assert!(built.starts_with("exit code 0\n"), "{built}");
        let verify = || context.run(&format!("release verify out/{tag}"));
        let told = verify();
        assert!(
            told.starts_with("exit code 0\n") && !told.contains("warning"),
            "{told}"
        );
        let addons = format!("out/{tag}/docker-demo-1-35-cluster-addon-{version}.tgz");
        let addons = context.path().join(addons);
        let mut changed = archive::read(&addons).unwrap();
        changed.insert("cni/values.yaml".into(), b"changed: true\n".to_vec());
        let changed = archive::pack_files("addons", &changed).unwrap();
        std::fs::write(&addons, changed).unwrap();
        let told = verify();
        assert!(
            told.starts_with("exit code 2\n") && told.contains("holds other addons"),
            "{told}"
        );
    }
}

#[test]
fn scenarios_are_listed_where_the_registry_is_away_and_that_is_an_error_issue_7() {
    let context = TestContext::new();
    stack_in_a_registry(&context);
    let file = context.path().join("stacks/docker-demo/stack.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    let at = text.find("127.0.0.1:").unwrap();
    let end = at + text[at..].find('/').unwrap();
    // Nobody listens there.
    std::fs::write(&file, format!("{}127.0.0.1:1{}", &text[..at], &text[end..])).unwrap();
    let told = context.run("scenarios list docker-demo --stacks stacks");
    assert!(
        told.starts_with("exit code 3\n--- stdout\nclass-only "),
        "{told}"
    );
    let (listed, why) = told.split_once("--- stderr\n").unwrap();
    let names = scenario::names(file.parent().unwrap());
    assert!(names.iter().all(|name| listed.contains(name)), "{told}");
    assert!(
        why.starts_with("error: failed to get a release: the connection to 127.0.0.1:1 failed"),
        "{told}"
    );
}

#[test]
fn sources_that_contradict_the_tag_are_named_with_their_line() {
    let folder = tempfile::tempdir().unwrap();
    sources(folder.path(), false);
    let error = source::build(folder.path(), &"docker-demo-1-34-v1".parse().unwrap()).unwrap_err();
    let told = error.to_string();
    assert!(
        told.contains("csctl.yaml:3:22: `1.35` contradicts the release `docker-demo-1-34-v1`"),
        "{told}"
    );
    let empty = tempfile::tempdir().unwrap();
    let error = source::build(empty.path(), &N.parse().unwrap()).unwrap_err();
    assert!(
        error.to_string().contains("is no folder of stack sources"),
        "{error}"
    );
}

#[test]
fn a_stack_whose_releases_are_built_from_checkouts_opens() {
    let folder = tempfile::tempdir().unwrap();
    let stack = folder.path().join("stacks/docker-demo");
    sources(&folder.path().join("new"), true);
    copy(
        &stacks_dir().join("docker-demo/sources").join(N),
        &folder.path().join("old"),
    );
    std::fs::create_dir_all(&stack).unwrap();
    let obtained = opened(&stack, "checkout: {from: ../../old, to: ../../new}");
    assert_eq!(obtained.facts.len(), 2);
}

/// Writes the demo's stack file into a folder of `stacks/`, with its releases from elsewhere, and opens them.
fn opened(stack: &Path, from: &str) -> source::Obtained {
    let text = std::fs::read_to_string(stacks_dir().join("docker-demo/stack.yaml")).unwrap();
    let text = text.replace("directory: releases", &format!("source: {{{from}}}"));
    std::fs::write(stack.join("stack.yaml"), text).unwrap();
    copy(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("kind-configs"),
        &stack.join("../../kind-configs"),
    );
    let mut stack = Stack::load(&stack.to_string_lossy(), stack.parent().unwrap()).unwrap();
    let obtained = runtime()
        .block_on(source::obtain(&mut stack))
        .unwrap()
        .unwrap();
    stack.open_releases().unwrap();
    obtained
}

/// An archive with a release's files below a folder.
fn packed(folder: &str, tag: &str) -> Vec<u8> {
    let files = shipped(tag).into_iter();
    let files = files.map(|(name, content)| (Path::new(folder).join(name), content));
    archive::pack_files(tag, &files.collect()).unwrap()
}

#[test]
fn a_stack_whose_releases_are_archives_opens_issue_7() {
    let folder = tempfile::tempdir().unwrap();
    let stack = folder.path().join("stacks/docker-demo");
    std::fs::create_dir_all(&stack).unwrap();
    std::fs::write(stack.join("n.tar.gz"), packed("", N)).unwrap();
    let whole = packed(&format!("cluster-stacks/{N1}"), N1);
    std::fs::write(stack.join("n1.tar.gz"), whole).unwrap();
    let obtained = opened(&stack, "archive: {from: n.tar.gz, to: n1.tar.gz}");
    assert!(
        obtained.facts[1].1.ends_with("n1.tar.gz"),
        "{:?}",
        obtained.facts
    );
}

#[test]
fn an_archive_by_hand_is_verified_or_refused_in_one_message_issue_7() {
    let context = TestContext::new();
    let file = context.path().join(format!("{N}.tar.gz"));
    let verify = |content: &[u8]| {
        std::fs::write(&file, content).unwrap();
        context.run(&format!("release verify {N}.tar.gz"))
    };
    let whole = packed(N, N);
    let told = verify(&whole);
    assert!(
        told.starts_with("exit code 0\n") && told.contains("Kubernetes v1.34.3"),
        "{told}"
    );
    for (content, words) in [
        (packed("other", N), "it holds other/"),
        (
            packed("deep/er", N),
            "expected the files of release `docker-demo-1-34-v1` alone",
        ),
        (whole[..whole.len() / 2].to_vec(), "is damaged or cut off"),
        (b"no archive".to_vec(), "is damaged or cut off"),
        (packed(N1, N), "it holds docker-demo-1-35-v1/"),
    ] {
        let told = verify(&content);
        assert!(
            told.starts_with("exit code 2\n")
                && told.contains("is no archive of a release")
                && told.contains(words)
                && told.contains("hint: pack the release's folder"),
            "{words}: {told}"
        );
    }
}

/// The registry of Debian's package docker-registry, in PATH, on a port of its own.
struct RealRegistry {
    process: std::process::Child,
    host: String,
    auth: RegistryAuth,
    _folder: tempfile::TempDir,
}

/// One who may pull and push, as `htpasswd -nbB user secret` writes it.
const USER: &str = "user:$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n";

impl RealRegistry {
    /// One that lets everybody in.
    fn start() -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), RegistryAuth::Anonymous, "")
    }

    /// One that lets in [`USER`] alone.
    fn guarded() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let users = folder.path().join("htpasswd");
        std::fs::write(&users, USER).unwrap();
        let guard = format!(
            "auth: {{htpasswd: {{realm: releases, path: '{}'}}}}\n",
            users.display()
        );
        let user = RegistryAuth::Basic("user".to_owned(), "secret".to_owned());
        Self::start_in(folder, user, &guard)
    }

    fn start_in(folder: tempfile::TempDir, auth: RegistryAuth, more: &str) -> Self {
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let host = format!("127.0.0.1:{port}");
        let config = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: '{}'}}}}\nhttp: {{addr: '{host}'}}\n{more}",
            folder.path().join("data").display()
        );
        let file = folder.path().join("config.yml");
        std::fs::write(&file, config).unwrap();
        let process = std::process::Command::new("docker-registry")
            .arg("serve")
            .arg(&file)
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .expect("docker-registry starts");
        while TcpStream::connect(&host).is_err() {
            std::thread::yield_now();
        }
        Self {
            process,
            host,
            auth,
            _folder: folder,
        }
    }

    /// Publishes a release as csctl does.
    fn publish(&self, tag: &str, files: &[(String, Vec<u8>)]) -> String {
        let published = Published::of(files);
        let client = oci_client::Client::new(oci_client::client::ClientConfig {
            protocol: oci_client::client::ClientProtocol::Http,
            ..Default::default()
        });
        let reference: oci_client::Reference =
            format!("{}/{PATH}:{tag}", self.host).parse().unwrap();
        runtime().block_on(async {
            client
                .store_auth_if_needed(reference.resolve_registry(), &self.auth)
                .await;
            for (digest, blob) in &published.blobs {
                client
                    .push_blob(&reference, blob.clone(), digest)
                    .await
                    .unwrap();
            }
            let kind = "application/vnd.oci.image.manifest.v1+json"
                .parse()
                .unwrap();
            client
                .push_manifest_raw(&reference, published.manifest.clone(), kind)
                .await
                .unwrap();
        });
        digest(&published.manifest)
    }
}

impl Drop for RealRegistry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
#[ignore = "needs docker-registry (Debian's package) in PATH"]
fn real_registry_is_pulled_from_and_its_refusals_are_understood() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let registry = RealRegistry::start();
    let repository = format!("{}/{PATH}", registry.host);
    let error = refused(&repository, &["does not have", "(404)"]);
    assert!(!error.is_infrastructure());
    let digest = registry.publish(N, &shipped(N));
    let pulled = pull(&repository, Some(&digest)).unwrap();
    assert_eq!(
        pulled.files,
        shipped(N).into_iter().collect::<ReleaseFiles>()
    );
    // The tag moves.
    registry.publish(N, &shipped(N1));
    let error = pull(&repository, Some(&digest))
        .map(|pulled| pulled.digest)
        .unwrap_err();
    assert!(matches!(error, SourceError::Moved { .. }), "{error}");
}

#[test]
#[ignore = "needs docker-registry (Debian's package) in PATH"]
fn real_registry_lets_in_whom_dockers_config_knows_issue_7() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let registry = RealRegistry::guarded();
    let digest = registry.publish(N, &shipped(N));
    let context = TestContext::new();
    let reference = format!("{}/{PATH}:{N}", registry.host);
    let pull = || {
        let mut command = context.command();
        command.args(["release", "pull", &reference]);
        command.env("DOCKER_CONFIG", context.path());
        command.output().unwrap()
    };
    let log_in = |user: &str| {
        let known = json!({"auths": {&registry.host: {"auth": user}}});
        context.write("config.json", &known.to_string());
    };
    let is_refused = || {
        let told = context.show(&pull());
        assert!(told.starts_with("exit code 2"), "{told}");
        for words in [
            format!("does not let us read {reference} (401)"),
            format!("hint: `docker login {}`", registry.host),
        ] {
            assert!(told.contains(&words), "expected {words:?} in: {told}");
        }
        assert!(
            !told.contains("wrong") && !told.contains("dXNlcjp3"),
            "{told}"
        );
        assert!(!context.path().join("releases").exists());
    };
    // Nobody has logged in, then somebody with `user:wrong`, then with `user:secret`.
    is_refused();
    log_in("dXNlcjp3cm9uZw==");
    is_refused();
    log_in("dXNlcjpzZWNyZXQ=");
    let told = context.show(&pull());
    assert!(told.starts_with("exit code 0"), "{told}");
    assert!(told.contains(&digest), "{told}");
    let folder = context.path().join("releases/cluster-stacks").join(N);
    for (name, content) in shipped(N) {
        assert_eq!(std::fs::read(folder.join(name)).unwrap(), content);
    }
}
