//! The connection that asks, and the clients of a server.

use std::time::Duration;

use redwire::commands::{ClientFilter, ClientKind};
use redwire::prelude::*;
use redwire_testkit::{Server, eventually};

use crate::each_client;
use crate::harness::{since, url};

const LIMIT: Duration = Duration::from_secs(10);

#[test]
fn the_server_answers() {
    each_client!(|c, key| {
        run!(c.ping());
        assert_eq!(run!(c.echo::<String>("hello\r\n")), "hello\r\n");
    });
}

#[test]
fn a_client_learns_about_itself_and_others() {
    each_client!(|c, key| {
        let me = run!(c.client_info());
        assert_eq!(me.id(), Some(run!(c.client_id())));
        assert!(me.addr().unwrap().starts_with("127.0.0.1:"));
        assert_eq!(me.name(), Some(""));
        assert_eq!(me.get("db"), Some("0"));
        assert!(me.fields().len() > 10);
        assert_eq!(run!(c.client_getname()), None);
        let all = run!(c.client_list(ClientFilter::new()));
        assert!(all.iter().any(|other| other.id() == me.id()));
        let one = run!(c.client_list(ClientFilter::new().id(me.id().unwrap())));
        assert_eq!(one.into_iter().map(|other| other.id()).collect::<Vec<_>>(), [me.id()]);
        assert!(run!(c.client_list(ClientFilter::new().kind(ClientKind::Replica))).is_empty());
    });
}

#[test]
fn a_client_learns_what_it_said_about_caching() {
    each_client!(|c, key| {
        let info = run!(c.client_trackinginfo());
        assert_eq!((info.flags, info.redirect, info.prefixes), (vec!["off".to_owned()], -1, vec![]));
        assert_eq!(run!(c.client_getredir()), -1);
        let me = run!(c.client_info());
        assert_eq!((me.db(), me.user()), (Some(0), Some("default")));
        assert!(me.age().unwrap() < LIMIT && me.idle().unwrap() < LIMIT);
        assert!(me.cmd().unwrap().starts_with("client") && me.flags() == Some("N"), "{me:?}");
        if since(7, 2) {
            assert!(me.resp().is_some() && me.library().is_some_and(|(name, _)| name == "redwire"), "{me:?}");
        }
    });
}

#[test]
fn clients_have_names() {
    let server = Server::start();
    for protocol in [2, 3] {
        let url = format!("{}&client_name=ann", url(&server, protocol));
        let client = redwire::blocking::Client::connect(&url).unwrap();
        assert_eq!(client.client_getname().unwrap().as_deref(), Some("ann"));
        assert_eq!(client.client_info().unwrap().name(), Some("ann"));
    }
}

#[test]
fn clients_are_ended() {
    let server = Server::start();
    each_client!(on server, |c, key| {
        let victim = redwire::blocking::Client::connect(&server.url()).unwrap();
        let info = victim.client_info().unwrap();
        assert_eq!(run!(c.client_kill(ClientFilter::new().id(u64::from(u32::MAX)))), 0);
        let filter = ClientFilter::new().id(info.id().unwrap()).addr(info.addr().unwrap());
        assert_eq!(run!(c.client_kill(filter.user("default").kind(ClientKind::Normal))), 1);
        assert_ne!(victim.client_id().unwrap(), info.id().unwrap());
        let mine = info.get("laddr").unwrap();
        assert!(run!(c.client_kill(ClientFilter::new().laddr(mine).skipme(true))) > 0);
    });
}

#[test]
fn clients_are_paused() {
    let server = Server::start();
    each_client!(on server, |c, key| {
        run!(c.client_pause_writes(Duration::from_secs(60)));
        run!(c.get::<String>(key("a")));
        run!(c.client_unpause());
        run!(c.set(key("a"), 1));
        run!(c.client_pause(Duration::from_millis(1)));
        assert_eq!(run!(c.get::<u32>(key("a"))), Some(1));
    });
}

#[test]
fn waiting_clients_are_released() {
    let server = Server::start();
    each_client!(on server, |c, key| {
        assert!(!run!(c.client_unblock(u64::from(u32::MAX))));
        for fails in [false, true] {
            let waiting = redwire::blocking::Client::connect(&server.url()).unwrap();
            let list = key("none");
            let waiter = std::thread::spawn(move || waiting.blpop::<String, String>(list, Duration::ZERO));
            let control = redwire::blocking::Client::connect(&server.url()).unwrap();
            let mut id = None;
            eventually("a client waits", LIMIT, || {
                let all = control.client_list(ClientFilter::new()).unwrap();
                let blocked = |flags: &str| flags.contains('b');
                id = all.iter().find(|one| one.get("flags").is_some_and(blocked)).and_then(|one| one.id());
                id.is_some()
            });
            let id = id.expect("it was found");
            let released = if fails {
                run!(c.client_unblock_with_error(id))
            } else {
                run!(c.client_unblock(id))
            };
            assert!(released);
            match waiter.join().unwrap() {
                Ok(popped) => assert!(!fails && popped.is_none()),
                Err(error) => assert!(fails && error.code() == Some("UNBLOCKED"), "{error}"),
            }
        }
    });
}
