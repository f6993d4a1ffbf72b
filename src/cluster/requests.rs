//! How many requests a cluster is asked.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};

use http::{Request, Response};
use kube::Client;
use kube::client::Body;
use tower_service::Service;

/// A count of requests; clones are the same count.
#[derive(Clone, Debug, Default)]
pub struct Requests(Arc<AtomicU64>);

impl Requests {
    /// A client whose requests are counted, a watch as one.
    #[must_use]
    pub fn counted(&self, client: &Client) -> Client {
        let namespace = client.default_namespace().to_owned();
        let counting = Counting {
            client: client.clone(),
            requests: self.clone(),
        };
        Client::new(counting, namespace)
    }

    /// How many there were so far.
    #[must_use]
    pub fn so_far(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

#[derive(Clone)]
struct Counting {
    client: Client,
    requests: Requests,
}

impl Service<Request<Body>> for Counting {
    type Response = Response<Body>;
    type Error = kube::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, kube::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), kube::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        self.requests.0.fetch_add(1, Relaxed);
        let client = self.client.clone();
        Box::pin(async move { client.send(request).await })
    }
}
