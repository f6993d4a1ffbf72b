//! What a pod of the probes does on simulated clusters: the shell program with which it asks is not run, but
//! what it would ask is.

use std::time::Duration;

use kubesim::kubelet::agnhost::Agnhost;
use kubesim::kubelet::asker::{Ask, Question};
use kubesim::kubelet::program::{Listens, Program, Run, Start};

/// How long a try may take, and how long it is waited after each.
const SECOND: Duration = Duration::from_secs(1);

/// The tools image: agnhost, and a shell.
#[derive(Debug)]
pub struct Tools;

impl Program for Tools {
    fn start(&self, start: &mut Start<'_>) -> Run {
        let words = start.words();
        match words.as_slice() {
            [shell, flag, _, name, asks @ ..]
                if shell == "/bin/sh" && flag == "-c" && name == "probe" =>
            {
                let asks = asks.iter().filter_map(|ask| read(ask, start)).collect();
                Run {
                    asks,
                    ..Run::server(Duration::ZERO, Listens::At(Vec::new()))
                }
            }
            _ => Agnhost.start(start),
        }
    }
}

/// `NAME=COUNT=KIND=WHAT`
fn read(ask: &str, start: &Start<'_>) -> Option<Ask> {
    let mut parts = ask.splitn(4, '=');
    let (name, count, kind, what) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let question = match kind {
        "connect" => {
            let (host, port) = what.rsplit_once(':')?;
            Question::Connect {
                host: host.to_owned(),
                port: port.parse().ok()?,
            }
        }
        "lookup" => Question::Lookup(what.to_owned()),
        "kept" => {
            let (volume, path) = start.volume_at(what)?;
            let content = start.environment("KEPT")?;
            Question::Kept {
                volume,
                path,
                content,
            }
        }
        _ => return None,
    };
    Some(Ask {
        name: name.to_owned(),
        question,
        timeout: SECOND,
        pause: SECOND,
        line: count.parse().ok()?,
    })
}
