//! What a release's charts have been rendered to: most of it is asked for several times in a run.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::stack::chart::{self, Chart, ChartError, Outcome, RenderOptions, Rendered};

/// How many results are kept of each chart. More come of values that never stay the same.
const KEPT: usize = 4;

/// The results of rendering, which all copies of a release share.
#[derive(Debug, Clone, Default)]
pub(super) struct Results(Arc<Mutex<BTreeMap<String, Vec<Rendering>>>>);

/// One way to render a chart, and what comes of it. The release stands for everything else.
#[derive(Debug)]
struct Rendering {
    options: RenderOptions,
    objects: Vec<Rendered>,
}

impl Results {
    /// Renders the chart that the release knows by `name`, unless the same was asked for lately. What chance or
    /// the time of day is in is rendered each time, as the operator does.
    pub(super) fn of(
        &self,
        name: &str,
        chart: &Chart,
        options: RenderOptions,
    ) -> Result<Vec<Rendered>, ChartError> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = known.entry(name.to_owned()).or_default();
        if let Some(same) = known.iter().find(|one| one.options == options) {
            return Ok(same.objects.clone());
        }
        let Outcome { objects, is_drawn } = chart::outcome(chart, &options)?;
        if is_drawn {
            return Ok(objects);
        }
        if known.len() == KEPT {
            known.remove(0);
        }
        known.push(Rendering {
            options,
            objects: objects.clone(),
        });
        Ok(objects)
    }

    /// How many results of a chart are kept.
    #[cfg(test)]
    pub(super) fn count(&self, name: &str) -> usize {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(name).map_or(0, Vec::len)
    }
}
