//! Whether the workload cluster's API server answers, asked by stackgate itself, from outside.
//!
//! What is asked for is an object, so that what stands behind the server (etcd) has to answer, too; a
//! health endpoint may say "not ready" for a server that still answers, and the other way round.

use std::time::Duration;

use kube::Client;
use tokio::time::{Instant, timeout};

use super::Probe;
use super::measured::{Measured, Try};
use crate::stack::ClusterSpec;

/// The probe.
pub const PROBE: Probe = Probe {
    name: "api",
    title: "The API server answers",
    cause: "api-interrupted",
    about: ("Namespace", "default"),
    forbids: false,
    moves: false,
    lost: "the API server did not answer",
    // With one control-plane Machine there are two for a moment, whose etcd has no majority without one of
    // them: what is allowed is one failed election and a restart. With more, a load balancer has to notice that
    // a server is gone: three failed health checks ten seconds apart are usual.
    longest_gap: |cluster: &ClusterSpec| match cluster.control_plane.replicas {
        0 | 1 => Duration::from_secs(90),
        _ => Duration::from_secs(45),
    },
    share_lost: None,
    is_lost: |word| word != "ok",
    ask: None,
};

/// Who asks, in the results.
pub const HERE: &str = "stackgate";
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long it is waited after each try.
const PAUSE: Duration = Duration::from_secs(2);
/// What is asked for: small, and always there.
const PATH: &str = "/api/v1/namespaces/default";

/// Asks for as long as it is not dropped.
pub async fn ask(client: Client, measured: Measured) {
    loop {
        let began = Instant::now();
        let word = once(&client).await;
        let end = measured.now_ms();
        let took = u32::try_from(began.elapsed().as_millis()).unwrap_or(u32::MAX);
        measured.take(
            PROBE.name,
            HERE,
            HERE,
            &Try {
                start: end - i64::from(took),
                end,
                word: &word,
            },
        );
        tokio::time::sleep(PAUSE).await;
    }
}

/// `ok`, or what went wrong.
async fn once(client: &Client) -> String {
    let Ok(request) = http::Request::get(PATH).body(Vec::new()) else {
        return "INVALID".to_owned();
    };
    match timeout(PATIENCE, client.request_text(request)).await {
        Err(_) => "TIMEOUT".to_owned(),
        Ok(Ok(_)) => "ok".to_owned(),
        // A refusal is an answer, but for those with which a server says that it cannot give one.
        Ok(Err(kube::Error::Api(status))) if status.code < 500 && status.code != 429 => {
            "ok".to_owned()
        }
        Ok(Err(kube::Error::Api(status))) => format!("HTTP {}", status.code),
        Ok(Err(_)) => "UNREACHABLE".to_owned(),
    }
}
