//! One watch of each kind for everybody who looks at it: what is asked many times is read once.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use kube::Client;

use super::resolve::Resolver;
use super::watch::Watch;
use super::{Kind, View};

/// Which watch: the cluster, the kind, the namespace (empty: all).
type Key = (&'static str, Kind, String);

/// The watches so far; they end with it.
#[derive(Default)]
pub struct Cache {
    watches: Mutex<BTreeMap<Key, Arc<Watch>>>,
    resolvers: Mutex<BTreeMap<&'static str, Arc<Resolver>>>,
}

impl Cache {
    /// A view of `kinds`, each in its namespace (empty: all), by watches of the whole of `within`
    /// (empty: all namespaces).
    #[must_use]
    pub fn view(
        &self,
        cluster: &'static str,
        client: &Client,
        within: &str,
        kinds: &[(Kind, &str)],
    ) -> View {
        let mut watches = self.watches.lock().unwrap_or_else(PoisonError::into_inner);
        let parts = kinds.iter().map(|(kind, namespace)| {
            let key = (cluster, kind.clone(), within.to_owned());
            let start = || Arc::new(Watch::start(cluster, client, kind, within));
            let watch = watches.entry(key).or_insert_with(start).clone();
            (watch, (*namespace).to_owned())
        });
        View::of(cluster, parts.collect())
    }

    /// A kind by its `apiVersion` and name, or none when the API server does not serve it.
    ///
    /// # Errors
    /// When the API server could not be asked.
    pub async fn kind_of(
        &self,
        cluster: &'static str,
        client: &Client,
        api_version: &str,
        kind: &str,
    ) -> anyhow::Result<Option<Kind>> {
        let resolver = {
            let mut resolvers = self
                .resolvers
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            let new = || Arc::new(Resolver::new(client.clone()));
            resolvers.entry(cluster).or_insert_with(new).clone()
        };
        let object = serde_json::json!({"apiVersion": api_version, "kind": kind});
        resolver.kind(&object).await
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::cluster::fake::{CONFIG_MAP, Server};

    #[tokio::test(start_paused = true)]
    async fn what_many_look_at_is_listed_once_and_told_to_all() {
        let server = Server::new();
        server.add("a");
        let (cache, client) = (Cache::default(), server.client());
        let view = |namespace| cache.view("workload", &client, "demo", &[(CONFIG_MAP, namespace)]);
        let (one, other, elsewhere) = (view(""), view("demo"), view("elsewhere"));
        tokio::time::sleep(Duration::from_secs(1)).await;
        server.add("b");
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(one.list(&CONFIG_MAP).len(), 2);
        assert_eq!(other.list(&CONFIG_MAP).len(), 2);
        assert!(elsewhere.list(&CONFIG_MAP).is_empty());
        assert!(elsewhere.get(&CONFIG_MAP, "demo", "a").is_none());
        assert_eq!(server.lists(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_looks_at_is_kept_up_to_date_without_new_lists() {
        let server = Server::new();
        let (cache, client) = (Cache::default(), server.client());
        let view = || cache.view("workload", &client, "demo", &[(CONFIG_MAP, "")]);
        drop(view());
        tokio::time::sleep(Duration::from_secs(100)).await;
        server.add("a");
        tokio::time::sleep(Duration::from_secs(1)).await;
        let view = view();
        assert_eq!(
            (view.list(&CONFIG_MAP).len(), view.unsettled().len()),
            (1, 0)
        );
        assert_eq!(server.lists(), 1);
        // Who looks for longer is given new lists.
        tokio::time::sleep(Duration::from_secs(20)).await;
        assert!(server.lists() >= 2);
    }
}
