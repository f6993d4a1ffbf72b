//! What is not done again since it would come to the same: that it does come to the same.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::lab::{Lab, SPACE, VERSIONS, changes, create, to_next};
use kubesim::Options;
use kubesim::capi::{self, Rendered, Templates};
use kubesim::store::Change;
use serde_json::{Value, json};

/// Everything that was written while a Cluster was made and upgraded, and for some minutes after that.
async fn written(is_thorough: bool, seed: u64) -> Vec<Arc<Change>> {
    let begin = Options {
        seed,
        is_thorough,
        ..Options::default()
    };
    let lab = Lab::with(&begin, &capi::Options::default()).await;
    let mut management = lab.management.store().observe();
    let workload = lab.settled(3, &[("a", 1), ("b", 2)]).await;
    let mut nodes = workload.store().observe();
    lab.patch(to_next()).await.unwrap();
    lab.arrived(VERSIONS[1]).await;
    tokio::time::sleep(Duration::from_mins(5)).await;
    let mut written = changes(&mut management);
    written.extend(changes(&mut nodes));
    written
}

#[tokio::test(start_paused = true)]
async fn what_settled_controllers_leave_undone_would_change_nothing_issue_4() {
    for seed in [0, 1] {
        let (quick, thorough) = (written(false, seed).await, written(true, seed).await);
        assert!(quick.len() > 1000, "only {} writes", quick.len());
        for (one, other) in quick.iter().zip(&thorough) {
            let what = |change: &Change| {
                let object = &change.object;
                (
                    object.revision,
                    change.kind,
                    change.resource.clone(),
                    object.value.clone(),
                )
            };
            assert_eq!(what(one), what(other), "seed {seed}");
        }
        assert_eq!(quick.len(), thorough.len(), "seed {seed}");
    }
}

/// Renders the number of texts so far, or always the same.
struct Counting {
    rendered: AtomicUsize,
    is_drawn: bool,
}

impl Templates for Counting {
    fn render(&self, _: &str, _: &Value) -> Result<Rendered, String> {
        let count = self.rendered.fetch_add(1, Ordering::Relaxed);
        let text = if self.is_drawn { count } else { 0 };
        Ok(Rendered {
            text: format!("\"value-{text}\""),
            is_drawn: self.is_drawn,
        })
    }

    fn value(&self, rendered: &str) -> Result<Value, String> {
        serde_json::from_str(rendered).map_err(|error| error.to_string())
    }
}

/// How often the patch of a class was rendered: while a Cluster was made, and when it got a label.
async fn rendered(is_drawn: bool) -> (usize, usize) {
    let templates = Arc::new(Counting {
        rendered: AtomicUsize::new(0),
        is_drawn,
    });
    let options = capi::Options {
        templates: Some(templates.clone()),
        ..capi::Options::default()
    };
    let lab = Lab::new(&options).await;
    let patch = json!([{"name": "note", "definitions": [{
        "selector": {"apiVersion": "infrastructure.cluster.x-k8s.io/v1beta2", "kind": "DockerClusterTemplate",
            "matchResources": {"infrastructureCluster": true}},
        "jsonPatches": [{"op": "add", "path": "/spec/template/spec/note", "valueFrom": {"template": "{{ . }}"}}]}]}]);
    let mut class = crate::lab::class("patched", VERSIONS[0]);
    class.last_mut().unwrap()["spec"]["patches"] = patch;
    for object in class {
        create(&lab.management, object).await.unwrap();
    }
    let mut cluster = crate::lab::cluster(1, &[("a", 1)]);
    cluster["spec"]["topology"]["classRef"]["name"] = json!("patched");
    create(&lab.management, cluster).await.unwrap();
    tokio::time::sleep(Duration::from_mins(5)).await;
    assert_eq!(lab.list(&capi::kinds::MACHINES).len(), 2, "in {SPACE}");
    let made = templates.rendered.swap(0, Ordering::Relaxed);
    let label = json!({"metadata": {"labels": {"told": "to-templates"}}});
    lab.patch(label).await.unwrap();
    tokio::time::sleep(Duration::from_secs(30)).await;
    (made, templates.rendered.load(Ordering::Relaxed))
}

#[tokio::test(start_paused = true)]
async fn a_patch_is_rendered_again_when_it_is_told_something_else_or_draws_lots_issue_4() {
    let (made, told) = rendered(false).await;
    // Cluster and class change a few times until both are seen and the Cluster refers to its parts.
    assert!(made <= 4 && told == 1, "{made} and {told} times");
    let (made, told) = rendered(true).await;
    assert!(made > 8 && told > 0, "{made} and {told} times");
}
