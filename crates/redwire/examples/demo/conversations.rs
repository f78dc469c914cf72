//! The act of what takes more than a request and its reply: publish/subscribe, transactions, scripts, locks,
//! monitors, streams and the client-side cache.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use redwire::cache::CacheOptions;
use redwire::commands::{StreamId, XgroupOptions, XreadgroupOptions};
use redwire::prelude::*;
use redwire::pubsub::SubscriptionEvent;
use redwire::{Client, Error, ErrorKind, Outcome, Result, Script};
use redwire_testkit::Server;

use crate::show;

const LIMIT: Duration = Duration::from_secs(5);

pub(crate) async fn all(server: &Server) -> Result<()> {
    let client = Client::connect(&server.url()).await?;
    subscriptions(server, &client).await?;
    transactions(&client).await?;
    locks(&client).await?;
    monitor(&client).await?;
    streams(&client).await?;
    cache(server, &client).await
}

fn missing(what: &str) -> Error {
    Error::new(ErrorKind::Timeout, Outcome::NotSent, format!("{what} did not come"))
}

/// A message, a connection that is killed, the gap that tells of it, and another message.
async fn subscriptions(server: &Server, client: &Client) -> Result<()> {
    let begin = Instant::now();
    let mut news = client.psubscribe("news.*").await?;
    client.publish("news.world", "redwire speaks").await?;
    let item = news.next_within(LIMIT).await.ok_or_else(|| missing("the message"))?;
    let SubscriptionEvent::Message(message) = item else { return Err(missing("the message")) };
    show("publish, and hear it by a pattern", begin, (message.channel_text(), message.text()?));

    let begin = Instant::now();
    server.kill_clients(&["TYPE", "pubsub"]);
    let mut told = Vec::new();
    while let Some(item) = news.next_within(LIMIT).await {
        match item {
            SubscriptionEvent::Reconnected => told.push("reconnected".to_owned()),
            SubscriptionEvent::Gap { from, to } => {
                told.push(format!("gap of {:.0?}", to - from));
                break;
            }
            _ => {}
        }
    }
    show("its connection is killed: what is told", begin, told);
    Ok(())
}

async fn transactions(client: &Client) -> Result<()> {
    client.set("stock", 3).await?;
    let begin = Instant::now();
    let (sold, left) = client.atomic(|p| (p.incr("sold"), p.decr("stock"))).await?;
    show("MULTI … EXEC in one write", begin, (sold, left));

    let begin = Instant::now();
    let mut tries = 0;
    let left: i64 = client
        .transaction("stock", |mut tx| {
            tries += 1;
            let first = tries == 1;
            async move {
                let stock: i64 = tx.get("stock").await?.unwrap_or_default();
                if first {
                    // Another client is quicker.
                    client.set("stock", stock + 10).await?;
                }
                tx.commit(|p| p.decr_by("stock", 1)).await
            }
        })
        .await?;
    show("WATCH, changed meanwhile, tried again", begin, format!("{tries} tries, {left} left"));

    let script = Script::new("return redis.call('INCRBY', KEYS[1], ARGV[1])");
    let begin = Instant::now();
    let n: i64 = client.invoke(script.key("stock").arg(5)).await?;
    show("a script, by its SHA-1", begin, n);
    Ok(())
}

async fn locks(client: &Client) -> Result<()> {
    let begin = Instant::now();
    let guard = client.lock("report").ttl(Duration::from_secs(10)).acquire().await?;
    let refused = client.lock("report").try_acquire().await?.is_none();
    show("a lock, and another who wants it", begin, format!("fence {}, refused: {refused}", guard.fence()));

    let begin = Instant::now();
    let waits = client.lock("report").wait(LIMIT);
    let waiting = waits.acquire();
    let releasing = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        guard.release().await
    };
    let (next, released) = tokio::join!(waiting, releasing);
    released?;
    show("who waits is woken by the release", begin, format!("fence {}", next?.fence()));
    Ok(())
}

async fn monitor(client: &Client) -> Result<()> {
    let begin = Instant::now();
    let mut monitor = client.monitor().await?;
    client.set("seen", "by the monitor").await?;
    let entry = loop {
        let entry = monitor.next_within(LIMIT).await.ok_or_else(|| missing("an entry"))??;
        if entry.command.first().is_some_and(|word| word == b"SET") {
            break entry;
        }
    };
    let words: Vec<_> = entry.command.iter().map(|word| String::from_utf8_lossy(word)).collect();
    show("MONITOR", begin, words.join(" "));
    Ok(())
}

async fn streams(client: &Client) -> Result<()> {
    let begin = Instant::now();
    client.xgroup_create("orders", "packers", StreamId::MIN, XgroupOptions::new().mkstream()).await?;
    client.xadd("orders", [("item", "lamp")]).await?;
    let options = XreadgroupOptions::new().count(10).block(LIMIT);
    type Fields = HashMap<String, String>;
    let read = client.xreadgroup::<String, Fields>("packers", "ann", options, "orders", ">").await?;
    let entries: Vec<_> = read.into_iter().flatten().flat_map(|(_, entries)| entries).collect();
    let ids: Vec<StreamId> = entries.iter().map(|entry| entry.id).collect();
    client.xack("orders", "packers", ids).await?;
    let items: Vec<_> = entries.iter().map(|entry| &entry.fields["item"]).collect();
    show("a stream, read and acknowledged by a group", begin, items);
    Ok(())
}

async fn cache(server: &Server, client: &Client) -> Result<()> {
    client.set("price", 10).await?;
    let cache = client.cached(CacheOptions::default()).await?;
    let begin = Instant::now();
    cache.get::<i64>("price").await?;
    show("a read that is kept", begin, cache.stats().misses);
    let begin = Instant::now();
    for _ in 0..1000 {
        cache.get::<i64>("price").await?;
    }
    show("1 000 times the same, from memory", begin, format!("{} hits", cache.stats().hits));
    server.command(&["SET", "price", "11"]).map_err(Error::usage)?;
    cache.sync().await?;
    let begin = Instant::now();
    show("another client changed it", begin, cache.get::<i64>("price").await?);
    Ok(())
}
