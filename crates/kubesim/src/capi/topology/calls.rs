//! Calling lifecycle hooks: who blocks, until when, and which hooks are still to be called.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::super::access::unless_gone;
use super::super::hooks::{Hook, HookAnswer, RuntimeExtension};
use super::super::kinds::{CLUSTERS, PENDING_HOOKS};
use super::{MANAGER, Trouble};
use crate::cluster::Cluster;
use crate::error::ApiError;
use crate::object::{annotation, name, namespace, set_in_metadata};

/// Annotations of a Cluster whose names begin so hold an upgrade back.
const HOLD: &str = "before-upgrade.hook.cluster.cluster.x-k8s.io";
/// How long an annotation is taken to hold.
const HELD: Duration = Duration::from_mins(20);

/// An extension's wish not to be asked again for a while.
struct Blocked {
    until: Instant,
    why: String,
}

/// Extensions, and what they answered last.
pub(super) struct Calls {
    extensions: Vec<Arc<dyn RuntimeExtension>>,
    /// By the Cluster's uid.
    blocked: BTreeMap<(String, Hook), Blocked>,
}

impl Calls {
    pub(super) fn new(extensions: &[Arc<dyn RuntimeExtension>]) -> Self {
        Self {
            extensions: extensions.to_vec(),
            blocked: BTreeMap::new(),
        }
    }

    /// Forgets a Cluster.
    pub(super) fn forget(&mut self, uid: &str) {
        self.blocked.retain(|(of, _), _| of != uid);
    }

    /// Calls a hook, or waits until it may be called again: for how long it blocks and why, or none.
    fn call(
        &mut self,
        management: &Cluster,
        hook: Hook,
        cluster: &Value,
    ) -> Result<Option<(Duration, String)>, Trouble> {
        let key = (crate::object::uid(cluster).to_owned(), hook);
        let now = Instant::now();
        if let Some(blocked) = self.blocked.get(&key)
            && blocked.until > now
        {
            return Ok(Some((blocked.until - now, blocked.why.clone())));
        }
        self.blocked.remove(&key);
        let mut least: Option<Duration> = None;
        let mut messages = Vec::new();
        for extension in &self.extensions {
            match extension.call(management, hook, cluster) {
                HookAnswer::Success => {}
                HookAnswer::Retry(after, why) => {
                    least = Some(least.map_or(after, |least| least.min(after)));
                    messages.extend((!why.is_empty()).then_some(why));
                }
                HookAnswer::Failure(why) => {
                    return Err(Trouble::Failed(format!(
                        "failed to call extension handlers for hook \"{}.hooks.runtime.cluster.x-k8s.io\": failed to call extension handler \"{}\": got failure response, please check controller logs for errors: {why}",
                        hook.name(),
                        extension.name()
                    )));
                }
            }
        }
        let Some(after) = least else {
            return Ok(None);
        };
        let why = messages.join(", ");
        let until = now + after;
        self.blocked.insert(
            key,
            Blocked {
                until,
                why: why.clone(),
            },
        );
        Ok(Some((after, why)))
    }
}

/// The hooks of one reconciliation.
pub(super) struct Hooks<'a> {
    calls: &'a mut Calls,
    management: &'a Cluster,
    cluster: &'a Value,
    /// Hooks that block, for how long and why.
    blocking: BTreeMap<Hook, (Duration, String)>,
}

impl<'a> Hooks<'a> {
    pub(super) fn new(calls: &'a mut Calls, management: &'a Cluster, cluster: &'a Value) -> Self {
        Self {
            calls,
            management,
            cluster,
            blocking: BTreeMap::new(),
        }
    }

    /// The Cluster as it is now, with what earlier steps have noted.
    fn live(&self) -> Option<Arc<Value>> {
        let api = self.management.api();
        api.get(&CLUSTERS, namespace(self.cluster), name(self.cluster))
    }

    /// Whether a hook is still to be called.
    pub(super) fn is_pending(&self, hook: Hook) -> bool {
        self.live().is_some_and(|cluster| {
            let hooks = annotation(&cluster, PENDING_HOOKS).unwrap_or_default();
            hooks.split(',').any(|one| one == hook.name())
        })
    }

    /// Notes hooks as to be called, or as called.
    pub(super) fn set_pending(&self, hooks: &[Hook], pending: bool) -> Result<(), ApiError> {
        let (space, own) = (namespace(self.cluster), name(self.cluster));
        let api = self.management.api();
        unless_gone(api.modify(&CLUSTERS, space, own, MANAGER, |cluster| {
            let held = annotation(cluster, PENDING_HOOKS)
                .unwrap_or_default()
                .to_owned();
            let mut held: Vec<&str> = held.split(',').filter(|hook| !hook.is_empty()).collect();
            for hook in hooks {
                held.retain(|one| *one != hook.name());
                if pending {
                    held.push(hook.name());
                }
            }
            held.sort_unstable();
            if !held.is_empty() {
                set_in_metadata(cluster, "annotations", PENDING_HOOKS, &held.join(","));
            } else if let Some(annotations) = cluster["metadata"]["annotations"].as_object_mut() {
                annotations.shift_remove(PENDING_HOOKS);
            }
        }))
    }

    /// Calls a hook; whether the way is free.
    pub(super) fn ask(&mut self, hook: Hook) -> Result<bool, Trouble> {
        let cluster = self.live().ok_or_else(ApiError::no_such_path)?;
        match self.calls.call(self.management, hook, &cluster)? {
            None => Ok(true),
            Some(blocked) => {
                self.blocking.insert(hook, blocked);
                Ok(false)
            }
        }
    }

    /// Calls a hook that cannot block, whatever extensions would like.
    pub(super) fn tell(&mut self, management: &Cluster, hook: Hook) -> Result<(), Trouble> {
        let cluster = self.live().ok_or_else(ApiError::no_such_path)?;
        self.calls.call(management, hook, &cluster).map(drop)
    }

    /// Calls a hook if it is pending, and notes that it was; whether the way is free.
    pub(super) fn ask_if_pending(&mut self, hook: Hook) -> Result<bool, Trouble> {
        if self.is_pending(hook) {
            if !self.ask(hook)? {
                return Ok(false);
            }
            self.set_pending(&[hook], false)?;
        }
        Ok(true)
    }

    /// The hook before an upgrade, which annotations can hold as well; whether the way is free. It is
    /// called once for an upgrade, however many steps that takes.
    pub(super) fn ask_before_upgrade(&mut self) -> Result<bool, Trouble> {
        if self.is_pending(Hook::AfterClusterUpgrade) {
            return Ok(true);
        }
        let annotations = self.cluster["metadata"]["annotations"].as_object();
        let mut held: Vec<&str> = annotations
            .into_iter()
            .flatten()
            .map(|(key, _)| key.as_str())
            .filter(|key| key.starts_with(HOLD))
            .collect();
        held.sort_unstable();
        let why = match held.as_slice() {
            [] => return self.ask(Hook::BeforeClusterUpgrade),
            [one] => format!("annotation {one} is set"),
            several => format!("annotations {} are set", several.join(", ")),
        };
        self.blocking
            .insert(Hook::BeforeClusterUpgrade, (HELD, why));
        Ok(false)
    }

    /// Whether a hook blocks.
    pub(super) fn is_blocking(&self, hook: Hook) -> bool {
        self.blocking.contains_key(&hook)
    }

    /// When to call again.
    pub(super) fn again(&self) -> Option<Duration> {
        self.blocking.values().map(|(after, _)| *after).min()
    }

    /// Who blocks what; none when nobody does.
    pub(super) fn message(&self, action: &str) -> Option<String> {
        let told: Vec<String> = self
            .blocking
            .iter()
            .map(|(hook, (_, why))| match why.as_str() {
                "" => hook.name().to_owned(),
                why => format!("{}: {why}", hook.name()),
            })
            .collect();
        (!told.is_empty())
            .then(|| format!("Following hooks are blocking {action}: {}", told.join("; ")))
    }
}
