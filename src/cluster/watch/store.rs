//! What is known of the objects of one kind, and whether it is to be trusted.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Object;

/// Namespace and name.
pub(super) type Key = (String, String);
pub(super) type Objects = BTreeMap<Key, Arc<Object>>;

/// What is known.
#[derive(Default)]
pub(in crate::cluster) struct Store {
    /// By namespace and name.
    pub(in crate::cluster) objects: Objects,
    /// How often that has changed.
    changes: u64,
    listed: bool,
    /// Why the last list or watch failed, until the next ones work.
    error: Option<String>,
    /// When the API server began to say that it is not allowed, and when it said so last.
    refused: Option<(Instant, Instant)>,
}

impl Store {
    /// Takes a whole list; whether it says anything new.
    pub(super) fn replace(&mut self, listed: Objects) -> bool {
        let news = !self.listed || self.error.is_some() || self.objects != listed;
        *self = Self {
            objects: listed,
            changes: self.changes + 1,
            listed: true,
            error: None,
            refused: None,
        };
        news
    }

    /// Takes an object as a watch tells it.
    pub(super) fn take(&mut self, key: Key, object: Option<Arc<Object>>) {
        self.changes += 1;
        match object {
            Some(object) => self.objects.insert(key, object),
            None => self.objects.remove(&key),
        };
    }

    /// How often what is held has changed.
    pub(super) const fn changes(&self) -> u64 {
        self.changes
    }

    /// What is held is not to be trusted any more.
    pub(super) fn fail(&mut self, why: String, refused: bool) {
        self.error = Some(why);
        self.refused = refused.then(|| {
            let now = Instant::now();
            (self.refused.map_or(now, |(first, _)| first), now)
        });
    }

    /// Why it is not to be trusted.
    pub(in crate::cluster) fn unsettled(&self) -> Option<String> {
        match &self.error {
            Some(error) => Some(error.clone()),
            None if self.listed => None,
            None => Some("not listed yet".to_owned()),
        }
    }

    /// Whether what failed last was not allowed.
    pub(super) fn is_refused(&self) -> bool {
        self.refused.is_some()
    }

    /// What is not allowed, once that has been said for a while.
    pub(in crate::cluster) fn refused(&self, after: Duration) -> Option<String> {
        let (first, last) = self.refused?;
        self.error.clone().filter(|_| last - first >= after)
    }
}
