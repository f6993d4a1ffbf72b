//! Unmodified clients against a served cluster.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use kubesim::kubeadm::{self, Init, NodeSpec, Role};
use kubesim::serve::Server;
use kubesim::{Cluster, Controller, Options, Simulation, controllers};
use libtest_mimic::{Failed, Trial};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;
use tokio::runtime::Runtime;

/// How long a client may take.
const LIMIT: std::time::Duration = std::time::Duration::from_secs(60);

/// A cluster that a client can be pointed at, with a folder of its own.
pub struct Bench {
    pub cluster: Cluster,
    folder: TempDir,
    server: Server,
    runtime: Runtime,
}

impl Bench {
    /// A cluster in which nothing moves by itself.
    pub fn new() -> Self {
        let bench = Self::of(vec![], |_| {});
        bench.namespace("default");
        bench
    }

    /// A cluster with controllers and two nodes.
    pub fn with_nodes() -> Self {
        Self::of(controllers::all(), |cluster| {
            let node = |name, role| NodeSpec::new(name, role, "v1.35.0");
            kubeadm::init(
                cluster,
                &Init::new(node("control-plane", Role::ControlPlane)),
            )
            .unwrap();
            kubeadm::join(cluster, &node("worker", Role::Worker)).unwrap();
        })
    }

    fn of(controllers: Vec<Box<dyn Controller>>, fill: impl FnOnce(&Cluster)) -> Self {
        let runtime = Runtime::new().unwrap();
        let (cluster, server) = runtime.block_on(async {
            let simulation = Simulation::new(&Options::default());
            let cluster = simulation.add_cluster("demo", controllers);
            fill(&cluster);
            let server = Server::start(&cluster).await.unwrap();
            (cluster, server)
        });
        let folder = tempfile::tempdir().unwrap();
        let config = server.kubeconfig().to_string();
        std::fs::write(folder.path().join("kubeconfig"), config).unwrap();
        Self {
            cluster,
            folder,
            server,
            runtime,
        }
    }

    /// Clients bear this token from now on; gives the administrator's.
    pub fn bear(&self, token: &str) -> &str {
        self.file("kubeconfig", &self.server.kubeconfig_of(token).to_string());
        self.server.token()
    }

    /// Makes a namespace.
    pub fn namespace(&self, name: &str) {
        let id = kubesim::resource::builtin::NAMESPACES;
        let object = serde_json::json!({"apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": name}, "status": {"phase": "Active"}});
        self.create(&id, object);
    }

    /// Does something while a client already waits for it.
    pub fn later(
        &self,
        change: impl FnOnce(&Cluster) -> Result<(), kubesim::ApiError> + Send + 'static,
    ) -> Later<'_> {
        let cluster = self.cluster.clone();
        let task = self.runtime.spawn(async move {
            tokio::time::sleep(std::time::Duration::from_millis(500)).await;
            change(&cluster)
        });
        Later(&self.runtime, task)
    }

    /// Does something at once.
    pub fn now(
        &self,
        change: impl FnOnce(&Cluster) -> Result<(), kubesim::ApiError>,
    ) -> Result<(), Failed> {
        let _inside = self.runtime.enter();
        change(&self.cluster).map_err(|error| error.message.into())
    }

    /// Makes an object.
    pub fn create(&self, id: &kubesim::GroupResource, object: serde_json::Value) {
        let _inside = self.runtime.enter();
        let write = kubesim::registry::Write::by("test");
        self.cluster.api().create(id, object, &write).unwrap();
    }

    /// Writes a file into the folder.
    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    /// A client's command, which knows this cluster and nothing of the machine's own configuration.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .env("KUBECONFIG", self.folder.path().join("kubeconfig"))
            .env("HOME", self.folder.path())
            .env("XDG_CONFIG_HOME", self.folder.path())
            .env_remove("KUBERNETES_SERVICE_HOST")
            .current_dir(self.folder.path());
        command
    }

    /// Runs a client and gives what it printed.
    pub fn run(&self, program: &Path, arguments: &[&str], input: &str) -> Result<String, Failed> {
        let output = self.output(program, arguments, input)?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() {
            return Ok(text(&output.stdout));
        }
        Err(format!(
            "{} {arguments:?} failed with {}:\n{}{}",
            program.display(),
            output.status,
            text(&output.stdout),
            text(&output.stderr)
        )
        .into())
    }

    /// Runs a client and gives whatever came of it; one that does not end by itself fails.
    pub fn output(
        &self,
        program: &Path,
        arguments: &[&str],
        input: &str,
    ) -> Result<Output, Failed> {
        self.runtime.block_on(async {
            let mut command = tokio::process::Command::from(self.command(program));
            let mut child = command
                .args(arguments)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .kill_on_drop(true)
                .spawn()?;
            if let Some(mut stdin) = child.stdin.take() {
                stdin.write_all(input.as_bytes()).await?;
            }
            let ended = tokio::time::timeout(LIMIT, child.wait_with_output()).await;
            Ok(ended.map_err(|_| format!("{arguments:?} does not end"))??)
        })
    }
}

/// What is done while a client waits.
pub struct Later<'b>(
    &'b Runtime,
    tokio::task::JoinHandle<Result<(), kubesim::ApiError>>,
);

impl Later<'_> {
    /// Waits until it is done.
    pub fn done(self) -> Result<(), Failed> {
        Ok(self.0.block_on(self.1)??)
    }
}

/// A client by its name: the testbed's, or one of the machine.
pub fn find(program: &str) -> Option<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
    let testbed = cache.map(|cache| cache.join("stackgate-testbed/bin"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = testbed.into_iter().chain(std::env::split_paths(&path));
    folders
        .map(|folder| folder.join(program))
        .find(|path| path.is_file())
}

/// A test with a client.
pub type Test = (&'static str, fn(&Path) -> Result<(), Failed>);

/// A client, and what is tried with it.
pub struct Client {
    pub name: &'static str,
    /// None where this machine has none.
    pub program: Option<PathBuf>,
    pub tests: &'static [Test],
}

impl Client {
    /// Its tests; without it they are shown as ignored, and a line says why.
    pub fn trials(self) -> impl Iterator<Item = Trial> {
        if self.program.is_none() {
            eprintln!("ignored: there is no {} on this machine", self.name);
        }
        self.tests.iter().map(move |&(name, test)| {
            let program = self.program.clone();
            let present = program.is_some();
            Trial::test(name, move || match program {
                Some(program) => test(&program),
                None => Err("the client is not here".into()),
            })
            .with_ignored_flag(!present)
        })
    }
}

/// Asserts that a text holds each of some words.
pub fn holds(text: &str, words: &[&str]) -> Result<(), Failed> {
    for word in words {
        if !text.contains(word) {
            return Err(format!("expected {word:?} in:\n{text}").into());
        }
    }
    Ok(())
}
