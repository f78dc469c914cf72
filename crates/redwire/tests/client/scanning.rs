//! The SCAN family as iterator and stream: whatever is there from beginning to end comes. REFERENCE T2.

use std::collections::{HashMap, HashSet};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use futures_core::Stream;
use redwire::{ErrorKind, ScanOptions, cmd};
use redwire_testkit::{Server, shared};

use crate::common::{Client, Setup, TellOnDrop, runtime};

both!(
    every_stable_key_comes_while_others_come_and_go,
    collections_are_scanned,
    options_narrow_the_scan,
    an_item_that_cannot_be_read_is_an_error_in_its_place,
    what_the_server_refuses_ends_the_scan,
);

fn every_stable_key_comes_while_others_come_and_go(setup: Setup) {
    let server = Server::start();
    let client = setup.client(&server.unix_url(), "");
    client
        .execute::<()>(cmd("MSET").arg((0..10_000).map(|i| (format!("stable:{i}"), i)).collect::<Vec<_>>()))
        .unwrap();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let _end = TellOnDrop(&done);
        scope.spawn(|| {
            for i in (0..).take_while(|_| !done.load(Ordering::Relaxed)) {
                let keys: Vec<String> =
                    (0..200).map(|n| format!("passing:{}", (i * 131 + n) % 5000)).collect();
                let pairs = keys.iter().map(|key| (key, i)).collect::<Vec<_>>();
                client.execute::<()>(cmd("MSET").arg(pairs)).unwrap();
                client.execute::<i64>(cmd("UNLINK").arg(&keys[..150])).unwrap();
            }
        });
        for count in [None, Some(7), Some(1000)] {
            let options = count.map_or_else(ScanOptions::new, |count| ScanOptions::new().count(count));
            let keys: HashSet<String> = client.scan(options).unwrap().into_iter().collect();
            for i in 0..10_000 {
                assert!(keys.contains(&format!("stable:{i}")), "stable:{i} with COUNT {count:?}");
            }
        }
        done.store(true, Ordering::Relaxed);
    });
}

fn collections_are_scanned(setup: Setup) {
    let client = setup.client(&shared().url(), "");
    let key = |kind: &str| setup.key(&format!("scan-{kind}"));
    let pairs: Vec<(String, i64)> = (0..1000).map(|i| (format!("f{i}"), i)).collect();
    client.execute::<i64>(cmd("HSET").arg(key("h")).arg(&pairs)).unwrap();
    client.execute::<i64>(cmd("SADD").arg(key("s")).arg((0..1000).collect::<Vec<i64>>())).unwrap();
    let scored: Vec<(i64, &String)> = pairs.iter().map(|(field, i)| (*i, field)).collect();
    client.execute::<i64>(cmd("ZADD").arg(key("z")).arg(scored)).unwrap();
    let (hash, set, sorted) = match &client {
        Client::Blocking(client) => (
            client
                .hscan(key("h"), ScanOptions::new())
                .collect::<redwire::Result<HashMap<String, i64>>>()
                .unwrap(),
            client.sscan(key("s"), ScanOptions::new()).collect::<redwire::Result<HashSet<i64>>>().unwrap(),
            client
                .zscan(key("z"), ScanOptions::new())
                .collect::<redwire::Result<HashMap<String, i64>>>()
                .unwrap(),
        ),
        Client::Tokio(client) => runtime().block_on(async {
            (
                gather(client.hscan::<(String, i64)>(key("h"), ScanOptions::new()))
                    .await
                    .into_iter()
                    .collect(),
                gather(client.sscan::<i64>(key("s"), ScanOptions::new())).await.into_iter().collect(),
                gather(client.zscan::<(String, i64)>(key("z"), ScanOptions::new()))
                    .await
                    .into_iter()
                    .collect(),
            )
        }),
    };
    let expected: HashMap<String, i64> = pairs.into_iter().collect();
    assert_eq!((&hash, &sorted), (&expected, &expected));
    assert_eq!(set, (0..1000).collect());
}

/// Reads a stream to its end, as a `Stream`.
async fn gather<T>(mut stream: impl Stream<Item = redwire::Result<T>> + Unpin) -> Vec<T> {
    let mut items = Vec::new();
    while let Some(item) = std::future::poll_fn(|cx| Pin::new(&mut stream).poll_next(cx)).await {
        items.push(item.unwrap());
    }
    items
}

fn options_narrow_the_scan(setup: Setup) {
    let client = setup.client(&shared().url(), "");
    let prefix = setup.key("narrow");
    for i in 0..20 {
        client.execute::<()>(cmd("SET").arg(format!("{prefix}:{i}")).arg(i)).unwrap();
        client.execute::<i64>(cmd("LPUSH").arg(format!("{prefix}:list{i}")).arg(i)).unwrap();
    }
    let options = ScanOptions::new().pattern(format!("{prefix}:*")).count(1000);
    let all: HashSet<String> = client.scan(options.clone()).unwrap().into_iter().collect();
    assert_eq!(all.len(), 40);
    let lists: HashSet<String> = client.scan(options.kind("list")).unwrap().into_iter().collect();
    assert!(lists.len() == 20 && lists.iter().all(|key| key.contains(":list")), "{lists:?}");
    let error = client.scan::<i64>(ScanOptions::new().pattern(format!("{prefix}:*"))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Decode, "{error}");
}

/// All items of a scan of the driver at hand, errors among them, and no more than `most` of them.
macro_rules! scanned {
    ($client:expr, $most:expr, $method:ident::<$item:ty>($($arg:expr),*)) => {
        match &$client {
            Client::Blocking(client) => {
                client.$method::<$item>($($arg),*).take($most).collect::<Vec<redwire::Result<$item>>>()
            }
            Client::Tokio(client) => runtime().block_on(async {
                let (mut scan, mut items) = (client.$method::<$item>($($arg),*), Vec::new());
                while items.len() < $most && let Some(item) = scan.next().await {
                    items.push(item);
                }
                items
            }),
        }
    };
}

fn an_item_that_cannot_be_read_is_an_error_in_its_place(setup: Setup) {
    let server = Server::start();
    let client = setup.client(&server.unix_url(), "");
    let names: Vec<Vec<u8>> = (0..500)
        .map(|n| if n == 250 { b"\xff no text".to_vec() } else { format!("name:{n}").into() })
        .collect();
    client.execute::<()>(cmd("MSET").arg(names.iter().map(|name| (name, 1)).collect::<Vec<_>>())).unwrap();
    let calls = |command: &str| -> u64 {
        let stats = server.command(&["INFO", "commandstats"]).unwrap();
        let line = stats.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:calls=")));
        line.map_or(0, |line| line.split(',').next().unwrap().parse().unwrap())
    };
    let options = || ScanOptions::new().count(50);
    let told = |items: Vec<redwire::Result<String>>, command: &str| {
        let errors: Vec<_> = items.iter().filter_map(|item| item.as_ref().err()).collect();
        assert_eq!(errors.len(), 1, "{command}: {errors:?}");
        assert_eq!((errors[0].kind(), errors[0].command()), (ErrorKind::Decode, Some(command)));
        let texts: HashSet<&String> = items.iter().flatten().collect();
        assert_eq!(texts.len(), 499, "{command}");
        let calls = calls(&command.to_ascii_lowercase());
        assert!((1..=20).contains(&calls), "{calls} calls of {command}");
    };
    told(scanned!(client, 5000, scan::<String>(options())), "SCAN");
    client.execute::<()>(cmd("FLUSHDB")).unwrap();
    client.execute::<i64>(cmd("SADD").arg("s").arg(&names)).unwrap();
    told(scanned!(client, 5000, sscan::<String>("s", options())), "SSCAN");
    let fields: Vec<_> = names.iter().map(|name| (name, 1)).collect();
    client.execute::<i64>(cmd("HSET").arg("h").arg(&fields)).unwrap();
    let pairs = scanned!(client, 5000, hscan::<(String, u32)>("h", options()));
    told(pairs.into_iter().map(|pair| pair.map(|(name, _)| name)).collect(), "HSCAN");
    let scores: Vec<_> = names.iter().map(|name| (1, name)).collect();
    client.execute::<i64>(cmd("ZADD").arg("z").arg(&scores)).unwrap();
    let pairs = scanned!(client, 5000, zscan::<(String, f64)>("z", options()));
    told(pairs.into_iter().map(|pair| pair.map(|(name, _)| name)).collect(), "ZSCAN");
    // The value, not the name: each pair is one item.
    client.execute::<i64>(cmd("HSET").arg("small").arg([("a", "1"), ("b", "x"), ("c", "3")])).unwrap();
    let pairs = scanned!(client, 5000, hscan::<(String, u32)>("small", options()));
    let pairs: Vec<Option<(String, u32)>> = pairs.into_iter().map(Result::ok).collect();
    assert_eq!(pairs, [Some(("a".to_owned(), 1)), None, Some(("c".to_owned(), 3))]);
}

fn what_the_server_refuses_ends_the_scan(setup: Setup) {
    let client = setup.client(&shared().url(), "");
    let key = setup.key("no-hash");
    client.execute::<()>(cmd("SET").arg(&key).arg(1)).unwrap();
    let items = scanned!(client, 10, hscan::<(String, String)>(&key, ScanOptions::new()));
    assert_eq!(items.len(), 1, "{items:?}");
    assert_eq!(items[0].as_ref().unwrap_err().code(), Some("WRONGTYPE"));
    let items = scanned!(client, 10, zscan::<(String, f64)>(None::<&str>, ScanOptions::new()));
    assert_eq!(items.len(), 1, "{items:?}");
    assert_eq!(items[0].as_ref().unwrap_err().kind(), ErrorKind::Usage);
}
