//! Large values that are cut off, and that meet large ones coming the other way: half a command is not sent,
//! and never finished on another connection (I2); two peers that both write do not wait for each other (I3).
//! FAULTS 7; DESIGN, law 7.

use std::thread;
use std::time::Duration;

use bytes::Bytes;
use redwire::{Outcome, Run, cmd};
use redwire_testkit::{Direction, FakeServer, Fault, Proxy, Server, eventually};

use crate::common::{Connection, Driver, LIMIT, Setup, runtime, timed};
use crate::step::NAMELESS;

both!(
    what_is_cut_off_is_not_sent_and_never_finished_elsewhere,
    a_large_value_whose_end_is_cut_off_is_told_as_it_was,
    ten_mebibytes_go_both_ways_at_once,
    ten_mebibytes_go_both_ways_through_a_peer_that_does_not_buffer,
    many_values_larger_than_the_queue_wait_for_room,
    on_a_connection_by_hand_too,
);

/// Every part of it is a line of commands, to a server that finds it at the beginning of a connection.
fn treacherous(size: usize) -> Bytes {
    b"\r\nINCR ghost\r\n".iter().copied().cycle().take(size).collect::<Vec<u8>>().into()
}

fn what_is_cut_off_is_not_sent_and_never_finished_elsewhere(setup: Setup) {
    let server = Server::start();
    let proxy = Proxy::start(server.addr());
    let value = treacherous(10 << 20);
    let set = || cmd::<()>("SET").arg("k").arg(&value);
    // Nothing that a server may not know: its errors are counted.
    let options = format!("{NAMELESS}&timeout=30s");
    let (mut not_sent, mut unknown) = (0, 0);
    for bytes in [1, 20, 30, 1_000, 65_536, 1 << 20, 9 << 20] {
        for fault in [Fault::CutAfter(bytes), Fault::ResetAfter(bytes)] {
            let client = setup.client(&proxy.url(), &options);
            client.run::<()>("PING").unwrap();
            proxy.set(Direction::ToServer, fault);
            let error = client.execute(set().retries(0)).unwrap_err();
            match error.outcome() {
                Outcome::NotSent => not_sent += 1,
                // All was in the hands of the kernel when the connection was found to be lost.
                Outcome::MaybeExecuted => unknown += 1,
                _ => panic!("{fault:?}: {error}"),
            }
            // The client goes on, on another connection, with what it is asked then, and nothing else.
            assert_eq!(client.run::<String>("PING").unwrap(), "PONG", "{fault:?}");
            assert_eq!(server.command(&["EXISTS", "k", "ghost"]).unwrap(), "0", "{fault:?}");
        }
    }
    assert!(not_sent > 0, "{not_sent} not sent, {unknown} unknown");
    let client = setup.client(&proxy.url(), &options);
    client.execute(set()).unwrap();
    assert_eq!(server.command(&["EXISTS", "k", "ghost"]).unwrap(), "1");
    assert_eq!(server.stat("total_error_replies"), 0, "the server was never sent half a command");
}

/// With all of it handed over the outcome is unknown, whether the server got all but a byte of it, or all.
fn a_large_value_whose_end_is_cut_off_is_told_as_it_was(setup: Setup) {
    let server = Server::start();
    let proxy = Proxy::start(server.addr());
    let value = treacherous(10 << 20);
    let set = cmd::<()>("SET").arg("k").arg(&value).retries(0);
    let whole = set.to_bytes().len() as u64;
    let all_but_one = (Direction::ToServer, Fault::CutAfter(whole - 1), "0");
    let all = (Direction::ToClient, Fault::CutAfter(0), "1");
    for (direction, fault, exists) in [all_but_one, all] {
        let client = setup.client(&proxy.url(), "timeout=30s");
        client.run::<()>("PING").unwrap();
        proxy.set(direction, fault);
        let error = client.execute(cmd::<()>("SET").arg("k").arg(&value).retries(0)).unwrap_err();
        assert_eq!(error.outcome(), Outcome::MaybeExecuted, "{fault:?} of {whole}: {error}");
        eventually("the server has read what came", LIMIT, || {
            server.command(&["EXISTS", "k"]).unwrap() == exists
        });
        assert_eq!(client.run::<String>("PING").unwrap(), "PONG");
        assert_eq!(server.command(&["EXISTS", "ghost"]).unwrap(), "0");
    }
}

fn ten_mebibytes_go_both_ways_at_once(setup: Setup) {
    let server = Server::start();
    let client = setup.client(&server.url(), "timeout=30s");
    let mut connection = setup.connection(&server.url(), "timeout=30s");
    for (count, size) in [(10, 1 << 20), (160, 64 << 10), (1, 10 << 20)] {
        let values: Vec<Bytes> = (0..count).map(|i| Bytes::from(vec![b'a' + i as u8 % 26; size])).collect();
        let echoed = client
            .pipeline(|p| values.iter().map(|v| p.run(cmd::<Bytes>("ECHO").arg(v))).collect::<Vec<_>>())
            .unwrap();
        assert!(echoed == values, "{count} values by the client");
        let echoed = connection
            .pipeline(|p| values.iter().map(|v| p.run(cmd::<Bytes>("ECHO").arg(v))).collect::<Vec<_>>())
            .unwrap();
        assert!(echoed == values, "{count} values by the connection");
    }
}

/// It reads nothing while it writes: a client that writes to it and does not read waits for ever.
fn ten_mebibytes_go_both_ways_through_a_peer_that_does_not_buffer(setup: Setup) {
    let fake = FakeServer::answering(|words| match &words[0][..] {
        b"HELLO" => b"%1\r\n+server\r\n+redis\r\n".to_vec(),
        b"CLIENT" => b"+OK\r\n".to_vec(),
        _ => [format!("${}\r\n", words[1].len()).as_bytes(), &words[1], b"\r\n"].concat(),
    });
    // More than the buffers of the kernel hold.
    let value = Bytes::from(vec![b'v'; 10 << 20]);
    let client = setup.client(&fake.url(), "timeout=20s");
    let mut connection = setup.connection(&fake.url(), "timeout=20s");
    let (echoed, took) =
        timed(|| client.pipeline(|p| [(); 4].map(|()| p.run(cmd::<Bytes>("ECHO").arg(&value)))));
    assert!(echoed.unwrap().iter().all(|echo| echo == &value), "{took:?}");
    let echoed = connection.pipeline(|p| [(); 4].map(|()| p.run(cmd::<Bytes>("ECHO").arg(&value))));
    assert!(echoed.unwrap().iter().all(|echo| echo == &value));
}

/// FAULTS 110. Some give up while they wait, and are in no other's way.
fn many_values_larger_than_the_queue_wait_for_room(setup: Setup) {
    let server = Server::start();
    // Large requests of the blocking client never share a connection.
    let (size, limit, rounds) = match setup.driver {
        Driver::Tokio => (1 << 20, "2MiB", 1),
        Driver::Blocking => (60_000, "100KiB", 5),
    };
    let client = setup.client(&server.url(), &format!("timeout=30s&retries=0&max_queued_bytes={limit}"));
    let value = Bytes::from(vec![b'v'; size]);
    server.freeze();
    thread::scope(|scope| {
        let calls: Vec<_> = (0..32)
            .map(|caller| {
                let (client, value) = (&client, &value);
                scope.spawn(move || {
                    for round in 0..rounds {
                        let set = cmd::<()>("SET").arg(format!("k{caller}:{round}")).arg(value);
                        if caller % 4 == 3 {
                            let result = client.execute(set.timeout(Duration::from_millis(5)));
                            assert!(
                                result.as_ref().is_ok_and(|()| true)
                                    || result.is_err_and(|error| error.is_timeout())
                            );
                        } else {
                            client.execute(set).unwrap_or_else(|error| panic!("{caller}: {error}"));
                        }
                    }
                })
            })
            .collect();
        thread::sleep(Duration::from_millis(50));
        server.thaw();
        calls.into_iter().for_each(|call| call.join().expect("it is served"));
    });
    for caller in (0..32).filter(|caller| caller % 4 != 3) {
        let length = server.command(&["STRLEN", &format!("k{caller}:{}", rounds - 1)]).unwrap();
        assert_eq!(length, size.to_string(), "{caller}");
    }
    assert_eq!(client.run::<String>("PING").unwrap(), "PONG");
}

fn on_a_connection_by_hand_too(setup: Setup) {
    let server = Server::start();
    let mut connection = setup.connection(&server.url(), "max_queued_bytes=1MiB");
    let value = vec![b'v'; 2 << 20];
    let packed =
        [cmd::<()>("SET").arg("a").arg(&value[..]).to_bytes(), cmd::<()>("SET").arg("b").arg(1).to_bytes()];
    connection.send_packed(&packed.concat(), 2).unwrap();
    connection.read_reply::<()>().unwrap();
    connection.read_reply::<()>().unwrap();
    // What is left of a call that was given up goes first; the blocking client ends such a connection.
    let Connection::Tokio(mut connection) = connection else { return };
    server.freeze();
    let (large, small) = (Bytes::from(vec![b'v'; 16 << 20]), Bytes::from(vec![b'v'; 1 << 19]));
    runtime().block_on(async {
        let set = cmd::<()>("SET").arg("a").arg(&large).timeout(Duration::from_millis(50));
        assert!(connection.run(set).await.unwrap_err().is_timeout());
        server.thaw();
        connection.run(cmd::<()>("SET").arg("b").arg(&small)).await.unwrap();
        assert_eq!(connection.run(cmd::<usize>("STRLEN").arg("a")).await.unwrap(), large.len());
    });
}
