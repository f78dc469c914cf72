//! Lines of any length that a script says: an error or a value for its caller, while others go on over the
//! same connection.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use redwire::{ErrorKind, Value, cmd};
use redwire_testkit::{FakeServer, Step, expect, reply};

use crate::common::{LIMIT, Setup, TellOnDrop, timed};
use crate::step::{NAMELESS, hello};

both!(a_long_line_is_for_its_caller_alone, a_long_number_is_read, a_line_beyond_the_limit_is_refused);

fn a_long_line_is_for_its_caller_alone(setup: Setup) {
    let client = setup.client(&redwire_testkit::shared().url(), "timeout=30s&connect_timeout=20s&retries=0");
    let (key, done) = (setup.key("lines"), AtomicBool::new(false));
    let counted: i64 = thread::scope(|scope| {
        let others = (0..64).map(|_| {
            scope.spawn(|| {
                let mut counted = 0;
                while counted < 3 || !done.load(Ordering::Relaxed) {
                    client.run::<i64>(&format!("INCR {key}")).expect("it is no other call's error");
                    counted += 1;
                }
                counted
            })
        });
        let others: Vec<_> = others.collect();
        let until = TellOnDrop(&done);
        for len in [70_000, 1 << 20] {
            for script in
                ["error(string.rep('x', L))", "return redis.error_reply('MINE ' .. string.rep('x', L))"]
            {
                let script = script.replace('L', &len.to_string());
                let error = client.execute(cmd::<Value>("EVAL").arg(&script).arg(0)).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Response, "{script}: {error}");
                assert!(
                    error.message().contains("xxxx") && error.message().len() < 5_000,
                    "{script}: {error}"
                );
            }
            let script = format!("return redis.status_reply(string.rep('x', {len}))");
            let status = client.execute(cmd::<String>("EVAL").arg(&script).arg(0)).unwrap();
            assert_eq!(status.len(), len);
        }
        drop(until);
        others.into_iter().map(|other| other.join().expect("it counts")).sum()
    });
    assert_eq!(client.run::<i64>(&format!("GET {key}")).unwrap(), counted);
}

fn a_long_number_is_read(setup: Setup) {
    let digits = "7".repeat(100_000);
    let steps =
        [expect(&["GET", "a"]), reply(format!("({digits}\r\n")), expect(&["GET", "b"]), reply("+b\r\n")];
    let fake = FakeServer::script([hello(setup), steps.to_vec()].concat());
    let client = setup.client(&fake.url(), NAMELESS);
    assert_eq!(client.run::<String>("GET a").unwrap(), digits);
    assert_eq!(client.run::<String>("GET b").unwrap(), "b");
    fake.verify();
}

fn a_line_beyond_the_limit_is_refused(setup: Setup) {
    let endless = format!("-ERR {}", "x".repeat(70_000));
    let first = [hello(setup), vec![expect(&["INCR", "a"]), reply(endless), Step::Stall]].concat();
    let second = [hello(setup), vec![expect(&["GET", "b"]), reply("$3\r\nb=1\r\n")]].concat();
    let fake = FakeServer::scripts([first, second]);
    let client = setup.client(&fake.url(), &format!("{NAMELESS}&max_reply_line=64KiB"));
    let (result, took) = timed(|| client.run::<Value>("INCR a"));
    let error = result.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Protocol, "{error}");
    assert!(error.to_string().contains("max_reply_line") && took < LIMIT / 2, "{took:?}: {error}");
    assert_eq!(client.run::<String>("GET b").unwrap(), "b=1");
    assert!(fake.problems().iter().all(|problem| problem.contains("write")), "{:?}", fake.problems());
}
