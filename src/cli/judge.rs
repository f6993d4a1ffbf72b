//! `stackgate replay RUN --suite NAME|FILE`: a recorded run judged by other checks.

use std::path::Path;

use anyhow::{Context as _, anyhow};

use super::args::SummaryFormat;
use super::conduct::{Conduct, free};
use super::exit::{Ending, Failure};
use super::replay::{Recorded, ReplayArgs};
use crate::gate::{self, RecordedPlan, Then};
use crate::record::{NO_DELIVERY, Past, Phase, RECORDING, RunId, Verdict};
use crate::replay::Replay;
use crate::report::STREAM;
use crate::report::overview::{Overview, Start};
use crate::stack::Label;
use crate::suite::Suite;

/// Judges a recorded run, in a run of its own.
///
/// # Errors
/// When there is no such run or suite, or the run did not get to its first checks.
pub fn run(args: &ReplayArgs, command: Vec<String>) -> Result<Ending, Failure> {
    let suites = args.suite.iter().map(|suite| load(suite));
    let suites: Vec<Suite> = suites.collect::<Result<_, _>>()?;
    let Recorded { times, folder, .. } = Recorded::open(&args.run, &args.reports)?;
    let overview = Overview::read(&folder.join(STREAM)).map_err(Failure::input)?;
    let Some(Start {
        run,
        stack,
        from,
        to,
        ..
    }) = overview.start
    else {
        return Err(Failure::input(anyhow!(
            "failed to read the run: its stream has no beginning"
        )));
    };
    let before = times.of(Phase::CheckBefore).ok_or_else(|| {
        let error = anyhow!("failed to judge the run: it did not get to its checks");
        Failure::input(error).hint("stackgate replay --serve shows how far it got")
    })?;
    let after = times.of(Phase::CheckAfter);
    let ended_early = after.is_none().then(|| match overview.verdict {
        Some((verdict, reason, _)) => (verdict, reason),
        None => (Verdict::None, "there is no verdict".to_owned()),
    });
    let after = after.unwrap_or_else(|| times.usual());
    let cluster = format!("{stack}-{run}");
    let (old, new) = (from.kubernetes.clone(), to.kubernetes.clone());
    let conduct = Conduct {
        folder: free(&args.reports, &format!("{cluster}-judged")),
        run: RunId::random(),
        // What was recorded does not change while it is looked at: nothing is worth waiting for.
        timeout_scale: 0.05,
        stack,
        from,
        to,
        engine: gate::RECORDED.to_owned(),
        delivery: NO_DELIVERY.to_owned(),
        command,
        recorded: false,
        judged_on: None,
        resumed: None,
        virtual_time: false,
        rehearsal: None,
        open: false,
        format: SummaryFormat::Plain,
    };
    let path = folder.join(RECORDING);
    let then = |at_ms, kubernetes| -> anyhow::Result<(Replay, Then)> {
        let replay = Replay::at(Past::open(&path)?, at_ms)?;
        let then = Then {
            at: replay.wall().context("the recording is broken")?,
            workload: replay
                .client("workload")
                .context("there was no workload cluster")?,
            management: replay.client("management"),
            kubernetes,
        };
        Ok((replay, then))
    };
    let ended = conduct.run(async |context| {
        let ended = async {
            let (_before, before) = then(before, old)?;
            let (_after, after) = then(after, new)?;
            let plan = RecordedPlan {
                suites,
                namespace: gate::namespace(&run),
                cluster,
                before,
                after,
                ended_early,
            };
            anyhow::Ok(gate::judge_recorded(&plan, &context).await)
        };
        ended.await.unwrap_or_else(|error| gate::Ending {
            verdict: Verdict::None,
            reason: format!("{error:#}"),
            kept: Vec::new(),
        })
    });
    ended.map(Ending::Verdict)
}

/// A suite by its name, or the one in a file.
fn load(suite: &str) -> Result<Suite, Failure> {
    let path = Path::new(suite);
    let is_file = path.extension().is_some_and(|end| end == "yaml");
    let (name, folder) = if is_file {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let parent = path
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty());
        (stem.into_owned(), parent.unwrap_or(Path::new(".")))
    } else {
        (suite.to_owned(), Path::new("suites"))
    };
    name.parse::<Label>()
        .map_err(|error| Failure::input(anyhow!("'{name}' is no suite's name: {error}")))?;
    Suite::load(&name, folder).map_err(Failure::input)
}
