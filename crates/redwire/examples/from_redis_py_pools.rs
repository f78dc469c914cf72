//! Coming from Python: redis-py's pools of both kinds.
//!
//! `cargo run -p redwire --example from_redis_py_pools` starts a server for itself. The steps are those of
//! "Connection Pooling" in the document "Connection Management", and of the class `ConnectionPool` there
//! and in "Connecting to Redis". First as tasks, then as threads.
#![allow(clippy::print_stdout, reason = "a program for the terminal: printing is its work")]

use std::time::{Duration, Instant};

use redwire::prelude::*;
use redwire::{Client, ErrorKind, Pool, Result, blocking};
use redwire_testkit::Server;

#[tokio::main]
async fn main() -> Result<()> {
    let server = Server::start();
    connection_pool_examples(&server.url()).await?;
    class_connection_pool(&server.url()).await?;
    let url = server.url();
    let threads = tokio::task::spawn_blocking(move || connection_pool_examples_blocking(&url));
    threads.await.expect("it does not panic")
}

/// "Connection Pooling".
async fn connection_pool_examples(url: &str) -> Result<()> {
    println!("Connection Pooling, asyncio");
    // ConnectionPool(…, max_connections=100, retry_on_timeout=True, socket_keepalive=True): an error at once
    // where all are in use, which is `pool_timeout=0`.
    let options = "max_connections=100&pool_timeout=0&retry_on_timeout=True&socket_keepalive=True";
    let pool = Pool::connect(&format!("{url}?{options}")).await?;

    // BlockingConnectionPool(…, max_connections=20, timeout=10): waits up to 10 seconds for one. A call's own
    // deadline, here `timeout`, ends the wait, too.
    let options = "max_connections=20&pool_timeout=10&timeout=15";
    let blocking_pool = Pool::connect(&format!("{url}?{options}")).await?;
    let redis_blocking = Client::on_pool(&blocking_pool);
    redis_blocking.ping().await?;

    // ConnectionPool.from_url("redis://localhost:6379/0", max_connections=50), which is the default.
    let pool_from_url = Pool::connect(&format!("{url}/0?max_connections=50")).await?;
    assert_eq!(pool_from_url.config().max_connections(), 50);

    // Redis(connection_pool=pool), three times.
    let redis1 = Client::on_pool(&pool);
    let redis2 = Client::on_pool(&pool);
    let redis3 = Client::on_pool(&pool);
    redis1.set("key1", "value1").await?;
    redis2.set("key2", "value2").await?;
    redis3.set("key3", "value3").await?;
    let values: Vec<String> = redis1.mget(["key1", "key2", "key3"]).await?;
    assert_eq!(values, ["value1", "value2", "value3"]);
    println!("  three clients wrote {values:?}");

    // A client that is closed leaves the pool to the others, as with auto_close_connection_pool=False.
    redis1.close(Duration::from_secs(1)).await;
    pool.get().await?.ping().await?;

    // await pool.disconnect()
    pool.disconnect();
    assert_eq!(pool.stats().size, 0);
    for pool in [pool, blocking_pool, pool_from_url] {
        let left = pool.close(Duration::from_secs(1)).await;
        assert_eq!(left, 0, "none is in use");
    }
    Ok(())
}

/// The methods of `ConnectionPool` and `BlockingConnectionPool`.
async fn class_connection_pool(url: &str) -> Result<()> {
    println!("\nConnectionPool, asyncio");
    // ConnectionPool(max_connections=1): the second caller gets an error at once.
    let pool = Pool::connect(&format!("{url}?max_connections=1&pool_timeout=0")).await?;
    // pool.get_connection("GET")
    let mut connection = pool.get().await?;
    connection.set("key", "value").await?;
    let error = pool.get().await.expect_err("the only one is in use");
    assert_eq!(error.kind(), ErrorKind::PoolExhausted);
    println!("  max_connections reached: {error}");
    // pool.owns_connection(connection), await pool.release(connection)
    assert!(pool.owns(&connection));
    drop(connection);
    assert_eq!((pool.stats().size, pool.stats().idle), (1, 1));
    // pool.make_connection(): one beside the pool.
    let mut other = pool.connection();
    other.reconnect().await?;
    assert_eq!(pool.stats().size, 1);

    // BlockingConnectionPool(max_connections=1, timeout=0.2)
    let pool = Pool::connect(&format!("{url}?max_connections=1&pool_timeout=200ms")).await?;
    let mut connection = pool.get().await?;
    let asked = Instant::now();
    let error = pool.get().await.expect_err("it is not given back");
    assert_eq!(error.kind(), ErrorKind::PoolExhausted);
    println!("  waited for {:.1?}: {error}", asked.elapsed());

    // await pool.disconnect(inuse_connections=False)
    pool.disconnect_idle();
    assert_eq!((pool.stats().idle, pool.stats().in_use), (0, 1));
    connection.ping().await?;
    // await pool.disconnect(): also those in use, at once. `disconnect` lets them finish first.
    pool.disconnect_now();
    connection.ping().await.expect_err("it was closed");
    drop(connection);
    // reset(): the pool is as new, and goes on.
    let first = pool.get().await?.client_id().await?;
    pool.disconnect();
    assert_ne!(pool.get().await?.client_id().await?, first);
    Ok(())
}

/// "Connection Pooling" by threads.
fn connection_pool_examples_blocking(url: &str) -> Result<()> {
    println!("\nConnection Pooling, threads");
    let options = "max_connections=100&pool_timeout=0&retry_on_timeout=True&socket_keepalive=True";
    let pool = blocking::Pool::connect(&format!("{url}?{options}"))?;
    let clients = [(); 3].map(|()| blocking::Client::on_pool(&pool));
    for (redis, (key, value)) in clients.iter().zip([("key1", "a"), ("key2", "b"), ("key3", "c")]) {
        redis.set(key, value)?;
    }
    let values: Vec<String> = clients[0].mget(["key1", "key2", "key3"])?;
    assert_eq!(values, ["a", "b", "c"]);
    println!("  three clients wrote {values:?} over {} connection", pool.stats().size);
    assert_eq!(pool.stats().size, 1, "one call after the other needs one connection");
    pool.disconnect();

    // BlockingConnectionPool(max_connections=1, timeout=10): the second thread waits for the first.
    let pool = blocking::Pool::connect(&format!("{url}?max_connections=1&pool_timeout=10&timeout=15"))?;
    let mut connection = pool.get()?;
    std::thread::scope(|scope| {
        let second = scope.spawn(|| pool.get()?.get::<String>("from the first"));
        connection.set("from the first", "hello")?;
        while pool.stats().waiting == 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
        drop(connection);
        let heard = second.join().expect("it does not panic")?;
        assert_eq!(heard.as_deref(), Some("hello"));
        println!("  the second thread waited, and read {heard:?}");
        Ok(())
    })
}
