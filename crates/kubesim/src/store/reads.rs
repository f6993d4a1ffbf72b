//! What something was computed from: as long as nothing of that has changed, to compute it again changes nothing.
//! Controllers that look at what does not wake them do so every few seconds, and hardly ever find anything new.

use std::cell::RefCell;

use super::{Place, Store};
use crate::resource::GroupResource;
use crate::resource::catalogue::Catalogue;

thread_local! {
    /// What has been read since a computation began on this thread, while there is one.
    static READS: RefCell<Option<Reads>> = const { RefCell::new(None) };
}

/// What a computation has read.
#[derive(Default)]
pub(crate) struct Reads {
    of: Vec<Read>,
    /// By which kinds, and how often each of these catalogues had changed by then.
    served: Vec<(Catalogue, u64)>,
    /// Whether it wrote, or read what nobody can tell to be as it was.
    is_spoilt: bool,
}

enum Read {
    /// An object, at the revision that it had; none while it was not there.
    One(Store, GroupResource, Place, Option<u64>),
    /// Any of the objects of a resource, after the change of this revision.
    Any(Store, GroupResource, u64),
    /// Something else, and whether it is as it was.
    Other(Box<dyn Fn() -> bool + Send>),
}

impl Reads {
    /// Computes something, with what it reads for that.
    pub(crate) fn of<T>(compute: impl FnOnce() -> T) -> (T, Self) {
        let around = READS.replace(Some(Self::default()));
        let computed = compute();
        let reads = READS.replace(around).unwrap_or_default();
        // A computation around this one does not know what was read here.
        spoil();
        (computed, reads)
    }

    /// Whether it would be computed from the same again, and would write nothing.
    pub(crate) fn are_as_they_were(&self) -> bool {
        let is_as_it_was = |read: &Read| match read {
            Read::One(store, resource, place, revision) => {
                store.revision_of(resource, place) == *revision
            }
            Read::Any(store, resource, change) => store.change_of(resource) == *change,
            Read::Other(is_as_it_was) => is_as_it_was(),
        };
        let mut served = self.served.iter();
        !self.is_spoilt
            && served.all(|(catalogue, was)| catalogue.generation() == *was)
            && self.of.iter().all(is_as_it_was)
    }
}

fn note(read: impl FnOnce() -> Read) {
    READS.with_borrow_mut(|reads| {
        if let Some(reads) = reads {
            reads.of.push(read());
        }
    });
}

pub(super) fn one(store: &Store, resource: &GroupResource, place: (&str, &str), was: Option<u64>) {
    note(|| {
        let place = (place.0.to_owned(), place.1.to_owned());
        Read::One(store.clone(), resource.clone(), place, was)
    });
}

pub(super) fn any(store: &Store, resource: &GroupResource, change: impl FnOnce() -> u64) {
    note(|| Read::Any(store.clone(), resource.clone(), change()));
}

/// Notes that a catalogue was looked at, once: there are many looks.
pub(crate) fn served(catalogue: &Catalogue, generation: u64) {
    READS.with_borrow_mut(|reads| {
        if let Some(reads) = reads
            && reads.served.iter().all(|(known, _)| known != catalogue)
        {
            reads.served.push((catalogue.clone(), generation));
        }
    });
}

/// Reads something that is in no store.
pub(crate) fn other<T>(read: impl Fn() -> T + Send + 'static) -> T
where
    T: Clone + PartialEq + Send + 'static,
{
    let told = read();
    let was = told.clone();
    noted(move || read() == was);
    told
}

/// Notes that something was read that is in no store, and how it is known to be as it was.
pub(crate) fn noted(is_as_it_was: impl Fn() -> bool + Send + 'static) {
    note(|| Read::Other(Box::new(is_as_it_was)));
}

/// What is computed at the moment may be another thing the next time, whatever it was computed from.
pub(crate) fn spoil() {
    READS.with_borrow_mut(|reads| {
        if let Some(reads) = reads {
            reads.is_spoilt = true;
        }
    });
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use serde_json::json;

    use super::*;
    use crate::resource::builtin::{NODES, PODS};

    fn put(store: &Store, resource: &GroupResource, name: &str) {
        let object = json!({"metadata": {"name": name}});
        store.put(resource, object, Arc::default(), None).unwrap();
    }

    /// Whether what was computed from a store with one node stays as it was after a change.
    fn stays(change: impl FnOnce(&Store), compute: impl FnOnce(&Store)) -> bool {
        let store = Store::default();
        put(&store, &NODES, "a");
        let ((), reads) = Reads::of(|| compute(&store));
        assert!(reads.are_as_they_were());
        change(&store);
        reads.are_as_they_were()
    }

    #[test]
    fn one_object_is_as_it_was_until_it_is_written_and_a_list_until_any_is() {
        let one = |name: &'static str| move |store: &Store| drop(store.get(&NODES, "", name));
        let all = |store: &Store| drop(store.list(&NODES, None));
        let write = |resource, name| move |store: &Store| put(store, &resource, name);
        assert!(!stays(write(NODES, "a"), one("a")));
        assert!(stays(write(NODES, "b"), one("a")));
        assert!(!stays(write(NODES, "b"), one("b")), "it was not there");
        assert!(!stays(write(NODES, "b"), all));
        assert!(stays(write(PODS, "a"), all));
        let remove = |store: &Store| drop(store.remove(&NODES, "", "a", None).unwrap());
        assert!(!stays(remove, one("a")));
        assert!(!stays(remove, all));
    }

    #[test]
    fn what_writes_or_may_be_another_thing_is_never_as_it_was() {
        let store = Store::default();
        let (_, wrote) = Reads::of(|| put(&store, &NODES, "a"));
        assert!(!wrote.are_as_they_were());
        let (_, chance) = Reads::of(spoil);
        assert!(!chance.are_as_they_were());
    }

    #[test]
    fn what_has_another_computation_inside_is_never_as_it_was() {
        let store = Store::default();
        let ((_, inner), outer) = Reads::of(|| Reads::of(|| drop(store.get(&NODES, "", "a"))));
        assert!(inner.are_as_they_were());
        assert!(!outer.are_as_they_were());
    }

    #[test]
    fn what_is_served_is_as_it_was_until_a_definition_comes_or_goes() {
        let (catalogue, other) = (Catalogue::default(), Catalogue::default());
        let looked = || Reads::of(|| (catalogue.get(&PODS), catalogue.get(&NODES)));
        let (_, reads) = looked();
        other.withdraw(&PODS);
        assert!(reads.are_as_they_were());
        catalogue.withdraw(&PODS);
        assert!(!reads.are_as_they_were());
        assert!(looked().1.are_as_they_were());
    }

    #[test]
    fn what_is_in_no_store_is_asked_again() {
        let number = Arc::new(AtomicU64::new(1));
        let read = number.clone();
        let (was, reads) = Reads::of(|| other(move || read.load(Ordering::Relaxed)));
        assert!(reads.are_as_they_were());
        number.store(2, Ordering::Relaxed);
        assert_eq!((was, reads.are_as_they_were()), (1, false));
    }
}
