//! Controllers over a cluster's store, and what runs them: one queue by time, so that the same seed
//! gives the same order.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use tokio::time::Instant;

use crate::cluster::Cluster;
use crate::error::ApiError;
use crate::random::Random;
use crate::resource::GroupResource;
use crate::simulation::Simulation;
use crate::store::Change;
use crate::store::reads::Reads;

/// What a controller reconciles: an object by namespace (empty for none) and name, of the kind that
/// is the controller's own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Namespace, empty for cluster-scoped objects.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl Key {
    /// A key by its parts.
    #[must_use]
    pub fn new(namespace: &str, name: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }

    /// The key of a change's object.
    #[must_use]
    pub fn of(change: &Change) -> Self {
        let (namespace, name) = change.object.place();
        Self { namespace, name }
    }
}

/// When to look again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// When something changes.
    Change,
    /// After a while, or when something changes.
    After(Duration),
}

/// What a controller works with while it reconciles.
pub struct Cx<'a> {
    /// The cluster whose store woke it.
    pub cluster: &'a Cluster,
    /// All clusters, the clock.
    pub simulation: &'a Simulation,
    /// The controller's own randomness.
    pub random: &'a mut Random,
}

/// A controller: brings the cluster one step nearer to what an object asks for.
pub trait Controller: Send {
    /// Its name, e.g. `deployment`; also the field manager of its writes.
    fn name(&self) -> &'static str;

    /// The resources whose changes wake it.
    fn wakes(&self) -> Vec<GroupResource>;

    /// Whether changes of every resource wake it, of those too that definitions add later; then
    /// [`Controller::keys`] has to be cheap.
    fn wakes_by_all(&self) -> bool {
        false
    }

    /// What to reconcile because of a change; by default the changed object itself, which is right for
    /// a controller that is woken by its own kind alone.
    fn keys(&self, _cluster: &Cluster, change: &Change) -> Vec<Key> {
        vec![Key::of(change)]
    }

    /// How long it takes until it has noticed a change.
    fn latency(&self, random: &mut Random) -> Duration {
        random.between(Duration::from_millis(2), Duration::from_millis(20))
    }

    /// Whether what it does follows from what it reads of stores alone: then it is not done again before something
    /// of that has changed, or before what the cluster serves has. So it must not draw from [`Cx::random`], look at
    /// the clock but to stamp what it writes, keep anything for the next time, or read what is in no store (faults,
    /// images): whatever else decides has to be an object.
    fn is_settled_by_what_it_reads(&self) -> bool {
        false
    }

    /// Reconciles. It must be idempotent, and must not write what is already there.
    ///
    /// # Errors
    /// Those of the API; the key is tried again with a growing pause.
    fn reconcile(&mut self, cx: &mut Cx<'_>, key: &Key) -> Result<Next, ApiError>;
}

struct Running {
    controller: Box<dyn Controller>,
    random: Random,
    failures: BTreeMap<Key, u32>,
    /// What there was nothing to do about the last time.
    settled: BTreeMap<Key, Settled>,
}

/// That there is nothing to do.
struct Settled {
    /// From what that followed.
    reads: Reads,
    /// When to look again.
    next: Next,
}

/// Due time, order of arrival; the same for the same seed.
type Slot = (Instant, u64);

/// Runs the controllers of one cluster.
pub(crate) struct Manager {
    cluster: Cluster,
    simulation: Simulation,
    running: Vec<Running>,
    /// Whom changes of a resource wake, in their order; of a resource that is not here, those whom all wake.
    woken: HashMap<GroupResource, Vec<usize>>,
    woken_by_all: Vec<usize>,
    queue: BTreeMap<Slot, (usize, Key)>,
    queued: BTreeMap<(usize, Key), Slot>,
    arrivals: u64,
}

impl Manager {
    pub(crate) fn new(
        simulation: Simulation,
        cluster: Cluster,
        controllers: Vec<Box<dyn Controller>>,
    ) -> Self {
        let root = simulation.random(cluster.name());
        let by_all = |index: &usize| controllers[*index].wakes_by_all();
        let woken_by_all: Vec<usize> = (0..controllers.len()).filter(by_all).collect();
        let mut woken: BTreeMap<GroupResource, BTreeSet<usize>> = BTreeMap::new();
        for (index, controller) in controllers.iter().enumerate() {
            for resource in controller.wakes() {
                let woken = woken.entry(resource).or_default();
                woken.extend(woken_by_all.iter().copied().chain([index]));
            }
        }
        let running = controllers
            .into_iter()
            .map(|controller| Running {
                random: root.fork(controller.name()),
                controller,
                failures: BTreeMap::new(),
                settled: BTreeMap::new(),
            })
            .collect();
        Self {
            cluster,
            simulation,
            running,
            woken: woken
                .into_iter()
                .map(|(resource, woken)| (resource, woken.into_iter().collect()))
                .collect(),
            woken_by_all,
            queue: BTreeMap::new(),
            queued: BTreeMap::new(),
            arrivals: 0,
        }
    }

    /// Runs for ever; the cluster's end drops it.
    pub(crate) async fn run(mut self) {
        let mut observer = self.cluster.store().observe();
        self.start();
        loop {
            while let Some(change) = observer.next_now() {
                self.notice(&change);
            }
            let due = self.queue.keys().next().map(|(due, _)| *due);
            match due {
                Some(due) if due <= Instant::now() => self.step(),
                Some(due) => {
                    tokio::select! {
                        biased;
                        () = observer.news() => {}
                        () = tokio::time::sleep_until(due) => {}
                    }
                }
                None => observer.news().await,
            }
        }
    }

    /// Everything that was there before the controllers is news to them.
    fn start(&mut self) {
        let mut seen = BTreeSet::new();
        for index in 0..self.running.len() {
            let mut wakes = self.running[index].controller.wakes();
            if self.woken_by_all.contains(&index) {
                let all = self.cluster.api().catalogue().all();
                wakes = all.iter().map(|resource| resource.id.clone()).collect();
            }
            for resource in wakes {
                for stored in self.cluster.store().list(&resource, None).0 {
                    let change = Change {
                        kind: crate::store::ChangeKind::Added,
                        resource: resource.clone(),
                        object: stored,
                        previous: None,
                    };
                    seen.extend(self.keys(index, &change));
                }
            }
        }
        for (index, key) in seen {
            self.wake(index, key);
        }
    }

    fn keys(&self, index: usize, change: &Change) -> Vec<(usize, Key)> {
        let controller = &self.running[index].controller;
        let keys = controller.keys(&self.cluster, change);
        keys.into_iter().map(|key| (index, key)).collect()
    }

    fn notice(&mut self, change: &Change) {
        let woken = self.woken.get(&change.resource);
        for index in woken.unwrap_or(&self.woken_by_all).clone() {
            for (index, key) in self.keys(index, change) {
                self.wake(index, key);
            }
        }
    }

    fn wake(&mut self, index: usize, key: Key) {
        let running = &mut self.running[index];
        let due = Instant::now() + running.controller.latency(&mut running.random);
        self.schedule(index, key, due);
    }

    /// Puts a key into the queue; the earlier of two times wins.
    fn schedule(&mut self, index: usize, key: Key, due: Instant) {
        let entry = (index, key);
        if let Some(slot) = self.queued.get(&entry) {
            if slot.0 <= due {
                return;
            }
            let slot = *slot;
            self.queue.remove(&slot);
        }
        self.arrivals += 1;
        let slot = (due, self.arrivals);
        self.queue.insert(slot, entry.clone());
        self.queued.insert(entry, slot);
    }

    fn step(&mut self) {
        let Some((_, (index, key))) = self.queue.pop_first() else {
            return;
        };
        self.queued.remove(&(index, key.clone()));
        let settled = self.running[index].still_settled(&key);
        let next = match settled.filter(|_| !self.simulation.is_thorough()) {
            Some(next) => next,
            None => self.reconcile(index, &key),
        };
        if let Next::After(pause) = next {
            self.schedule(index, key, Instant::now() + pause);
        }
    }

    fn reconcile(&mut self, index: usize, key: &Key) -> Next {
        let running = &mut self.running[index];
        let mut cx = Cx {
            cluster: &self.cluster,
            simulation: &self.simulation,
            random: &mut running.random,
        };
        let controller = &mut running.controller;
        let ended = if controller.is_settled_by_what_it_reads() {
            let (ended, reads) = Reads::of(|| controller.reconcile(&mut cx, key));
            if let Ok(next @ Next::After(_)) = ended
                && reads.are_as_they_were()
            {
                let settled = Settled { reads, next };
                running.settled.insert(key.clone(), settled);
            }
            ended
        } else {
            controller.reconcile(&mut cx, key)
        };
        match ended {
            Ok(next) => {
                running.failures.remove(key);
                next
            }
            Err(error) => {
                self.simulation
                    .trace(&self.cluster, running.controller.name(), key, &error);
                let failures = running.failures.entry(key.clone()).or_default();
                *failures += 1;
                // controller-runtime's and client-go's item back-off: 5 ms, doubled, at most 1000 s.
                Next::After(Duration::from_millis(5 << (*failures).min(17)))
            }
        }
    }
}

impl Running {
    /// When to look again at a key about which there is still nothing to do.
    fn still_settled(&mut self, key: &Key) -> Option<Next> {
        let known = self.settled.get(key)?;
        if known.reads.are_as_they_were() {
            return Some(known.next);
        }
        self.settled.remove(key);
        None
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use serde_json::json;

    use super::*;
    use crate::registry::Write;
    use crate::resource::builtin::{NAMESPACES, NODES};
    use crate::simulation::Options;

    /// Looks at a node every second, and counts how often it does.
    struct Looking {
        looks: Arc<AtomicUsize>,
        settles: bool,
    }

    impl Controller for Looking {
        fn name(&self) -> &'static str {
            "looking"
        }

        fn wakes(&self) -> Vec<GroupResource> {
            vec![NAMESPACES]
        }

        fn is_settled_by_what_it_reads(&self) -> bool {
            self.settles
        }

        fn reconcile(&mut self, cx: &mut Cx<'_>, _: &Key) -> Result<Next, ApiError> {
            self.looks.fetch_add(1, Ordering::Relaxed);
            let _ = cx.cluster.api().get(&NODES, "", "a");
            Ok(Next::After(Duration::from_secs(1)))
        }
    }

    /// How often it looked until a node came, and in the ten seconds after that.
    async fn looks(settles: bool) -> (usize, usize) {
        let simulation = Simulation::new(&Options::default());
        let looks = Arc::new(AtomicUsize::new(0));
        let looking = Looking {
            looks: looks.clone(),
            settles,
        };
        let cluster = simulation.add_cluster("c", vec![Box::new(looking)]);
        let create = |id: &GroupResource, name: &str| {
            let object = json!({"metadata": {"name": name}});
            let written = cluster.api().create(id, object, &Write::by("test"));
            written.unwrap();
        };
        create(&NAMESPACES, "woken");
        tokio::time::sleep(Duration::from_millis(9500)).await;
        let before = looks.swap(0, Ordering::Relaxed);
        create(&NODES, "a");
        tokio::time::sleep(Duration::from_secs(10)).await;
        (before, looks.load(Ordering::Relaxed))
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_settled_is_done_again_when_something_that_was_read_has_changed_issue_4() {
        assert_eq!(looks(true).await, (1, 1));
        assert_eq!(looks(false).await, (10, 10));
    }
}
