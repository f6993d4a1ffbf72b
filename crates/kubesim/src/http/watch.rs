//! Watches: what changes in a collection, told from a revision on.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use futures::stream;
use http::Response;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};

use super::request::Request;
use super::respond::{self, Body};
use crate::cluster::Cluster;
use crate::error::ApiError;
use crate::pulse::Listener;
use crate::resource::GroupResource;
use crate::store::{ChangeKind, Stored};

struct Watching {
    cluster: Cluster,
    resource: GroupResource,
    namespace: Option<String>,
    news: Listener,
    seen: u64,
    ready: VecDeque<Bytes>,
}

/// Starts a watch.
///
/// # Errors
/// 410 when it wants to begin before what is remembered.
pub fn start(request: &Request<'_>) -> Result<Response<Body>, ApiError> {
    let (cluster, resource, target) = (request.cluster, &request.resource, request.target);
    let query = &request.query;
    let store = cluster.store();
    let news = store.news(&resource.id);
    let since = query.text("resourceVersion").unwrap_or_default();
    let mut ready = VecDeque::new();
    let seen = match since {
        "" | "0" => {
            let (objects, revision) = store.list(&resource.id, target.namespace.as_deref());
            ready.extend(objects.iter().map(|stored| event("ADDED", stored)));
            revision
        }
        since => since
            .parse()
            .map_err(|_| ApiError::bad_request(format!("invalid resource version: {since}")))?,
    };
    store.since(&resource.id, seen)?;
    let watching = Watching {
        cluster: cluster.clone(),
        resource: resource.id.clone(),
        namespace: target.namespace.clone(),
        news,
        seen,
        ready,
    };
    let events = stream::unfold(watching, |mut watching| async move {
        let event = watching.next().await?;
        Some((Ok::<_, Infallible>(Frame::data(event)), watching))
    });
    let body = StreamBody::new(events).boxed_unsync();
    Ok(respond::with(200, "application/json", body))
}

impl Watching {
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            let changes = self.cluster.store().since(&self.resource, self.seen).ok()?;
            for change in changes {
                self.seen = change.revision();
                let here = self
                    .namespace
                    .as_ref()
                    .is_none_or(|namespace| change.object.place().0 == *namespace);
                if here {
                    let kind = match change.kind {
                        ChangeKind::Added => "ADDED",
                        ChangeKind::Modified => "MODIFIED",
                        ChangeKind::Deleted => "DELETED",
                    };
                    self.ready.push_back(event(kind, &change.object));
                }
            }
            if self.ready.is_empty() {
                self.news.changed().await;
            }
        }
    }
}

fn event(kind: &str, stored: &Arc<Stored>) -> Bytes {
    let object = stored.json();
    let mut line = Vec::with_capacity(object.len() + 40);
    line.extend_from_slice(format!("{{\"type\":\"{kind}\",\"object\":").as_bytes());
    line.extend_from_slice(&object);
    line.extend_from_slice(b"}\n");
    Bytes::from(line)
}
