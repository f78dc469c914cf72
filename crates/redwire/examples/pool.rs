//! A pool of connections: for commands that belong together and need a connection to themselves for a while.
//!
//! `cargo run -p redwire --example pool` starts a server for itself. Single commands need no pool: the
//! clients see to their connections themselves.
#![allow(clippy::print_stdout, reason = "a program for the terminal: printing is its work")]

use std::thread;
use std::time::{Duration, Instant};

use redwire::prelude::*;
use redwire::{Error, ErrorKind, Result, Run, blocking, cmd};
use redwire_testkit::Server;

fn main() -> Result<()> {
    let server = Server::start();
    let url = format!("{}?max_connections=2&min_idle_connections=1", server.url());
    threads(&url)?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts");
    runtime.block_on(tasks(&url))
}

/// Eight threads sell out of one stock, over two connections.
fn threads(url: &str) -> Result<()> {
    let pool = blocking::Pool::connect(url)?;
    pool.get()?.set("stock", 20)?;
    let sold = thread::scope(|scope| {
        let sellers: Vec<_> = (0..8).map(|_| scope.spawn(|| sell(&pool))).collect();
        sellers.into_iter().map(|seller| seller.join().expect("a seller does not panic")).sum::<Result<u32>>()
    })?;
    assert_eq!(sold, 20);
    let stats = pool.stats();
    println!("8 threads sold {sold} of 20, over {} connections", stats.size);
    println!("  {} were made so far, {} lie idle", stats.created, stats.idle);

    // Who keeps connections for too long can be found: the pool knows where each was asked for.
    let _held = pool.get()?;
    for holder in pool.borrowers() {
        let place = holder.location.map_or_else(|| "a client".to_owned(), ToString::to_string);
        println!("  one is held by {place}, for {:.0?}", holder.since.elapsed());
    }
    Ok(())
}

/// Sells one at a time until none is left.
fn sell(pool: &blocking::Pool) -> Result<u32> {
    let mut sold = 0;
    loop {
        // Waits until one comes back, in the order in which the callers came. It goes back at the end of the
        // block.
        let mut lease = pool.get()?;
        lease.run::<()>(cmd("WATCH").arg("stock"))?;
        if lease.get::<i64>("stock")?.unwrap_or_default() == 0 {
            // Left watching a key: the pool sees to it that the next user does not.
            return Ok(sold);
        }
        lease.run::<()>(cmd("MULTI"))?;
        lease.run::<()>(cmd("DECR").arg("stock"))?;
        // Nil if another client was quicker.
        sold += u32::from(lease.run::<Option<Vec<i64>>>(cmd("EXEC"))?.is_some());
    }
}

/// The same names, awaited.
async fn tasks(url: &str) -> Result<()> {
    let pool = redwire::Pool::connect(url).await?;
    let one = pool.get().await?;
    let mut two = pool.get().await?;
    two.select(5).await?;
    two.set("only here", "five").await?;

    let asked = Instant::now();
    let error: Error = pool.get_within(Duration::from_millis(50)).await.expect_err("both are in use");
    assert!(error.is_timeout() || error.kind() == ErrorKind::PoolExhausted);
    println!("a third has to wait, here no longer than {:.0?}:\n  {error}", asked.elapsed());
    if let Some(cause) = std::error::Error::source(&error) {
        println!("  since {cause}");
    }

    // Back they go, and are as new for the next user: in database 0 again.
    drop((one, two));
    let mut next = pool.get().await?;
    assert_eq!(next.get::<String>("only here").await?, None);
    drop(next);

    let left = pool.close(Duration::from_secs(1)).await;
    println!("closed, with {left} connections still in use");
    Ok(())
}
