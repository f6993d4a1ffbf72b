//! What keeps a run from starting, all of it at once, each with its way out. Looks, and makes nothing.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use bollard::Docker;
use futures::future::join_all;
use serde_json::Value;
use tokio::process::Command;

use super::management::node_of;
use super::names::{kept_cluster, kept_name_problem, run_at_end};
use super::{KindOptions, ManagementMode, docker, host, images, kind_config, light, providers};
use crate::engine::Problem;
use crate::stack::Infrastructure;

/// The least Docker that kind and CAPD work with (kind needs private cgroup namespaces: API 1.41).
const DOCKER_API: (usize, usize) = (1, 41);
/// How long a registry may take to say whether it has an image.
const REGISTRY: Duration = Duration::from_secs(10);

fn problem(what: impl Into<String>, remedy: impl Into<String>) -> Problem {
    Problem {
        what: what.into(),
        remedy: remedy.into(),
    }
}

/// Every problem at once, and the manifests of Cluster API, which were read to find them.
pub(super) async fn problems(options: &KindOptions) -> (Vec<Problem>, Option<Vec<Value>>) {
    if options.infrastructure != Infrastructure::Docker {
        // Nothing else that is missing is worth a word.
        return (vec![other_provider(options.infrastructure)], None);
    }
    let (manifests, mut problems) = components(options).await;
    let kind_program = options.config.kind_program();
    let (docker, kind, client) = futures::join!(
        docker::connect(),
        program(
            &kind_program,
            "version",
            "see https://kind.sigs.k8s.io/docs/user/quick-start, or name it in STACKGATE_KIND"
        ),
        program(
            Path::new("docker"),
            "--version",
            "kind needs Docker's command line: see https://docs.docker.com/engine/install"
        ),
    );
    let nodeless = options.management == ManagementMode::Light;
    problems.extend(names(options));
    let fresh = !nodeless && !matches!(options.management, ManagementMode::Reuse(_));
    if !nodeless {
        problems.extend(kind);
        problems.extend(client);
        problems.extend(kind_config::problems(&options.kind_config, fresh));
    }
    problems.extend(host::problems(fresh));
    let operator = options.operator.as_ref();
    problems
        .extend(operator.and_then(|operator| operator.problem(|name| std::env::var(name).ok())));
    match docker {
        Ok(docker) => {
            let mut needed: BTreeSet<String> = options.images.iter().cloned().collect();
            if fresh {
                needed.insert(options.node_image.clone());
                needed.extend(images::of_objects(manifests.as_deref().unwrap_or_default()));
            }
            if let Some(operator) = &options.operator {
                needed.extend(operator.images());
            }
            if nodeless {
                needed.extend(light::images(manifests.as_deref().unwrap_or_default()));
            }
            problems.extend(daemon(&docker).await);
            problems.extend(missing_images(&docker, &needed).await);
            problems.extend(kept(&docker, &options.management).await);
        }
        Err(error) => problems.push(unreachable(&error)),
    }
    (problems, manifests)
}

/// A stack whose Machines are no containers.
fn other_provider(infrastructure: Infrastructure) -> Problem {
    problem(
        format!(
            "the stack is for the infrastructure provider {infrastructure}, and engine kind makes Machines with docker only"
        ),
        "rehearse it with --engine embedded, or bring a management cluster that has the provider: --engine existing --kubeconfig FILE",
    )
}

fn unreachable(error: &bollard::errors::Error) -> Problem {
    let host = std::env::var("DOCKER_HOST").unwrap_or_else(|_| "/var/run/docker.sock".to_owned());
    let mut causes = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        causes = format!("{causes}: {inner}");
        source = inner.source();
    }
    if !host.starts_with('/') && !host.starts_with("unix://") {
        return problem(
            format!("Docker at {host} cannot be used: kind and CAPD need the one of this machine"),
            "unset DOCKER_HOST, or set it to unix:///var/run/docker.sock",
        );
    }
    let remedy = if causes.contains("Permission denied") {
        "join the group that owns the socket: sudo usermod -aG docker $USER, then log in again"
    } else {
        "start it: sudo systemctl start docker"
    };
    problem(
        format!("Docker does not answer at {host}: {causes}"),
        remedy,
    )
}

async fn daemon(docker: &Docker) -> Vec<Problem> {
    let mut problems = Vec::new();
    let version = docker.client_version();
    if (version.major_version, version.minor_version) < DOCKER_API {
        problems.push(problem(
            format!(
                "Docker speaks API {version}, expected at least {}.{}",
                DOCKER_API.0, DOCKER_API.1
            ),
            "update Docker to 20.10 or later",
        ));
    }
    match docker.info().await {
        Ok(info) => {
            if info.os_type.as_deref().is_some_and(|os| os != "linux") {
                problems.push(problem(
                    "Docker runs Windows containers",
                    "switch it to Linux containers",
                ));
            }
            if let Some(root) = info.docker_root_dir {
                problems.extend(host::disk_problem(Path::new(&root)));
            }
        }
        Err(error) => problems.push(unreachable(&error)),
    }
    problems
}

/// Whether a program can be started.
async fn program(program: &Path, argument: &str, remedy: &str) -> Option<Problem> {
    let shown = program.display();
    let output = Command::new(program)
        .arg(argument)
        .stdin(Stdio::null())
        .output()
        .await;
    match output {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(problem(
            format!("`{shown} {argument}` ended with {}", output.status),
            remedy,
        )),
        Err(error) => Some(problem(
            format!("{shown} cannot be started: {error}"),
            remedy,
        )),
    }
}

fn names(options: &KindOptions) -> Vec<Problem> {
    let mut problems = Vec::new();
    if let ManagementMode::Keep(name) | ManagementMode::Reuse(name) = &options.management {
        problems.extend(
            kept_name_problem(name).map(|what| problem(what, "choose another name, e.g. warm")),
        );
    }
    if run_at_end(&options.workload_cluster).as_ref() != Some(&options.run) {
        problems.push(problem(
            format!(
                "the workload cluster's name {} does not end in the run's id",
                options.workload_cluster
            ),
            format!("name it e.g. demo-{}", options.run),
        ));
    }
    problems
}

/// Reads Cluster API's manifests, unless the run needs none.
async fn components(options: &KindOptions) -> (Option<Vec<Value>>, Vec<Problem>) {
    let wanted = &options.components_version;
    if matches!(options.management, ManagementMode::Reuse(_)) {
        return (None, Vec::new());
    }
    let Some(components) = options.config.components.clone() else {
        let remedy = "install it (https://cluster-api.sigs.k8s.io/user/quick-start), or name a folder with manifests in STACKGATE_COMPONENTS=VERSION=FOLDER";
        let missing = program(Path::new("clusterctl"), "version", remedy).await;
        return (None, missing.into_iter().collect());
    };
    let shown = components.directory.display().to_string();
    if components.version != *wanted {
        let what = format!(
            "{shown} holds Cluster API {}, and the stack asks for {wanted}",
            components.version
        );
        let remedy = format!(
            "name a folder with {wanted} in STACKGATE_COMPONENTS={wanted}=FOLDER, or ask for {} in stack.yaml",
            components.version
        );
        return (None, vec![problem(what, remedy)]);
    }
    let read = tokio::task::spawn_blocking(move || providers::read(&components.directory)).await;
    match read.map_err(anyhow::Error::from).flatten() {
        Ok(manifests) => (Some(manifests), Vec::new()),
        Err(error) => {
            let remedy = format!(
                "make the folder anew; it has to hold {}",
                providers::FILES.join(", ")
            );
            (None, vec![problem(format!("{error:#}"), remedy)])
        }
    }
}

async fn missing_images(docker: &Docker, needed: &BTreeSet<String>) -> Vec<Problem> {
    let looks = needed.iter().map(|image| async move {
        let local = docker::absent(docker.inspect_image(image).await);
        if matches!(local, Ok(Some(_))) {
            return None;
        }
        let remote = docker.inspect_registry_image(image, None);
        let why = match tokio::time::timeout(REGISTRY, remote).await {
            Ok(Ok(_)) => return None,
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!(
                "its registry does not answer within {} s",
                REGISTRY.as_secs()
            ),
        };
        Some(problem(
            format!("image {image} is neither on this machine nor to be had: {why}"),
            format!("make or load it (docker load), or correct its name in the stack: {image}"),
        ))
    });
    join_all(looks).await.into_iter().flatten().collect()
}

/// A kept cluster is there when it is to be reused, and is not when it is to be made.
async fn kept(docker: &Docker, mode: &ManagementMode) -> Option<Problem> {
    let (name, wanted) = match mode {
        ManagementMode::Fresh | ManagementMode::Light => return None,
        ManagementMode::Keep(name) => (name, false),
        ManagementMode::Reuse(name) => (name, true),
    };
    let cluster = kept_cluster(name);
    match (docker::inspect(docker, &node_of(&cluster)).await, wanted) {
        (Ok(Some(_)), false) => Some(problem(
            format!("management cluster {name} is there already"),
            format!(
                "use it: --management reuse {name}, or remove it: stackgate clean --kept {name}"
            ),
        )),
        (Ok(None), true) => Some(problem(
            format!("there is no management cluster {name}"),
            format!("make it: --management keep {name}"),
        )),
        (Err(error), _) => Some(problem(
            format!("{error:#}"),
            "see whether Docker is well: docker ps",
        )),
        (Ok(_), _) => None,
    }
}

#[cfg(test)]
mod tests {
    use bollard::errors::Error;

    use super::*;

    #[test]
    fn a_docker_that_refuses_and_one_that_is_off_have_different_ways_out() {
        let denied = Error::IOError {
            err: std::io::Error::other("Permission denied (os error 13)"),
        };
        assert!(unreachable(&denied).remedy.contains("usermod"));
        let off = Error::SocketNotFoundError("/var/run/docker.sock".to_owned());
        assert!(unreachable(&off).remedy.contains("systemctl start docker"));
    }

    #[tokio::test]
    async fn a_program_that_is_missing_or_fails_is_a_problem() {
        let absent = program(Path::new("/nowhere/kind"), "version", "install it").await;
        assert!(
            absent
                .unwrap()
                .what
                .contains("/nowhere/kind cannot be started")
        );
        let failing = program(Path::new("false"), "version", "install it").await;
        assert!(failing.unwrap().what.contains("exit status: 1"));
        assert_eq!(program(Path::new("true"), "version", "").await, None);
    }
}
