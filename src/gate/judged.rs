//! What follows from a run's phases: the comparison and the verdict.

use super::comparison;
use super::run::{Checked, PREFLIGHT, Run};
use super::trouble::Trouble;
use crate::probe::{self, Shown};
use crate::record::{Counts, Phase, Verdict, What};

impl Run<'_> {
    pub(super) async fn verdict(&self, outcome: Result<Checked, Trouble>) -> (Verdict, String) {
        let failed = self.context.phase();
        let outcome = match self.phases.stand_before(Phase::Verdict).await {
            Ok(()) => outcome,
            Err(trouble) => Err(trouble),
        };
        let judge = async {
            let shown = match self.probing.get() {
                Some(probing) => probing.finish().await,
                None => Shown::default(),
            };
            let (mut verdict, mut reason, counts) = match outcome {
                Ok(checked) => self.compare(&checked, &shown),
                Err(trouble) => {
                    let verdict = match trouble {
                        Trouble::Stack { .. } => Verdict::Closed,
                        Trouble::Infrastructure(_) => Verdict::None,
                        Trouble::Interrupted | Trouble::Aborted(_) => Verdict::Interrupted,
                    };
                    (verdict, format!("{failed}: {trouble}"), Counts::default())
                }
            };
            let unmet = [self.engine.unmet(), Vec::from_iter(self.unseen())].concat();
            for what in &unmet {
                self.context.note(what.clone());
            }
            if let (Verdict::Open, Some(first)) = (verdict, unmet.first()) {
                // What was to be shown was not: an open gate would look like its proof.
                (verdict, reason) = (Verdict::None, format!("nothing is shown: {first}"));
            }
            self.context.emit(What::Verdict {
                verdict,
                reason: reason.clone(),
                counts,
            });
            Ok(((verdict, reason), None))
        };
        self.phases
            .run(Phase::Verdict, PREFLIGHT, judge)
            .await
            .unwrap_or_else(|trouble| (Verdict::None, trouble.to_string()))
    }

    /// Takes back whatever was said before.
    pub(super) fn without_verdict(&self, reason: String) -> (Verdict, String) {
        let (verdict, counts) = (Verdict::None, Counts::default());
        self.context.emit(What::Verdict {
            verdict,
            reason: reason.clone(),
            counts,
        });
        (verdict, reason)
    }

    fn compare(&self, checked: &Checked, shown: &Shown) -> (Verdict, String, Counts) {
        let compared = comparison::compare(&checked.before, &checked.after);
        for one in &compared {
            self.context.emit(What::Compared {
                check: one.id.to_owned(),
                before: one.before.map(|result| result.outcome),
                after: one.after.map(|result| result.outcome),
                change: one.change,
            });
        }
        for finding in &shown.findings {
            self.context.emit(What::Finding(finding.clone()));
        }
        let (verdict, reason) = probe::verdict(comparison::verdict(&compared), &shown.results);
        (verdict, reason, comparison::counts(&compared))
    }
}
