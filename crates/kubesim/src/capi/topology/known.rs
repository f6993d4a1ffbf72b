//! What topologies asked for the last time: it is rendered anew when Cluster, class or templates have changed, and
//! most reconciliations are for what became of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::super::desired::{Desired, desired};
use super::super::patches::Templates;
use crate::cluster::Cluster;
use crate::object::{is_same, name, namespace};
use crate::store::reads::Reads;

/// By namespace and name of the Cluster.
#[derive(Default)]
pub(super) struct Known(BTreeMap<(String, String), Entry>);

struct Entry {
    cluster: Arc<Value>,
    class: Arc<Value>,
    /// The class's templates, and by which kinds these were found.
    reads: Reads,
    desired: Arc<Desired>,
}

impl Known {
    /// What a Cluster asks for by its class.
    ///
    /// # Errors
    /// As [`desired`].
    pub(super) fn desired(
        &mut self,
        management: &Cluster,
        cluster: &Arc<Value>,
        class: &Arc<Value>,
        templates: Option<&dyn Templates>,
    ) -> Result<Arc<Desired>, String> {
        let place = (namespace(cluster).to_owned(), name(cluster).to_owned());
        let known = self.0.get(&place).filter(|known| {
            Arc::ptr_eq(&known.class, class)
                && asks_for_the_same(&known.cluster, cluster)
                && known.reads.are_as_they_were()
        });
        if let Some(known) = known {
            return Ok(known.desired.clone());
        }
        let (rendered, reads) = Reads::of(|| desired(management, cluster, class, templates));
        let desired = Arc::new(rendered?);
        let entry = Entry {
            cluster: cluster.clone(),
            class: class.clone(),
            reads,
            desired: desired.clone(),
        };
        self.0.insert(place, entry);
        Ok(desired)
    }

    /// Forgets a Cluster that goes.
    pub(super) fn forget(&mut self, cluster: &Value) {
        let place = (namespace(cluster).to_owned(), name(cluster).to_owned());
        self.0.remove(&place);
    }
}

/// Whether nothing differs of what templates may be told of a Cluster.
fn asks_for_the_same(one: &Value, other: &Value) -> bool {
    let told = ["uid", "labels", "annotations"];
    is_same(&one["spec"], &other["spec"])
        && told
            .iter()
            .all(|field| is_same(&one["metadata"][*field], &other["metadata"][*field]))
}
