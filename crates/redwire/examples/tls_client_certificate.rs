//! TLS with certificates on both sides: the server shows one, and lets in only clients that show one, too.
//!
//! `cargo run -p redwire --example tls_client_certificate` starts a server for itself, with a CA made for the
//! occasion. With a server and files of your own, [`without_a_runtime`] and [`with_a_runtime`] are all there
//! is to it.
#![allow(clippy::print_stdout, reason = "a program for the terminal: printing is its work")]

use redwire::blocking;
use redwire::config::Config;
use redwire::prelude::*;
use redwire::{ConnectionFault, ErrorKind, Result};
use redwire_testkit::{Authority, Server, TlsFront};

fn main() -> Result<()> {
    let server = Server::start();
    let authority = Authority::new();
    let front = TlsFront::builder(&authority.server()).require_client(&authority).start(&server);
    let us = authority.client("billing");

    let config = Config::builder()
        .host("localhost")
        .port(front.address().port())
        .tls(true)
        .tls_ca_file(authority.pem_file())
        .tls_cert_file(&us.cert_file)
        .tls_key_file(&us.key_file)
        .build()?;
    println!("connecting to {config}\n");
    without_a_runtime(config.clone())?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts");
    runtime.block_on(with_a_runtime(config))?;

    // The same in a URL, but without our certificate. Files are read again when they change, so a renewed
    // certificate needs no restart; what is wrong with one is said in words.
    let url = format!("{}?tls_ca_file={}", front.url("rediss"), authority.pem_file().display());
    let refused = blocking::Client::connect(&url).expect_err("the server asks for a certificate");
    assert_eq!(refused.kind(), ErrorKind::Connection(ConnectionFault::Tls));
    println!("without a certificate:\n  {refused}");
    let stranger = blocking::Client::connect(&front.url("rediss")).expect_err("no system knows this CA");
    println!("without its CA:\n  {stranger}");
    Ok(())
}

fn without_a_runtime(config: Config) -> Result<()> {
    let client = blocking::Client::open(config)?;
    client.set("greeting", "hello")?;
    println!("blocking: {:?}", client.get::<String>("greeting")?);
    Ok(())
}

async fn with_a_runtime(config: Config) -> Result<()> {
    let client = redwire::Client::open(config).await?;
    println!("async:    {:?}\n", client.get::<String>("greeting").await?);
    Ok(())
}
