//! Coming from Python: the API of aioredis.
//!
//! `cargo run -p redwire --example from_aioredis` starts a server for itself. The steps are those of the
//! document "aioredis — API Reference", with its names.
#![allow(clippy::print_stdout, reason = "a program for the terminal: printing is its work")]

use redwire::prelude::*;
use redwire::{Client, Connection, ErrorKind, Outcome, Pool, Result, Run, cmd};
use redwire_testkit::{FakeServer, Server};

#[tokio::main]
async fn main() -> Result<()> {
    let server = Server::start();
    connection_example(&server).await?;
    test_pool(&server.url()).await?;
    class_redis_pool(&server.url()).await?;
    commands_interface(&server).await?;
    exceptions(&server.url()).await
}

/// "Connection": `create_connection` and `RedisConnection`.
async fn connection_example(server: &Server) -> Result<()> {
    println!("Connection");
    // conn = yield from aioredis.create_connection(('localhost', 6379))
    let mut conn = Connection::connect(&server.url()).await?;
    // val = yield from conn.execute('GET', 'my-key')
    let val: Option<String> = conn.run(cmd("GET").arg("my-key")).await?;
    assert_eq!(val, None);
    println!("  my-key: {val:?}");

    // create_connection('/path/to/redis/socket')
    let mut by_socket = Connection::connect(&format!("unix://{}", server.unix_path().display())).await?;
    by_socket.set("my-key", "héllo").await?;
    // execute(…, encoding=None) and encoding='utf-8': the type says which.
    assert_eq!(conn.run::<Vec<u8>>(cmd("GET").arg("my-key")).await?, "héllo".as_bytes());
    assert_eq!(conn.run::<String>(cmd("GET").arg("my-key")).await?, "héllo");

    // db, select(db), closed, close()
    assert_eq!(conn.db(), Some(0));
    conn.select(1).await?;
    assert_eq!(conn.db(), Some(1));
    println!("  db: {:?}", conn.db());
    conn.disconnect();
    assert!(!conn.is_connected());
    Ok(())
}

/// The example of "Pool".
async fn test_pool(url: &str) -> Result<()> {
    println!("\nPool");
    // pool = yield from aioredis.create_pool(('localhost', 6379)); its sizes are 10 and 10.
    let pool = Pool::connect(&format!("{url}?minsize=10&maxsize=10")).await?;
    // with (yield from pool) as redis: val = yield from redis.get('my-key')
    let val: Option<String> = {
        let mut redis = pool.get().await?;
        redis.get("my-key").await?
    };
    assert_eq!(val.as_deref(), Some("héllo"));
    println!("  {val:?}");
    Ok(())
}

/// `RedisPool`.
async fn class_redis_pool(url: &str) -> Result<()> {
    println!("\nRedisPool");
    let pool = Pool::connect(&format!("{url}?maxsize=2")).await?;
    // minsize, maxsize, size, freesize, db
    let config = pool.config();
    assert_eq!((config.min_idle_connections(), config.max_connections(), config.db()), (0, 2, 0));
    // conn = yield from pool.acquire(); pool.release(conn)
    let mut conn = pool.get().await?;
    assert_eq!((pool.stats().size, pool.stats().idle), (1, 0));
    // "When returned connection has db index that differs from one in pool the connection will be dropped":
    // here it is sent back to the pool's database, and lent again.
    conn.select(3).await?;
    let id = conn.client_id().await?;
    drop(conn);
    let mut conn = pool.get().await?;
    assert_eq!((conn.client_id().await?, conn.db()), (id, Some(0)));
    println!("  connection {id} came back to database 0");
    drop(conn);

    // yield from pool.select(db): for all that are lent from now on.
    pool.select(2);
    assert_eq!(pool.get().await?.client_info().await?.get("db"), Some("2"));
    // pool.clear()
    pool.disconnect_idle();
    assert_eq!((pool.stats().size, pool.stats().idle), (0, 0));
    Ok(())
}

/// "Commands Interface": `create_redis` and `create_reconnecting_redis`.
async fn commands_interface(server: &Server) -> Result<()> {
    println!("\nCommands Interface");
    // redis = yield from aioredis.create_redis(('localhost', 6379))
    let redis = Client::connect(&server.url()).await?;
    redis.set("my-key", "value").await?;

    // create_reconnecting_redis(…) "does not establish connection right now". What was sent before the
    // connection was lost is not repeated if that could execute it twice.
    let reconnecting = Client::connect_lazy(&server.url())?;
    assert_eq!(reconnecting.incr("counter").await?, 1);
    server.kill_clients(&["TYPE", "normal"]);
    // A call that only reads is repeated: it finds out that the connection is gone, if that is not known yet.
    assert_eq!(reconnecting.get::<i64>("counter").await?, Some(1));
    assert_eq!(reconnecting.incr("counter").await?, 2);
    println!("  counted to 2 over two connections");
    Ok(())
}

/// "Exceptions": one `Error`, whose kind and outcome tell what Python's classes do.
async fn exceptions(url: &str) -> Result<()> {
    println!("\nExceptions");
    let redis = Client::connect(url).await?;
    redis.set("text", "no number").await?;

    // ReplyError
    let error = redis.incr("text").await.expect_err("it is no number");
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Response, Outcome::Rejected));
    println!("  ReplyError: {error}");

    // PipelineError
    let error = redis.pipeline(|p| (p.incr("n"), p.incr("text"))).await.expect_err("the second fails");
    assert!(error.to_string().contains("command 2 of 2 in the pipeline"), "{error}");
    println!("  PipelineError: {error}");

    // MultiExecError
    let error = redis.atomic(|p| (p.incr("n"), p.incr("text"))).await.expect_err("the second fails");
    assert!(error.to_string().contains("command 2 of 2 in the transaction"), "{error}");
    println!("  MultiExecError: {error}");

    // ProtocolError: "connection must be considered broken and must be closed", as it is.
    let server = FakeServer::answering(|_| b"?no such thing\r\n".to_vec());
    let error = Client::connect(&server.url()).await.expect_err("this is no Redis server");
    assert_eq!(error.kind(), ErrorKind::Protocol);
    println!("  ProtocolError: {error}");
    Ok(())
}
