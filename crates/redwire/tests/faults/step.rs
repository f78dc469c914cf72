//! A peer that answers too much: no call gets wrong data, and the next call works on a new connection. FAULTS
//! 3, 46.

use std::time::Duration;

use redwire::ErrorKind;
use redwire_testkit::{Direction, FakeServer, Proxy, Step, eventually, expect, expect_name, push, reply};

use crate::common::{Driver, LIMIT, Setup};

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
    let late = Step::Wait(Duration::from_millis(50));
    let first = script(
        setup,
        [expect(&["GET", "a"]), reply("$3\r\na=1\r\n"), late, reply("$5\r\nextra\r\n"), Step::Stall],
    );
    let second = script(setup, [expect(&["GET", "b"]), reply("$3\r\nb=1\r\n")]);
    let fake = FakeServer::scripts([first, second]);
    let proxy = Proxy::start(fake.addr());
    let client = setup.client(&proxy.url(), NAMELESS);
    let handshake = proxy.bytes(Direction::ToClient);
    assert_eq!(client.run::<String>("GET a").unwrap(), "a=1");
    eventually("the reply too many is there", LIMIT, || {
        proxy.bytes(Direction::ToClient) >= handshake + 9 + 11
    });
    if setup.driver == Driver::Tokio {
        eventually("the connection is given up", LIMIT, || proxy.open() == 0 || proxy.connections() == 2);
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

/// Sent right behind the handshake, in one write with it.
#[test]
fn a_reply_before_any_request_is_noticed() {
    for setup in Setup::ALL {
        let opening = |extra: &str| match setup.protocol {
            3 => [expect_name("HELLO"), reply(format!("%1\r\n+server\r\n+redis\r\n{extra}"))],
            _ => [expect_name("CLIENT"), reply(format!("+OK\r\n{extra}"))],
        };
        let options = if setup.protocol == 3 { NAMELESS } else { "lib_version=" };
        let first = [opening("+early\r\n").to_vec(), vec![Step::Stall]].concat();
        let second = [opening("").to_vec(), vec![expect(&["GET", "b"]), reply("$3\r\nb=1\r\n")]].concat();
        let fake = FakeServer::scripts([first, second]);
        let error = setup.connect(&fake.url(), options).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol, "{setup:?}: {error}");
        assert_eq!(setup.client(&fake.url(), options).run::<String>("GET b").unwrap(), "b=1");
        fake.verify();
    }
}
