//! An inventory that never sells what it does not have: keys are watched while the program decides.
//!
//! `cargo run -p redwire --example inventory` starts a server for itself. Tasks and threads buy from the same
//! stock at the same time; each order takes several articles or none.
#![allow(clippy::print_stdout, reason = "a program for the terminal: printing is its work")]

use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use redwire::prelude::*;
use redwire::{Client, Result, TransactionOptions, blocking};
use redwire_testkit::Server;

/// What one order takes of each article.
const ORDER: [(&str, i64); 2] = [("stock:table", 1), ("stock:chair", 4)];

static TRIES: AtomicU32 = AtomicU32::new(0);

fn main() -> Result<()> {
    let server = Server::start();
    let shop = blocking::Client::connect(&server.url())?;
    shop.set("stock:table", 20)?;
    shop.set("stock:chair", 60)?;

    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("a runtime starts");
    let tasks = runtime.spawn(eight_tasks(server.url()));
    let by_threads: u32 = thread::scope(|scope| {
        let buyers: Vec<_> = (0..8).map(|_| scope.spawn(|| buy_all(&shop))).collect();
        buyers.into_iter().map(|buyer| buyer.join().expect("a buyer does not panic")).sum::<Result<u32>>()
    })?;
    let by_tasks = runtime.block_on(tasks).expect("no task panics")?;

    let (tables, chairs) = shop.pipeline(|p| (p.get::<i64>("stock:table"), p.get::<i64>("stock:chair")))?;
    let sold = by_threads + by_tasks;
    println!("{sold} orders were filled: {by_threads} of threads, {by_tasks} of tasks");
    println!("left are {} tables and {} chairs", tables.unwrap_or_default(), chairs.unwrap_or_default());
    println!("the stock was looked at {} times", TRIES.load(Ordering::Relaxed));
    assert_eq!((sold, tables, chairs), (15, Some(5), Some(0)));

    // All at once, without looking first: the value of one command and the error of another.
    let (sold, wrong) =
        shop.atomic(|p| (p.incr_by("sold", sold.into()), p.lpush("stock:table", 1).attempt()))?;
    println!("sold in all: {sold}; what came of nonsense: {}", wrong.expect_err("a number is no list"));
    Ok(())
}

/// Buys until there is not enough left.
fn buy_all(shop: &blocking::Client) -> Result<u32> {
    let mut bought = 0;
    loop {
        let done = shop.transaction(ORDER.map(|(article, _)| article), |mut tx| {
            TRIES.fetch_add(1, Ordering::Relaxed);
            for (article, wanted) in ORDER {
                if tx.get::<i64>(article)?.unwrap_or_default() < wanted {
                    // Dropped without a commit: nothing is executed.
                    return Ok(false);
                }
            }
            // If another client was quicker, this is an error on which the closure is called again.
            tx.commit(|p| ORDER.map(|(article, wanted)| p.decr_by(article, wanted)))?;
            Ok(true)
        })?;
        if !done {
            return Ok(bought);
        }
        bought += 1;
    }
}

/// The same, awaited.
async fn eight_tasks(url: String) -> Result<u32> {
    let shop = Client::connect(&url).await?;
    let buyers: Vec<_> = (0..8).map(|_| tokio::spawn(buy_all_awaiting(shop.clone()))).collect();
    let mut bought = 0;
    for buyer in buyers {
        bought += buyer.await.expect("a buyer does not panic")?;
    }
    Ok(bought)
}

async fn buy_all_awaiting(shop: Client) -> Result<u32> {
    let mut bought = 0;
    // A program that would rather hear of contention than wait for long says so.
    let options = TransactionOptions::new().tries(1000);
    loop {
        let order = shop.transaction_with(options, ORDER.map(|(article, _)| article), async |mut tx| {
            TRIES.fetch_add(1, Ordering::Relaxed);
            let stock = tx.pipeline(|p| ORDER.map(|(article, _)| p.get::<i64>(article))).await?;
            if stock.iter().zip(ORDER).any(|(left, (_, wanted))| left.unwrap_or_default() < wanted) {
                return Ok(false);
            }
            tx.commit(|p| ORDER.map(|(article, wanted)| p.decr_by(article, wanted))).await?;
            Ok(true)
        });
        if !order.await? {
            return Ok(bought);
        }
        bought += 1;
    }
}
