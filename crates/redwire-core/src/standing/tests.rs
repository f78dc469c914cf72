//! When connections are left for what the server says of itself, and by whom.

use super::*;
use crate::config::HostPort;

const PAUSE: Duration = Duration::from_millis(10);
const BACKOFF: Backoff = Backoff::exponential(PAUSE, Duration::from_secs(1));
const GO: RetryTurn = RetryTurn::Now(None);
const LEAVE: RetryTurn = RetryTurn::Now(Some(Replace::One));
const ALL: Option<Replace> = Some(Replace::All);

#[test]
fn one_caller_a_pause_leaves_and_tries_and_the_others_wait() {
    let (mut standing, now) = (Standing::default(), Instant::now());
    assert_eq!(standing.poll_turn(BACKOFF, now, 0), GO, "nothing was said");
    assert_eq!(standing.handle_refused(Unfit::Now, BACKOFF, now, 0), ALL);
    assert_eq!(standing.handle_refused(Unfit::Now, BACKOFF, now, 0), None, "the others were told the same");
    assert_eq!(standing.poll_turn(BACKOFF, now, 0), GO, "the first tries the new connection");
    assert_eq!(standing.poll_turn(BACKOFF, now, 0), RetryTurn::At(now + PAUSE));
    let (mut at, mut pause) = (now, PAUSE);
    for _ in 0..10 {
        assert_eq!(standing.handle_refused(Unfit::Now, BACKOFF, at, 0), None);
        assert_eq!(standing.poll_turn(BACKOFF, at, 0), RetryTurn::At(at + pause));
        (at, pause) = (at + pause, (pause * 2).min(Duration::from_secs(1)));
        assert_eq!(standing.poll_turn(BACKOFF, at, 0), LEAVE);
        assert_eq!(standing.poll_turn(BACKOFF, at, 0), RetryTurn::At(at + pause));
    }
    assert_eq!(standing.handle_served(), Some(Replace::Others), "the rest follows");
    assert_eq!(standing.handle_served(), None);
    assert_eq!(standing.poll_turn(BACKOFF, at, 0), GO, "all go on");
}

#[test]
fn refusals_alone_leave_where_no_call_is_made_again() {
    let (mut standing, start) = (Standing::default(), Instant::now());
    let (mut now, mut left) = (start, 0);
    while now - start < Duration::from_secs(8) {
        left += u32::from(standing.handle_refused(Unfit::Now, BACKOFF, now, 0) == ALL);
        now += Duration::from_millis(5);
    }
    assert!((10..=16).contains(&left), "{left} times in 8 s");
    now += FORGOTTEN + PAUSE;
    assert_eq!(standing.handle_refused(Unfit::Now, BACKOFF, now, 0), ALL, "that one is new");
    // Where calls are made again but none waits for its turn.
    assert_eq!(standing.poll_turn(BACKOFF, now, 0), GO);
    now += Duration::from_millis(30);
    assert_eq!(standing.handle_refused(Unfit::Now, BACKOFF, now, 0), Some(Replace::One));
}

#[test]
fn a_server_that_will_serve_later_is_left_when_that_lasts() {
    let (mut standing, start) = (Standing::default(), Instant::now());
    let at = |ms| start + Duration::from_millis(ms);
    assert_eq!(standing.handle_refused(Unfit::Lasting, BACKOFF, start, 0), None);
    assert_eq!(standing.handle_refused(Unfit::Lasting, BACKOFF, at(999), 0), None);
    assert_eq!(standing.handle_refused(Unfit::Lasting, BACKOFF, at(1_010), 0), ALL);
    assert_eq!(standing.handle_refused(Unfit::Lasting, BACKOFF, at(1_900), 0), None);
    assert_eq!(standing.handle_refused(Unfit::Lasting, BACKOFF, at(2_100), 0), ALL);
    assert_eq!(
        standing.handle_refused(Unfit::Now, BACKOFF, at(2_100), 0),
        ALL,
        "what is worse counts at once"
    );
}

#[test]
fn what_is_said_counts_where_another_server_may_be_found() {
    let config = |url: &str| Config::from_url(url).unwrap();
    let [plain, secret, user] = ["redis://h", "redis://:pw@h", "redis://u@h"].map(config);
    let reader = config("redis://h?read_only=yes");
    let [service, cluster] = ["redis+sentinel://:pw@h/s", "redis+cluster://:pw@h"].map(config);
    let node = cluster.for_node(HostPort::new("h", 7000));
    let demoted = "READONLY You can't write against a read only replica.";
    let (now, lasting) = (Some(Unfit::Now), Some(Unfit::Lasting));
    let unknown = [None, now, now, None, now, now, now];
    let replica = [now, now, now, None, None, None, None];
    let later = [lasting, lasting, lasting, lasting, None, None, None];
    for (line, expected) in [
        (demoted, replica),
        ("ERR READONLY You can't write", replica),
        ("UNBLOCKED force unblock from blocking operation, instance state changed", replica),
        ("NOAUTH Authentication required.", unknown),
        ("ERR NOAUTH Authentication required.", unknown),
        ("LOADING Redis is loading the dataset in memory", later),
        ("MASTERDOWN Link with MASTER is down", later),
        ("BUSY Redis is busy running a script", [None; 7]),
        ("WRONGTYPE no", [None; 7]),
        ("NOPERM no", [None; 7]),
    ] {
        let error = Error::from_server(line.as_bytes());
        let configs = [&plain, &secret, &user, &reader, &service, &cluster, &node];
        assert_eq!(configs.map(|config| unfit(&error, config)), expected, "{line}");
        // A script may say anything; what a replica told it is news, and no reason to run it twice.
        let said = error.with_outcome(Outcome::MaybeExecuted);
        let is_known = line.contains("read only replica") || line.starts_with("UNBLOCKED");
        assert_eq!(unfit(&said, &plain), is_known.then_some(Unfit::Now), "{line}");
        assert_eq!(unfit(&said, &secret).is_some(), is_known, "{line}");
        assert!(!may_go_on(&said, false, &plain));
        assert_eq!(may_go_on(&said, true, &plain), is_known, "{line}");
    }
    let error = advised(Error::from_server(demoted.as_bytes()), &plain);
    assert!(error.message().contains("`reconnect`") && error.code() == Some("READONLY"), "{error}");
}
