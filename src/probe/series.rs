//! What one asker saw of one thing: its gaps, and when it was looked at all.

/// One try, in milliseconds of the run.
#[derive(Clone, Copy, Debug)]
pub struct Try<'w> {
    /// When it began.
    pub start: i64,
    /// When it was answered or given up.
    pub end: i64,
    /// `ok`, or what went wrong.
    pub word: &'w str,
}

/// A stretch of losses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// The first lost try's beginning.
    pub from: i64,
    /// The next answer's beginning, or the last lost try's end.
    pub to: i64,
    /// The first word that told of it.
    pub word: String,
    /// How many tries were lost.
    pub lost: u64,
}

impl Stretch {
    /// One that is known by its ends alone.
    pub fn between((from, to): (i64, i64), word: &str) -> Self {
        let word = word.to_owned();
        Self {
            from,
            to,
            word,
            lost: 0,
        }
    }
}

/// How far apart two tries may be for the time between them to count as looked at, in milliseconds.
const TOGETHER: i64 = 6000;
/// For how long a new asker may be without an answer before that counts: its own node is not ready yet.
const WARM_UP: i64 = 15_000;

/// What one asker saw.
#[derive(Debug, Default)]
pub struct Series {
    first: Option<i64>,
    last: Option<i64>,
    begun: bool,
    open: Option<Stretch>,
    /// When it was looked, in order.
    covered: Vec<(i64, i64)>,
}

/// What a try means.
#[derive(Debug, PartialEq, Eq)]
pub struct Taken {
    /// Whether it counts.
    pub counts: bool,
    /// A stretch of losses that is over.
    pub over: Option<Stretch>,
}

impl Series {
    /// Takes the next try. A series that must not wait for a first answer counts from its first try on.
    pub fn take(&mut self, one: &Try<'_>, lost: bool, at_once: bool) -> Taken {
        let first = *self.first.get_or_insert(one.start);
        self.begun |= at_once || !lost || one.end - first > WARM_UP;
        if !self.begun {
            return Taken {
                counts: false,
                over: None,
            };
        }
        let apart = self.last.is_some_and(|last| one.start - last > TOGETHER);
        // Who was not looking does not know how long it lasted.
        let mut over = if apart { self.open.take() } else { None };
        match self.covered.last_mut() {
            Some((_, to)) if !apart => *to = (*to).max(one.end),
            _ => self.covered.push((one.start, one.end)),
        }
        self.last = Some(one.end);
        if lost {
            let begun = || Stretch::between((one.start, one.end), one.word);
            let open = self.open.get_or_insert_with(begun);
            open.to = one.end;
            open.lost += 1;
        } else if let Some(mut open) = self.open.take() {
            open.to = one.start.max(open.from);
            over = Some(open);
        }
        Taken { counts: true, over }
    }

    /// The losses that nothing has ended yet.
    #[cfg(test)]
    fn open(&self) -> Option<&Stretch> {
        self.open.as_ref()
    }

    /// Nothing follows; the losses that nothing has ended.
    pub fn close(&mut self) -> Option<Stretch> {
        self.open.take()
    }

    /// When it was looked.
    pub fn covered(&self) -> &[(i64, i64)] {
        &self.covered
    }

    /// Whether it was looked, and nothing lost, at that time.
    pub fn well_at(&self, at: i64) -> bool {
        let within = |(from, to): &(i64, i64)| *from <= at && at <= *to;
        self.covered.iter().any(within) && self.open.as_ref().is_none_or(|open| open.from > at)
    }
}

/// When, within a span, nothing was covered for longer than `least`.
pub fn holes(mut covered: Vec<(i64, i64)>, span: (i64, i64), least: i64) -> Vec<(i64, i64)> {
    covered.sort_unstable();
    let (mut at, mut found) = (span.0, Vec::new());
    for (from, to) in covered.into_iter().chain([(span.1, span.1)]) {
        let until = from.min(span.1);
        if until - at > least {
            found.push((at, until));
        }
        at = at.max(to);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(series: &mut Series, second: i64, lost: bool) -> Taken {
        let start = second * 1000;
        let word = if lost { "TIMEOUT" } else { "ok" };
        let end = start + if lost { 1000 } else { 10 };
        series.take(&Try { start, end, word }, lost, false)
    }

    #[test]
    fn a_gap_lasts_from_the_first_loss_to_the_next_answer() {
        let mut series = Series::default();
        assert_eq!(take(&mut series, 1, false).over, None);
        for second in [3, 5, 7] {
            assert_eq!(take(&mut series, second, true).over, None);
        }
        let over = take(&mut series, 9, false).over.unwrap();
        assert_eq!(
            (over.from, over.to, over.word.as_str(), over.lost),
            (3000, 9000, "TIMEOUT", 3)
        );
        assert!(series.open().is_none());
    }

    #[test]
    fn while_nobody_looked_nothing_is_lost() {
        let mut series = Series::default();
        take(&mut series, 1, false);
        take(&mut series, 3, true);
        // It says nothing for a minute.
        let taken = take(&mut series, 60, false);
        assert_eq!(
            taken.over.map(|over| (over.from, over.to)),
            Some((3000, 4000))
        );
        assert_eq!(series.covered(), [(1000, 4000), (60_000, 60_010)]);
        assert_eq!(
            holes(series.covered().to_vec(), (0, 61_000), 5000),
            [(4000, 60_000)]
        );
    }

    #[test]
    fn a_new_asker_has_a_moment_until_its_losses_count() {
        let mut series = Series::default();
        assert!(!take(&mut series, 1, true).counts);
        assert!(take(&mut series, 2, false).counts);
        let mut never = Series::default();
        let counted = (0..20).filter(|second| take(&mut never, second * 2, true).counts);
        assert_eq!(
            counted.count(),
            12,
            "those that end more than 15 s after its first try"
        );
        assert!(never.close().is_some());
    }

    #[test]
    fn what_is_covered_by_several_is_covered_once() {
        let covered = vec![(20, 30), (0, 10), (5, 12)];
        assert_eq!(holes(covered.clone(), (0, 40), 0), [(12, 20), (30, 40)]);
        assert_eq!(holes(covered, (0, 40), 9), [(30, 40)]);
        assert_eq!(holes(vec![], (10, 40), 5), [(10, 40)]);
    }
}
