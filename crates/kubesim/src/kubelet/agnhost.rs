//! `agnhost`, the image that Kubernetes' own tests use: the subcommands that ask the network, serve, or
//! look at files.

use std::sync::Arc;
use std::time::Duration;

use super::program::{Listens, Program, Run, Start};
use crate::network::{self, Failure};

/// The program.
#[derive(Clone, Copy, Debug, Default)]
pub struct Agnhost;

/// How long a look-up or a connection takes that succeeds.
const QUICK: Duration = Duration::from_millis(20);

impl Program for Agnhost {
    fn start(&self, start: &mut Start<'_>) -> Run {
        let mut words = start.words();
        if words
            .first()
            .is_some_and(|word| word.rsplit('/').next() == Some("agnhost"))
        {
            words.remove(0);
        }
        let (flags, plain) = split(&words);
        let flag = |name: &str| {
            flags
                .iter()
                .find(|(flag, _)| flag == name)
                .map(|(_, value)| value.as_str())
        };
        let port = |name: &str, default: u16| {
            flag(name)
                .and_then(|value| value.parse().ok())
                .unwrap_or(default)
        };
        let serve = |ports: Vec<u16>| Run::server(Duration::from_millis(100), Listens::At(ports));
        match plain.first().map(String::as_str) {
            None | Some("pause") => {
                let mut run = serve(Vec::new());
                run.logs.push((Duration::ZERO, "Paused".to_owned()));
                run
            }
            Some("netexec") => serve(vec![port("http-port", 8080), port("udp-port", 8081)]),
            Some("serve-hostname" | "test-webserver" | "net") => serve(vec![port(
                "port",
                if plain[0] == "test-webserver" {
                    80
                } else {
                    9376
                },
            )]),
            Some("porter") => serve(start.ports()),
            Some("connect") => connect(start, plain.get(1).map(String::as_str), flag("timeout")),
            Some("dns-suffix") => {
                let search = network::dns::search(start.cluster, start.pod);
                Run::task(QUICK, 0, &[&search.join(",")])
            }
            Some("dns-server-list") => {
                let servers = network::dns::servers(start.cluster, start.pod);
                Run::task(QUICK, 0, &[&servers.join(",")])
            }
            Some("mounttest") => mounttest(start, &flags),
            Some("entrypoint-tester") => {
                Run::task(QUICK, 0, &[&format!("[/agnhost {}]", words.join(" "))])
            }
            Some("logs-generator") => Run::server(Duration::ZERO, Listens::At(Vec::new())),
            Some("help") => Run::task(QUICK, 0, &["Usage:", "  app [command]"]),
            Some(unknown) => {
                let said = format!("Error: unknown command \"{unknown}\" for \"app\"");
                Run::task(QUICK, 1, &[&said])
            }
        }
    }
}

/// Flags with their values, and the words that are none.
fn split(words: &[String]) -> (Vec<(String, String)>, Vec<String>) {
    let (mut flags, mut plain) = (Vec::new(), Vec::new());
    let mut words = words.iter().peekable();
    while let Some(word) = words.next() {
        let Some(flag) = word.strip_prefix("--").or_else(|| word.strip_prefix('-')) else {
            plain.push(word.clone());
            continue;
        };
        let (name, value) = match flag.split_once('=') {
            Some((name, value)) => (name, value.to_owned()),
            None => {
                let value = words.next_if(|next| !next.starts_with('-') && !plain.is_empty());
                (flag, value.cloned().unwrap_or_default())
            }
        };
        flags.push((name.to_owned(), value));
    }
    (flags, plain)
}

/// `connect [--timeout=D] host:port`
fn connect(start: &mut Start<'_>, to: Option<&str>, timeout: Option<&str>) -> Run {
    let timeout = timeout
        .and_then(duration)
        .unwrap_or(Duration::from_secs(120));
    let Some(to) = to else {
        return Run::task(QUICK, 1, &["Error: accepts 1 arg(s), received 0"]);
    };
    let Some((host, port)) = to
        .rsplit_once(':')
        .and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)))
    else {
        let said = format!("UNKNOWN: address {to}: missing port in address");
        return Run::task(QUICK, 1, &[&said]);
    };
    match network::connect(
        start.cluster,
        &Arc::new(start.pod.clone()),
        start.address,
        host,
        port,
        start.random,
    ) {
        Ok(()) => Run::task(QUICK, 0, &[]),
        Err(Failure::Name { message, after }) => Run::task(after, 1, &[&format!("DNS: {message}")]),
        Err(Failure::Silence) => Run::task(timeout, 1, &["TIMEOUT"]),
        Err(Failure::Refused) => Run::task(QUICK, 1, &["REFUSED"]),
        Err(Failure::NoRoute) => {
            let said = format!("OTHER: dial tcp {to}: connect: no route to host");
            Run::task(Duration::from_secs(3), 1, &[&said])
        }
    }
}

/// `mounttest`: writes and reads files, of PersistentVolumes alone; other volumes are empty.
fn mounttest(start: &mut Start<'_>, flags: &[(String, String)]) -> Run {
    let mut said = Vec::new();
    let mut code = 0;
    for (flag, path) in flags {
        let place = start.volume_at(path);
        match flag.as_str() {
            "new_file_0644" | "new_file_0660" | "new_file_0666" | "new_file_0777" => {
                if let Some((volume, within)) = place {
                    start.cluster.machines().write_file(
                        &volume,
                        &within,
                        "mount-tester new file\n",
                    );
                }
                said.push(format!("content of file \"{path}\": mount-tester new file"));
            }
            "file_content" | "file_content_in_loop" => {
                let content = place.and_then(|(volume, within)| {
                    start.cluster.machines().read_file(&volume, &within)
                });
                if let Some(content) = content {
                    said.push(format!("content of file \"{path}\": {content}"));
                } else {
                    said.push(format!("error reading file content for \"{path}\": open {path}: no such file or directory"));
                    code = 1;
                }
            }
            _ => {}
        }
    }
    let said: Vec<&str> = said.iter().map(String::as_str).collect();
    Run::task(QUICK, code, &said)
}

/// A duration as Go writes it: `5s`, `1m30s`, `200ms`.
pub(super) fn duration(text: &str) -> Option<Duration> {
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..end].parse().ok()?;
        let tail = &rest[end..];
        let (unit, length) = match tail {
            _ if tail.starts_with("ms") => (0.001, 2),
            _ if tail.starts_with('s') => (1.0, 1),
            _ if tail.starts_with('m') => (60.0, 1),
            _ if tail.starts_with('h') => (3600.0, 1),
            _ => return None,
        };
        total += Duration::try_from_secs_f64(number * unit).ok()?;
        rest = &tail[length..];
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_told_from_words() {
        let words: Vec<String> = ["connect", "--timeout=5s", "kubernetes.default.svc:443"]
            .map(str::to_owned)
            .to_vec();
        let (flags, plain) = split(&words);
        assert_eq!(flags, [("timeout".to_owned(), "5s".to_owned())]);
        assert_eq!(plain, ["connect", "kubernetes.default.svc:443"]);
        assert_eq!(duration("1m30s"), Some(Duration::from_secs(90)));
        assert_eq!(duration("x"), None);
    }
}
