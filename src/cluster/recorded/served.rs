//! Which kinds a cluster serves, by aggregated discovery (Kubernetes 1.30 and later).

use std::sync::Arc;

use anyhow::{Context, Result, bail};
use http::header::{ACCEPT, ETAG, HeaderValue, IF_NONE_MATCH};
use http::{Request, StatusCode};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

use super::super::Kind;

/// Both documents at once, instead of one for each group and version.
const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// What a cluster says of its kinds, as it is said.
#[derive(PartialEq, Eq)]
pub(super) struct Served {
    version: String,
    core: Document,
    groups: Document,
}

/// A document of discovery.
#[derive(Clone, PartialEq, Eq)]
struct Document {
    text: Arc<str>,
    /// What the server knows it by, if it tells.
    tag: Option<HeaderValue>,
}

/// Asks for both documents of discovery, and for the version. What is known is not told again as long as it holds.
pub(super) async fn ask(client: &Client, known: Option<&Served>) -> Result<Served> {
    Ok(Served {
        version: client.apiserver_version().await?.git_version,
        core: document(client, "/api", known.map(|known| &known.core)).await?,
        groups: document(client, "/apis", known.map(|known| &known.groups)).await?,
    })
}

async fn document(client: &Client, path: &str, known: Option<&Document>) -> Result<Document> {
    let asked = async {
        let mut request = Request::get(path).header(ACCEPT, AGGREGATED);
        // One without a tag cannot be asked about.
        let known = known.filter(|known| known.tag.is_some());
        if let Some(tag) = known.and_then(|known| known.tag.as_ref()) {
            request = request.header(IF_NONE_MATCH, tag);
        }
        let response = client.send(request.body(Body::empty())?).await?;
        match (response.status(), known) {
            (StatusCode::NOT_MODIFIED, Some(known)) => Ok(known.clone()),
            (status, _) if status.is_success() => {
                let tag = response.headers().get(ETAG).cloned();
                let text = response.into_body().collect_bytes().await?;
                let text = std::str::from_utf8(&text)?.into();
                Ok(Document { text, tag })
            }
            (status, _) => bail!("the API server answered with {status}"),
        }
    };
    let told = asked.await;
    told.with_context(|| format!("failed to ask which kinds there are at {path}"))
}

impl Served {
    /// Reads it.
    pub(super) fn read(&self) -> Result<Value> {
        let items = |document: &Document| -> Result<Value> {
            let mut document: Value = serde_json::from_str(&document.text)?;
            Ok(document["items"].take())
        };
        let (core, groups) = (items(&self.core)?, items(&self.groups)?);
        Ok(json!({"version": self.version, "core": core, "groups": groups}))
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// The kinds that can be listed and watched, each in the version that the server prefers.
pub(super) fn kinds(served: &Value) -> Vec<Kind> {
    let mut found: Vec<Kind> = Vec::new();
    for group in ["core", "groups"]
        .iter()
        .flat_map(|part| list(&served[*part]))
    {
        let name = group["metadata"]["name"].as_str().unwrap_or_default();
        for version in list(&group["versions"]) {
            for resource in list(&version["resources"]) {
                let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                let kind = Kind {
                    group: name.to_owned().into(),
                    version: text(&version["version"]).into(),
                    kind: text(&resource["responseKind"]["kind"]).into(),
                    plural: text(&resource["resource"]).into(),
                };
                let can = |verb: &str| list(&resource["verbs"]).iter().any(|one| one == verb);
                // The core group's events are the same objects.
                let again = name == "events.k8s.io";
                let known = found
                    .iter()
                    .any(|known| known.group == kind.group && known.plural == kind.plural);
                if can("list") && can("watch") && !again && !known {
                    found.push(kind);
                }
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::Mutex;

    use http::Response;

    use super::*;

    /// An API server, with what it knows its documents by, if it tells, and how often it has told one.
    #[derive(Clone, Default)]
    struct Server {
        tag: Arc<Mutex<Option<&'static str>>>,
        told: Arc<Mutex<usize>>,
    }

    impl Server {
        fn answer(&self, request: &Request<Body>) -> Response<Body> {
            let answer = Response::builder();
            if request.uri().path() == "/version" {
                let version = json!({"major": "1", "minor": "35", "gitVersion": "v1.35.0", "gitCommit": "",
                    "gitTreeState": "", "buildDate": "", "goVersion": "", "compiler": "", "platform": ""});
                return answer
                    .body(version.to_string().into_bytes().into())
                    .unwrap();
            }
            let tag = *self.tag.lock().unwrap();
            let known = request.headers().get(IF_NONE_MATCH);
            if known.is_some_and(|known| tag.is_some_and(|tag| known == tag)) {
                return answer.status(304).body(Body::empty()).unwrap();
            }
            *self.told.lock().unwrap() += 1;
            let answer = match tag {
                Some(tag) => answer.header(ETAG, tag),
                None => answer,
            };
            let text = json!({"items": [tag]}).to_string();
            answer.body(text.into_bytes().into()).unwrap()
        }

        fn client(&self) -> Client {
            let server = self.clone();
            let answer = move |request: Request<Body>| {
                std::future::ready(Ok::<_, Infallible>(server.answer(&request)))
            };
            Client::new(tower::service_fn(answer), "default")
        }
    }

    #[tokio::test]
    async fn what_is_known_is_told_again_only_when_it_has_changed_issue_4() {
        let server = Server::default();
        *server.tag.lock().unwrap() = Some("\"1\"");
        let client = server.client();
        let first = ask(&client, None).await.unwrap();
        let second = ask(&client, Some(&first)).await.unwrap();
        assert!(first == second);
        assert_eq!(*server.told.lock().unwrap(), 2);
        *server.tag.lock().unwrap() = Some("\"2\"");
        let third = ask(&client, Some(&second)).await.unwrap();
        assert!(third != second);
        assert_eq!(third.read().unwrap()["core"], json!(["\"2\""]));
        assert_eq!(*server.told.lock().unwrap(), 4);
    }

    #[tokio::test]
    async fn a_server_that_has_no_tags_tells_everything_each_time() {
        let server = Server::default();
        let client = server.client();
        let first = ask(&client, None).await.unwrap();
        assert!(ask(&client, Some(&first)).await.unwrap() == first);
        assert_eq!(*server.told.lock().unwrap(), 4);
    }
}
