//! Subscribers that share a connection: one reads for all.

use std::time::Duration;

use redwire::blocking::{PubSub, Subscription};
use redwire::explored::sleep;
use redwire::pubsub::SubscriptionEvent;
use redwire_interleavings::{Peer, explore};

use crate::{config, join, spawn, spawn_each};

const CHANNELS: [&str; 3] = ["a", "b", "c"];

fn pubsub(peer: &Peer) -> PubSub {
    PubSub::lazy(config(peer).build().expect("the options fit")).expect("no connection is needed")
}

/// Waits for a message on this channel.
fn hear(subscription: &mut Subscription, channel: &str) {
    for event in subscription.by_ref() {
        if let SubscriptionEvent::Message(message) = event {
            assert_eq!(message.channel_text(), channel);
            return;
        }
    }
    panic!("it ended before the message on {channel}");
}

#[test]
fn each_hears_its_own_and_the_end() {
    explore("each_hears_its_own_and_the_end", 3000, || {
        let peer = Peer::default();
        let pubsub = pubsub(&peer);
        let subscribers = spawn_each(&pubsub, CHANNELS, |pubsub, channel| {
            let mut subscription = pubsub.subscribe(channel).expect("the server is there");
            hear(&mut subscription, channel);
            subscription
        });
        for channel in CHANNELS {
            peer.await_subscribers(channel, 1);
            peer.publish(channel, "message");
        }
        let subscriptions = join(subscribers);
        let subscribers = subscriptions.into_iter().map(|subscription| {
            spawn(move || assert_eq!(subscription.count(), 0, "nothing else was published"))
        });
        let subscribers: Vec<_> = subscribers.collect();
        sleep(Duration::ZERO);
        pubsub.close();
        join(subscribers);
    });
}

#[test]
fn the_one_that_reads_leaves_and_another_reads() {
    explore("the_one_that_reads_leaves_and_another_reads", 3000, || {
        let peer = Peer::default();
        let pubsub = pubsub(&peer);
        let mut subscriptions =
            CHANNELS.map(|channel| Some(pubsub.subscribe(channel).expect("the server is there")));
        let mut brief = subscriptions[0].take().expect("it is there");
        let leaver = spawn(move || drop(brief.next_within(Duration::from_millis(10))));
        let subscribers = [1, 2].map(|index| {
            let mut subscription = subscriptions[index].take().expect("it is there");
            spawn(move || hear(&mut subscription, CHANNELS[index]))
        });
        sleep(Duration::from_millis(20));
        peer.publish("b", "message");
        peer.publish("c", "message");
        join(subscribers);
        join([leaver]);
    });
}

#[test]
fn a_lost_connection_is_made_anew() {
    explore("a_lost_connection_is_made_anew", 3000, || {
        let peer = Peer::default();
        let pubsub = pubsub(&peer);
        let subscribers = CHANNELS.map(|channel| {
            let mut subscription = pubsub.subscribe(channel).expect("the server is there");
            spawn(move || hear(&mut subscription, channel))
        });
        peer.hang_up();
        for channel in CHANNELS {
            peer.await_subscribers(channel, 1);
            peer.publish(channel, "message");
        }
        join(subscribers);
    });
}
