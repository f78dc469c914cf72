//! A process that forks while it is subscribed: the connection stays the parent's, and the child makes its
//! own (I1). FAULTS 21.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use fork::{Fork, fork, waitpid_nohang};
use redwire::blocking;
use redwire::pubsub::SubscriptionEvent;
use redwire_testkit::{Server, eventually};

use crate::common::{LIMIT, named_clients};

/// Does `work` in a child; says whether it ended well.
fn in_a_child(work: impl FnOnce()) -> bool {
    match fork().unwrap() {
        Fork::Parent(child) => {
            let mut status = None;
            eventually("the child ends", 2 * LIMIT, || {
                status = waitpid_nohang(child).unwrap();
                status.is_some()
            });
            status == Some(0)
        }
        Fork::Child => {
            let done = catch_unwind(AssertUnwindSafe(work));
            std::process::exit(i32::from(done.is_err()));
        }
    }
}

#[test]
fn a_child_subscribes_on_a_connection_of_its_own() {
    for protocol in [3, 2] {
        let server = Server::start();
        let url = format!("{}?protocol={protocol}&client_name=forking", server.url());
        let pubsub = blocking::PubSub::connect(&url).unwrap();
        let mut news = pubsub.subscribe("news").unwrap();
        let mut dropped = Some(pubsub.subscribe("dropped").unwrap());
        let ended_well = in_a_child(|| {
            drop(dropped.take());
            assert!(matches!(news.next(), Some(SubscriptionEvent::Failed(_))), "it is the parent's");
            assert!(news.next().is_none());
            news.add("more").unwrap_err();
            news.remove("news");
            let mut own = pubsub.subscribe("own").unwrap();
            assert_eq!(named_clients(&server, "forking"), 2);
            server.command(&["PUBLISH", "own", "1"]).unwrap();
            assert!(matches!(own.next(), Some(SubscriptionEvent::Message(_))));
            pubsub.close();
        });
        assert!(ended_well, "see what the child wrote");
        eventually("the child's connection is gone", LIMIT, || named_clients(&server, "forking") == 1);
        for channel in ["news", "dropped"] {
            assert_eq!(
                server.command(&["PUBLISH", channel, "1"]).unwrap().trim_start_matches("(integer) "),
                "1"
            );
        }
        let heard = news.next_within(LIMIT);
        assert!(matches!(heard, Some(SubscriptionEvent::Message(_))), "{heard:?}");
        let heard = dropped.as_mut().and_then(|dropped| dropped.next_within(LIMIT));
        assert!(matches!(heard, Some(SubscriptionEvent::Message(_))), "{heard:?}");
        assert!(news.next_within(Duration::from_millis(20)).is_none(), "and no gap");
    }
}
