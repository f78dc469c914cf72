//! Replies that no server sends: an error that says so, bounded memory, and a new connection for the next
//! call. FAULTS 47.

use std::fs;
use std::time::Duration;

use redwire::{ErrorKind, Value};
use redwire_testkit::{FakeServer, Step, expect, reply};

use crate::common::{LIMIT, Setup, timed};
use crate::step::{NAMELESS, hello};

both!(
    what_is_no_reply_is_a_protocol_error,
    what_is_no_number_spoils_only_its_own_call,
    a_claimed_length_takes_no_memory
);

fn what_is_no_reply_is_a_protocol_error(setup: Setup) {
    let nested = "*1\r\n".repeat(1_000_000);
    let endless = format!("+{}", "x".repeat(200_000));
    let options = format!("{NAMELESS}&max_reply_line=128KiB");
    let cases: [&[u8]; 13] = [
        b"$9999999999\r\n",
        b"$99999999999999999999999\r\n",
        b"$-5\r\n",
        b"$x\r\n",
        b"*-7\r\n",
        b"*9999999999999\r\n",
        b"%9999999999999\r\n",
        b"$3\r\nabcde\r\n",
        b"@weird\r\n",
        b"HTTP/1.1 200 OK\r\n",
        b"\0\0\0\0\r\n",
        nested.as_bytes(),
        endless.as_bytes(),
    ];
    for bytes in cases {
        let first = [hello(setup), vec![expect(&["INCR", "a"]), reply(bytes), Step::Stall]].concat();
        let second = [hello(setup), vec![expect(&["GET", "b"]), reply("$3\r\nb=1\r\n")]].concat();
        let fake = FakeServer::scripts([first, second]);
        let shown = bytes[..bytes.len().min(20)].escape_ascii();
        let client = setup.client(&fake.url(), &options);
        let (result, took) = timed(|| client.run::<Value>("INCR a"));
        let error = result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol, "{shown}: {error}");
        assert!(took < LIMIT / 2, "{shown}: {took:?}");
        assert_eq!(
            client.run::<String>("GET b").unwrap_or_else(|error| error.to_string()),
            "b=1",
            "after {shown}"
        );
        // The fake may have been cut off in the middle of its bytes.
        assert!(fake.problems().iter().all(|problem| problem.contains("write")), "{:?}", fake.problems());
    }
}

/// Where the bounds of a reply are clear, the connection stays in step.
fn what_is_no_number_spoils_only_its_own_call(setup: Setup) {
    for bytes in [":12a\r\n", "#x\r\n", ",nothing\r\n", "*2\r\n:1\r\n:1.5\r\n"] {
        let steps = [expect(&["INCR", "a"]), reply(bytes), expect(&["GET", "b"]), reply("$3\r\nb=1\r\n")];
        let fake = FakeServer::script([hello(setup), steps.to_vec()].concat());
        let client = setup.client(&fake.url(), NAMELESS);
        let error = client.run::<Value>("INCR a").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol, "{bytes:?}: {error}");
        assert_eq!(client.run::<String>("GET b").unwrap(), "b=1", "after {bytes:?}");
        fake.verify();
    }
}

/// 512 MiB are allowed and announced, a few bytes come: that costs no more than a fraction.
fn a_claimed_length_takes_no_memory(setup: Setup) {
    let fake = FakeServer::script(
        [hello(setup), vec![expect(&["GET", "a"]), reply("$536870912\r\nabc"), Step::Stall]].concat(),
    );
    let before = writable_memory();
    let clients: Vec<_> = (0..8)
        .map(|_| {
            let client = setup.client(&fake.url(), NAMELESS);
            let call = redwire::cmd::<Value>("GET").arg("a").timeout(Duration::from_millis(100)).retries(0);
            assert!(client.execute(call).unwrap_err().is_timeout());
            client
        })
        .collect();
    let grown = writable_memory().saturating_sub(before);
    assert!(grown < 1 << 30, "{grown} bytes for {} claims", clients.len());
}

/// The private memory this process may write, mapped or touched; 0 where there is no `/proc`.
fn writable_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmData:"));
    line.and_then(|line| line.trim().strip_suffix(" kB")).and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0)
        * 1024
}
