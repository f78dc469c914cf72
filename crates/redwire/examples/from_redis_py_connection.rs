//! Coming from Python: redis-py's `Connection`, used by hand.
//!
//! `cargo run -p redwire --example from_redis_py_connection` starts a server for itself. The steps are the
//! methods of `Connection` in the documents "Connection Management" and "Connecting to Redis". Those of the
//! async `Connection` have the same names.
#![allow(clippy::print_stdout, reason = "a program for the terminal: printing is its work")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use redwire::blocking::{Connection, OnConnect};
use redwire::prelude::*;
use redwire::{ErrorKind, Pipeline, Result, Run, cmd};
use redwire_testkit::Server;

fn main() -> Result<()> {
    let server = Server::start();
    // Connection(…), register_connect_callback(callback), connect(), is_connected
    let mut connection = Connection::new(format!("{}?client_name=by-hand", server.url()).parse()?)?;
    let connects = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&connects);
    connection.on_connect(OnConnect::new(move |connection| {
        counter.fetch_add(1, Ordering::Relaxed);
        connection.run::<()>(cmd("CLIENT NO-EVICT").arg("ON")).or_else(unless_unknown)
    }));
    assert!(!connection.is_connected());
    connection.reconnect()?;
    assert!(connection.is_connected());
    assert_eq!(connects.load(Ordering::Relaxed), 1);
    println!("connected, and the callback was called");

    // send_command("SET", …), read_response()
    connection.send::<()>(&cmd("SET").arg("key").arg("value"))?;
    assert!(connection.can_read(Duration::from_secs(5))?);
    connection.read_reply::<()>()?;

    // pack_command("GET", …), pack_commands([…]), send_packed_command(packed)
    let mut packed = cmd::<String>("GET").arg("key").to_bytes();
    packed.extend(Pipeline::record(|p| (p.incr("n"), p.incr("n"))).0.to_bytes());
    connection.send_packed(&packed, 3)?;
    let text: String = connection.read_reply()?;
    let (one, two): (i64, i64) = (connection.read_reply()?, connection.read_reply()?);
    assert_eq!((text.as_str(), one, two), ("value", 1, 2));
    println!("three packed commands were answered: {text:?}, {one}, {two}");
    // read_response(disable_decoding=True)
    connection.send::<()>(&cmd("GET").arg("key"))?;
    assert_eq!(connection.read_reply::<Vec<u8>>()?, b"value");

    // check_health(), clear_connect_callbacks(), disconnect(), connect()
    connection.ping()?;
    connection.clear_on_connect();
    connection.disconnect();
    connection.reconnect()?;
    assert_eq!(connects.load(Ordering::Relaxed), 1, "the callback was forgotten");
    let name = connection.client_getname()?;
    assert_eq!(name.as_deref(), Some("by-hand"));
    println!("connected once more, as {name:?}");
    Ok(())
}

/// Servers before 7.0 have no such command.
fn unless_unknown(error: redwire::Error) -> Result<()> {
    if error.kind() == ErrorKind::Response { Ok(()) } else { Err(error) }
}
