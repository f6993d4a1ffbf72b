//! Checks of our own that take the place of a scope's script.

use std::path::PathBuf;
use std::time::Duration;

use futures::future::LocalBoxFuture;

use super::protocol::{Word, lines, verdict};
use crate::cluster::Interrupt;

/// How a script would have been called.
#[derive(Clone)]
pub struct Call {
    /// Its arguments.
    pub words: Vec<String>,
    /// Its environment beyond the caller's own.
    pub env: Vec<(String, String)>,
    /// The folder in which it would run, to which paths are relative.
    pub folder: PathBuf,
    /// The wish to stop; who has created something removes it then.
    pub interrupt: Interrupt,
}

/// What a script would print.
pub type Said = LocalBoxFuture<'static, anyhow::Result<Vec<String>>>;

/// Judges as a script would that is called so; none where only the script can.
pub type Judge = fn(&Call) -> Option<Said>;

/// A check of our own that gives the verdict of a script.
#[derive(Clone, Copy, Debug)]
pub struct Substitute {
    /// The testcase that it judges.
    pub testcase: &'static str,
    /// Judges it.
    pub run: Judge,
    /// The script's code after a failure.
    pub fail: i32,
    /// The script's code after an abort.
    pub abort: i32,
}

/// What came of a judging.
pub(super) struct Spoken {
    pub(super) stdout: Vec<String>,
    pub(super) stderr: Vec<String>,
    pub(super) code: i32,
}

impl Substitute {
    /// Judges within a time; also when somebody wants to stop it comes to its own end.
    pub(super) async fn spoken(
        &self,
        judging: Said,
        within: Option<Duration>,
        own: &Interrupt,
        outer: &Interrupt,
    ) -> Spoken {
        let mut judging = judging;
        let late = async {
            match within {
                Some(within) => tokio::time::sleep(within).await,
                None => std::future::pending().await,
            }
        };
        let judged = tokio::select! {
            biased;
            judged = &mut judging => judged,
            () = outer.raised() => {
                own.raise();
                judging.await
            }
            () = late => {
                own.raise();
                // Only so that it removes what it has created.
                let _ = judging.await;
                Err(anyhow::anyhow!("not judged within {:?}", within.unwrap_or_default()))
            }
        };
        let said = judged.unwrap_or_else(|error| {
            vec![
                format!("CRITICAL: {error:#}"),
                format!("{}: ABORT", self.testcase),
            ]
        });
        let last = said.iter().rev().find_map(|line| verdict(line));
        let code = match last {
            Some((_, Word::Pass)) => 0,
            Some((_, Word::Fail)) => self.fail,
            Some((_, Word::Abort)) | None => self.abort,
        };
        // What keeps a verdict from being given is told without being asked for.
        let grave = |line: &String| line.starts_with("CRITICAL");
        let (grave, stdout): (Vec<String>, Vec<String>) = said.into_iter().partition(grave);
        Spoken {
            stdout,
            stderr: grave.iter().flat_map(|line| lines(line)).collect(),
            code,
        }
    }
}
