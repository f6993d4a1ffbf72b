//! Waiting, on a server that the test plays with and a clock that is stopped.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::cluster::fake::{CONFIG_MAP, Mode, Run, Server};
use crate::record::ObjectRef;

const DEADLINE: Duration = Duration::from_secs(60);

fn about(name: &str) -> ObjectRef {
    ObjectRef::new("workload", "ConfigMap", "demo", name)
}

/// Done when the view holds the ConfigMap.
fn holds(view: &View, name: &str) -> Progress<()> {
    match view.get(&CONFIG_MAP, "demo", name) {
        Some(_) => Progress::Done(()),
        None => Progress::Blocked(vec![Blocker::new(about(name), "missing")]),
    }
}

async fn pass(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

/// Finds something after a while, or never does.
struct Slow {
    takes: Duration,
    finds: Option<Finding>,
    begun: AtomicUsize,
}

impl Slow {
    fn new(takes: Duration, finds: bool) -> Self {
        let finding = Finding {
            cause: "image-not-found".to_owned(),
            message: "image x cannot be had".to_owned(),
            object: about("a"),
            evidence: vec![],
        };
        Self {
            takes,
            finds: Some(finding).filter(|_| finds),
            begun: AtomicUsize::new(0),
        }
    }

    fn begun(&self) -> usize {
        self.begun.load(Ordering::SeqCst)
    }
}

impl Investigate for Slow {
    fn investigate<'a>(&'a self, blockers: &'a [Blocker]) -> BoxFuture<'a, Option<Finding>> {
        Box::pin(async move {
            self.begun.fetch_add(1, Ordering::SeqCst);
            assert_eq!(blockers[0].condition, "missing");
            tokio::time::sleep(self.takes).await;
            self.finds.clone()
        })
    }
}

/// Waits for ConfigMap `a`; how it ended and after how long.
async fn wait_for_a(
    run: &Run,
    view: &View,
    investigator: Option<&dyn Investigate>,
) -> (Result<(), WaitError>, Duration) {
    let started = Instant::now();
    let outcome = wait(&run.context, "a", DEADLINE, &[view], investigator, || {
        holds(view, "a")
    })
    .await;
    (outcome, started.elapsed())
}

#[tokio::test(start_paused = true)]
async fn an_event_satisfies_it_when_it_comes() {
    let (run, server) = (Run::new(), Server::new());
    let view = server.view("workload");
    let ((outcome, took), ()) = tokio::join!(wait_for_a(&run, &view, None), async {
        pass(3).await;
        server.add("a");
    });
    outcome.unwrap();
    assert_eq!((took.as_secs(), server.lists()), (3, 1));
    assert_eq!(run.context.reactions().len(), 1);
    let events = run.events();
    assert!(matches!(&events[0], What::WaitStarted { what, .. } if what == "a"));
    assert!(
        matches!(&events[1], What::Blocked { blockers, .. } if blockers[0].object == about("a"))
    );
    assert!(matches!(
        &events[2],
        What::WaitFinished {
            satisfied: true,
            ..
        }
    ));
    assert_eq!(events.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn what_arrives_at_the_same_moment_is_looked_at_once() {
    let (run, server) = (Run::new(), Server::new());
    let views = [(); 5].map(|()| server.view("workload"));
    pass(1).await;
    let (views, asked) = (views.each_ref(), AtomicUsize::new(0));
    let outcome = wait(&run.context, "a", DEADLINE, &views, None, || {
        asked.fetch_add(1, Ordering::SeqCst);
        holds(views[0], "a")
    });
    let (outcome, ()) = tokio::join!(outcome, async {
        pass(3).await;
        server.add("b");
        pass(1).await;
        server.add("a");
    });
    outcome.unwrap();
    // At first, to tell that it lasts, and for each of the two.
    assert_eq!(asked.load(Ordering::SeqCst), 4);
}

#[tokio::test(start_paused = true)]
async fn a_lost_event_is_made_up_for_by_the_next_list() {
    let (run, server) = (Run::new(), Server::new());
    let view = server.view("workload");
    let ((outcome, took), ()) = tokio::join!(wait_for_a(&run, &view, None), async {
        pass(3).await;
        server.add_silently("a");
    });
    outcome.unwrap();
    assert_eq!((took.as_secs(), server.lists()), (10, 2));
}

#[tokio::test(start_paused = true)]
async fn who_begins_to_wait_decides_by_nothing_that_is_old() {
    let (run, server) = (Run::new(), Server::new());
    server.add("a");
    let view = server.view("workload");
    pass(1).await;
    server.remove_silently("a");
    // Nobody waits, so nobody has looked since.
    pass(11).await;
    assert!(matches!(holds(&view, "a"), Progress::Done(())));
    let (outcome, _) = wait_for_a(&run, &view, None).await;
    assert!(matches!(outcome, Err(WaitError::Deadline { .. })));

    let view = server.view("workload");
    pass(1).await;
    server.add_silently("b");
    pass(11).await;
    let absent = || match holds(&view, "b") {
        Progress::Done(()) => vec![Blocker::new(about("b"), "there")],
        Progress::Blocked(_) => Vec::new(),
    };
    assert_eq!(absent(), []);
    let second = Duration::from_secs(1);
    let violated = stay(&run.context, second, &[&view], absent).await.unwrap();
    assert_eq!(violated.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn its_deadline_holds_though_what_it_begins_with_cannot_be_had() {
    let (run, server) = (Run::new(), Server::new());
    let view = server.view("workload");
    pass(11).await;
    server.turn(Mode::Hangs);
    let (started, soon) = (Instant::now(), Duration::from_secs(5));
    let outcome = wait(&run.context, "a", soon, &[&view], None, || {
        holds(&view, "a")
    })
    .await;
    assert!(matches!(outcome, Err(WaitError::Deadline { .. })));
    assert_eq!(started.elapsed(), soon);
}

#[tokio::test(start_paused = true)]
async fn it_ends_at_its_deadline_and_names_the_blocker() {
    let (run, server) = (Run::new(), Server::new());
    let view = server.view("management");
    let (outcome, took) = wait_for_a(&run, &view, None).await;
    let error = outcome.unwrap_err();
    assert_eq!(took.as_secs(), DEADLINE.as_secs());
    assert_eq!(
        error.to_string(),
        "timed out after 60 s waiting for a: ConfigMap demo/a: missing"
    );
    assert!(matches!(error, WaitError::Deadline { blind, .. } if blind.is_empty()));
    let last = run.events().pop();
    assert!(matches!(
        last,
        Some(What::WaitFinished {
            satisfied: false,
            ..
        })
    ));
}

#[tokio::test(start_paused = true)]
async fn at_its_deadline_it_names_what_could_not_be_watched_on_the_management_cluster() {
    for (cluster, names_blind) in [("management", true), ("workload", false)] {
        let (run, server) = (Run::new(), Server::new());
        let view = server.view(cluster);
        let ((outcome, _), ()) = tokio::join!(wait_for_a(&run, &view, None), async {
            pass(1).await;
            server.turn(Mode::Hangs);
        });
        let error = outcome.unwrap_err();
        assert_eq!(
            error
                .to_string()
                .contains("cannot be watched on the management cluster: not listed within 15 s"),
            names_blind,
            "{error}"
        );
        let WaitError::Deadline {
            blockers, blind, ..
        } = error
        else {
            panic!("{error}");
        };
        assert_eq!(blockers[0].condition, "missing");
        assert_eq!(!blind.is_empty(), names_blind);
    }
}

#[tokio::test(start_paused = true)]
async fn an_interruption_ends_it_at_once_also_during_a_closer_look() {
    for at in [0, 7] {
        let (run, server) = (Run::new(), Server::new());
        let view = server.view("workload");
        let slow = Slow::new(DEADLINE, true);
        let ((outcome, took), ()) = tokio::join!(wait_for_a(&run, &view, Some(&slow)), async {
            pass(at).await;
            run.context.interrupt.raise();
        });
        assert!(matches!(outcome, Err(WaitError::Interrupted(_))));
        assert_eq!((took.as_secs(), slow.begun()), (at, usize::from(at > 5)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_finding_ends_it() {
    let (run, server) = (Run::new(), Server::new());
    let view = server.view("workload");
    let slow = Slow::new(Duration::from_secs(2), true);
    let (outcome, took) = wait_for_a(&run, &view, Some(&slow)).await;
    let error = outcome.unwrap_err();
    assert!(matches!(&error, WaitError::Cause(found) if found.cause == "image-not-found"));
    assert_eq!(error.to_string(), "image x cannot be had");
    assert_eq!(took.as_secs(), 7);
}

#[tokio::test(start_paused = true)]
async fn a_change_that_satisfies_it_wins_over_a_closer_look() {
    // The finding would come after 15 s: the change comes before, or in the same moment.
    for at in [8, 15] {
        let (run, server) = (Run::new(), Server::new());
        let view = server.view("workload");
        pass(1).await;
        let slow = Slow::new(Duration::from_secs(10), true);
        let satisfied = Instant::now() + Duration::from_secs(at);
        let views = [&view];
        let by_time = || {
            let early = Instant::now() < satisfied;
            let missing = early.then(|| Blocker::new(about("a"), "missing"));
            Progress::unless(missing.into_iter().collect())
        };
        let outcome = wait(&run.context, "time", DEADLINE, &views, Some(&slow), by_time);
        let (outcome, ()) = tokio::join!(outcome, async {
            tokio::time::sleep_until(satisfied).await;
            server.add("a");
        });
        outcome.unwrap();
        assert_eq!((Instant::now() - satisfied).as_millis(), 0);
        assert_eq!(slow.begun(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn looks_follow_one_another_and_the_deadline_holds_for_them() {
    let (run, server) = (Run::new(), Server::new());
    let view = server.view("workload");
    let slow = Slow::new(Duration::from_secs(20), false);
    let (outcome, took) = wait_for_a(&run, &view, Some(&slow)).await;
    assert!(matches!(outcome, Err(WaitError::Deadline { .. })));
    // From 5 to 25 s, from 30 to 50 s, and from 55 s on.
    assert_eq!((took.as_secs(), slow.begun()), (DEADLINE.as_secs(), 3));
}

#[tokio::test(start_paused = true)]
async fn what_stays_is_told_when_it_ceases() {
    let (run, server) = (Run::new(), Server::new());
    let view = server.view("workload");
    let violated = || match holds(&view, "a") {
        Progress::Done(()) => vec![Blocker::new(about("a"), "there")],
        Progress::Blocked(_) => vec![],
    };
    let views = [&view];
    let calm = stay(&run.context, DEADLINE, &views, violated).await;
    assert_eq!(calm, Ok(vec![]));
    let (broken, ()) = tokio::join!(stay(&run.context, DEADLINE, &views, violated), async {
        pass(1).await;
        server.add("a");
    });
    assert_eq!(broken.unwrap()[0].condition, "there");
}
