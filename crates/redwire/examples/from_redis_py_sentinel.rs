//! Coming from Python: redis-py's Sentinel, as tasks and as threads.
//!
//! `cargo run -p redwire --example from_redis_py_sentinel` starts a master, two replicas and three sentinels
//! for itself. The steps are those of "High Availability with Sentinel" in the document "Connection
//! Management", and of "Sentinel Client" in "Connecting to Redis".
#![allow(clippy::print_stdout, reason = "a program for the terminal: printing is its work")]

use std::thread;
use std::time::Duration;

use redwire::config::{Config, HostPort, ReadFrom};
use redwire::prelude::*;
use redwire::sentinel::Instance;
use redwire::{ErrorKind, Result, Sentinel, SentinelFault, blocking, cmd};
use redwire_testkit::SentinelSet;

fn main() -> Result<()> {
    let set = SentinelSet::builder().service("mymaster").start();
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts");
    runtime.block_on(sentinel_examples(&set))?;
    connection_example(&set)?;
    class_sentinel(&set)
}

/// "High Availability with Sentinel".
async fn sentinel_examples(set: &SentinelSet) -> Result<()> {
    println!("High Availability with Sentinel");
    // Sentinel([('sentinel1.example.com', 26379), …]); its URL is redis+sentinel://host,host,host/mymaster.
    // A write whose reply was lost may have been executed; `idempotent` says that once more does no harm.
    let url = format!("{}?timeout=10&idempotent=yes", set.url());
    let sentinel = Sentinel::new(url.parse()?)?;

    // master_for('mymaster'), slave_for('mymaster')
    let master = sentinel.client(ReadFrom::Master)?;
    let slave = sentinel.client(ReadFrom::Replica)?;
    // Write to the master, read from a slave, which may be behind.
    master.set("key", "value").await?;
    let value: String = loop {
        match slave.get("key").await? {
            Some(value) => break value,
            None => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    };
    assert_eq!(value, "value");
    println!("  from a slave: {value}");

    // discover_master('mymaster'), discover_slaves('mymaster')
    let master_address = sentinel.discover_master().await?;
    assert_eq!(master_address.to_string(), set.master().to_string());
    println!("  Current master: {master_address}");
    let slave_addresses = sentinel.discover_replicas().await?;
    assert_eq!(slave_addresses.len(), 2);
    println!("  Available slaves: {}", shown(&slave_addresses));

    // "Sentinel can automatically handle failover": the same client writes to the slave that was promoted.
    let old = set.master_index();
    let promoted = set.failover().to.to_string();
    // The sentinels learn of it one after the other.
    while sentinel.discover_master().await?.to_string() != promoted {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    master.set("key", "after").await?;
    assert_eq!(master.get::<String>("key").await?.as_deref(), Some("after"));
    println!("  after a failover: {promoted}");
    master.close(Duration::from_secs(1)).await;
    slave.close(Duration::from_secs(1)).await;
    set.rejoin(old);
    set.wait_settled();
    Ok(())
}

/// "Connection example" of "Sentinel Client", and that of the class.
fn connection_example(set: &SentinelSet) -> Result<()> {
    println!("\nSentinel Client");
    // Sentinel([('localhost', 26379)], socket_timeout=0.1)
    let one = set.sentinels()[0].port();
    let url = format!("redis+sentinel://localhost:{one}/mymaster?sentinel_timeout=2");
    let sentinel = blocking::Sentinel::new(url.parse()?)?;
    println!("  {}", sentinel.discover_master()?);
    println!("  [{}]", shown(&sentinel.discover_replicas()?));

    // master.set('foo', 'bar'), slave.get('foo') is b'bar'
    let master = sentinel.client(ReadFrom::Master)?;
    master.set("foo", "bar")?;
    let slave = sentinel.client(ReadFrom::Replica)?;
    while slave.get::<Vec<u8>>("foo")?.is_none_or(|bytes| bytes != b"bar") {
        thread::sleep(Duration::from_millis(5));
    }
    println!("  b'bar'");
    Ok(())
}

/// The other methods and parameters of `Sentinel`.
fn class_sentinel(set: &SentinelSet) -> Result<()> {
    println!("\nSentinel");
    // min_other_sentinels=2; a sentinel that knows of fewer is not believed.
    let sentinel = blocking::Sentinel::new(format!("{}?min_other_sentinels=2", set.url()).parse()?)?;
    sentinel.discover_master()?;
    let strict = blocking::Sentinel::new(format!("{}?min_other_sentinels=3", set.url()).parse()?)?;
    let error = strict.discover_master().expect_err("there are only three");
    println!("  min_other_sentinels=3: {error}");

    // sentinel_kwargs={…}: anything that a connection can be given.
    let kwargs = Config::builder().client_name("to-sentinels").build()?;
    let config = Config::builder().url(&set.url()).sentinel_config(kwargs).build()?;
    blocking::Sentinel::new(config)?.discover_master()?;

    // SentinelConnectionPool('mymaster', sentinel): a pool of connections to the master.
    let pool = blocking::Pool::connect(&set.url())?;
    pool.get()?.set("by", "pool")?;

    // execute_command('SENTINEL MASTER', 'mymaster') at all of them, and with once=True at one, at random.
    let ask = cmd::<Instance>("SENTINEL MASTER").arg("mymaster");
    for (address, instance) in sentinel.execute_all(&ask) {
        println!("  {address} says {}", instance?.address()?);
    }
    let instance = sentinel.execute(ask)?;
    assert!(!instance.is_down());

    // filter_slaves(slaves): those that are up. `discover_replicas` leaves the others out already.
    let slaves: Vec<Instance> = sentinel.execute(cmd("SENTINEL REPLICAS").arg("mymaster"))?;
    assert_eq!(slaves.iter().filter(|slave| !slave.is_down()).count(), 2);

    // discover_master('unknown'), for another service of the same sentinels: MasterNotFoundError
    let unknown = sentinel.for_service("unknown")?;
    let error = unknown.discover_master().expect_err("no such service");
    assert!(matches!(error.kind(), ErrorKind::Sentinel(SentinelFault::UnknownService)), "{error:?}");
    println!("  {error}");
    Ok(())
}

fn shown(addresses: &[HostPort]) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
