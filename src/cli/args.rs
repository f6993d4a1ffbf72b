//! The command line as it is typed. Each command resolves its own part into what it needs.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use jiff::civil::Date;

use super::bundle::BundleArgs;
use super::diff::DiffArgs;
use super::lint::LintArgs;
use super::management::{ExistingArgs, ManagementKind};
use super::pause::{AbortArgs, PauseArgs, ResumeArgs};
use super::rehearsal::RehearsalArgs;
use super::release::ReleaseCommand;
use super::replay::ReplayArgs;
use super::reproduce::ReproduceArgs;
use super::scenarios::ScenariosCommand;
use super::scs_check::ScsCheckArgs;
use crate::gate;
use crate::record::RunId;
use crate::report::Format;
use crate::stack::{Delivery, Label};

/// Decides whether a cluster stack may be released: deploys release N, checks it, upgrades it to N+1,
/// checks again, compares, and answers with an exit code.
#[derive(Debug, Parser)]
#[command(name = "stackgate", version, disable_help_subcommand = true, after_help = EXIT_CODES)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

const EXIT_CODES: &str = "\
Exit codes:
  0    gate open, or the command did what was asked
  1    gate closed: the upgrade is not safe
  2    wrong usage or invalid input; nothing was created
  3    no verdict: the infrastructure failed
  4    no check ran
  130  interrupted";

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the gate on a stack: N, checks, upgrade to N+1, checks, verdict
    Run(RunArgs),
    /// Check a cluster that is there: no release, no upgrade, only the checks of suites
    Check(Box<CheckArgs>),
    /// Judge both releases without a cluster, and say what the upgrade will do
    Lint(LintArgs),
    /// Get, make and verify releases: from a registry, from sources
    #[command(subcommand)]
    Release(ReleaseCommand),
    /// Check the machine: every problem at once, each with its remedy
    Doctor(DoctorArgs),
    /// Remove what earlier runs left behind
    Clean(CleanArgs),
    /// Make the reports of a run again from its stream, one of them in any form, or join shards
    Report(ReportArgs),
    /// Look into the past of a run: its clusters as they were, with kubectl
    Replay(ReplayArgs),
    /// Show what changed between two moments, of one run or of two: images, replicas, conditions
    Diff(DiffArgs),
    /// Run the gate again with the inputs, the seed and the faults of a run, from its folder or a bundle
    Reproduce(ReproduceArgs),
    /// Let a paused run go on, or go on with one whose process is gone, while its clusters are there
    Resume(ResumeArgs),
    /// Have a paused run torn down
    Abort(AbortArgs),
    /// Make one file of a run, to be attached to an issue
    Bundle(BundleArgs),
    /// Rehearse many random stacks with random accidents, and judge each run by what must always hold
    Simulate(SimulateArgs),
    /// List the faults that a rehearsal can be given with `run --fault`
    Faults(FaultsArgs),
    /// The suites of checks that ship with stackgate
    #[command(subcommand)]
    Suites(SuitesCommand),
    /// The scenarios that a stack can be run through
    #[command(subcommand)]
    Scenarios(ScenariosCommand),
    /// The data that version checks are judged by
    #[command(subcommand)]
    Data(DataCommand),
    /// Check a subject against an SCS certificate scope, as scs-compliance-check.py does
    ScsCheck(Box<ScsCheckArgs>),
    /// Print the version
    Version,
    /// Print the JSON schema of a file format
    #[command(hide = true)]
    Schema {
        /// Which format
        name: SchemaName,
    },
}

#[derive(Debug, Args)]
#[command(override_usage = "stackgate run <STACK> [OPTIONS]")]
pub struct RunArgs {
    // Optional only for the parser: `--management fresh STACK` hands the name to the flag, and
    // resolving gives it back.
    /// The stack under test: a folder with stack.yaml, or the name of one in the stacks folder
    #[arg(value_name = "STACK", required_unless_present_any = ["management", "simulated"])]
    pub stack: Option<PathBuf>,
    #[command(flatten)]
    pub engine: RunEngineArgs,
    /// How releases reach the clusters [default: as stack.yaml says]
    #[arg(long, value_enum)]
    pub delivery: Option<DeliveryKind>,
    /// The management cluster: `kind` is made by kind and removed, `light` is made without nodes and
    /// removed, `keep NAME` is made by kind and stays, `reuse NAME` stayed from an earlier run,
    /// `existing` is that of --kubeconfig (the same as --engine existing)
    /// [default: as stack.yaml says]
    #[arg(long, num_args = 1..=2, value_names = ["MODE", "NAME"])]
    pub management: Vec<String>,
    #[command(flatten)]
    pub existing: ExistingArgs,
    /// Whether to keep the clusters at the end
    #[arg(long, value_enum, default_value_t = Keep::Never)]
    pub keep: Keep,
    /// Go on although `stackgate lint` finds a MUST broken
    #[arg(long)]
    pub no_lint: bool,
    /// Instead of the stack's own pair: releases made of it for a scenario (`stackgate scenarios list`),
    /// or, one after the other, for `all` of them
    #[arg(long, value_name = "NAME", conflicts_with = "simulated")]
    pub scenario: Option<String>,
    #[command(flatten)]
    pub rehearsal: RehearsalArgs,
    #[command(flatten)]
    pub pause: PauseArgs,
    /// Multiplies every deadline; from 0.1 to 100
    #[arg(long, value_name = "FACTOR", default_value = "1", value_parser = timeout_scale)]
    pub timeout_scale: f64,
    /// Where the run's folder goes
    #[arg(long, value_name = "DIR", default_value = "reports")]
    pub reports: PathBuf,
    /// Show the report in a browser at the end
    #[arg(long)]
    pub open: bool,
    /// Judge what ages (versions of Kubernetes, accepted failures) as on this day
    #[arg(long, value_name = "YYYY-MM-DD")]
    pub now: Option<Date>,
    #[command(flatten)]
    pub stacks: StacksArgs,
}

#[derive(Debug, Args)]
pub struct CheckArgs {
    /// The cluster's kubeconfig [default: KUBECONFIG, else ~/.kube/config]
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Its context that is meant [default: the current one]
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,
    /// A suite that is asked; may be given again
    #[arg(long, value_name = "NAME", default_values = ["health", "scs-light"])]
    pub suite: Vec<Label>,
    /// Create nothing: skip every check that would
    #[arg(long)]
    pub read_only: bool,
    /// Accept the failures in this file, in the form of the SCS tests (okToFail)
    #[arg(long, value_name = "FILE")]
    pub ok_to_fail: Option<PathBuf>,
    /// Accept the failures in this file, in stackgate's own form (accepted: check, reason, match, expires, versions)
    #[arg(long, value_name = "FILE")]
    pub accepted: Option<PathBuf>,
    /// Judge as of this day instead of today: what ages, such as the version policy and acceptances
    #[arg(long, value_name = "YYYY-MM-DD")]
    pub now: Option<Date>,
    /// What the cluster is called in the reports [default: the context's name]
    #[arg(long, value_name = "NAME")]
    pub subject: Option<String>,
    /// How the outcome is printed
    #[arg(long, value_enum, default_value_t = SummaryFormat::Plain)]
    pub format: SummaryFormat,
    /// Multiplies every deadline; from 0.1 to 100
    #[arg(long, value_name = "FACTOR", default_value = "1", value_parser = timeout_scale)]
    pub timeout_scale: f64,
    /// Where the run's folder goes
    #[arg(long, value_name = "DIR", default_value = "reports")]
    pub reports: PathBuf,
    /// Instead: print the rights that these checks need, as a role, its binding and an account
    #[arg(long)]
    pub print_rbac: bool,
}

#[derive(Debug, Args)]
pub struct SimulateArgs {
    /// How many runs
    #[arg(long, value_name = "COUNT", default_value_t = 100)]
    pub runs: u64,
    /// What every run's seed comes from [default: random, told at the end]
    #[arg(long, value_name = "SEED")]
    pub seed: Option<u64>,
    /// How many runs at a time [default: one for each processor]
    #[arg(long, value_name = "COUNT")]
    pub jobs: Option<NonZeroUsize>,
    /// How the figures are printed
    #[arg(long, value_enum, default_value_t = SummaryFormat::Plain)]
    pub format: SummaryFormat,
}

/// How figures are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SummaryFormat {
    /// For people
    Plain,
    /// For programs
    Json,
}

#[derive(Debug, Args)]
pub struct FaultsArgs {
    /// How they are listed
    #[arg(long, value_enum, default_value_t = ListFormat::Table)]
    pub format: ListFormat,
}

/// How a list is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ListFormat {
    /// For people
    Table,
    /// A name and its description a line, with a tab between
    Plain,
}

#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Also ask for what this stack needs, such as its images
    #[arg(value_name = "STACK")]
    pub stack: Option<PathBuf>,
    /// The management cluster: `kind` or `light` [default: as the stack says]
    #[arg(long, value_enum)]
    pub management: Option<ManagementKind>,
    #[command(flatten)]
    pub existing: ExistingArgs,
    #[command(flatten)]
    pub engine: EngineArgs,
    #[command(flatten)]
    pub stacks: StacksArgs,
}

#[derive(Debug, Args)]
pub struct CleanArgs {
    /// Instead: remove the folders of old runs in DIR (when not given: reports), but for the latest ones
    #[arg(long, value_name = "DIR", num_args = 0..=1, require_equals = true, default_missing_value = "reports", conflicts_with_all = ["run", "kept"])]
    pub reports: Option<PathBuf>,
    /// How many of the latest runs stay
    #[arg(long, value_name = "COUNT", default_value_t = 20, requires = "reports")]
    pub keep: usize,
    /// The run to clean up after, e.g. 7f3a09bc; every run of yours when not given
    #[arg(value_name = "RUN")]
    pub run: Option<RunId>,
    /// Remove the management cluster that was kept under this name
    #[arg(long, value_name = "NAME", conflicts_with = "run")]
    pub kept: Option<String>,
    /// With engine existing: the run's management cluster is gone for good; do not ask it
    #[arg(long, requires = "run")]
    pub forget: bool,
    #[command(flatten)]
    pub engine: EngineArgs,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct ReportArgs {
    #[command(subcommand)]
    pub command: Option<ReportCommand>,
    /// The run: its folder, its id, `latest`, or a bundle (.tar.zst), of which only --format makes sense
    #[arg(value_name = "RUN|BUNDLE", default_value = "latest")]
    pub run: String,
    /// Write one view to standard output, instead of all of them to the run's folder
    #[arg(long, value_enum)]
    pub format: Option<ReportFormat>,
    /// Where that view goes instead
    #[arg(long, value_name = "FILE", requires = "format")]
    pub output: Option<PathBuf>,
    /// Where runs are found by id
    #[arg(long, value_name = "DIR", default_value = "reports")]
    pub reports: PathBuf,
}

#[derive(Debug, Subcommand)]
pub enum ReportCommand {
    /// Join the runs of shards: the same releases, each with other checks; the worst verdict counts
    Merge(MergeArgs),
}

#[derive(Debug, Args)]
pub struct MergeArgs {
    /// The runs: folders, ids or bundles
    #[arg(value_name = "RUN", required = true)]
    pub runs: Vec<String>,
    /// The folder for the joined stream and its reports
    #[arg(long, value_name = "DIR")]
    pub output: PathBuf,
    /// Where runs are found by id
    #[arg(long, value_name = "DIR", default_value = "reports")]
    pub reports: PathBuf,
}

/// The views of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ReportFormat {
    /// For CI servers that show test results
    Junit,
    /// For programs: summary.json
    Json,
    /// One page for people
    Html,
    /// The SCS compliance checker's YAML
    Scs,
    /// A comment on a pull request
    Markdown,
    /// The log with GitHub's groups, annotations, and the step's summary
    Github,
    /// The log with GitLab's sections
    Gitlab,
    /// The log
    Plain,
    /// A trace for OpenTelemetry, in OTLP's JSON
    #[cfg(feature = "otel")]
    Otlp,
}

impl From<ReportFormat> for Format {
    fn from(format: ReportFormat) -> Self {
        match format {
            ReportFormat::Junit => Self::Junit,
            ReportFormat::Json => Self::Json,
            ReportFormat::Html => Self::Html,
            ReportFormat::Scs => Self::Scs,
            ReportFormat::Markdown => Self::Markdown,
            ReportFormat::Github => Self::Github,
            ReportFormat::Gitlab => Self::Gitlab,
            ReportFormat::Plain => Self::Plain,
            #[cfg(feature = "otel")]
            ReportFormat::Otlp => Self::Otlp,
        }
    }
}

#[derive(Debug, Subcommand)]
pub enum SuitesCommand {
    /// List the suites and their checks
    List,
    /// Show a suite: each of its checks, as `explain` does
    Show {
        /// The suite
        #[arg(value_name = "SUITE")]
        name: String,
    },
    /// Explain a check: what is judged, who demands it, what a failure does to the gate
    Explain {
        /// The check's id
        #[arg(value_name = "ID")]
        id: String,
    },
    /// Say whether suite files are right, with the line of what is not
    Lint {
        /// The files; every suite that can be found when not given
        #[arg(value_name = "FILE")]
        files: Vec<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
pub enum DataCommand {
    /// Fetch it anew: releases of Kubernetes, ends of support, vulnerabilities
    Refresh {
        /// The file that is written; it goes before the data that ships when a check runs in this folder
        #[arg(long, value_name = "FILE", default_value = crate::checks::scs::version_policy::FILE)]
        output: PathBuf,
    },
    /// Tell how old it is, and where it comes from
    Show,
}

#[derive(Debug, Args)]
pub struct EngineArgs {
    /// Where clusters come from
    #[arg(long, value_enum, default_value_t = EngineKind::Kind)]
    pub engine: EngineKind,
}

#[derive(Debug, Args)]
pub struct RunEngineArgs {
    /// Where clusters come from [default: kind where this machine is ready for it, else embedded]
    #[arg(long, value_enum)]
    pub engine: Option<EngineKind>,
}

#[derive(Debug, Args)]
pub struct StacksArgs {
    /// Where stacks are found by name [default: stacks-under-test here, else in the checkout of this
    /// program]
    #[arg(long, value_name = "DIR")]
    pub stacks: Option<PathBuf>,
}

/// Where clusters come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum EngineKind {
    /// Docker: kind, Cluster API and its Docker provider
    Kind,
    /// Simulated clusters in this process: a rehearsal in seconds, not a gate on real clusters
    Embedded,
    /// A management cluster that is there, given by --kubeconfig: the run has a namespace of its own in it
    Existing,
}

impl EngineKind {
    /// The name, as typed and as reported.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kind => "kind",
            Self::Embedded => "embedded",
            Self::Existing => "existing",
        }
    }
}

/// How releases reach the clusters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DeliveryKind {
    /// stackgate renders the charts and applies them
    Direct,
    /// The Cluster Stack Operator does; on real clusters that of stack.yaml (`spec.operator`)
    Operator,
}

impl From<DeliveryKind> for Delivery {
    fn from(kind: DeliveryKind) -> Self {
        match kind {
            DeliveryKind::Direct => Self::Direct,
            DeliveryKind::Operator => Self::Operator,
        }
    }
}

/// Whether clusters stay after the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Keep {
    /// Remove everything
    Never,
    /// Keep them unless the gate is open
    OnFailure,
    /// Keep them
    Always,
}

impl From<Keep> for gate::Keep {
    fn from(keep: Keep) -> Self {
        match keep {
            Keep::Never => Self::Never,
            Keep::OnFailure => Self::OnFailure,
            Keep::Always => Self::Always,
        }
    }
}

/// The formats that have a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SchemaName {
    /// `lint --format json`
    Lint,
    /// Files of scenarios
    Scenario,
    /// summary.json
    Summary,
}

fn timeout_scale(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|scale: &f64| (0.1..=100.0).contains(scale))
        .ok_or_else(|| "expected a number from 0.1 to 100".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_timeout_scale_is_finite_and_within_its_bounds() {
        for good in ["0.1", "1", "2.5", "100", "1e1"] {
            assert!(timeout_scale(good).is_ok(), "{good}");
        }
        for bad in [
            "", "0", "-1", "0.09", "100.1", "inf", "nan", "1e999", "two", "1,5",
        ] {
            assert!(timeout_scale(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_a_scale_out_of_bounds(text in ".*") {
            if let Ok(scale) = timeout_scale(&text) {
                prop_assert!((0.1..=100.0).contains(&scale));
            }
        }
    }
}
