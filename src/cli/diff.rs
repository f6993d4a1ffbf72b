//! `stackgate diff RUN@t1 RUN@t2`: what changed, in a reader's terms.

use std::path::PathBuf;

use clap::Args;

use super::exit::{Ending, Failure};
use super::replay::{Recorded, moment};
use crate::record::State;
use crate::replay::{At, Change, Side, diff};

#[derive(Debug, Args)]
pub struct DiffArgs {
    /// One moment of a run: RUN@MOMENT; RUN alone means the moment of its verdict. RUN is a folder, an id,
    /// `latest` or a bundle (.tar.zst), MOMENT as `replay --at` takes it
    #[arg(value_name = "RUN[@MOMENT]")]
    pub before: String,
    /// The other, of the same run or of another one
    #[arg(value_name = "RUN[@MOMENT]")]
    pub after: String,
    /// Where runs are found by id
    #[arg(long, value_name = "DIR", default_value = "reports")]
    pub reports: PathBuf,
}

/// Prints what differs between two moments.
///
/// # Errors
/// When there is no such run or moment, or a recording is broken.
pub fn run(args: &DiffArgs) -> Result<Ending, Failure> {
    let (before, after) = (state(&args.before, args)?, state(&args.after, args)?);
    let changes = diff(&before, &after).map_err(Failure::infrastructure)?;
    super::print(&told(&changes)).map_err(Failure::infrastructure)?;
    Ok(Ending::Done)
}

fn state(text: &str, args: &DiffArgs) -> Result<State, Failure> {
    let (run, at) = parted(text)?;
    let Recorded {
        past,
        times,
        folder: _folder,
    } = Recorded::open(run, &args.reports)?;
    let at_ms = times.resolve(at.as_ref()).map_err(Failure::input)?;
    past.at(at_ms).map_err(Failure::infrastructure)
}

/// A folder's name may hold an `@`, too.
fn parted(text: &str) -> Result<(&str, Option<At>), Failure> {
    let Some((run, at)) = text.rsplit_once('@') else {
        return Ok((text, None));
    };
    if std::path::Path::new(text).exists() {
        return Ok((text, None));
    }
    let at = moment(at).map_err(|error| Failure::input(anyhow::anyhow!(error)))?;
    Ok((run, Some(at)))
}

fn told(changes: &[Change]) -> String {
    if changes.is_empty() {
        return "no difference\n".to_owned();
    }
    let mut text = String::new();
    let mut cluster = "";
    for change in changes {
        if change.cluster != cluster {
            cluster = &change.cluster;
            text.push_str(&format!("{cluster}\n"));
        }
        let (kind, name) = (&change.kind, &change.name);
        match &change.side {
            Side::Before => text.push_str(&format!("  - {kind} {name}\n")),
            Side::After => text.push_str(&format!("  + {kind} {name}\n")),
            Side::Both(terms) => {
                text.push_str(&format!("  ~ {kind} {name}\n"));
                for (term, before, after) in terms {
                    if before.is_empty() && after.is_empty() {
                        text.push_str(&format!("      {term}\n"));
                    } else {
                        text.push_str(&format!("      {term}: {before} → {after}\n"));
                    }
                }
            }
        }
    }
    text
}
