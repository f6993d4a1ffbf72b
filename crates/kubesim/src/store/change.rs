//! One write to a store, as watches and observers are told of it.

use std::sync::Arc;

use super::Stored;
use crate::resource::GroupResource;

/// What a write did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// The object is new.
    Added,
    /// It was there before.
    Modified,
    /// It is gone.
    Deleted,
}

/// One write.
#[derive(Clone, Debug)]
pub struct Change {
    /// What it did.
    pub kind: ChangeKind,
    /// To which resource.
    pub resource: GroupResource,
    /// The object after it; of a deletion the last state, at the revision of the deletion.
    pub object: Arc<Stored>,
    /// The object before it.
    pub previous: Option<Arc<Stored>>,
}

impl Change {
    /// The revision of the write.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.object.revision
    }
}
