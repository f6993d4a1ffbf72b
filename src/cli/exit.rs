//! One exit code per ending, decided in one place.

use std::process::ExitCode;

use crate::record::Verdict;

/// What a pipeline learns from the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// The gate is open; for other commands: what was asked is done.
    Open = 0,
    /// The gate is closed.
    Closed = 1,
    /// The command line or an input file is wrong; nothing was created.
    Usage = 2,
    /// There is no verdict: the infrastructure failed, which says nothing about the stack.
    NoVerdict = 3,
    /// No check ran, so nothing was shown.
    NothingRan = 4,
    /// Somebody stopped the run.
    Interrupted = 130,
}

/// How a command ended.
#[derive(Debug)]
pub enum Ending {
    /// It did what it is for, and gives no verdict.
    Done,
    /// A run came to its end.
    Verdict(Verdict),
    /// It could not do what it was asked to.
    Failed(Failure),
    /// It counted as the SCS checker counts.
    Counted(u8),
}

/// Why a command could not do what it was asked to, and what to do about it.
#[derive(Debug)]
pub struct Failure {
    /// Who has to act.
    pub blame: Blame,
    /// What happened, as a fragment that follows `error: `, with its causes.
    pub error: anyhow::Error,
    /// What to do now, one sentence each.
    pub hints: Vec<String>,
}

/// Who has to act on a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// The caller: a flag, a name, an input file.
    Input,
    /// The machine, Docker, a cluster, or stackgate itself.
    Infrastructure,
}

impl Failure {
    /// The command line or an input file is wrong.
    pub fn input(error: impl Into<anyhow::Error>) -> Self {
        Self::new(Blame::Input, error.into())
    }

    /// The machine, Docker, a cluster, or stackgate itself.
    pub fn infrastructure(error: impl Into<anyhow::Error>) -> Self {
        Self::new(Blame::Infrastructure, error.into())
    }

    fn new(blame: Blame, error: anyhow::Error) -> Self {
        let hints = Vec::new();
        Self {
            blame,
            error,
            hints,
        }
    }

    /// Adds what to do now.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }
}

impl Ending {
    /// The one place where an ending becomes a code.
    #[must_use]
    pub const fn code(&self) -> u8 {
        let exit = match self {
            Self::Counted(code) => return *code,
            Self::Done | Self::Verdict(Verdict::Open) => Exit::Open,
            Self::Verdict(Verdict::Closed) => Exit::Closed,
            Self::Verdict(Verdict::None) => Exit::NoVerdict,
            Self::Verdict(Verdict::NothingRan) => Exit::NothingRan,
            Self::Verdict(Verdict::Interrupted) => Exit::Interrupted,
            Self::Failed(failure) => match failure.blame {
                Blame::Input => Exit::Usage,
                Blame::Infrastructure => Exit::NoVerdict,
            },
        };
        exit.code()
    }
}

impl Exit {
    /// The number that the process ends with.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    fn code(ending: &Ending) -> u8 {
        ending.code()
    }

    #[test]
    fn a_count_is_what_it_is() {
        assert_eq!(code(&Ending::Counted(7)), 7);
    }

    #[test]
    fn an_open_gate_is_0() {
        assert_eq!(code(&Ending::Verdict(Verdict::Open)), 0);
        assert_eq!(code(&Ending::Done), 0);
    }

    #[test]
    fn a_closed_gate_is_1() {
        assert_eq!(code(&Ending::Verdict(Verdict::Closed)), 1);
    }

    #[test]
    fn wrong_input_is_2() {
        assert_eq!(code(&Ending::Failed(Failure::input(anyhow!("bad")))), 2);
    }

    #[test]
    fn failed_infrastructure_is_3() {
        assert_eq!(code(&Ending::Verdict(Verdict::None)), 3);
        let failure = Failure::infrastructure(anyhow!("no Docker"));
        assert_eq!(code(&Ending::Failed(failure)), 3);
    }

    #[test]
    fn nothing_ran_is_4_and_never_open() {
        assert_eq!(code(&Ending::Verdict(Verdict::NothingRan)), 4);
    }

    #[test]
    fn interrupted_is_130() {
        assert_eq!(code(&Ending::Verdict(Verdict::Interrupted)), 130);
    }
}
