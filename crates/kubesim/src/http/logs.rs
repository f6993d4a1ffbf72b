//! `pods/log`: what a container has printed, and goes on printing.

use std::collections::VecDeque;
use std::convert::Infallible;

use bytes::Bytes;
use futures::stream;
use http::Response;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::request::Request;
use super::respond::{self, Body};
use crate::cluster::Cluster;
use crate::error::ApiError;
use crate::logs::Line;
use crate::pulse::Listener;
use crate::resource::builtin::PODS;

/// What of a log is asked for.
struct Part {
    since: Option<Timestamp>,
    tail: Option<usize>,
    limit: Option<usize>,
    timestamps: bool,
}

impl Part {
    fn of(request: &Request<'_>) -> Result<Self, ApiError> {
        let number = |key: &str| match request.query.text(key) {
            None | Some("") => Ok(None),
            Some(text) => text
                .parse::<usize>()
                .map(Some)
                .map_err(|_| ApiError::bad_request(format!("invalid value for {key}: {text}"))),
        };
        let seconds = number("sinceSeconds")?.and_then(|seconds| i64::try_from(seconds).ok());
        let ago = seconds.map(SignedDuration::from_secs);
        let now = request.cluster.now();
        let since = match request.query.text("sinceTime") {
            None | Some("") => ago.and_then(|ago| now.checked_sub(ago).ok()),
            Some(text) => Some(text.parse().map_err(|_| {
                ApiError::bad_request(format!("invalid value for sinceTime: {text}"))
            })?),
        };
        Ok(Self {
            since,
            tail: number("tailLines")?,
            limit: number("limitBytes")?,
            timestamps: request.query.is_set("timestamps"),
        })
    }

    fn show(&self, line: &Line) -> String {
        if self.timestamps {
            format!(
                "{} {}\n",
                line.time.strftime("%Y-%m-%dT%H:%M:%S%.9fZ"),
                line.text
            )
        } else {
            format!("{}\n", line.text)
        }
    }

    fn of_lines(&self, mut lines: Vec<Line>) -> String {
        lines.retain(|line| self.since.is_none_or(|since| line.time >= since));
        let first = self.tail.map_or(0, |tail| lines.len().saturating_sub(tail));
        let mut text: String = lines[first..].iter().map(|line| self.show(line)).collect();
        if let Some(limit) = self.limit {
            // Never within a character.
            let end = (0..=limit.min(text.len()))
                .rev()
                .find(|at| text.is_char_boundary(*at));
            text.truncate(end.unwrap_or_default());
        }
        text
    }
}

/// Answers a request for a container's log.
///
/// # Errors
/// No such pod or container, one that has not begun, or no previous one.
pub fn answer(request: &Request<'_>) -> Result<Response<Body>, ApiError> {
    let (namespace, name) = (request.namespace(), request.name());
    let pod = request
        .cluster
        .api()
        .get(&PODS, namespace, name)
        .ok_or_else(|| ApiError::not_found(&PODS, name))?;
    let container = container(request, &pod)?;
    let part = Part::of(request)?;
    let logs = request.cluster.logs();
    if request.query.is_set("previous") {
        let lines = logs.previous(namespace, name, &container).ok_or_else(|| {
            ApiError::bad_request(format!(
                "previous terminated container \"{container}\" in pod \"{name}\" not found"
            ))
        })?;
        return Ok(respond::text(200, part.of_lines(lines)));
    }
    let waiting = &status_of(&pod, &container)["state"]["waiting"];
    let (lines, printed, instance) = logs.after(namespace, name, &container, 0);
    if lines.is_empty() && printed == 0 && waiting.is_object() {
        let reason = waiting["reason"].as_str().unwrap_or("ContainerCreating");
        return Err(ApiError::bad_request(format!(
            "container \"{container}\" in pod \"{name}\" is waiting to start: {reason}"
        )));
    }
    let text = part.of_lines(lines);
    if !request.query.is_set("follow") {
        return Ok(respond::text(200, text));
    }
    let following = Following {
        cluster: request.cluster.clone(),
        namespace: namespace.to_owned(),
        pod: name.to_owned(),
        container,
        part,
        printed,
        instance,
        ready: VecDeque::from([text]),
        printing: logs.news(),
        living: request.cluster.store().news(&PODS),
    };
    let chunks = stream::unfold(following, |mut following| async move {
        let text = following.next().await?;
        Some((
            Ok::<_, Infallible>(Frame::data(Bytes::from(text))),
            following,
        ))
    });
    let body = StreamBody::new(chunks).boxed_unsync();
    Ok(respond::with(200, "text/plain; charset=utf-8", body))
}

/// Names of a pod's containers, in the order in which they begin.
fn containers(pod: &Value) -> Vec<&str> {
    let lists = ["initContainers", "containers", "ephemeralContainers"];
    let all = lists
        .iter()
        .filter_map(|list| pod["spec"][*list].as_array());
    all.flatten()
        .filter_map(|container| container["name"].as_str())
        .collect()
}

fn container(request: &Request<'_>, pod: &Value) -> Result<String, ApiError> {
    let (name, all) = (request.name(), containers(pod));
    let usual = pod["spec"]["containers"].as_array();
    match (
        request.query.text("container").unwrap_or_default(),
        usual.map(Vec::as_slice),
    ) {
        ("", Some([only])) => Ok(only["name"].as_str().unwrap_or_default().to_owned()),
        ("", _) => Err(ApiError::bad_request(format!(
            "a container name must be specified for pod {name}, choose one of: [{}]",
            all.join(" ")
        ))),
        (asked, _) if all.contains(&asked) => Ok(asked.to_owned()),
        (asked, _) => Err(ApiError::bad_request(format!(
            "container {asked} is not valid for pod {name}"
        ))),
    }
}

fn status_of<'a>(pod: &'a Value, container: &str) -> &'a Value {
    const NONE: &Value = &Value::Null;
    let lists = [
        "containerStatuses",
        "initContainerStatuses",
        "ephemeralContainerStatuses",
    ];
    let all = lists
        .iter()
        .filter_map(|list| pod["status"][*list].as_array());
    let mut all = all.flatten();
    all.find(|status| status["name"] == container)
        .unwrap_or(NONE)
}

/// Somebody who reads along until the container ends.
struct Following {
    cluster: Cluster,
    namespace: String,
    pod: String,
    container: String,
    part: Part,
    printed: usize,
    instance: u64,
    ready: VecDeque<String>,
    printing: Listener,
    living: Listener,
}

impl Following {
    async fn next(&mut self) -> Option<String> {
        loop {
            if let Some(text) = self.ready.pop_front() {
                if text.is_empty() {
                    continue;
                }
                return Some(text);
            }
            let place = (&self.namespace, &self.pod, &self.container);
            let pod = self.cluster.api().get(&PODS, place.0, place.1);
            let logs = self.cluster.logs();
            let (lines, printed, instance) = logs.after(place.0, place.1, place.2, self.printed);
            if instance != self.instance {
                return None;
            }
            if !lines.is_empty() {
                self.printed = printed;
                let shown = lines.iter().map(|line| self.part.show(line));
                self.ready.push_back(shown.collect());
                continue;
            }
            let pod = pod?;
            if status_of(&pod, &self.container)["state"]["terminated"].is_object() {
                return None;
            }
            tokio::select! {
                biased;
                () = self.printing.changed() => {}
                () = self.living.changed() => {}
            }
        }
    }
}
