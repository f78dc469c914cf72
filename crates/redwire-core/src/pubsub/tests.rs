//! Subscriptions without sockets and clocks.

use std::time::Instant;

use redwire_resp::{Cursor, Finder, Head, Len, Limits};

use super::*;
use crate::error::{AuthenticationFault, ConnectionFault};
use crate::inbound::{Frames, Inbound};
use crate::keeper::{Keeper, WhenToConnect};
use crate::outbox::Outbox;

mod model;
mod shard_placement;

const SECOND: Duration = Duration::from_secs(1);

/// Subscriptions, and the bytes between them and a server.
struct Scene {
    machine: PubSub<u32>,
    now: Instant,
    protocol: char,
    outbox: Outbox,
}

impl Scene {
    fn new(protocol: char) -> Self {
        let machine = PubSub::new(None, Backoff::none());
        Self { machine, now: Instant::now(), protocol, outbox: Outbox::default() }
    }

    fn connected(protocol: char) -> Self {
        let mut scene = Self::new(protocol);
        scene.machine.handle_connected(ConnId::MAIN, scene.now);
        scene
    }

    fn subscribe(&mut self, kind: ChannelKind, names: &str) -> SubscriptionId {
        self.machine.subscribe(kind, list(names), SubscribeOptions::new()).unwrap()
    }

    /// A subscription that is confirmed.
    fn subscribed(&mut self, names: &str) -> SubscriptionId {
        let id = self.subscribe(ChannelKind::Channel, names);
        self.sent();
        names.split(' ').for_each(|name| self.receive(&["subscribe", name, "1"]));
        assert!(matches!(self.confirmed(&id), Poll::Ready(Ok(()))));
        id
    }

    /// The commands that are to be sent.
    fn sent(&mut self) -> Vec<String> {
        self.machine.poll_transmit(ConnId::MAIN, &mut self.outbox);
        let bytes = self.outbox.to_bytes();
        self.outbox.clear();
        commands(&bytes)
    }

    fn frames(&mut self, bytes: &[u8]) -> Result<()> {
        let mut inbound = Inbound::new(64, Limits::default());
        let mut frames = Frames::default();
        inbound.spare().extend_from_slice(bytes);
        assert!(inbound.poll_frames(&mut frames).unwrap() && inbound.is_empty());
        self.machine.handle_frames(ConnId::MAIN, &mut frames, self.now)
    }

    /// Reads a frame, and finds no other behind it.
    fn receive(&mut self, words: &[&str]) {
        let frame = frame(self.protocol, words);
        self.frames(&frame).unwrap();
        if self.machine.wants_read() {
            self.machine.handle_quiet(ConnId::MAIN, self.now);
        }
    }

    /// Loses the connection and has all names of it confirmed on another.
    fn come_back(&mut self, names: &str) {
        self.lose();
        self.machine.handle_connected(ConnId::MAIN, self.now);
        self.sent();
        names.split(' ').for_each(|name| self.receive(&["subscribe", name, "1"]));
    }

    /// Has the connection made anew after these pauses.
    fn pace(&mut self, backoff: Backoff) {
        let conn = self.machine.conns.get_mut(&ConnId::MAIN).expect("it is always there");
        let is_up = conn.keeper.is_up();
        conn.keeper = Keeper::new(backoff, None);
        if is_up {
            conn.keeper.handle_connected(self.now, 0);
        }
    }

    fn lose(&mut self) {
        let error = Error::closed_by_peer(Outcome::MaybeExecuted);
        self.machine.handle_lost(ConnId::MAIN, error, self.now, 0);
    }

    fn confirmed(&mut self, id: &SubscriptionId) -> Poll<Result<()>> {
        self.machine.poll_confirmed(id, |waiter| *waiter = Some(0))
    }

    /// All items that wait, in short; times in seconds after `start`.
    fn items(&mut self, id: &SubscriptionId, start: Instant) -> Vec<String> {
        let mut items = Vec::new();
        while let Poll::Ready(item) = self.machine.poll_item(id, |_| {}) {
            let after = |at: Instant| at.duration_since(start).as_secs();
            items.push(match item {
                Some(SubscriptionEvent::Message(message)) => {
                    format!("{}={}", message.channel_text(), message.text().unwrap())
                }
                Some(SubscriptionEvent::Gap { from, to }) => format!("gap {}-{}", after(from), after(to)),
                Some(SubscriptionEvent::Failed(error)) => {
                    format!("failed {}", error.code().unwrap_or_default())
                }
                Some(SubscriptionEvent::Subscribed(name)) => format!("+{}", String::from_utf8_lossy(&name)),
                Some(SubscriptionEvent::Unsubscribed(name)) => format!("-{}", String::from_utf8_lossy(&name)),
                Some(other) => format!("{other:?}").to_lowercase(),
                None => {
                    items.push("end".to_owned());
                    break;
                }
            });
        }
        items
    }
}

fn list(names: &str) -> Vec<&str> {
    names.split(' ').collect()
}

/// What a server says: the first word is the kind, and `subscribe` and its kin end with a number.
fn frame(protocol: char, words: &[&str]) -> Vec<u8> {
    let mut bytes = format!("{protocol}{}\r\n", words.len()).into_bytes();
    for (index, word) in words.iter().enumerate() {
        if index == 2 && words[0].ends_with("subscribe") {
            bytes.extend(format!(":{word}\r\n").bytes());
        } else {
            redwire_resp::write_bulk(&mut bytes, word.as_bytes());
        }
    }
    bytes
}

fn commands(mut bytes: &[u8]) -> Vec<String> {
    let mut commands = Vec::new();
    while let Some(found) = Finder::new(Limits::default()).find(bytes).unwrap() {
        let mut cursor = Cursor::new(&bytes[..found.len]);
        let Head::Array(Len::Known(words)) = cursor.head().unwrap() else { panic!("no command") };
        let words = (0..words).map(|_| match cursor.head().unwrap() {
            Head::Bulk(word) => String::from_utf8_lossy(word).into_owned(),
            other => panic!("{other:?}"),
        });
        commands.push(words.collect::<Vec<_>>().join(" "));
        bytes = &bytes[found.len..];
    }
    commands
}

#[test]
fn names_that_several_want_are_asked_for_once_and_left_with_the_last() {
    for protocol in ['*', '>'] {
        let mut scene = Scene::connected(protocol);
        let start = scene.now;
        let one = scene.subscribed("a b");
        let two = scene.subscribe(ChannelKind::Channel, "b c");
        assert_eq!(scene.sent(), ["SUBSCRIBE c"]);
        assert!(scene.confirmed(&two).is_pending());
        scene.receive(&["subscribe", "c", "3"]);
        assert!(matches!(scene.confirmed(&two), Poll::Ready(Ok(()))));
        for (channel, payload) in [("a", "1"), ("b", "2"), ("c", "3"), ("d", "4")] {
            scene.receive(&["message", channel, payload]);
        }
        assert_eq!(scene.items(&one, start), ["a=1", "b=2"]);
        assert_eq!(scene.items(&two, start), ["b=2", "c=3"]);
        scene.machine.unsubscribe(one);
        assert_eq!(scene.sent(), ["UNSUBSCRIBE a"]);
        scene.receive(&["unsubscribe", "a", "2"]);
        scene.machine.unsubscribe(two);
        assert_eq!(scene.sent(), ["UNSUBSCRIBE b c"]);
    }
}

#[test]
fn kinds_are_apart() {
    let mut scene = Scene::connected('>');
    let start = scene.now;
    let kinds = ChannelKind::ALL.map(|kind| scene.subscribe(kind, "a*"));
    assert_eq!(scene.sent(), ["SUBSCRIBE a*", "PSUBSCRIBE a*", "SSUBSCRIBE a*"]);
    for word in ["subscribe", "psubscribe", "ssubscribe"] {
        scene.receive(&[word, "a*", "1"]);
    }
    scene.receive(&["message", "a*", "1"]);
    scene.receive(&["pmessage", "a*", "abc", "2"]);
    scene.receive(&["smessage", "a*", "3"]);
    for (id, expected) in kinds.iter().zip(["a*=1", "abc=2", "a*=3"]) {
        assert_eq!(scene.items(id, start), [expected]);
    }
}

#[test]
fn a_name_that_is_wanted_while_it_is_being_left_is_asked_for_afterwards() {
    let mut scene = Scene::connected('*');
    let one = scene.subscribed("a");
    scene.machine.unsubscribe(one);
    assert_eq!(scene.sent(), ["UNSUBSCRIBE a"]);
    let two = scene.subscribe(ChannelKind::Channel, "a");
    assert!(scene.sent().is_empty());
    scene.receive(&["unsubscribe", "a", "0"]);
    assert_eq!(scene.sent(), ["SUBSCRIBE a"]);
    scene.machine.unsubscribe(two);
    assert!(scene.sent().is_empty());
    scene.receive(&["subscribe", "a", "1"]);
    assert_eq!(scene.sent(), ["UNSUBSCRIBE a"]);
    scene.receive(&["unsubscribe", "a", "0"]);
    assert!(scene.machine.names.iter().all(BTreeMap::is_empty));
}

#[test]
fn a_gap_lasts_from_the_last_sign_of_life_to_the_last_confirmation() {
    let mut scene = Scene::connected('>');
    let start = scene.now;
    let id = scene.subscribed("a b");
    scene.now += SECOND;
    scene.receive(&["message", "a", "1"]);
    scene.now += SECOND;
    scene.lose();
    assert_eq!(scene.items(&id, start), ["a=1"], "not told before it is known how long it lasts");
    scene.now += SECOND;
    assert_eq!(scene.machine.poll_connect(ConnId::MAIN, scene.now, 0), WhenToConnect::Now);
    scene.machine.handle_connected(ConnId::MAIN, scene.now);
    assert_eq!(scene.sent(), ["SUBSCRIBE a b"]);
    scene.now += SECOND;
    scene.receive(&["subscribe", "a", "1"]);
    assert_eq!(scene.items(&id, start), ["reconnected"]);
    scene.now += SECOND;
    scene.receive(&["subscribe", "b", "2"]);
    scene.receive(&["message", "b", "2"]);
    assert_eq!(scene.items(&id, start), ["gap 1-5", "b=2"]);
}

#[test]
fn a_message_that_comes_before_the_last_confirmation_is_between_two_gaps() {
    let mut scene = Scene::connected('>');
    let start = scene.now;
    let id = scene.subscribed("a b");
    scene.lose();
    scene.now += SECOND;
    scene.machine.handle_connected(ConnId::MAIN, scene.now);
    scene.sent();
    scene.receive(&["subscribe", "a", "1"]);
    scene.receive(&["message", "a", "1"]);
    scene.receive(&["message", "a", "2"]);
    scene.now += SECOND;
    scene.receive(&["subscribe", "b", "2"]);
    assert_eq!(scene.items(&id, start), ["reconnected", "gap 0-1", "a=1", "a=2", "gap 0-2"]);
}

#[test]
fn a_shard_that_the_server_gives_up_is_a_gap_and_asked_for_again() {
    let mut scene = Scene::connected('>');
    let start = scene.now;
    let options = SubscribeOptions::new().confirmations(true);
    let id = scene.machine.subscribe(ChannelKind::Shard, "a", options).unwrap();
    scene.sent();
    scene.receive(&["ssubscribe", "a", "1"]);
    scene.now += SECOND;
    scene.receive(&["sunsubscribe", "a", "0"]);
    assert_eq!(scene.sent(), ["SSUBSCRIBE a"]);
    scene.now += SECOND;
    scene.receive(&["ssubscribe", "a", "1"]);
    assert_eq!(scene.items(&id, start), ["+a", "-a", "+a", "gap 0-2"]);
}

#[test]
fn what_is_refused_leaves_nothing_and_harms_no_other() {
    let mut scene = Scene::connected('>');
    let mut one = scene.subscribed("a");
    let two = scene.subscribe(ChannelKind::Channel, "b secret");
    let three = scene.subscribe(ChannelKind::Channel, "b");
    assert_eq!(scene.sent(), ["SUBSCRIBE b secret"]);
    scene.frames(b"-NOPERM not this one\r\n").unwrap();
    let Poll::Ready(Err(error)) = scene.confirmed(&two) else { panic!("it was refused") };
    assert_eq!((error.code(), error.command()), (Some("NOPERM"), Some("SUBSCRIBE")));
    scene.machine.unsubscribe(two);
    assert_eq!(scene.sent(), ["SUBSCRIBE b"]);
    scene.receive(&["subscribe", "b", "2"]);
    assert!(matches!(scene.confirmed(&three), Poll::Ready(Ok(()))));
    // The same for more names of one that has some.
    scene.machine.add(&one, list("c secret"));
    scene.sent();
    scene.frames(b"-NOPERM not this one\r\n").unwrap();
    assert!(matches!(scene.confirmed(&one), Poll::Ready(Err(_))));
    assert!(matches!(scene.confirmed(&one), Poll::Ready(Ok(()))), "it is as it was before");
    assert!(scene.sent().is_empty());
    scene.receive(&["message", "a", "1"]);
    let start = scene.now;
    assert_eq!(scene.items(&one, start), ["a=1"]);
    one = three;
    assert!(scene.items(&one, start).is_empty());
}

/// Between the end of the one and the beginning of the other something may be published that does not come.
#[test]
fn what_came_for_those_that_have_left_is_not_for_who_comes_next() {
    let mut scene = Scene::connected('*');
    let start = scene.now;
    let one = scene.subscribed("a");
    scene.machine.unsubscribe(one);
    assert_eq!(scene.sent(), ["UNSUBSCRIBE a"]);
    let two = scene.subscribe(ChannelKind::Channel, "a");
    scene.receive(&["message", "a", "1"]);
    scene.receive(&["unsubscribe", "a", "0"]);
    assert_eq!(scene.sent(), ["SUBSCRIBE a"]);
    scene.receive(&["subscribe", "a", "1"]);
    assert!(matches!(scene.confirmed(&two), Poll::Ready(Ok(()))));
    scene.receive(&["message", "a", "3"]);
    assert_eq!(scene.items(&two, start), ["a=3"]);
}

#[test]
fn a_refusal_goes_to_no_subscriber_when_those_that_asked_have_left() {
    let mut scene = Scene::connected('*');
    let one = scene.subscribe(ChannelKind::Channel, "secret");
    scene.sent();
    scene.machine.unsubscribe(one);
    // It has the same number.
    let two = scene.subscribe(ChannelKind::Channel, "b");
    assert_eq!(scene.sent(), ["SUBSCRIBE b"]);
    scene.frames(b"-NOPERM not this one\r\n").unwrap();
    assert!(scene.confirmed(&two).is_pending());
    scene.receive(&["subscribe", "b", "1"]);
    assert!(matches!(scene.confirmed(&two), Poll::Ready(Ok(()))));
}

#[test]
fn after_a_reconnect_only_those_fail_that_want_what_is_not_allowed_any_more() {
    let mut scene = Scene::connected('>');
    let start = scene.now;
    let (one, two) = (scene.subscribed("a b"), scene.subscribed("c"));
    scene.lose();
    scene.machine.handle_connected(ConnId::MAIN, scene.now);
    assert_eq!(scene.sent(), ["SUBSCRIBE a b c"]);
    scene.frames(b"-NOPERM one of them\r\n").unwrap();
    assert_eq!(scene.sent(), ["SUBSCRIBE a", "SUBSCRIBE b", "SUBSCRIBE c"]);
    scene.receive(&["subscribe", "a", "1"]);
    scene.frames(b"-NOPERM this one\r\n").unwrap();
    scene.receive(&["subscribe", "c", "2"]);
    assert_eq!(scene.items(&one, start), ["reconnected", "failed NOPERM", "end"]);
    assert_eq!(scene.items(&two, start), ["reconnected", "gap 0-0"]);
    assert_eq!(scene.sent(), ["UNSUBSCRIBE a"]);
}

#[test]
fn a_server_that_is_busy_for_now_ends_nothing() {
    let mut scene = Scene::connected('>');
    let start = scene.now;
    let id = scene.subscribed("a");
    scene.lose();
    scene.machine.handle_connected(ConnId::MAIN, scene.now);
    scene.sent();
    let error = scene.frames(b"-BUSY a script runs\r\n").unwrap_err();
    scene.machine.handle_lost(ConnId::MAIN, error, scene.now, 0);
    assert_eq!(scene.machine.poll_connect(ConnId::MAIN, scene.now, 0), WhenToConnect::Now);
    scene.machine.handle_connected(ConnId::MAIN, scene.now);
    assert_eq!(scene.sent(), ["SUBSCRIBE a"]);
    scene.receive(&["subscribe", "a", "1"]);
    assert_eq!(scene.items(&id, start), ["reconnected", "gap 0-0"]);
}

#[test]
fn a_wrong_password_ends_all_for_good_and_is_told_to_the_next_at_once() {
    let mut scene = Scene::connected('>');
    scene.pace(Backoff::constant(SECOND));
    let start = scene.now;
    let (old, new) = (scene.subscribed("a"), scene.subscribe(ChannelKind::Channel, "b"));
    scene.lose();
    scene.now += SECOND;
    assert_eq!(scene.machine.poll_connect(ConnId::MAIN, scene.now, 0), WhenToConnect::Now);
    let wrong = ErrorKind::Authentication(AuthenticationFault::WrongPassword);
    scene.machine.handle_failed(ConnId::MAIN, Error::new(wrong, Outcome::NotSent, "no"), scene.now, 0);
    assert_eq!(scene.items(&old, start), ["failed ", "end"]);
    assert!(matches!(scene.confirmed(&new), Poll::Ready(Err(error)) if error.kind() == wrong));
    assert_eq!(scene.machine.poll_connect(ConnId::MAIN, scene.now, 0), WhenToConnect::Asked);
    let next = scene.subscribe(ChannelKind::Channel, "c");
    assert_eq!(scene.machine.poll_connect(ConnId::MAIN, scene.now, 0), WhenToConnect::Asked);
    assert!(matches!(scene.confirmed(&next), Poll::Ready(Err(error)) if error.kind() == wrong));
    let last = scene.subscribe(ChannelKind::Channel, "c");
    assert_eq!(scene.machine.poll_connect(ConnId::MAIN, scene.now + SECOND, 0), WhenToConnect::Now);
    scene.machine.handle_connected(ConnId::MAIN, scene.now);
    assert_eq!(scene.sent(), ["SUBSCRIBE c"]);
    assert!(scene.confirmed(&last).is_pending());
}

#[test]
fn a_server_that_is_away_is_tried_again_and_again() {
    let mut scene = Scene::new('>');
    scene.pace(Backoff::constant(SECOND));
    assert_eq!(
        scene.machine.poll_connect(ConnId::MAIN, scene.now, 0),
        WhenToConnect::Asked,
        "no subscriber wants anything"
    );
    let id = scene.subscribe(ChannelKind::Channel, "a");
    for _ in 0..3 {
        assert_eq!(scene.machine.poll_connect(ConnId::MAIN, scene.now, 0), WhenToConnect::Now);
        let refused = ErrorKind::Connection(ConnectionFault::Refused);
        scene.machine.handle_failed(ConnId::MAIN, Error::new(refused, Outcome::NotSent, "no"), scene.now, 0);
        assert_eq!(
            scene.machine.poll_connect(ConnId::MAIN, scene.now, 0),
            WhenToConnect::At(scene.now + SECOND)
        );
        scene.now += SECOND;
    }
    let late = scene.machine.give_up(&id);
    assert!(late.is_timeout() && std::error::Error::source(&late).is_some());
    scene.machine.unsubscribe(id);
    assert_eq!(scene.machine.poll_connect(ConnId::MAIN, scene.now, 0), WhenToConnect::Asked);
}

#[test]
fn confirmations_do_not_count_as_an_end_of_the_outage_before_they_come() {
    let mut scene = Scene::connected('>');
    scene.pace(Backoff::exponential(SECOND, 100 * SECOND));
    let _id = scene.subscribed("a");
    // A server that takes connections and drops them at once is not stormed.
    let mut pauses = Vec::new();
    for _ in 0..4 {
        scene.lose();
        let WhenToConnect::At(next) = scene.machine.poll_connect(ConnId::MAIN, scene.now, 0) else {
            panic!("at once")
        };
        pauses.push((next - scene.now).as_secs());
        scene.now = next;
        assert_eq!(scene.machine.poll_connect(ConnId::MAIN, scene.now, 0), WhenToConnect::Now);
        scene.machine.handle_connected(ConnId::MAIN, scene.now);
    }
    assert_eq!(pauses, [1, 2, 4, 8]);
}

#[test]
fn a_silent_server_is_asked_once_and_then_given_up() {
    for (protocol, answer) in [('*', &b"*2\r\n$4\r\npong\r\n$0\r\n\r\n"[..]), ('>', b"+PONG\r\n")] {
        let mut scene = Scene::new(protocol);
        scene.machine = PubSub::new(Some(2 * SECOND), Backoff::none());
        scene.machine.handle_connected(ConnId::MAIN, scene.now);
        let _id = scene.subscribed("a");
        let tick = |scene: &mut Scene, received| {
            scene.now = scene.machine.poll_timeout(ConnId::MAIN).unwrap();
            scene.machine.handle_timeout(ConnId::MAIN, scene.now, received)
        };
        tick(&mut scene, 9).unwrap();
        assert!(scene.sent().is_empty());
        tick(&mut scene, 9).unwrap();
        assert_eq!(scene.sent(), ["PING"]);
        scene.frames(answer).unwrap();
        tick(&mut scene, 10).unwrap();
        tick(&mut scene, 10).unwrap();
        assert_eq!(scene.sent(), ["PING"]);
        tick(&mut scene, 10).unwrap();
        assert!(scene.sent().is_empty(), "one question at a time");
        let error = tick(&mut scene, 10).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Connection(ConnectionFault::Silent));
    }
}

#[test]
fn silence_is_no_death_while_nothing_is_read_and_a_gap_begins_where_reading_stopped() {
    let mut scene = Scene::new('>');
    let start = scene.now;
    scene.machine = PubSub::new(Some(2 * SECOND), Backoff::none());
    scene.machine.handle_connected(ConnId::MAIN, scene.now);
    let options = SubscribeOptions::new().buffer_messages(2);
    let id = scene.machine.subscribe(ChannelKind::Channel, "a", options).unwrap();
    scene.sent();
    scene.receive(&["subscribe", "a", "1"]);
    scene.receive(&["message", "a", "1"]);
    assert!(scene.machine.wants_read());
    scene.receive(&["message", "a", "2"]);
    assert!(!scene.machine.wants_read());
    for _ in 0..10 {
        scene.now = scene.machine.poll_timeout(ConnId::MAIN).unwrap();
        scene.machine.handle_timeout(ConnId::MAIN, scene.now, 9).unwrap();
    }
    assert!(scene.sent().is_empty());
    assert_eq!(scene.items(&id, start), ["a=1", "a=2"]);
    assert!(scene.machine.wants_read());
    assert_eq!(scene.sent(), ["PING"], "how old is what comes now?");
    scene.receive(&["message", "a", "3"]);
    scene.lose();
    scene.machine.handle_connected(ConnId::MAIN, scene.now);
    scene.sent();
    scene.receive(&["subscribe", "a", "1"]);
    assert_eq!(scene.items(&id, start), ["a=3", "reconnected", "gap 0-10"]);
    // Once the question is answered, all that came is new.
    scene.receive(&["message", "a", "4"]);
    scene.receive(&["message", "a", "5"]);
    assert_eq!(scene.items(&id, start), ["a=4", "a=5"]);
    assert_eq!(scene.sent(), ["PING"]);
    scene.now += SECOND;
    scene.frames(b"+PONG\r\n").unwrap();
    scene.machine.handle_quiet(ConnId::MAIN, scene.now);
    scene.come_back("a");
    assert_eq!(scene.items(&id, start), ["reconnected", "gap 11-11"]);
}

/// A subscriber that reads late reads old bytes, and the end of the connection right behind them.
#[test]
fn a_gap_begins_where_there_was_last_nothing_to_read() {
    for protocol in ['*', '>'] {
        let mut scene = Scene::connected(protocol);
        let start = scene.now;
        let id = scene.subscribed("a");
        scene.now += SECOND;
        scene.receive(&["message", "a", "1"]);
        scene.now += 4 * SECOND;
        scene.frames(&frame(protocol, &["message", "a", "2"])).unwrap();
        scene.come_back("a");
        assert_eq!(scene.items(&id, start), ["a=1", "a=2", "reconnected", "gap 1-5"]);
        // A look that found nothing counts, too, and an older one changes nothing.
        scene.now += SECOND;
        scene.machine.handle_quiet(ConnId::MAIN, scene.now);
        scene.machine.handle_quiet(ConnId::MAIN, start);
        scene.now += SECOND;
        scene.come_back("a");
        assert_eq!(scene.items(&id, start), ["reconnected", "gap 6-7"]);
    }
}

/// What came last was heard at 1, and nothing since: a message may have been lost on its way at any time
/// after the look before.
#[test]
fn a_look_that_finds_nothing_is_no_sign_of_life() {
    for fault in [ConnectionFault::Silent, ConnectionFault::Reset] {
        let mut scene = Scene::connected('>');
        let start = scene.now;
        let id = scene.subscribed("a");
        scene.now += SECOND;
        scene.receive(&["message", "a", "1"]);
        scene.now += SECOND;
        scene.receive(&["message", "a", "2"]);
        scene.now += 4 * SECOND;
        scene.machine.handle_quiet(ConnId::MAIN, scene.now);
        scene.now += SECOND;
        let error = Error::new(ErrorKind::Connection(fault), Outcome::MaybeExecuted, "dead");
        scene.machine.handle_lost(ConnId::MAIN, error, scene.now, 0);
        scene.machine.handle_connected(ConnId::MAIN, scene.now);
        scene.sent();
        scene.receive(&["subscribe", "a", "1"]);
        assert_eq!(scene.items(&id, start), ["a=1", "a=2", "reconnected", "gap 1-7"]);
    }
}

/// Where much is read at a time, the server may have had more to send than it could, and has dropped what
/// came then.
#[test]
fn after_much_at_a_time_only_an_answer_tells_that_it_was_all() {
    let payload = "x".repeat(6_000);
    for (protocol, answer) in [('*', &b"*2\r\n$4\r\npong\r\n$0\r\n\r\n"[..]), ('>', b"+PONG\r\n")] {
        let mut scene = Scene::connected(protocol);
        let start = scene.now;
        let id = scene.subscribed("a");
        let message = frame(protocol, &["message", "a", &payload]);
        let read = |scene: &mut Scene, count| {
            scene.now += SECOND;
            for _ in 0..count {
                scene.frames(&message).unwrap();
            }
            scene.machine.handle_quiet(ConnId::MAIN, scene.now);
            scene.items(&id, start);
            scene.sent()
        };
        assert!(read(&mut scene, 2).is_empty() && read(&mut scene, 2).is_empty(), "little at a time");
        assert_eq!(read(&mut scene, 3), ["PING"]);
        assert!(read(&mut scene, 1).is_empty(), "it is asked once");
        scene.come_back("a");
        assert_eq!(scene.items(&id, start), ["reconnected", "gap 2-4"]);
        // Once it has answered, all that came before the question is known to be heard; and there may be more
        // behind it.
        assert_eq!(read(&mut scene, 3), ["PING"]);
        assert!(read(&mut scene, 3).is_empty(), "one question at a time");
        scene.now += SECOND;
        scene.frames(answer).unwrap();
        assert_eq!(scene.sent(), ["PING"]);
        scene.come_back("a");
        assert_eq!(scene.items(&id, start), ["reconnected", "gap 5-7"]);
        assert_eq!(read(&mut scene, 3), ["PING"]);
        scene.now += SECOND;
        scene.frames(answer).unwrap();
        scene.machine.handle_quiet(ConnId::MAIN, scene.now);
        scene.now += SECOND;
        scene.come_back("a");
        assert_eq!(scene.items(&id, start), ["reconnected", "gap 9-10"]);
    }
}

#[test]
fn new_credentials_are_presented_among_the_rest() {
    let mut scene = Scene::connected('>');
    let id = scene.subscribe(ChannelKind::Channel, "a");
    scene.machine.poll_transmit(ConnId::MAIN, &mut scene.outbox);
    let auth = crate::credentials::Credentials::new("ann", "new").auth();
    scene.machine.present(ConnId::MAIN, &auth, &mut scene.outbox);
    scene.machine.present(ConnId::MAIN, &auth, &mut scene.outbox);
    assert_eq!(scene.sent(), ["SUBSCRIBE a", "AUTH ann new", "AUTH ann new"]);
    scene.receive(&["subscribe", "a", "1"]);
    scene.frames(b"+OK\r\n").unwrap();
    assert!(scene.machine.poll_refused(ConnId::MAIN).is_none());
    scene.frames(b"-WRONGPASS no\r\n").unwrap();
    assert_eq!(scene.machine.poll_refused(ConnId::MAIN).unwrap().code(), Some("WRONGPASS"));
    assert!(scene.machine.poll_refused(ConnId::MAIN).is_none());
    assert!(matches!(scene.confirmed(&id), Poll::Ready(Ok(()))), "it goes on as who it was");
}

#[test]
fn many_names_take_few_commands() {
    let mut scene = Scene::connected('>');
    let names: Vec<_> = (0..2500).map(|number| number.to_string()).collect();
    let _id = scene.machine.subscribe(ChannelKind::Channel, names, SubscribeOptions::new()).unwrap();
    let sizes: Vec<_> = scene.sent().iter().map(|command| command.split(' ').count() - 1).collect();
    assert_eq!(sizes, [1000, 1000, 500]);
}

#[test]
fn answers_to_nothing_that_was_asked_break_the_connection() {
    for bytes in
        [&b"+PONG\r\n"[..], b">3\r\n$9\r\nsubscribe\r\n$1\r\nb\r\n:1\r\n", b"-ERR what\r\n", b":1\r\n"]
    {
        let mut scene = Scene::connected('>');
        let _id = scene.subscribed("a");
        scene.frames(bytes).unwrap_err();
    }
}

#[test]
fn waiters_are_woken_and_one_can_be_called() {
    let mut scene = Scene::connected('>');
    let (one, two) = (scene.subscribed("a"), scene.subscribed("b"));
    let look = |scene: &mut Scene| {
        let mut list = Vec::new();
        scene.machine.poll_woken(&mut list);
        list
    };
    look(&mut scene);
    assert!(scene.machine.poll_item(&one, |waiter| *waiter = Some(1)).is_pending());
    assert!(scene.machine.poll_item(&two, |waiter| *waiter = Some(2)).is_pending());
    scene.receive(&["message", "b", "1"]);
    scene.receive(&["message", "b", "2"]);
    assert_eq!(look(&mut scene), [2]);
    assert_eq!(scene.machine.poll_successor(), Some(1));
    assert_eq!(scene.machine.poll_successor(), None);
    assert!(scene.machine.poll_item(&one, |waiter| *waiter = Some(1)).is_pending());
    scene.machine.close();
    assert_eq!(look(&mut scene), [1]);
    let start = scene.now;
    assert_eq!(scene.items(&one, start), ["end"]);
    assert_eq!(scene.items(&two, start), ["b=1", "b=2", "end"]);
    let refused = scene.machine.subscribe(ChannelKind::Channel, "c", SubscribeOptions::new());
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Closed);
}
