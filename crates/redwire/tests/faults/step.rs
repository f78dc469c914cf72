//! A peer that answers too much: nobody gets wrong data, and the next call works on a new connection. FAULTS 3, 46.

use redwire::ErrorKind;
use redwire_testkit::{Direction, FakeServer, Proxy, Step, eventually, expect, expect_name, push, reply};

use crate::common::{LIMIT, Setup};

both!(a_reply_too_many_at_once, a_reply_too_many_while_idle, pushes_between_replies_are_passed_over);

/// A handshake without names, in the protocol's words.
pub(crate) fn hello(setup: Setup) -> Vec<Step> {
    match setup.protocol {
        3 => vec![expect_name("HELLO"), reply("%1\r\n$6\r\nserver\r\n$5\r\nredis\r\n")],
        _ => Vec::new(),
    }
}

pub(crate) const NAMELESS: &str = "lib_name=&lib_version=";

fn script(setup: Setup, steps: impl IntoIterator<Item = Step>) -> Vec<Step> {
    hello(setup).into_iter().chain(steps).collect()
}

fn a_reply_too_many_at_once(setup: Setup) {
    let first = script(setup, [expect(&["GET", "a"]), reply("$3\r\na=1\r\n$5\r\nextra\r\n"), Step::Stall]);
    let second = script(setup, [expect(&["GET", "b"]), reply("$3\r\nb=1\r\n")]);
    let fake = FakeServer::scripts([first, second]);
    let client = setup.client(&fake.url(), NAMELESS);
    assert_eq!(client.run::<String>("GET a").unwrap(), "a=1");
    assert_eq!(client.run::<String>("GET b").unwrap(), "b=1");
    assert_eq!(fake.connections(), 2);
    fake.verify();
}

fn a_reply_too_many_while_idle(setup: Setup) {
    let late = Step::Wait(std::time::Duration::from_millis(50));
    let first = script(setup, [expect(&["GET", "a"]), reply("$3\r\na=1\r\n"), late, reply("$5\r\nextra\r\n"), Step::Stall]);
    let second = script(setup, [expect(&["GET", "b"]), reply("$3\r\nb=1\r\n")]);
    let fake = FakeServer::scripts([first, second]);
    let proxy = Proxy::start(fake.addr());
    let client = setup.client(&proxy.url(), NAMELESS);
    let handshake = proxy.bytes(Direction::ToClient);
    assert_eq!(client.run::<String>("GET a").unwrap(), "a=1");
    eventually("the reply too many is there", LIMIT, || proxy.bytes(Direction::ToClient) >= handshake + 9 + 11);
    if setup.driver == crate::common::Driver::Tokio {
        eventually("it is noticed", LIMIT, || proxy.connections() == 2);
    }
    assert_eq!(client.run::<String>("GET b").unwrap(), "b=1");
    fake.verify();
}

fn pushes_between_replies_are_passed_over(setup: Setup) {
    let pushed = if setup.protocol == 3 { ">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n" } else { "" };
    let mut steps = Vec::new();
    for i in 0..20 {
        steps.extend([expect(&["ECHO", &i.to_string()]), push(pushed)]);
        steps.push(reply(format!(":{i}\r\n{pushed}{pushed}")));
    }
    let fake = FakeServer::script(script(setup, steps));
    let client = setup.client(&fake.url(), NAMELESS);
    for i in 0..10 {
        assert_eq!(client.run::<i64>(&format!("ECHO {i}")).unwrap(), i);
    }
    let rest: Vec<i64> = client
        .pipeline(|p| {
            use redwire::{Run, cmd};
            (10..20).map(|i| p.run(cmd::<i64>("ECHO").arg(i))).collect::<Vec<_>>()
        })
        .unwrap();
    assert!(rest.into_iter().eq(10..20));
    assert_eq!(fake.connections(), 1);
    fake.verify();
}

/// In RESP2 there are no pushes: a frame of that kind is taken for what it says in either.
#[test]
fn a_reply_before_anybody_asked_is_noticed() {
    for setup in Setup::ALL {
        let first = script(setup, [reply("+early\r\n"), Step::Stall]);
        let second = script(setup, [expect(&["GET", "b"]), reply("$3\r\nb=1\r\n")]);
        let fake = FakeServer::scripts([first, second]);
        let result = setup.connect(&fake.url(), NAMELESS).and_then(|client| {
            let both = || fake.connections() == 2;
            if setup.driver == crate::common::Driver::Tokio {
                eventually("it is noticed", LIMIT, both);
            }
            client.run::<String>("GET b")
        });
        match result {
            Ok(value) => assert_eq!(value, "b=1", "{setup:?}"),
            // It may come with the handshake's last reply, and then it is told at once.
            Err(error) => assert_eq!(error.kind(), ErrorKind::Protocol, "{setup:?}: {error}"),
        }
        fake.problems();
    }
}
