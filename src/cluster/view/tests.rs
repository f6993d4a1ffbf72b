//! What a view says of itself, on a server that misbehaves and a clock that is stopped.

use futures::FutureExt;

use super::*;
use crate::cluster::fake::{CONFIG_MAP, Mode, Server};
use crate::cluster::watch::{self, LIST, RELIST, SELDOM};

/// Lets the view's watches do what they can do by now.
async fn pass(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

fn why(view: &View) -> Option<String> {
    view.unsettled().pop().map(|(_, why)| why)
}

fn holds(view: &View, name: &str) -> bool {
    view.get(&CONFIG_MAP, "demo", name).is_some()
}

#[tokio::test(start_paused = true)]
async fn what_is_listed_and_watched_is_held() {
    let server = Server::new();
    server.add("a");
    let view = server.view("workload");
    assert_eq!(why(&view).as_deref(), Some("not listed yet"));
    pass(1).await;
    server.add("b");
    pass(1).await;
    assert_eq!((why(&view), server.lists()), (None, 1));
    assert!(holds(&view, "a") && holds(&view, "b"));
}

#[tokio::test(start_paused = true)]
async fn a_lost_event_is_seen_by_the_next_list() {
    let server = Server::new();
    let view = server.view("workload");
    let _waits = view.changes();
    pass(1).await;
    server.add_silently("a");
    pass(1).await;
    assert!(!holds(&view, "a"));
    pass(RELIST.as_secs()).await;
    assert!(holds(&view, "a"));
    // What was lost is told by no watch: the next one begins with the list.
    assert_eq!((server.lists(), server.watches()), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn while_nobody_waits_it_is_listed_seldom_and_at_once_for_who_begins_to() {
    let server = Server::new();
    let view = server.view("workload");
    pass(SELDOM.as_secs() - 1).await;
    assert_eq!(server.lists(), 1);
    pass(2).await;
    assert_eq!(server.lists(), 2);
    pass(RELIST.as_secs()).await;
    server.add_silently("a");
    view.fresh().await;
    assert!(holds(&view, "a"));
    assert_eq!(server.lists(), 3);
    // What is as new as that is good enough.
    server.add_silently("b");
    view.fresh().await;
    assert_eq!((server.lists(), holds(&view, "b")), (3, false));
    pass(2 * RELIST.as_secs()).await;
    assert_eq!(server.lists(), 3, "who waited has gone");
    let waits = view.changes();
    pass(1 + 2 * RELIST.as_secs()).await;
    assert_eq!((server.lists(), holds(&view, "b")), (6, true));
    drop(waits);
    pass(SELDOM.as_secs() - RELIST.as_secs()).await;
    assert_eq!(server.lists(), 6);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_made_fresh_is_unsettled_then() {
    let server = Server::new();
    let view = server.view("workload");
    pass(RELIST.as_secs()).await;
    server.turn(Mode::Hangs);
    let asked = tokio::time::Instant::now();
    view.fresh().await;
    assert_eq!(asked.elapsed(), LIST);
    assert_eq!(why(&view).as_deref(), Some("not listed within 15 s"));
    // Who is told so does not wait for it again.
    view.fresh().await;
    assert_eq!(asked.elapsed(), LIST);
}

#[tokio::test(start_paused = true)]
async fn a_watch_whose_connection_is_dead_is_begun_anew_after_a_while() {
    let server = Server::new();
    let view = server.view("workload");
    pass(1).await;
    server.kill_watches();
    pass(SELDOM.as_secs()).await;
    assert_eq!((server.lists(), server.watches()), (2, 2));
    server.add("a");
    pass(1).await;
    assert!(holds(&view, "a"));
    assert_eq!(server.lists(), 2, "the watch told it");
}

#[tokio::test(start_paused = true)]
async fn a_list_that_hangs_unsettles_what_was_settled_until_one_works() {
    let server = Server::new();
    server.add("a");
    let view = server.view("management");
    let _waits = view.changes();
    pass(1).await;
    assert_eq!(why(&view), None);
    server.turn(Mode::Hangs);
    pass(RELIST.as_secs() + LIST.as_secs()).await;
    assert_eq!(why(&view).as_deref(), Some("not listed within 15 s"));
    assert!(holds(&view, "a"));
    let blind = blind(&view);
    assert_eq!(
        blind[0].to_string(),
        "ConfigMap (all): cannot be watched on the management cluster: not listed within 15 s"
    );
    server.turn(Mode::Well);
    pass(RELIST.as_secs() + LIST.as_secs()).await;
    assert_eq!(why(&view), None);
}

#[tokio::test(start_paused = true)]
async fn a_first_list_that_hangs_tells_why_nothing_is_known() {
    let server = Server::new();
    server.turn(Mode::Hangs);
    let view = server.view("workload");
    pass(LIST.as_secs() + 1).await;
    assert_eq!(why(&view).as_deref(), Some("not listed within 15 s"));
    // It is tried again and again, not given up.
    pass(2 * LIST.as_secs()).await;
    assert!(server.lists() >= 3);
}

#[tokio::test(start_paused = true)]
async fn an_error_unsettles_until_the_next_list_works() {
    let server = Server::new();
    let view = server.view("workload");
    pass(1).await;
    server.turn(Mode::Refuses);
    // The watch ends with the next event; beginning it anew fails.
    server.add("a");
    pass(1).await;
    let told = why(&view).unwrap();
    assert!(told.contains("etcd is on holiday"), "{told}");
    server.turn(Mode::Well);
    pass(1).await;
    assert_eq!(why(&view), None);
    assert!(holds(&view, "a"));
}

#[tokio::test(start_paused = true)]
async fn a_list_that_says_nothing_new_wakes_nobody_and_ends_no_watch() {
    let server = Server::new();
    server.add("a");
    let view = server.view("workload");
    pass(1).await;
    let changes = view.changes();
    pass(5 * RELIST.as_secs()).await;
    assert!(server.lists() >= 5);
    assert_eq!(server.watches(), 1);
    assert!(changes.changed().now_or_never().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_refusal_that_takes_its_time_is_one_too() {
    let server = Server::new();
    let view = server.view("workload");
    pass(1).await;
    server.turn(Mode::ForbidsWatchesLate);
    // The watch ends with the next event; beginning it anew is refused.
    server.add("a");
    pass(2).await;
    let expected = Some("may not watch configmaps: you cannot watch".to_owned());
    for _ in 0..50 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(why(&view), expected);
    }
    assert_eq!(view.refused(), expected);
    server.turn(Mode::Well);
    pass(1 + watch::REFUSED.as_secs()).await;
    assert_eq!((view.refused(), why(&view)), (None, None));
}

#[tokio::test(start_paused = true)]
async fn who_may_list_and_not_watch_is_told_so_and_settles_nothing() {
    let server = Server::new();
    server.add("a");
    server.turn(Mode::ForbidsWatches);
    let view = server.view("workload");
    let expected = Some("may not watch configmaps: you cannot watch".to_owned());
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(why(&view), expected);
    }
    assert_eq!(
        view.refused(),
        None,
        "an API server that starts refuses for a moment"
    );
    pass(3).await;
    assert_eq!(view.refused(), expected);
    server.turn(Mode::Well);
    pass(1 + watch::REFUSED.as_secs()).await;
    assert_eq!((view.refused(), why(&view)), (None, None));
    assert!(holds(&view, "a"));
}
