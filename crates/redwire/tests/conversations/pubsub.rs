//! Publish/subscribe as it goes when nothing is in its way: what is wanted is subscribed, what comes is told,
//! and nothing is left behind.

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use redwire::ErrorKind;
use redwire::pubsub::{ChannelKind, SubscribeOptions, SubscriptionEvent};
use redwire_testkit::{Server, eventually, shared};

use crate::common::pubsub::{PubSub, Way};
use crate::common::{LIMIT, Setup, named_clients};

both!(
    messages_come_in_order_with_their_channel,
    names_and_payloads_are_bytes,
    a_pattern_says_what_it_matched,
    shard_channels_are_a_world_of_their_own,
    one_channel_for_several_subscriptions,
    many_subscriptions_on_one_connection,
    names_are_added_and_removed,
    confirmations_come_where_they_are_asked_for,
    waiting_has_a_limit,
    a_refused_channel_leaves_nothing_subscribed,
    a_handler_hears_until_it_is_dropped,
    what_is_dropped_is_unsubscribed,
    the_one_inside_a_client_is_shared_and_closed_with_it,
    several_wait_at_the_same_time,
    closing_ends_every_subscription,
    a_server_that_does_not_answer_holds_no_call,
    it_works_on_another_database_and_as_another_user,
);

/// Publishes; says how many heard it.
#[track_caller]
fn publish(server: &Server, channel: &str, payload: &str) -> usize {
    let heard = server.command(&["PUBLISH", channel, payload]).unwrap();
    heard.trim_start_matches("(integer) ").parse().unwrap()
}

/// How many connections are subscribed to `channel`.
fn subscribers(server: &Server, channel: &str) -> usize {
    let reply = server.command(&["PUBSUB", "NUMSUB", channel]).unwrap();
    let count = reply.lines().last().unwrap();
    count.trim_start_matches("(integer) ").parse().unwrap()
}

fn messages_come_in_order_with_their_channel(setup: Setup) {
    let [news, sport] = ["news", "sport"].map(|name| setup.key(name));
    let mut subscription = setup.pubsub(&shared().url(), "").subscribe(&[&news, &sport]);
    for (channel, payload) in [(&news, "a"), (&sport, "b"), (&news, "c")] {
        assert_eq!(publish(shared(), channel, payload), 1);
    }
    for (channel, payload) in [(&news, "a"), (&sport, "b"), (&news, "c")] {
        let message = subscription.message();
        assert_eq!((&message.channel[..], &message.payload[..]), (channel.as_bytes(), payload.as_bytes()));
        assert_eq!((message.kind, message.pattern), (ChannelKind::Channel, None));
    }
}

fn names_and_payloads_are_bytes(setup: Setup) {
    let channel = [setup.key("").as_bytes(), b"\0\r\n\xff*"].concat();
    let client = setup.client(&shared().url(), "");
    let mut subscription = setup.pubsub(&shared().url(), "").subscribe(&[&channel]);
    let large = vec![b'v'; 3 << 20];
    let payloads = [&b""[..], b"\r\n", b"*1\r\n$4\r\nPING\r\n", b"\0\xfe\xff", &large, b"+OK"];
    for payload in payloads {
        let heard: i64 = client.execute(redwire::cmd("PUBLISH").arg(&channel[..]).arg(payload)).unwrap();
        assert_eq!(heard, 1);
    }
    for payload in payloads {
        let message = subscription.message();
        assert!(message.payload == payload && message.channel == channel);
    }
}

fn a_pattern_says_what_it_matched(setup: Setup) {
    let [one, two] = ["p.one", "p.two"].map(|name| setup.key(name));
    let patterns = [setup.key("p.*"), setup.key("p.o?e")];
    let pubsub = setup.pubsub(&shared().url(), "");
    let mut subscription =
        pubsub.try_subscribe(Way::Patterns, &patterns[..1], SubscribeOptions::default()).unwrap();
    publish(shared(), &one, "1");
    publish(shared(), &two, "2");
    for (channel, payload) in [(&one, "1"), (&two, "2")] {
        let message = subscription.message();
        assert_eq!((&message.channel[..], &message.payload[..]), (channel.as_bytes(), payload.as_bytes()));
        assert_eq!(message.pattern.as_deref(), Some(patterns[0].as_bytes()));
        assert_eq!(message.kind, ChannelKind::Pattern);
    }
    // A channel that is wanted as such and by a pattern is told to each of them once.
    let mut exact = pubsub.subscribe(&[&one]);
    assert_eq!(publish(shared(), &one, "3"), 2);
    assert_eq!((exact.text(), subscription.text()), ("3".to_owned(), "3".to_owned()));
    publish(shared(), &two, "4");
    assert_eq!(subscription.text(), "4");
    assert!(exact.next_within(Duration::from_millis(20)).is_none());
}

fn shard_channels_are_a_world_of_their_own(setup: Setup) {
    let name = setup.key("shard");
    let pubsub = setup.pubsub(&shared().url(), "");
    let shards = pubsub.try_subscribe(Way::Shards, &[&name], SubscribeOptions::default());
    if shared().version().0 < 7 {
        assert_eq!(shards.unwrap_err().code(), Some("ERR"), "6.2 has none");
        return;
    }
    let (mut shards, mut channels) = (shards.unwrap(), pubsub.subscribe(&[&name]));
    shared().command(&["SPUBLISH", &name, "s"]).unwrap();
    publish(shared(), &name, "c");
    let message = shards.message();
    assert_eq!((&message.payload[..], message.kind), (&b"s"[..], ChannelKind::Shard));
    let message = channels.message();
    assert_eq!((&message.payload[..], message.kind), (&b"c"[..], ChannelKind::Channel));
    drop(shards);
    eventually("it is unsubscribed", LIMIT, || {
        shared().command(&["PUBSUB", "SHARDNUMSUB", &name]).unwrap().ends_with('0')
    });
}

fn one_channel_for_several_subscriptions(setup: Setup) {
    let [name, other] = ["shared", "other"].map(|name| setup.key(name));
    let pubsub = setup.pubsub(&shared().url(), "");
    let mut first = pubsub.subscribe(&[&name]);
    let mut second = pubsub.subscribe(&[&other, &name]);
    assert_eq!(publish(shared(), &name, "1"), 1, "one connection, one copy on the wire");
    assert_eq!((first.text(), second.text()), ("1".to_owned(), "1".to_owned()));
    drop(first);
    assert_eq!(publish(shared(), &name, "2"), 1, "the other still wants it");
    assert_eq!(second.text(), "2");
    drop(second);
    eventually("no client is subscribed", LIMIT, || subscribers(shared(), &name) == 0);
}

fn many_subscriptions_on_one_connection(setup: Setup) {
    let (server, label) = (shared(), setup.key("many"));
    let pubsub = setup.pubsub(&server.url(), &format!("client_name={label}"));
    let names: Vec<_> = (0..200).map(|i| format!("{label}:{i}")).collect();
    let mut all: Vec<_> = names.iter().map(|name| pubsub.subscribe(&[name])).collect();
    assert_eq!(named_clients(server, &label), 1);
    for name in names.iter().rev() {
        assert_eq!(publish(server, name, name), 1);
    }
    for (name, subscription) in names.iter().zip(&mut all) {
        assert_eq!(subscription.text(), *name);
    }
    drop((all, pubsub));
    eventually("the connection is closed", LIMIT, || named_clients(server, &label) == 0);
}

fn names_are_added_and_removed(setup: Setup) {
    let [one, two] = ["add.one", "add.two"].map(|name| setup.key(name));
    let mut subscription = setup.pubsub(&shared().url(), "").subscribe(&[&one]);
    subscription.add(&[&two, &one]).unwrap();
    publish(shared(), &two, "2");
    publish(shared(), &one, "1");
    assert_eq!((subscription.text(), subscription.text()), ("2".to_owned(), "1".to_owned()));
    subscription.remove(&[&one]);
    eventually("it is unsubscribed", LIMIT, || subscribers(shared(), &one) == 0);
    publish(shared(), &two, "3");
    assert_eq!(subscription.text(), "3");
    subscription.remove(&[&two]);
    eventually("it is unsubscribed", LIMIT, || subscribers(shared(), &two) == 0);
    subscription.add(&[&one]).unwrap();
    publish(shared(), &one, "4");
    assert_eq!(subscription.text(), "4");
}

fn confirmations_come_where_they_are_asked_for(setup: Setup) {
    let [one, two] = ["confirm.one", "confirm.two"].map(|name| setup.key(name));
    let pubsub = setup.pubsub(&shared().url(), "");
    let options = SubscribeOptions::default().confirmations(true);
    let mut subscription = pubsub.subscribe_with(&[&one, &two], options);
    for name in [&one, &two] {
        match subscription.next() {
            Some(SubscriptionEvent::Subscribed(confirmed)) => assert_eq!(confirmed, name.as_bytes()),
            other => panic!("expected a confirmation; got {other:?}"),
        }
    }
    subscription.remove(&[&two]);
    match subscription.next() {
        Some(SubscriptionEvent::Unsubscribed(confirmed)) => assert_eq!(confirmed, two.as_bytes()),
        other => panic!("expected a confirmation; got {other:?}"),
    }
    publish(shared(), &one, "1");
    assert_eq!(subscription.text(), "1");
}

fn waiting_has_a_limit(setup: Setup) {
    let name = setup.key("limit");
    let mut subscription = setup.pubsub(&shared().url(), "").subscribe(&[&name]);
    let begin = Instant::now();
    assert!(subscription.next_within(Duration::from_millis(50)).is_none());
    assert!(begin.elapsed() >= Duration::from_millis(50));
    assert!(subscription.next_within(Duration::ZERO).is_none());
    publish(shared(), &name, "1");
    eventually("it is there without waiting", LIMIT, || {
        matches!(subscription.next_within(Duration::ZERO), Some(SubscriptionEvent::Message(_)))
    });
    publish(shared(), &name, "2");
    assert_eq!(subscription.text(), "2");
}

fn a_refused_channel_leaves_nothing_subscribed(setup: Setup) {
    let server = Server::builder().acl_line("user reader on >secret ~* +@all resetchannels &open*").start();
    let url = server.url().replace("redis://", "redis://reader:secret@");
    let pubsub = setup.pubsub(&url, "client_name=reader");
    let mut open = pubsub.subscribe(&["open"]);
    let error = pubsub
        .try_subscribe(Way::Channels, &["open.too", "closed"], SubscribeOptions::default())
        .unwrap_err();
    assert_eq!(error.code(), Some("NOPERM"), "{error}");
    let error = open.add(&["closed"]).unwrap_err();
    assert_eq!(error.code(), Some("NOPERM"), "{error}");
    eventually("nothing else is subscribed", LIMIT, || {
        server.command(&["PUBSUB", "CHANNELS"]).unwrap().trim() == "open"
    });
    publish(&server, "open", "1");
    assert_eq!(open.text(), "1");
    assert_eq!(named_clients(&server, "reader"), 1, "on the same connection");
}

fn a_handler_hears_until_it_is_dropped(setup: Setup) {
    let name = setup.key("handler");
    let pubsub = setup.pubsub(&shared().url(), "");
    let (sender, heard) = mpsc::channel();
    let handler = pubsub.subscribe(&[&name]).listen(move |item| {
        if let SubscriptionEvent::Message(message) = item {
            sender.send(message.payload).unwrap();
        }
    });
    for payload in ["1", "2", "3"] {
        publish(shared(), &name, payload);
        assert_eq!(heard.recv_timeout(LIMIT).unwrap(), payload);
    }
    drop(handler);
    eventually("it is unsubscribed", LIMIT, || subscribers(shared(), &name) == 0);
    // Its end of the channel goes with it.
    assert!(matches!(heard.recv_timeout(LIMIT), Err(mpsc::RecvTimeoutError::Disconnected)));
}

fn what_is_dropped_is_unsubscribed(setup: Setup) {
    let (server, label) = (shared(), setup.key("dropped"));
    let pubsub = setup.pubsub(&server.url(), &format!("client_name={label}"));
    for round in 0..20 {
        let name = format!("{label}:{round}");
        let subscription = pubsub.subscribe(&[&name]);
        assert_eq!(subscribers(server, &name), 1);
        drop(subscription);
        eventually("it is unsubscribed", LIMIT, || subscribers(server, &name) == 0);
    }
    // The connection goes on, and with the last of its owners it ends.
    let subscription = pubsub.subscribe(&[&label]);
    assert_eq!(named_clients(server, &label), 1);
    drop(pubsub);
    assert_eq!(publish(server, &label, "1"), 1);
    drop(subscription);
    eventually("the connection is closed", LIMIT, || named_clients(server, &label) == 0);
}

fn the_one_inside_a_client_is_shared_and_closed_with_it(setup: Setup) {
    let (server, label) = (shared(), setup.key("inside"));
    let client = setup.client(&server.url(), &format!("client_name={label}"));
    let [one, two] = ["one", "two"].map(|name| format!("{label}:{name}"));
    let mut first = PubSub::of(&client).subscribe(&[&one]);
    let before = named_clients(server, &label);
    let mut second = PubSub::of(&client.clone()).subscribe(&[&two]);
    assert_eq!(named_clients(server, &label), before, "clones share it");
    assert_eq!(client.run::<i64>(&format!("PUBLISH {two} 2")).unwrap(), 1);
    assert_eq!(client.run::<i64>(&format!("PUBLISH {one} 1")).unwrap(), 1);
    assert_eq!((first.text(), second.text()), ("1".to_owned(), "2".to_owned()));
    client.close_within(LIMIT);
    assert!(first.next().is_none() && second.next().is_none());
    eventually("all connections are closed", LIMIT, || named_clients(server, &label) == 0);
    let error =
        PubSub::of(&client).try_subscribe(Way::Channels, &[&one], SubscribeOptions::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
}

fn several_wait_at_the_same_time(setup: Setup) {
    const WAITERS: usize = 8;
    const MESSAGES: usize = 200;
    let label = setup.key("several");
    let pubsub = setup.pubsub(&shared().url(), "");
    let names: Vec<_> = (0..WAITERS).map(|i| format!("{label}:{i}")).collect();
    let mut all: Vec<_> = names.iter().map(|name| pubsub.subscribe(&[name, &label])).collect();
    thread::scope(|scope| {
        for (name, subscription) in names.iter().zip(&mut all) {
            scope.spawn(move || {
                for i in 0..MESSAGES {
                    assert_eq!(subscription.text(), i.to_string(), "{name}");
                }
                assert_eq!(subscription.text(), "all");
            });
        }
        // While they wait, others subscribe and go.
        scope.spawn(|| {
            for i in 0..20 {
                let name = format!("{label}:more:{i}");
                let mut more = pubsub.subscribe(&[&name]);
                publish(shared(), &name, "here");
                assert_eq!(more.text(), "here");
            }
        });
        let client = setup.client(&shared().url(), "");
        for i in 0..MESSAGES {
            for name in &names {
                client.run::<i64>(&format!("PUBLISH {name} {i}")).unwrap();
            }
        }
        client.run::<i64>(&format!("PUBLISH {label} all")).unwrap();
    });
}

fn closing_ends_every_subscription(setup: Setup) {
    let (server, label) = (shared(), setup.key("closing"));
    let pubsub = setup.pubsub(&server.url(), &format!("client_name={label}"));
    let (mut idle, mut waiting) = (pubsub.subscribe(&[&label]), pubsub.subscribe(&[&label]));
    thread::scope(|scope| {
        let waiter = scope.spawn(move || waiting.next());
        thread::sleep(Duration::from_millis(20));
        pubsub.close();
        assert!(waiter.join().unwrap().is_none());
    });
    assert!(idle.next().is_none());
    assert!(idle.next().is_none(), "and it stays so");
    eventually("the connection is closed", LIMIT, || named_clients(server, &label) == 0);
    let error = pubsub.try_subscribe(Way::Channels, &[&label], SubscribeOptions::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
}

fn a_server_that_does_not_answer_holds_no_call(setup: Setup) {
    let server = Server::start();
    let pubsub = setup.pubsub(&server.url(), "timeout=300ms&client_name=slow");
    server.freeze();
    let begin = Instant::now();
    let error = pubsub.try_subscribe(Way::Channels, &["late"], SubscribeOptions::default()).unwrap_err();
    assert!(error.is_timeout(), "{error}");
    assert!(begin.elapsed() >= Duration::from_millis(295), "{:?}", begin.elapsed());
    server.thaw();
    let mut subscription = pubsub.subscribe(&["news"]);
    eventually("what failed is not subscribed", LIMIT, || {
        server.command(&["PUBSUB", "CHANNELS"]).unwrap().trim() == "news"
    });
    publish(&server, "news", "1");
    assert_eq!(subscription.text(), "1");
}

fn it_works_on_another_database_and_as_another_user(setup: Setup) {
    let server = Server::builder().password("secret").acl_line("user alice on >pw ~* &* +@all").start();
    let url = server.url().replace(":secret@", "alice:pw@");
    let mut subscription = setup.pubsub(&format!("{url}/3"), "client_name=alice").subscribe(&["news"]);
    let line = crate::common::client_line(&server, "alice").unwrap();
    assert!(line.contains(" db=3 ") && line.contains(" sub=1 ") && line.contains("user=alice"), "{line}");
    publish(&server, "news", "1");
    assert_eq!(subscription.text(), "1");
    let wrong = setup.lazy_pubsub(&server.url().replace("secret", "wrong"), "").unwrap();
    let error = wrong.try_subscribe(Way::Channels, &["news"], SubscribeOptions::default()).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Authentication(_)), "{error}");
}
