//! What a judging function says, and waiting for it to say yes.

use std::time::Duration;

use anyhow::{Result, anyhow};

use super::{Answer, Target};
use crate::cluster::{Progress, View, WaitError, wait};
use crate::record::{Blocker, ObjectRef, Outcome};

/// How many lines of evidence an answer carries.
const EVIDENCE: usize = 50;
/// How many characters of the first problem fit into an answer's sentence; the evidence has them all.
const SENTENCE: usize = 400;
/// How long it may take until something can be read: longer than an API server that starts anew is away.
const READ: Duration = Duration::from_secs(45);

/// What a pure function says about fetched objects.
#[derive(Clone, Debug, PartialEq)]
pub enum Judgement {
    /// All is as it has to be: what was seen.
    Pass(String),
    /// It is not, because of these; the most telling first, never empty.
    Fail(Vec<Blocker>),
    /// The question does not apply: why.
    Skip(String),
}

impl Judgement {
    /// A pass with what was seen, unless there are problems.
    pub fn unless(problems: Vec<Blocker>, seen: impl FnOnce() -> String) -> Self {
        if problems.is_empty() {
            Self::Pass(seen())
        } else {
            Self::Fail(problems)
        }
    }
}

impl From<Judgement> for Answer {
    fn from(judgement: Judgement) -> Self {
        let (outcome, message, evidence) = match judgement {
            Judgement::Pass(message) => (Outcome::Pass, message, Vec::new()),
            Judgement::Skip(message) => (Outcome::Skip, message, Vec::new()),
            Judgement::Fail(problems) => {
                let (message, evidence) = told(&problems);
                (Outcome::Fail, message, evidence)
            }
        };
        Self {
            outcome,
            message,
            evidence,
        }
    }
}

/// The first problem as a sentence, and all of them as evidence.
fn told(problems: &[Blocker]) -> (String, Vec<String>) {
    let mut lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    let message = match lines.as_slice() {
        [] => "failed without a reason".to_owned(),
        [only] => shortened(only),
        [first, rest @ ..] => format!("{} (and {} more)", shortened(first), rest.len()),
    };
    if lines.len() > EVIDENCE {
        let more = lines.len() - EVIDENCE;
        lines.truncate(EVIDENCE);
        lines.push(format!("and {more} more"));
    }
    (message, lines)
}

fn shortened(line: &str) -> String {
    match line.char_indices().nth(SENTENCE) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}

/// A problem with something that is not at hand as an object.
pub fn problem(
    cluster: &str,
    kind: &str,
    namespace: &str,
    name: &str,
    condition: impl Into<String>,
) -> Blocker {
    Blocker {
        object: ObjectRef {
            cluster: cluster.to_owned(),
            kind: kind.to_owned(),
            namespace: Some(namespace.to_owned()).filter(|namespace| !namespace.is_empty()),
            name: name.to_owned(),
        },
        condition: condition.into(),
        reason: String::new(),
        message: String::new(),
        since: None,
    }
}

/// Asks `judge` about live views until it does not fail any more, at most for `within` (scaled by
/// the context): right after an upgrade things may need a moment. The last answer counts.
///
/// # Errors
/// When the views could not be read, or the run is interrupted: then nothing is judged.
pub async fn settle(
    target: &Target<'_>,
    check: &str,
    within: Duration,
    views: &[&View],
    mut judge: impl FnMut() -> Judgement,
) -> Result<Answer> {
    let mut last = None;
    let what = format!("check {check}");
    let settled = watched(target, &what, within, views, || {
        let unread = unread(views);
        if !unread.is_empty() {
            last = None;
            return Progress::Blocked(unread);
        }
        match judge() {
            Judgement::Fail(problems) => {
                last = Some(problems.clone());
                Progress::Blocked(problems)
            }
            settled => Progress::Done(settled),
        }
    })
    .await?;
    match (settled, last) {
        (Ok(judgement), _) => Ok(judgement.into()),
        (Err(WaitError::Deadline { .. }), Some(problems)) => Ok(Judgement::Fail(problems).into()),
        (Err(error), _) => Err(error.into()),
    }
}

/// Judges by views as soon as they can be read, whatever comes of it: for what does not settle.
///
/// # Errors
/// When the views could not be read, or the run is interrupted: then nothing is judged.
pub async fn judge_once(
    target: &Target<'_>,
    what: &str,
    views: &[&View],
    judge: impl FnOnce() -> Judgement,
) -> Result<Answer> {
    read(target, what, views).await?;
    Ok(judge().into())
}

/// Waits until views can be read.
///
/// # Errors
/// When they cannot, or the run is interrupted.
pub async fn read(target: &Target<'_>, what: &str, views: &[&View]) -> Result<()> {
    let read = || Progress::unless(unread(views));
    Ok(watched(target, what, READ, views, read).await??)
}

/// Waits for something that views show, and not for what they are not allowed to show.
///
/// # Errors
/// When the API server does not allow it; inside, what a wait ends with.
pub async fn watched<T>(
    target: &Target<'_>,
    what: &str,
    within: Duration,
    views: &[&View],
    mut predicate: impl FnMut() -> Progress<T>,
) -> Result<Result<T, WaitError>> {
    let refused = || views.iter().find_map(|view| view.refused());
    let waited = wait(
        target.context,
        what,
        within,
        views,
        None,
        || match refused() {
            Some(why) => Progress::Done(Err(why)),
            None => match predicate() {
                Progress::Done(done) => Progress::Done(Ok(done)),
                Progress::Blocked(blockers) => Progress::Blocked(blockers),
            },
        },
    )
    .await;
    match waited {
        Ok(Ok(done)) => Ok(Ok(done)),
        Ok(Err(why)) => Err(anyhow!(why)),
        Err(error) => Ok(Err(error)),
    }
}

/// What a view cannot tell about: nothing may be judged by it.
pub fn unread(views: &[&View]) -> Vec<Blocker> {
    views
        .iter()
        .flat_map(|view| {
            view.unsettled().into_iter().map(|(kind, why)| {
                let mut unread = problem(view.cluster(), &kind.kind, "", "(all)", "cannot be read");
                unread.message = why;
                unread
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_tells_the_first_problem_and_proves_it_with_all() {
        let problems: Vec<_> = (0..60)
            .map(|n| problem("workload", "Node", "", &format!("n{n}"), "not Ready"))
            .collect();
        let answer = Answer::from(Judgement::unless(problems, String::new));
        assert_eq!(answer.outcome, Outcome::Fail);
        assert_eq!(answer.message, "Node n0: not Ready (and 59 more)");
        assert_eq!(answer.evidence.len(), EVIDENCE + 1);
        assert_eq!(answer.evidence.last().unwrap(), "and 10 more");
    }

    #[test]
    fn a_long_problem_is_shortened_in_the_sentence_only() {
        let long = problem("workload", "Node", "", "n", "ä".repeat(SENTENCE));
        let answer = Answer::from(Judgement::Fail(vec![long]));
        assert_eq!(answer.message.chars().count(), SENTENCE + 1);
        assert!(answer.evidence[0].chars().count() > SENTENCE + 1);
    }

    #[test]
    fn without_problems_what_was_seen_is_told() {
        let answer = Answer::from(Judgement::unless(vec![], || "2 nodes".to_owned()));
        assert_eq!(
            (answer.outcome, answer.message.as_str()),
            (Outcome::Pass, "2 nodes")
        );
    }
}
