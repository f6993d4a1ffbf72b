//! `api-ready-endpoints`: the API server says of itself, part by part, that it is ready and alive.

use std::time::Duration;

use anyhow::{Result, bail};
use futures::future::try_join_all;
use kube::Client;

use crate::checks::judgement::{Judgement, problem};
use crate::checks::{Answer, Native, Parameters, Target, needs};
use crate::record::Blocker;

const NAME: &str = "api-ready-endpoints";

/// The check.
pub const CHECK: Native = Native {
    name: NAME,
    timeout: Duration::from_secs(30),
    parameters: Parameters::NONE,
    needs: &[needs::HEALTH],
    run: |target| Box::pin(run(target)),
};

/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(15);
/// Source: <https://kubernetes.io/docs/reference/using-api/health-checks/>.
const ENDPOINTS: [&str; 2] = ["readyz", "livez"];

/// What came back.
enum Reply {
    /// The list of parts, whatever the status code.
    Parts(String),
    /// Nothing, and why.
    None(String),
}

async fn run(target: &Target<'_>) -> Result<Answer> {
    let within = target.context.scaled(ANSWER);
    let replies = ENDPOINTS.map(|endpoint| ask(target.workload, endpoint, within));
    let replies = try_join_all(replies).await?;
    Ok(judge(&replies).into())
}

async fn ask(
    client: &Client,
    endpoint: &'static str,
    within: Duration,
) -> Result<(&'static str, Reply)> {
    let request = http::Request::get(format!("/{endpoint}?verbose")).body(Vec::new())?;
    let reply = match tokio::time::timeout(within, client.request_text(request)).await {
        Err(_) => Reply::None(format!("no answer within {:.0} s", within.as_secs_f64())),
        Ok(Ok(text)) => Reply::Parts(text),
        // A server that is not ready answers 500, with the same list.
        Ok(Err(kube::Error::Api(status))) if status.code >= 500 => {
            Reply::Parts(status.message.clone())
        }
        Ok(Err(kube::Error::Api(status))) => {
            bail!("/{endpoint} answers {}: {}", status.code, status.message)
        }
        // That the API server cannot be reached is the worst answer, not the lack of one.
        Ok(Err(error)) => Reply::None(error.to_string()),
    };
    Ok((endpoint, reply))
}

fn judge(replies: &[(&str, Reply)]) -> Judgement {
    let mut parts = 0;
    let mut problems = Vec::new();
    for (endpoint, reply) in replies {
        let about = |condition: &str| -> Blocker {
            problem(
                "workload",
                "API server",
                "",
                &format!("/{endpoint}"),
                condition,
            )
        };
        let text = match reply {
            Reply::Parts(text) => text,
            Reply::None(why) => {
                let mut unreachable = about("does not answer");
                unreachable.message.clone_from(why);
                problems.push(unreachable);
                continue;
            }
        };
        let failed = text
            .lines()
            .filter_map(|line| line.trim().strip_prefix("[-]"));
        problems.extend(failed.map(|part| about(&format!("not ok: {part}"))));
        let well = text
            .lines()
            .filter(|line| line.trim().starts_with("[+]"))
            .count();
        parts += well;
        if well == 0 {
            let mut foreign = about("answers without a list of parts");
            foreign.message = text
                .lines()
                .next()
                .unwrap_or_default()
                .chars()
                .take(200)
                .collect();
            problems.push(foreign);
        }
    }
    Judgement::unless(problems, || {
        format!("{parts} parts of {} ok", ENDPOINTS.join(" and "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::health::fixtures::problems;
    use crate::checks::world::{World, refusal};
    use crate::record::Outcome;

    const WELL: &str = "[+]ping ok\n[+]etcd ok\n[+]poststarthook/start-apiextensions-informers ok\nreadyz check passed\n";
    const ILL: &str = "[+]ping ok\n[-]etcd failed: reason withheld\n[+]log ok\nreadyz check failed";

    fn parts(text: &str) -> Reply {
        Reply::Parts(text.to_owned())
    }

    #[test]
    fn all_parts_ok_pass() {
        let judged = judge(&[("readyz", parts(WELL)), ("livez", parts(WELL))]);
        assert_eq!(
            judged,
            Judgement::Pass("6 parts of readyz and livez ok".to_owned())
        );
    }

    #[test]
    fn a_failed_part_silence_and_a_strangers_answer_fail() {
        for (reply, expected) in [
            (
                parts(ILL),
                "API server /readyz: not ok: etcd failed: reason withheld",
            ),
            (
                Reply::None("connection refused".to_owned()),
                "API server /readyz: does not answer: connection refused",
            ),
            (
                parts("<html>503"),
                "API server /readyz: answers without a list of parts: <html>503",
            ),
            (
                parts(""),
                "API server /readyz: answers without a list of parts",
            ),
        ] {
            assert_eq!(
                problems(&judge(&[("readyz", reply), ("livez", parts(WELL))])),
                expected
            );
        }
    }

    #[tokio::test]
    async fn a_server_that_is_not_ready_is_read_and_one_that_refuses_is_not_judged() {
        let not_ready = World::new(|_, path| match path {
            "/readyz?verbose" => (500, ILL.into()),
            _ => (200, WELL.into()),
        });
        let answer = run(&not_ready.target()).await.unwrap();
        assert_eq!(answer.outcome, Outcome::Fail);
        assert_eq!(
            answer.message,
            "API server /readyz: not ok: etcd failed: reason withheld"
        );
        let refusing = World::new(|_, _| refusal(403, "Forbidden"));
        let error = run(&refusing.target()).await.unwrap_err().to_string();
        assert_eq!(error, "/readyz answers 403: no");
    }
}
