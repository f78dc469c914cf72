//! What only threads can do to a subscription.

use std::time::{Duration, Instant};

use redwire::blocking::{Client, PubSub};
use redwire::config::Protocol;
use redwire::credentials::{Credentials, RotatingCredentials};
use redwire::pubsub::SubscriptionEvent;
use redwire_testkit::Server;

use crate::common::{LIMIT, client_line};

#[test]
fn new_credentials_are_presented_by_the_thread_that_waits() {
    let server = Server::start();
    for name in ["ann", "bob"] {
        server.command(&["ACL", "SETUSER", name, "on", ">secret", "~*", "&*", "+@all"]).unwrap();
    }
    for (protocol, expected) in [(Protocol::Resp3, "bob"), (Protocol::Resp2, "ann")] {
        let credentials = RotatingCredentials::new(Credentials::new("ann", "secret"));
        let config = Client::builder().url(&format!("{}?client_name=listener", server.url()));
        let config = config.protocol(protocol).credential_provider(credentials.clone());
        let pubsub = PubSub::open(config.build().unwrap()).unwrap();
        let mut subscription = pubsub.subscribe("news").unwrap();
        let is_known =
            |name: &str| client_line(&server, "listener").unwrap().contains(&format!("user={name} "));
        assert!(is_known("ann"));
        credentials.rotate(Credentials::new("bob", "secret"));
        let (begin, mut rounds) = (Instant::now(), 0);
        while rounds < 20 || !is_known(expected) {
            assert!(subscription.next_within(Duration::from_millis(1)).is_none());
            rounds += 1;
            assert!(begin.elapsed() < LIMIT, "it is another user");
        }
        server.command(&["PUBLISH", "news", "still there"]).unwrap();
        match subscription.next_within(LIMIT) {
            Some(SubscriptionEvent::Message(message)) => assert_eq!(message.text().unwrap(), "still there"),
            other => panic!("expected a message; got {other:?}"),
        }
    }
}
