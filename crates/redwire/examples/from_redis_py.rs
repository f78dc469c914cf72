//! Coming from Python: what redis-py's asyncio client does about connections, example by example.
//!
//! `cargo run -p redwire --example from_redis_py`. Each function has the name and the values of an example
//! of the document "Connection Management" (redis-py, asyncio); only hosts and files are those of a server
//! that is started for it. `from_redis_py_blocking` is the same without a runtime; the document's examples
//! of pools are in `from_redis_py_pools`, those of Sentinel in `from_redis_py_sentinel`.
#![allow(clippy::print_stdout, reason = "a program for the terminal: printing is its work")]

use std::time::{Duration, Instant};

use redwire::commands::ClientFilter;
use redwire::config::Config;
use redwire::prelude::*;
use redwire::{Client, ErrorKind, Result};
use redwire_testkit::{Authority, Identity, Proxy, Server, TlsFront};

/// Where the examples connect to.
struct Place {
    server: Server,
    /// The same server by TLS. It lets in only clients with a certificate.
    tls: TlsFront,
    authority: Authority,
    /// Our own certificate.
    us: Identity,
}

#[tokio::main]
async fn main() -> Result<()> {
    let authority = Authority::new();
    let server = Server::builder().acl_line("user myuser on >mypassword ~* &* +@all").start();
    let tls = TlsFront::builder(&authority.server()).require_client(&authority).start(&server);
    let us = authority.client("from_redis_py");
    let place = Place { server, tls, authority, us };
    basic_connection_examples(&place).await?;
    url_connection_examples(&place).await?;
    connection_health_examples(&place).await?;
    error_handling_examples(&place).await?;
    performance_optimization_examples(&place).await
}

/// "Basic Connection Setup".
async fn basic_connection_examples(place: &Place) -> Result<()> {
    println!("Basic Connection Setup");
    let port = place.server.port();

    // Redis(host='localhost', port=6379, db=0, decode_responses=True). There is no `decode_responses`: each
    // call says as what it reads the reply.
    let config = Config::builder().host("localhost").port(port).db(0).build()?;
    let redis = Client::open(config).await?;
    redis.ping().await?;
    println!("  Connected: true");

    // Redis(host=…, port=…, password=…, username=…, db=1)
    let auth = Config::builder().host("localhost").port(port).username("myuser").password("mypassword").db(1);
    let redis_auth = Client::open(auth.build()?).await?;
    let info = redis_auth.client_info().await?;
    assert_eq!((info.get("user"), info.get("db")), (Some("myuser"), Some("1")));
    println!("  with authentication: {}", redis_auth.config());

    // Redis(…, socket_connect_timeout=5, socket_timeout=3, retry_on_timeout=True). `timeout` is for the whole
    // call with all its tries; of these, each that gets no answer has a share.
    let timeouts = Config::builder()
        .host("localhost")
        .port(port)
        .connect_timeout(Duration::from_secs(5))
        .timeout(Duration::from_secs(3))
        .retry_on_timeout(true);
    let redis_timeouts = Client::open(timeouts.build()?).await?;
    redis_timeouts.ping().await?;

    // Redis(…, ssl=True, ssl_certfile=…, ssl_keyfile=…, ssl_ca_certs=…)
    let ssl = Config::builder()
        .host("localhost")
        .port(place.tls.address().port())
        .tls(true)
        .tls_cert_file(&place.us.cert_file)
        .tls_key_file(&place.us.key_file)
        .tls_ca_file(place.authority.pem_file());
    let redis_ssl = Client::open(ssl.build()?).await?;
    redis_ssl.ping().await?;
    assert!(place.tls.client_certificate().is_some(), "the server saw our certificate");
    println!("  by TLS: {}", redis_ssl.config());

    // Redis(unix_socket_path='/var/run/redis/redis.sock', db=0)
    let redis_unix = Client::open(Config::builder().path(place.server.unix_path()).db(0).build()?).await?;
    redis_unix.set("key", "value").await?;
    assert_eq!(redis.get::<String>("key").await?.as_deref(), Some("value"), "it is the same server");

    // await redis.aclose(). A client that is dropped closes as well; this waits for calls under way.
    redis.close(Duration::from_secs(1)).await;
    assert_eq!(redis.ping().await.expect_err("it is closed").kind(), ErrorKind::Closed);
    Ok(())
}

/// "URL-Based Configuration". redis-py's names of options are understood in URLs.
async fn url_connection_examples(place: &Place) -> Result<()> {
    println!("\nURL-Based Configuration");
    let port = place.server.port();

    // from_url("redis://localhost:6379/0")
    let redis = Client::connect(&format!("redis://localhost:{port}/0")).await?;
    redis.ping().await?;

    // from_url("redis://myuser:mypassword@redis.example.com:6380/1")
    let redis_auth = Client::connect(&format!("redis://myuser:mypassword@localhost:{port}/1")).await?;
    assert_eq!(redis_auth.client_info().await?.get("db"), Some("1"));

    // from_url("rediss://…", ssl_cert_reqs="required", ssl_ca_certs="/path/to/ca.crt")
    let url = format!(
        "rediss://myuser:mypassword@localhost:{}/0?ssl_cert_reqs=required&ssl_ca_certs={}&ssl_certfile={}&ssl_keyfile={}",
        place.tls.address().port(),
        place.authority.pem_file().display(),
        place.us.cert_file.display(),
        place.us.key_file.display(),
    );
    let redis_ssl = Client::connect(&url).await?;
    assert_eq!(redis_ssl.client_info().await?.get("user"), Some("myuser"));

    // from_url("unix:///var/run/redis/redis.sock?db=0")
    let redis_unix = Client::connect(&format!("unix://{}?db=0", place.server.unix_path().display())).await?;
    redis_unix.ping().await?;

    // from_url(url, socket_timeout=5, socket_connect_timeout=10, health_check_interval=30)
    let options = "socket_timeout=5&socket_connect_timeout=10&health_check_interval=30";
    let redis_custom = Client::connect(&format!("redis://localhost:{port}/0?{options}")).await?;
    let config = redis_custom.config();
    assert_eq!(config.timeout(), Some(Duration::from_secs(5)));
    assert_eq!(config.connect_timeout(), Duration::from_secs(10));
    assert_eq!(config.health_check_interval(), Some(Duration::from_secs(30)));
    println!("  {config}");

    // … and decode_responses=True, which is done in another way: the error says in which.
    let error = Client::connect("redis://localhost/0?decode_responses=True").await.expect_err("not here");
    assert!(error.to_string().contains("each reply is read as the type that is asked for"), "{error}");
    println!("  decode_responses=True: {error}");
    Ok(())
}

/// "Connection Health and Monitoring".
async fn connection_health_examples(place: &Place) -> Result<()> {
    println!("\nConnection Health and Monitoring");
    // Redis(…, health_check_interval=30, socket_keepalive=True, socket_keepalive_options={1: 1, 2: 3, 3: 5})
    let config = Config::builder()
        .host("localhost")
        .port(place.server.port())
        .health_check_interval(Duration::from_secs(30))
        .keepalive_idle(Duration::from_secs(1))
        .keepalive_interval(Duration::from_secs(3))
        .keepalive_count(5);
    let redis = Client::open(config.build()?).await?;

    match redis.ping().await {
        Ok(()) => println!("  Connection healthy"),
        Err(error) if matches!(error.kind(), ErrorKind::Connection(_)) => println!("  Connection failed"),
        Err(error) => return Err(error),
    }
    let echo_result: String = redis.echo("Hello Redis").await?;
    assert_eq!(echo_result, "Hello Redis");
    println!("  Echo: {echo_result}");
    let client_info = redis.client_list(ClientFilter::new()).await?;
    assert!(!client_info.is_empty());
    println!("  Connected clients: {}", client_info.len());
    Ok(())
}

/// "Error Handling and Reconnection".
async fn error_handling_examples(place: &Place) -> Result<()> {
    println!("\nError Handling and Reconnection");
    let proxy = Proxy::start(place.server.addr());
    let redis = Client::connect(&format!("{}?retry_on_timeout=True&socket_timeout=5", proxy.url())).await?;
    // The connection is lost: another is made for the next call, with no loop in the program.
    proxy.cut_all();
    robust_operation(&redis, "test_key", "test_value").await?;
    assert_eq!(redis.get::<String>("test_key").await?.as_deref(), Some("test_value"));
    assert!(proxy.connections() > 1, "a second connection was made");
    Ok(())
}

/// The document's own loop. It repeats a call that may have been executed (`error.outcome()`), which a client
/// never does by itself: setting a key once more does no harm.
async fn robust_operation(redis: &Client, key: &str, value: &str) -> Result<()> {
    let max_retries = 3;
    let mut retry_count = 0;
    loop {
        let error = match redis.set(key, value).await {
            Ok(()) => break,
            Err(error) => error,
        };
        let pause = match error.kind() {
            ErrorKind::Timeout => Duration::from_secs(1),
            ErrorKind::Connection(_) => Duration::from_secs(2),
            _ => return Err(error),
        };
        retry_count += 1;
        println!("  {error}, retry {retry_count}/{max_retries}");
        if retry_count == max_retries {
            return Err(error);
        }
        tokio::time::sleep(pause).await;
    }
    println!("  Successfully set {key} = {value}");
    Ok(())
}

/// "Performance Optimization".
async fn performance_optimization_examples(place: &Place) -> Result<()> {
    println!("\nPerformance Optimization");
    let url = place.server.url();

    // Redis(…, socket_read_size=65536, socket_keepalive=True, health_check_interval=0)
    let options = "socket_read_size=65536&socket_keepalive=True&health_check_interval=0";
    let redis = Client::connect(&format!("{url}?{options}")).await?;
    // ConnectionPool(…, max_connections=100, socket_read_size=131072). One connection serves all tasks, so
    // that more of them are needed only for calls that wait, as BLPOP.
    let redis_pooled = Client::connect(&format!("{url}?max_connections=100&socket_read_size=131072")).await?;
    // Redis(…, single_connection_client=True): a connection of one caller.
    let mut redis_single = redwire::Connection::connect(&url).await?;

    let count = 1000;
    for (name, client) in [("default", &redis), ("pooled", &redis_pooled)] {
        let start_time = Instant::now();
        for i in 0..count {
            client.set(format!("benchmark:{name}:{i}"), format!("value_{i}")).await?;
        }
        report(name, count, start_time);
    }
    let start_time = Instant::now();
    for i in 0..count {
        redis_single.set(format!("benchmark:single_conn:{i}"), format!("value_{i}")).await?;
    }
    report("single_conn", count, start_time);
    assert_eq!(redis.get::<String>("benchmark:single_conn:999").await?.as_deref(), Some("value_999"));
    Ok(())
}

fn report(name: &str, count: u32, start_time: Instant) {
    let elapsed = start_time.elapsed().as_secs_f64();
    println!("  {name}: {count} operations in {elapsed:.2}s ({:.0} ops/sec)", f64::from(count) / elapsed);
}
