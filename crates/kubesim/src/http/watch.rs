//! Watches: what changes in a collection, told from a revision on.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use futures::stream;
use http::Response;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::filter::Filter;
use super::read;
use super::request::Request;
use super::respond::{self, Body};
use super::shape::Show;
use crate::cluster::Cluster;
use crate::error::ApiError;
use crate::pulse::Listener;
use crate::resource::GroupResource;
use crate::store::{Change, ChangeKind, Stored};

/// How often a quiet watch is told how far it is.
const BOOKMARKS: Duration = Duration::from_secs(60);
/// A watch that names no end gets one between this and twice this.
const LEAST: Duration = Duration::from_secs(30 * 60);

struct Watching {
    cluster: Cluster,
    resource: GroupResource,
    filter: Filter,
    show: Show,
    news: Listener,
    /// Everything up to this revision has been told.
    seen: u64,
    ready: VecDeque<Bytes>,
    /// Whether anything was told: a table tells its columns once.
    begun: bool,
    bookmarks: Option<Instant>,
    end: Instant,
    failed: bool,
}

/// Starts a watch.
///
/// # Errors
/// Options that contradict each other or cannot be read.
pub fn start(request: &Request<'_>) -> Result<Response<Body>, ApiError> {
    read::validate(request)?;
    request.cluster.server().note_watch();
    let store = request.cluster.store();
    let id = &request.resource.id;
    let query = &request.query;
    let since = query.text("resourceVersion").unwrap_or_default();
    let since: u64 = match since {
        "" => 0,
        since => since
            .parse()
            .map_err(|_| ApiError::bad_request(format!("invalid resource version: {since}")))?,
    };
    let asked = query
        .text("timeoutSeconds")
        .and_then(|text| text.parse::<u64>().ok());
    let lasts = match asked {
        Some(seconds) if seconds > 0 => Duration::from_secs(seconds),
        _ => request
            .cluster
            .server()
            .draw(|random| random.between(LEAST, LEAST * 2)),
    };
    let now = Instant::now();
    let bookmarks = query.is_set("allowWatchBookmarks");
    let mut watching = Watching {
        cluster: request.cluster.clone(),
        resource: id.clone(),
        filter: Filter::of(request)?,
        show: Show::of(request)?,
        news: store.news(id),
        seen: since,
        ready: VecDeque::new(),
        begun: false,
        bookmarks: bookmarks.then(|| now + BOOKMARKS),
        end: now + lasts,
        failed: false,
    };
    let initial = query
        .text("sendInitialEvents")
        .map(|_| query.is_set("sendInitialEvents"));
    if initial.unwrap_or(since == 0) {
        watching.begin(bookmarks && initial.is_some());
    } else if since == 0 {
        watching.seen = store.revision();
    }
    let events = stream::unfold(watching, |mut watching| async move {
        let event = watching.next().await?;
        Some((Ok::<_, Infallible>(Frame::data(event)), watching))
    });
    let body = StreamBody::new(events).boxed_unsync();
    Ok(respond::with(200, "application/json", body))
}

impl Watching {
    /// Tells what is there already, as if it were new.
    fn begin(&mut self, mark_end: bool) {
        let store = self.cluster.store();
        let (objects, revision) = store.list(&self.resource, self.filter.namespace.as_deref());
        self.seen = revision;
        for stored in objects {
            if self.filter.matches(&stored) {
                self.tell("ADDED", &stored);
            }
        }
        if mark_end {
            self.bookmark(true);
        }
    }

    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            if self.failed {
                return None;
            }
            let revision = self.cluster.store().revision();
            match self.cluster.store().since(&self.resource, self.seen) {
                Ok(changes) if changes.is_empty() => self.seen = self.seen.max(revision),
                Ok(changes) => {
                    for change in changes {
                        self.seen = change.revision();
                        self.notice(&change);
                    }
                    continue;
                }
                // Who begins too early is told so in the stream; who falls behind begins anew.
                Err(error) => {
                    self.fail(&error);
                    continue;
                }
            }
            let mark = self.bookmarks.unwrap_or(self.end);
            tokio::select! {
                biased;
                () = self.news.changed() => {}
                () = tokio::time::sleep_until(mark.min(self.end)) => {
                    if Instant::now() >= self.end {
                        return None;
                    }
                    self.bookmarks = Some(Instant::now() + BOOKMARKS);
                    self.bookmark(false);
                }
            }
        }
    }

    /// What a change is to who sees only what the filter selects.
    fn notice(&mut self, change: &Change) {
        let was = change
            .previous
            .as_ref()
            .filter(|before| self.filter.matches(before));
        let is = change.kind != ChangeKind::Deleted && self.filter.matches(&change.object);
        match (was, is) {
            (Some(_), true) => self.tell("MODIFIED", &change.object),
            (None, true) => self.tell("ADDED", &change.object),
            (Some(_), false) if change.kind == ChangeKind::Deleted => {
                self.tell("DELETED", &change.object);
            }
            (Some(before), false) => {
                // It is told as it was when it was last selected, at the revision that ended that.
                let mut last = (*before.value).clone();
                last["metadata"]["resourceVersion"] = json!(change.revision().to_string());
                let managed = before.managed.clone();
                self.tell("DELETED", &Stored::unwritten(last, managed));
            }
            (None, false) => {}
        }
    }

    fn tell(&mut self, kind: &str, stored: &Stored) {
        match self.show.one(stored, !self.begun) {
            Ok(object) => self.push(kind, &object),
            Err(error) => self.fail(&error),
        }
    }

    fn bookmark(&mut self, initial_events_end: bool) {
        let object = self
            .show
            .bookmark(self.seen, initial_events_end, !self.begun);
        // A value always serialises, which is quicker than to show it.
        let object = serde_json::to_vec(&object).unwrap_or_default();
        self.push("BOOKMARK", &object);
    }

    fn fail(&mut self, error: &ApiError) {
        let status: Value = error.status();
        self.push("ERROR", status.to_string().as_bytes());
        self.failed = true;
    }

    fn push(&mut self, kind: &str, object: &[u8]) {
        self.begun = true;
        let mut line = Vec::with_capacity(object.len() + 40);
        line.extend_from_slice(format!("{{\"type\":\"{kind}\",\"object\":").as_bytes());
        line.extend_from_slice(object);
        line.extend_from_slice(b"}\n");
        self.ready.push_back(Bytes::from(line));
    }
}
