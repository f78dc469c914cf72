//! The engine without sockets: what several clients see, and what happens when time passes.

use std::time::Duration;

use crate::{ClientId, Condition, Model, Options};

const START: Duration = Duration::ZERO;

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A model, and clients that speak in lines.
struct Table {
    model: Model,
    now: Duration,
}

impl Table {
    fn new() -> Self {
        Self { model: Model::new(Options::new().log(true)), now: START }
    }

    fn client(&mut self) -> ClientId {
        self.model.connect("127.0.0.1:50000", self.now)
    }

    /// Sends a line, and returns what came back, each `\r\n` as a space.
    fn say(&mut self, client: ClientId, line: &str) -> String {
        self.model.receive(client, format!("{line}\r\n").as_bytes(), self.now);
        self.heard(client)
    }

    fn heard(&mut self, client: ClientId) -> String {
        let bytes = self.model.transmit(client);
        String::from_utf8(bytes).expect("the tests use text").replace("\r\n", " ").trim_end().to_owned()
    }

    fn advance(&mut self, by: Duration) {
        self.now += by;
        self.model.handle_timeout(self.now);
    }
}

#[test]
fn replies_come_in_order_and_the_same_way_each_time() {
    let run = || {
        let mut table = Table::new();
        let client = table.client();
        let mut all = String::new();
        for n in 0..50 {
            all += &table.say(client, &format!("SADD s {n}\r\nSRANDMEMBER s\r\nRANDOMKEY"));
        }
        all + &table.say(client, "SPOP s 10") + &table.say(client, "SSCAN s 0 COUNT 1000")
    };
    assert_eq!(run(), run());
}

#[test]
fn a_key_ends_at_its_millisecond() {
    let mut table = Table::new();
    let client = table.client();
    assert_eq!(table.say(client, "SET k v PX 100"), "+OK");
    table.advance(ms(99));
    assert_eq!(table.say(client, "PTTL k"), ":1");
    table.advance(ms(1));
    assert_eq!(table.say(client, "GET k"), "$-1");
}

#[test]
fn a_client_that_waits_is_served_in_turn() {
    let mut table = Table::new();
    let (one, two, other) = (table.client(), table.client(), table.client());
    assert_eq!(table.say(one, "BLPOP a b 0\r\nPING"), "");
    assert_eq!(table.say(two, "BLPOP b 1"), "");
    assert_eq!(table.model.next_timeout(), Some(ms(1000)));
    assert_eq!(table.say(other, "RPUSH b x"), ":1");
    assert_eq!(table.heard(one), "*2 $1 b $1 x +PONG");
    table.advance(ms(1000));
    assert_eq!(table.heard(two), "*-1");
    assert_eq!(table.model.next_timeout(), None);
    let waits = table.client();
    table.say(waits, "BLPOP c 0");
    table.say(other, "MULTI\r\nLPUSH c 1\r\nDEL c\r\nEXEC");
    assert_eq!(table.heard(waits), "");
    assert_eq!(table.say(other, &format!("CLIENT UNBLOCK {waits} ERROR")), ":1");
    assert_eq!(table.heard(waits), "-UNBLOCKED client unblocked via CLIENT UNBLOCK");
}

#[test]
fn a_watched_key_that_changes_ends_the_transaction() {
    let mut table = Table::new();
    let (one, other) = (table.client(), table.client());
    table.say(one, "WATCH k\r\nMULTI\r\nSET k mine");
    table.say(other, "SET k theirs PX 10");
    assert_eq!(table.say(one, "EXEC"), "*-1");
    table.say(one, "WATCH k\r\nMULTI\r\nGET k");
    table.advance(ms(10));
    assert_eq!(table.say(one, "EXEC"), "*-1");
    table.say(one, "MULTI");
    assert_eq!(table.say(one, "GET"), "-ERR wrong number of arguments for 'get' command");
    assert_eq!(table.say(one, "EXEC"), "-EXECABORT Transaction discarded because of previous errors.");
}

#[test]
fn what_is_published_is_heard_by_subscribers() {
    let mut table = Table::new();
    let (hears, says) = (table.client(), table.client());
    assert_eq!(table.say(hears, "SUBSCRIBE c"), "*3 $9 subscribe $1 c :1");
    assert_eq!(table.say(hears, "PSUBSCRIBE c*"), "*3 $10 psubscribe $2 c* :2");
    assert_eq!(table.say(says, "PUBLISH c hi"), ":2");
    assert_eq!(table.heard(hears), "*3 $7 message $1 c $2 hi *4 $8 pmessage $2 c* $1 c $2 hi");
    assert!(table.say(hears, "GET k").starts_with("-ERR Can't execute 'get': only"));
}

#[test]
fn a_cache_is_told_what_it_may_not_keep() {
    let mut table = Table::new();
    let (cache, other) = (table.client(), table.client());
    table.say(cache, "HELLO 3\r\nCLIENT TRACKING ON\r\nGET k\r\nGET end");
    table.say(other, "SET k 1\r\nSET k 2\r\nSET end 1 PX 50");
    assert_eq!(table.heard(cache), ">2 $10 invalidate *1 $1 k >2 $10 invalidate *1 $3 end");
    table.say(cache, "GET end");
    assert_eq!(table.model.next_timeout(), Some(ms(50)));
    table.advance(ms(50));
    assert_eq!(table.heard(cache), ">2 $10 invalidate *1 $3 end");
}

#[test]
fn conditions_refuse_what_servers_refuse() {
    let mut table = Table::new();
    let client = table.client();
    for (condition, line, said) in [
        (Condition::ReadOnly, "SET k v", "-READONLY You can't write against a read only replica."),
        (Condition::OutOfMemory, "SET k v", "-OOM command not allowed when used memory > 'maxmemory'."),
        (Condition::Loading, "GET k", "-LOADING Redis is loading the dataset in memory"),
        (Condition::TooFewReplicas, "DEL k", "-NOREPLICAS Not enough good replicas to write."),
    ] {
        table.model.set(condition, true, START);
        assert_eq!(table.say(client, line), said);
        table.model.set(condition, false, START);
        assert!(!table.say(client, line).starts_with('-'));
    }
    table.model.set(Condition::Frozen, true, START);
    assert_eq!(table.say(client, "PING"), "");
    table.model.set(Condition::Frozen, false, START);
    assert_eq!(table.heard(client), "+PONG");
}

#[test]
fn what_is_sent_too_slowly_is_cut_off() {
    let mut table = Table::new();
    let (hears, says) = (table.client(), table.client());
    table.say(says, "CONFIG SET client-output-buffer-limit \"pubsub 1kb 0 0\"");
    table.say(hears, "SUBSCRIBE c");
    for _ in 0..100 {
        table.say(says, "PUBLISH c 0123456789");
    }
    assert!(table.model.is_closing(hears));
    assert_eq!(table.heard(hears), "");
}

#[test]
fn a_client_above_its_soft_limit_has_some_seconds() {
    let mut table = Table::new();
    let (hears, says) = (table.client(), table.client());
    table.say(says, "CONFIG SET client-output-buffer-limit \"pubsub 0 50 2\"");
    table.say(hears, "SUBSCRIBE c");
    table.say(says, "PUBLISH c 0123456789012345678901234567890123456789");
    assert_eq!(table.model.next_timeout(), Some(ms(2000)));
    table.advance(ms(1999));
    assert!(!table.model.is_closing(hears));
    table.advance(ms(1));
    assert!(table.model.is_closing(hears));
    assert_eq!(table.model.next_timeout(), None);
}

#[test]
fn a_full_server_says_so_and_hangs_up() {
    let mut table = Table::new();
    let client = table.client();
    table.say(client, "CONFIG SET maxclients 1");
    let late = table.client();
    assert_eq!(table.heard(late), "-ERR max number of clients reached");
    assert!(table.model.is_closing(late));
    table.model.disconnect(late, START);
    table.model.disconnect(client, START);
    let next = table.client();
    assert_eq!(table.say(next, "PING"), "+PONG");
}

#[test]
fn a_delay_and_a_pause_end_in_time() {
    let mut table = Table::new();
    let client = table.client();
    table.model.set_delay(ms(5));
    assert_eq!(table.say(client, "PING"), "");
    assert_eq!(table.model.next_timeout(), Some(ms(5)));
    table.advance(ms(5));
    assert_eq!(table.heard(client), "+PONG");
    table.model.set_delay(START);
    table.say(client, "CLIENT PAUSE 100 WRITE");
    assert_eq!(table.say(client, "GET k\r\nSET k v\r\nGET k"), "$-1");
    table.advance(ms(100));
    assert_eq!(table.heard(client), "+OK $1 v");
}

#[test]
fn users_may_do_what_their_rules_say() {
    let mut table = Table::new();
    let (admin, client) = (table.client(), table.client());
    table.say(admin, "ACL SETUSER alice on >secret ~a:* +@read +set -@dangerous");
    assert!(table.say(client, "AUTH alice wrong").starts_with("-WRONGPASS"));
    assert_eq!(table.say(client, "AUTH alice secret"), "+OK");
    assert_eq!(table.say(client, "SET a:1 v"), "+OK");
    assert_eq!(table.say(client, "GET b"), "-NOPERM No permissions to access a key");
    let said = "-NOPERM User alice has no permissions to run the 'del' command";
    assert_eq!(table.say(client, "DEL a:1"), said);
    table.say(admin, "ACL DELUSER alice");
    assert!(table.model.is_closing(client));
}

#[test]
fn what_it_does_not_know_it_names() {
    let mut table = Table::new();
    let client = table.client();
    let said = table.say(client, "SORT k");
    assert!(said.contains("does not know the command 'SORT'"), "{said}");
    let said = table.say(client, "NONSENSE a b");
    assert_eq!(said, "-ERR unknown command 'NONSENSE', with args beginning with: 'a' 'b'");
}

#[test]
fn the_log_tells_what_changed_data() {
    let mut table = Table::new();
    let client = table.client();
    table.say(client, "SET k v\r\nGET k\r\nINCR k");
    let log = table.model.take_log();
    let told: Vec<_> = log.iter().map(|done| (done.changed, done.error.is_some())).collect();
    assert_eq!(told, [(true, false), (false, false), (false, true)]);
    assert!(table.model.take_log().is_empty());
}

#[test]
fn a_restart_keeps_data_or_loses_it() {
    let mut table = Table::new();
    for (lost, said) in [(false, "$1 v"), (true, "$-1")] {
        let client = table.client();
        table.say(client, "SET k v");
        table.model.restart(lost, START);
        assert!(table.model.is_closing(client));
        table.model.disconnect(client, START);
        let next = table.client();
        assert_eq!(table.say(next, "GET k"), said);
    }
}

#[test]
fn a_replica_has_what_was_brought_to_it_and_loses_the_rest() {
    let options = || Options::new().replicates(true);
    let mut master = Table { model: Model::new(options()), now: START };
    let mut replica = Table { model: Model::new(options()), now: START };
    replica.model.follow(Some(("127.0.0.1", 6379)), START);
    let (writes, reads) = (master.client(), replica.client());
    master.say(writes, "SET k 1\r\nMULTI\r\nINCR k\r\nRPUSH l a\r\nEXEC");
    let told = master.model.take_writes();
    assert_eq!(told.iter().map(crate::Write::offset).collect::<Vec<_>>(), [1, 2]);
    assert!(!replica.model.apply(&told[1], START), "one is missing");
    assert!(told.iter().all(|write| replica.model.apply(write, START)));
    assert_eq!(replica.say(reads, "GET k\r\nLRANGE l 0 -1"), "$1 2 *1 $1 a");
    assert_eq!(replica.say(reads, "SET k 3"), "-READONLY You can't write against a read only replica.");

    master.say(writes, "SET k lost");
    assert_eq!(master.say(writes, "WAIT 1 100"), "");
    master.model.acknowledge("127.0.0.1:6380", 2, START);
    master.advance(ms(100));
    assert_eq!(master.heard(writes), ":0");
    replica.model.follow(None, START);
    assert_eq!(replica.say(reads, "GET k\r\nSET k 3"), "$1 2 +OK");
    assert_eq!(master.say(writes, "BLPOP none 0"), "");
    master.model.follow(Some(("127.0.0.1", 6380)), ms(100));
    assert!(master.heard(writes).starts_with("-UNBLOCKED force unblock"));
    master.model.restore(&replica.model.snapshot(), ms(100));
    assert_eq!(master.say(writes, "GET k"), "$1 3");
}

#[test]
fn a_sentinel_tells_what_it_believes_and_of_another_master() {
    let mut table = Table::new();
    let service = crate::Service::new("orders", ("10.0.0.1", 6379)).replica(("10.0.0.2", 6380)).quorum(3);
    table.model.watch_service(service);
    let (asks, hears) = (table.client(), table.client());
    assert_eq!(table.say(asks, "SENTINEL get-master-addr-by-name other"), "*-1");
    assert!(table.say(asks, "SENTINEL REPLICAS orders").contains("10.0.0.2:6380"));
    assert!(table.say(asks, "SENTINEL CKQUORUM orders").starts_with("-NOQUORUM 1 usable"));
    assert!(table.say(asks, "GET k").starts_with("-ERR unknown command 'GET'"));
    assert_eq!(table.say(asks, "ROLE"), "*2 $8 sentinel *1 $6 orders");
    table.say(hears, "SUBSCRIBE +switch-master");
    table.model.switch_master("orders", ("10.0.0.2", 6380), START);
    let told = "*3 $7 message $14 +switch-master $34 orders 10.0.0.1 6379 10.0.0.2 6380";
    assert_eq!(table.heard(hears), told);
    assert!(table.say(asks, "SENTINEL MASTERS").contains("10.0.0.2"));
}

/// Every command with words of all kinds, so that no place in its words is taken for granted.
#[test]
fn no_line_makes_it_panic() {
    const WORDS: [&str; 34] = [
        "a",
        "b",
        "l",
        "s",
        "h",
        "z",
        "x",
        "0",
        "1",
        "2",
        "-1",
        "9223372036854775807",
        "-9223372036854775808",
        "1.5",
        "inf",
        "",
        "*",
        "$",
        ">",
        "1-1",
        "(1",
        "[a",
        "-",
        "+",
        "COUNT",
        "LIMIT",
        "MATCH",
        "KEYS",
        "STREAMS",
        "GROUP",
        "BLOCK",
        "WEIGHTS",
        "ON",
        "ID",
    ];
    let mut random = fastrand::Rng::with_seed(1);
    let names: Vec<&str> = crate::commands().map(|command| command.name).collect();
    let mut table = Table::new();
    for line in 0..15_000 {
        if line % 2000 == 0 {
            table = Table::new();
            let client = table.client();
            table.say(
                client,
                "RPUSH l 1 2 3\r\nSADD s a b\r\nHSET h a 1\r\nZADD z 1 a 2 b\r\nXADD x 1-1 a b\r\nSET a 1",
            );
        }
        let client = table.client();
        let name = random.choice(&names).expect("there are commands");
        let count = random.usize(..7);
        let words: Vec<&[u8]> = name
            .split(' ')
            .chain((0..count).map(|_| *random.choice(&WORDS).expect("there are words")))
            .map(str::as_bytes)
            .collect();
        let request = crate::Reply::list(words).to_bytes(false);
        let protocol: &[u8] = if random.bool() { b"HELLO 3\r\n" } else { b"" };
        table.model.receive(client, protocol, table.now);
        table.model.receive(client, &request, table.now);
        table.model.disconnect(client, table.now);
        table.now += ms(random.u64(..3));
    }
}

#[test]
fn no_bytes_make_it_panic() {
    let mut random = fastrand::Rng::with_seed(2);
    let mut table = Table::new();
    for _ in 0..5_000 {
        let client = table.client();
        let bytes: Vec<u8> =
            (0..random.usize(..40)).map(|_| *random.choice(b"*$123\r\n+-:GET a\"'\\x\0").unwrap()).collect();
        table.model.receive(client, &bytes, START);
        table.model.disconnect(client, START);
    }
}
