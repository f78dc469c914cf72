//! A set that speaks nothing but TLS, with passwords, and others for the sentinels than for the data servers.

use std::thread;

use redwire::config::{Config, ReadFrom};
use redwire::{ErrorKind, SentinelFault};
use redwire_testkit::{Authority, SentinelSet, eventually, find_server, has_tls};

use crate::common::{Driver, LIMIT, Setup, named_clients};

#[test]
fn a_set_with_tls_and_two_passwords_is_followed() {
    if !find_server().is_some_and(|binary| has_tls(&binary)) {
        return;
    }
    let authority = Authority::new();
    for setup in [Setup::ALL[0], Setup { driver: Driver::Blocking, protocol: 2 }] {
        let set = SentinelSet::builder().tls(&authority).password("data").sentinel_password("watch");
        let set = set.quick().start();
        let trust = format!("timeout=5s&retries=20&tls_ca_file={}", authority.pem_file().display());
        let options = format!("{trust}&sentinel_password=watch&client_name=secure");
        let client = setup.client(&set.url(), &options);
        client.run::<()>("SET k v").unwrap();
        // A replica that is promoted is to have it.
        eventually("all have it", LIMIT, || {
            set.nodes().iter().all(|node| node.command(&["GET", "k"]).as_deref() == Ok("v"))
        });

        // Without one of the passwords, or the authority, there is no way in, and it is said where.
        for (options, words) in [
            (trust.as_str(), "NOAUTH"),
            ("sentinel_password=watch", "certificate"),
            (&format!("{trust}&sentinel_password=data"), "WRONGPASS"),
        ] {
            let error = setup.connect(&set.url(), options).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Sentinel(SentinelFault::Unreachable), "{error}");
            assert!(error.to_string().contains(words), "{words}: {error}");
        }

        let old = set.master_index();
        thread::scope(|scope| {
            let waiting = scope.spawn(|| client.run::<Option<(String, String)>>("BLPOP list 60"));
            eventually("it waits", LIMIT, || set.nodes()[old].stat("blocked_clients") == 1);
            let switch = set.failover();
            set.rejoin(old);
            let master = set.nodes().iter().find(|node| node.address() == switch.to).unwrap();
            eventually("it waits at the next", LIMIT, || master.stat("blocked_clients") == 1);
            client.run::<i64>("RPUSH list x").unwrap();
            assert_eq!(waiting.join().unwrap().unwrap(), Some(("list".to_owned(), "x".to_owned())));
        });
        eventually("the former master is left", LIMIT, || named_clients(&set.nodes()[old], "secure") == 0);
        set.wait_settled();
        let url = setup.url(&set.url(), &options);
        let sentinel = redwire::blocking::Sentinel::new(Config::from_url(&url).unwrap()).unwrap();
        let replica = sentinel.client(ReadFrom::Replica).unwrap();
        eventually("a replica has it", LIMIT, || {
            let read: Option<String> = redwire::prelude::StringCommands::get(&replica, "k").unwrap();
            read.as_deref() == Some("v")
        });
    }
}
