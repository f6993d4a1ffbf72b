//! What runs in containers: simulated programs, chosen by image.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

use super::agnhost::Agnhost;
use super::asker::Ask;
use super::conformance::Conformance;
use crate::cluster::Cluster;
use crate::object::{list, text};
use crate::random::Random;
use crate::store::lock;

/// A container that is about to run.
pub struct Start<'a> {
    /// Where it runs.
    pub cluster: &'a Cluster,
    /// Its pod.
    pub pod: &'a Value,
    /// Its part of the pod's spec.
    pub container: &'a Value,
    /// The pod's address, empty while it has none.
    pub address: &'a str,
    /// How often it ran before.
    pub restarts: u32,
    /// Whether it is to run for as long as the pod does.
    pub stays: bool,
    /// What varies from run to run.
    pub random: &'a mut Random,
}

impl Start<'_> {
    /// Command and arguments, as the container is given them.
    #[must_use]
    pub fn words(&self) -> Vec<String> {
        let of = |pointer| {
            list(self.container, pointer)
                .iter()
                .filter_map(Value::as_str)
        };
        of("/command")
            .chain(of("/args"))
            .map(str::to_owned)
            .collect()
    }

    /// A variable of the container's environment, where its value is written in the pod.
    #[must_use]
    pub fn environment(&self, name: &str) -> Option<String> {
        let mut variables = list(self.container, "/env").iter();
        let found = variables.find(|variable| variable["name"] == name)?;
        Some(text(found, "/value").to_owned())
    }

    /// The ports that the container declares.
    #[must_use]
    pub fn ports(&self) -> Vec<u16> {
        let ports = list(self.container, "/ports").iter();
        ports
            .filter_map(|port| port["containerPort"].as_u64())
            .filter_map(|port| u16::try_from(port).ok())
            .collect()
    }

    /// The name of the PersistentVolume that is mounted at, or above, a path, and the path within it.
    #[must_use]
    pub fn volume_at(&self, path: &str) -> Option<(String, String)> {
        super::volume::at(self.cluster, self.pod, self.container, path)
    }
}

/// How a run ends of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// How long after its start.
    pub after: Duration,
    /// Exit code.
    pub code: i32,
    /// What it wrote to its termination log.
    pub message: String,
}

/// Where a run can be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listens {
    /// At these ports.
    At(Vec<u16>),
    /// At whatever port one asks for: an unknown server that declares none.
    Anywhere,
}

impl Listens {
    /// Whether it answers at a port.
    #[must_use]
    pub fn at(&self, port: u16) -> bool {
        match self {
            Self::Anywhere => true,
            Self::At(ports) => ports.contains(&port),
        }
    }
}

/// One run of a program, from its start on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// When its probes begin to succeed; never for none.
    pub ready_after: Option<Duration>,
    /// How it ends of its own; never for none.
    pub end: Option<End>,
    /// What it says, by time after its start.
    pub logs: Vec<(Duration, String)>,
    /// What it asks again and again, and prints.
    pub asks: Vec<Ask>,
    /// Where it can be reached, once it is ready.
    pub listens: Listens,
    /// How long it takes to stop when asked; longer than its grace period and it is killed.
    pub stops_after: Duration,
}

impl Run {
    /// A server that is up after a while, at these ports.
    #[must_use]
    pub fn server(up_after: Duration, listens: Listens) -> Self {
        Self {
            ready_after: Some(up_after),
            end: None,
            logs: Vec::new(),
            asks: Vec::new(),
            listens,
            stops_after: Duration::from_millis(200),
        }
    }

    /// Something that ends after a while with an exit code, and says something at its end.
    #[must_use]
    pub fn task(after: Duration, code: i32, said: &[&str]) -> Self {
        Self {
            ready_after: Some(Duration::ZERO),
            end: Some(End {
                after,
                code,
                message: String::new(),
            }),
            logs: said
                .iter()
                .map(|line| (after, (*line).to_owned()))
                .collect(),
            asks: Vec::new(),
            listens: Listens::At(Vec::new()),
            stops_after: Duration::from_millis(50),
        }
    }
}

/// A simulated program.
pub trait Program: Send + Sync + fmt::Debug {
    /// What a container does that starts now. Called once for each (re)start.
    fn start(&self, start: &mut Start<'_>) -> Run;
}

/// What runs when nothing else is known: where the container is to stay, a server at its declared
/// ports; elsewhere a task that succeeds after a moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unknown;

impl Program for Unknown {
    fn start(&self, start: &mut Start<'_>) -> Run {
        if !start.stays {
            let after = start
                .random
                .between(Duration::from_millis(500), Duration::from_secs(2));
            return Run::task(after, 0, &[]);
        }
        let up = start
            .random
            .between(Duration::from_millis(200), Duration::from_millis(1200));
        let ports = start.ports();
        // On its node's network, an unknown server would answer for all others there.
        let host = crate::object::truth(start.pod, "/spec/hostNetwork");
        let listens = if ports.is_empty() && !host {
            Listens::Anywhere
        } else {
            Listens::At(ports)
        };
        Run::server(up, listens)
    }
}

/// A server at known ports, whatever its container declares; it says of itself that it is none.
#[derive(Clone, Copy, Debug)]
pub struct At(pub &'static [u16]);

impl Program for At {
    fn start(&self, start: &mut Start<'_>) -> Run {
        let up = start
            .random
            .between(Duration::from_millis(300), Duration::from_millis(1500));
        let image = text(start.container, "/image");
        let said = format!("this stands for {image}, which does not run in a simulated cluster");
        Run {
            logs: vec![(Duration::ZERO, said)],
            ..Run::server(up, Listens::At(self.0.to_vec()))
        }
    }
}

/// The pause container: does nothing for ever.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pause;

impl Program for Pause {
    fn start(&self, _: &mut Start<'_>) -> Run {
        Run::server(Duration::ZERO, Listens::At(Vec::new()))
    }
}

/// A program that fails a while after each start: for rehearsing what a crash does.
#[derive(Clone, Debug)]
pub struct Crashing {
    /// How long it runs.
    pub after: Duration,
    /// Exit code.
    pub code: i32,
    /// Its last words.
    pub said: String,
}

impl Program for Crashing {
    fn start(&self, _: &mut Start<'_>) -> Run {
        Run {
            ready_after: None,
            ..Run::task(self.after, self.code, &[&self.said])
        }
    }
}

/// A server whose probes never succeed.
#[derive(Clone, Copy, Debug, Default)]
pub struct NeverReady;

impl Program for NeverReady {
    fn start(&self, start: &mut Start<'_>) -> Run {
        Run {
            ready_after: None,
            ..Run::server(Duration::ZERO, Listens::At(start.ports()))
        }
    }
}

type Known = Vec<(String, Arc<dyn Program>)>;

/// Programs by image; clones are the same.
#[derive(Clone, Debug)]
pub struct Programs(Arc<Mutex<Known>>);

impl Default for Programs {
    /// What kubeadm brings, agnhost, pause and the conformance tests.
    fn default() -> Self {
        let known: Known = vec![
            ("etcd".to_owned(), Arc::new(At(&[2379, 2380, 2381]))),
            ("kube-apiserver".to_owned(), Arc::new(At(&[6443]))),
            ("kube-controller-manager".to_owned(), Arc::new(At(&[10257]))),
            ("kube-scheduler".to_owned(), Arc::new(At(&[10259]))),
            ("kube-proxy".to_owned(), Arc::new(At(&[10249, 10256]))),
            ("agnhost".to_owned(), Arc::new(Agnhost)),
            ("pause".to_owned(), Arc::new(Pause)),
            ("conformance".to_owned(), Arc::new(Conformance::default())),
        ];
        Self(Arc::new(Mutex::new(known)))
    }
}

impl Programs {
    /// From now on, containers of such images run this program. `image` is a reference, with or
    /// without tag, or the end of its path, e.g. `coredns`. The last that fits is taken.
    pub fn install(&self, image: &str, program: Arc<dyn Program>) {
        lock(&self.0).push((image.to_owned(), program));
    }

    /// Undoes all installations for this word.
    pub fn remove(&self, image: &str) {
        lock(&self.0).retain(|(known, _)| known != image);
    }

    /// What containers of an image run.
    #[must_use]
    pub fn of(&self, image: &str) -> Arc<dyn Program> {
        let known = lock(&self.0);
        let found = known.iter().rev().find(|(word, _)| is_of(image, word));
        found.map_or_else(
            || Arc::new(Unknown) as Arc<dyn Program>,
            |(_, program)| program.clone(),
        )
    }
}

/// Whether an image is meant by a word: a whole reference, or the end of its path without the tag.
fn is_of(image: &str, word: &str) -> bool {
    if image == word {
        return true;
    }
    let named = image.split('@').next().unwrap_or_default();
    let last = named.rfind('/').map_or(0, |slash| slash + 1);
    let path = named[last..]
        .find(':')
        .map_or(named, |colon| &named[..last + colon]);
    path == word
        || path
            .strip_suffix(word)
            .is_some_and(|before| before.ends_with('/'))
}

/// Whether a container stays as long as its pod.
pub(super) fn stays(pod: &Value, container: &Value, init: bool) -> bool {
    if init {
        text(container, "/restartPolicy") == "Always"
    } else {
        matches!(text(pod, "/spec/restartPolicy"), "" | "Always")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_by_the_end_of_an_images_path() {
        for (image, word, expected) in [
            (
                "registry.k8s.io/e2e-test-images/agnhost:2.53",
                "agnhost",
                true,
            ),
            ("localhost:5000/agnhost", "agnhost", true),
            ("agnhost", "agnhost", true),
            ("example.org/not-agnhost:1", "agnhost", false),
            ("example.org/app:1", "example.org/app:1", true),
            ("example.org/app:2", "example.org/app:1", false),
            ("example.org/app@sha256:00", "example.org/app", true),
        ] {
            assert_eq!(is_of(image, word), expected, "{image} {word}");
        }
    }
}
