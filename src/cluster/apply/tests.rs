//! Applying, tried on an API server of a few lines.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::cluster::Interrupt;
use crate::record::{Clock, Recorder, RunId};

/// What the server was asked: method with path, and body.
type Asked = Arc<Mutex<Vec<(String, Value)>>>;

/// An API server that answers each request as the test says, with how often it was asked that.
async fn server(
    answer: impl Fn(&str, usize) -> Option<(u16, Value)> + Send + Sync + 'static,
) -> (Client, Asked) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let asked = Asked::default();
    let seen = asked.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            serve(stream, &answer, &seen).await;
        }
    });
    let mut config = kube::Config::new(address.parse().unwrap());
    config.default_retry = false;
    (Client::try_from(config).unwrap(), asked)
}

async fn serve(
    mut stream: TcpStream,
    answer: &impl Fn(&str, usize) -> Option<(u16, Value)>,
    asked: &Asked,
) {
    let mut text = Vec::new();
    let (head, body) = loop {
        let mut chunk = [0; 4096];
        let read = stream.read(&mut chunk).await.unwrap_or_default();
        if read == 0 {
            return;
        }
        text.extend_from_slice(&chunk[..read]);
        let whole = String::from_utf8_lossy(&text).into_owned();
        let Some((head, body)) = whole.split_once("\r\n\r\n") else {
            continue;
        };
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("content-length")
                .then(|| value.parse::<usize>().ok())?
        });
        if body.len() >= length.unwrap_or_default() {
            break (head.to_owned(), body.to_owned());
        }
    };
    let line = head.lines().next().unwrap_or_default();
    let request = line.trim_end_matches(" HTTP/1.1").to_owned();
    let path = request.split('?').next().unwrap_or_default().to_owned();
    let before = {
        let mut asked = asked.lock().unwrap();
        let before = asked
            .iter()
            .filter(|(known, _)| known.starts_with(&path))
            .count();
        asked.push((request, serde_json::from_str(&body).unwrap_or_default()));
        before
    };
    // Without an answer the connection breaks.
    if let Some((code, value)) = answer(&path, before) {
        let body = value.to_string();
        let head = format!(
            "HTTP/1.1 {code} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            body.len()
        );
        let _ = stream.write_all((head + &body).as_bytes()).await;
    }
}

fn kinds() -> Value {
    let kind = |name: &str, kind: &str, namespaced: bool| json!({"name": name, "kind": kind, "namespaced": namespaced, "singularName": "", "verbs": ["patch"]});
    json!({
        "kind": "APIResourceList",
        "groupVersion": "v1",
        "resources": [
            kind("configmaps", "ConfigMap", true),
            kind("namespaces", "Namespace", false),
        ],
    })
}

fn status(code: u16, message: &str, details: Value) -> Option<(u16, Value)> {
    let reason = if code == 404 { "NotFound" } else { "" };
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "code": code, "reason": reason, "message": message, "details": details,
    });
    Some((code, status))
}

fn config_map(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"a": "b"}})
}

fn options() -> Apply<'static> {
    Apply {
        deadline: Duration::from_secs(5),
        namespace: Some("demo"),
        labels: &[("stackgate/run", "7f3a09bc")],
        source: "chart demo",
    }
}

fn context(folder: &tempfile::TempDir, interrupt: Interrupt) -> Context {
    let recorder = Recorder::create(
        folder.path(),
        Clock::starting_at(jiff::Timestamp::UNIX_EPOCH),
        vec![],
    )
    .unwrap();
    Context::new(RunId::random(), recorder, interrupt, 1.0)
}

async fn apply(client: Client, objects: &[Value], options: Apply<'_>) -> Result<(), ApplyError> {
    let folder = tempfile::tempdir().unwrap();
    let context = context(&folder, Interrupt::default());
    Applier::new("workload", client)
        .apply(&context, objects, options)
        .await
}

fn requests(asked: &Asked) -> Vec<String> {
    let asked = asked.lock().unwrap();
    asked.iter().map(|(request, _)| request.clone()).collect()
}

#[tokio::test]
async fn objects_go_in_order_with_force_manager_namespace_and_labels() {
    let (client, asked) = server(|path, _| {
        Some(match path {
            "GET /api/v1" => (200, kinds()),
            _ => (200, config_map("x")),
        })
    })
    .await;
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "demo"}});
    apply(client, &[config_map("a"), namespace], options())
        .await
        .unwrap();
    assert_eq!(
        requests(&asked),
        [
            "GET /api/v1",
            "PATCH /api/v1/namespaces/demo?&force=true&fieldManager=stackgate",
            "PATCH /api/v1/namespaces/demo/configmaps/a?&force=true&fieldManager=stackgate",
        ]
    );
    let sent = asked.lock().unwrap().last().unwrap().1.clone();
    assert_eq!(sent["metadata"]["namespace"], "demo");
    assert_eq!(sent["metadata"]["labels"]["stackgate/run"], "7f3a09bc");
    assert_eq!(sent["data"]["a"], "b");
}

#[tokio::test]
async fn what_passes_is_tried_again() {
    let (client, asked) = server(|path, before| match (path, before) {
        ("GET /api/v1", _) => Some((200, kinds())),
        (_, 0) => None,
        (_, 1) => status(429, "too many requests", Value::Null),
        (_, 2) => status(
            500,
            "Internal error occurred: failed calling webhook \"x\": connection refused",
            Value::Null,
        ),
        (_, 3) => status(
            403,
            "error looking up service account demo/default: not found",
            Value::Null,
        ),
        _ => Some((200, config_map("a"))),
    })
    .await;
    apply(client, &[config_map("a")], options()).await.unwrap();
    assert_eq!(requests(&asked).len(), 6);
}

#[tokio::test]
async fn a_refusal_ends_it_at_once_and_names_object_source_and_reason() {
    for (code, message, details) in [
        (
            422,
            "ConfigMap \"a\" is invalid: data: Invalid value",
            json!({"name": "a"}),
        ),
        (403, "configmaps is forbidden", json!({"name": "a"})),
        (
            404,
            "namespaces \"demo\" not found",
            json!({"name": "demo", "kind": "namespaces"}),
        ),
        (
            500,
            "admission webhook \"x\" denied the request: no",
            Value::Null,
        ),
        (
            500,
            "failed to create typed patch object (/a; v1, Kind=ConfigMap): .x: field not declared in schema",
            Value::Null,
        ),
    ] {
        let (client, asked) = server(move |path, _| match path {
            "GET /api/v1" => Some((200, kinds())),
            _ => status(code, message, details.clone()),
        })
        .await;
        let error = apply(client, &[config_map("a")], options())
            .await
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("failed to apply ConfigMap demo/a of chart demo: {message}")
        );
        assert_eq!(requests(&asked).len(), 2);
    }
}

#[tokio::test]
async fn a_kind_is_waited_for_only_where_it_may_still_come() {
    let served = |path: &str, before| match path {
        "GET /api/v1" => Some((200, kinds())),
        "GET /apis/demo.io/v1" if before >= 2 => Some((
            200,
            json!({"kind": "APIResourceList", "groupVersion": "demo.io/v1", "resources": [
                {"name": "demos", "kind": "Demo", "namespaced": true, "singularName": "", "verbs": []},
            ]}),
        )),
        "GET /apis/demo.io/v1" => status(
            404,
            "the server could not find the requested resource",
            Value::Null,
        ),
        _ => Some((200, config_map("a"))),
    };
    let (client, _) = server(served).await;
    let custom = json!({"apiVersion": "demo.io/v1", "kind": "Demo", "metadata": {"name": "a"}});
    apply(client, &[custom], options()).await.unwrap();

    let (client, asked) = server(served).await;
    let mistyped = json!({"apiVersion": "v1", "kind": "ConfigMaps", "metadata": {"name": "a"}});
    let error = apply(client, &[mistyped], options()).await.unwrap_err();
    assert!(matches!(error, ApplyError::Refused { .. }), "{error}");
    assert!(
        error.to_string().contains("serves no ConfigMaps in v1"),
        "{error}"
    );
    assert_eq!(requests(&asked), ["GET /api/v1"]);
}

#[tokio::test]
async fn patience_ends_with_the_deadline_and_the_last_answer() {
    let (client, _) = server(|path, _| match path {
        "GET /api/v1" => Some((200, kinds())),
        _ => status(503, "etcd is on holiday", Value::Null),
    })
    .await;
    let short = Apply {
        deadline: Duration::from_millis(200),
        ..options()
    };
    let error = apply(client, &[config_map("a")], short).await.unwrap_err();
    assert!(matches!(error, ApplyError::Deadline { .. }), "{error}");
    assert!(error.to_string().contains("etcd is on holiday"), "{error}");
}

#[tokio::test]
async fn an_interruption_ends_it() {
    let (client, _) = server(|_, _| None).await;
    let folder = tempfile::tempdir().unwrap();
    let interrupt = Interrupt::default();
    let context = context(&folder, interrupt.clone());
    let applier = Applier::new("workload", client);
    let objects = [config_map("a")];
    let apply = applier.apply(&context, &objects, options());
    let (outcome, ()) = tokio::join!(apply, async { interrupt.raise() });
    assert!(matches!(outcome, Err(ApplyError::Interrupted(_))));
}

#[tokio::test]
async fn what_is_absent_counts_as_deleted_and_is_not_found() {
    let (client, asked) = server(|path, _| match path {
        "GET /api/v1" => Some((200, kinds())),
        "GET /apis/gone.io/v1" => status(404, "no", Value::Null),
        _ => status(404, "configmaps \"a\" not found", json!({"name": "a"})),
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let context = context(&folder, Interrupt::default());
    let applier = Applier::new("workload", client);
    let unknown = json!({"apiVersion": "gone.io/v1", "kind": "Gone", "metadata": {"name": "a"}});
    let objects = [config_map("a"), unknown];
    applier.delete(&context, &objects, options()).await.unwrap();
    assert!(
        requests(&asked)
            .iter()
            .any(|request| request.starts_with("DELETE "))
    );
    for object in &objects {
        let found = applier.get(&context, object, options()).await.unwrap();
        assert_eq!(found, None);
    }
}

#[test]
fn workloads_come_after_what_they_refer_to_and_webhooks_last() {
    let ranks = [
        "CustomResourceDefinition",
        "ServiceAccount",
        "Deployment",
        "ValidatingWebhookConfiguration",
    ]
    .map(|kind| rank(&json!({"kind": kind})));
    assert!(ranks.is_sorted() && ranks[0] < ranks[3], "{ranks:?}");
}
