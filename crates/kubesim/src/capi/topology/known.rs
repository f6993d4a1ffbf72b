//! What topologies asked for the last time: it is rendered anew when Cluster, class or templates have changed, and
//! most reconciliations are for what became of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::super::desired::{Desired, desired};
use super::super::patches::Templates;
use super::Trouble;
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

/// What was brought about, so that nothing was left to do: most reconciliations are for a change of something else.
#[derive(Default)]
pub(super) struct Done(BTreeMap<(String, String, String), Settled>);

struct Settled {
    desired: Arc<Desired>,
    version: String,
    reads: Reads,
}

impl Done {
    /// Brings a part of a Cluster about at a version, unless that would read what it read the last time, and do nothing.
    /// `act` must follow from what is desired, the version, and what it reads alone; an object that it was given counts as
    /// read where it looks for changes to make to it, and is to be told from others by the part's name.
    ///
    /// # Errors
    /// Those of `act`.
    pub(super) fn unless_done(
        &mut self,
        cluster: &Value,
        part: &str,
        (desired, version): (&Arc<Desired>, &str),
        act: impl FnOnce() -> Result<(), Trouble>,
    ) -> Result<(), Trouble> {
        let of = (namespace(cluster), name(cluster), part);
        let key = (of.0.to_owned(), of.1.to_owned(), of.2.to_owned());
        let is_done = self.0.get(&key).is_some_and(|done| {
            Arc::ptr_eq(&done.desired, desired)
                && done.version == version
                && done.reads.are_as_they_were()
        });
        if is_done {
            return Ok(());
        }
        self.0.remove(&key);
        let (acted, reads) = Reads::of(act);
        if acted.is_ok() && reads.are_as_they_were() {
            let (desired, version) = (desired.clone(), version.to_owned());
            let settled = Settled {
                desired,
                version,
                reads,
            };
            self.0.insert(key, settled);
        }
        acted
    }

    /// Forgets a Cluster.
    pub(super) fn forget(&mut self, cluster: &Value) {
        let of = (namespace(cluster), name(cluster));
        self.0
            .retain(|(space, own, _), _| (space.as_str(), own.as_str()) != of);
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::super::desired::Rendered;
    use super::*;
    use crate::resource::builtin::NODES;
    use crate::store::Store;

    fn desired() -> Arc<Desired> {
        let nothing = || Rendered {
            source: Value::Null,
            template: Value::Null,
        };
        Arc::new(Desired {
            infrastructure: nothing(),
            control_plane: nothing(),
            control_plane_machines: nothing(),
            workers: Vec::new(),
            variables: Vec::new(),
        })
    }

    #[test]
    fn a_part_is_brought_about_again_when_something_is_another_than_when_nothing_was_to_do() {
        let (store, mut done) = (Store::default(), Done::default());
        let cluster = json!({"metadata": {"namespace": "a", "name": "b"}});
        let write = || {
            let node = json!({"metadata": {"name": "a"}});
            store.put(&NODES, node, Arc::default(), None).unwrap();
        };
        let mut acts = |desired: &Arc<Desired>, part: &str, version: &str, writes: bool| {
            let mut acted = false;
            let act = || {
                acted = true;
                drop(store.get(&NODES, "", "a"));
                if writes {
                    write();
                }
                Ok(())
            };
            let ended = done.unless_done(&cluster, part, (desired, version), act);
            assert!(ended.is_ok());
            acted
        };
        let (one, other) = (desired(), desired());
        assert!(acts(&one, "workers", "v1", true));
        assert!(acts(&one, "workers", "v1", false), "it wrote");
        assert!(!acts(&one, "workers", "v1", false));
        assert!(acts(&one, "templates", "v1", false), "another part");
        assert!(acts(&one, "workers", "v2", false), "another version");
        assert!(acts(&other, "workers", "v2", false), "asked for otherwise");
        write();
        assert!(
            acts(&other, "workers", "v2", false),
            "what it read was written"
        );
        assert!(!acts(&other, "workers", "v2", false));
    }
}
