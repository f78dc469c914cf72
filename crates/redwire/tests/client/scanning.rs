//! The SCAN family as iterator and stream: whatever is there from beginning to end comes. REFERENCE T2.

use std::collections::{HashMap, HashSet};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use futures_core::Stream;
use redwire::{ScanOptions, cmd};
use redwire_testkit::{Server, shared};

use crate::common::{Client, Setup, runtime};

both!(every_stable_key_comes_while_others_come_and_go, collections_are_walked, options_narrow_the_scan);

fn every_stable_key_comes_while_others_come_and_go(setup: Setup) {
    let server = Server::start();
    let client = setup.client(&server.unix_url(), "");
    client
        .execute::<()>(cmd("MSET").arg((0..10_000).map(|i| (format!("stable:{i}"), i)).collect::<Vec<_>>()))
        .unwrap();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
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

fn collections_are_walked(setup: Setup) {
    let client = setup.client(&shared().url(), "");
    let key = |kind: &str| setup.key(&format!("walk-{kind}"));
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
    assert_eq!(error.kind(), redwire::ErrorKind::Decode, "{error}");
}
