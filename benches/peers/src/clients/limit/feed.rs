//! The limit of a subscriber: it counts the bytes of messages.

use std::io::{Read, Write};
use std::net::TcpStream;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::BUFFER_LEN;
use super::plan::request;
use crate::Fallible;
use crate::child::Job;
use crate::data::{self, VALUE_LEN};
use crate::feed::{BATCH, CHANNEL, Feed};
use crate::meter::Measured;

/// Listens on the calling thread.
///
/// # Errors
/// Fails if the connection does, or if more bytes come than were published.
pub fn blocking(job: &Job) -> Fallible<Measured> {
    let mut feed = Feed::connect(job)?;
    let mut server = TcpStream::connect(&job.addr)?;
    let (subscribe, confirmation, batch_len) = subscription();
    server.write_all(&subscribe)?;
    server.read_exact(&mut vec![0; confirmation])?;
    let mut buffer = vec![0; BUFFER_LEN];
    while feed.publish()? {
        let mut left = batch_len;
        while left > 0 {
            left = rest(left, server.read(&mut buffer)?)?;
        }
    }
    Ok(feed.finish())
}

/// As [`blocking`], on tokio.
///
/// # Errors
/// As [`blocking`].
pub async fn on_tokio(job: Job) -> Fallible<Measured> {
    let mut feed = Feed::connect(&job)?;
    let mut server = tokio::net::TcpStream::connect(&job.addr).await?;
    let (subscribe, confirmation, batch_len) = subscription();
    server.write_all(&subscribe).await?;
    server.read_exact(&mut vec![0; confirmation]).await?;
    let mut buffer = vec![0; BUFFER_LEN];
    while feed.publish()? {
        let mut left = batch_len;
        while left > 0 {
            left = rest(left, server.read(&mut buffer).await?)?;
        }
    }
    Ok(feed.finish())
}

/// The request, the length of its reply, and that of a batch of messages.
fn subscription() -> (Vec<u8>, usize, usize) {
    let subscribe = request(&[b"SUBSCRIBE", CHANNEL.as_bytes()]);
    let confirmation = format!("*3\r\n$9\r\nsubscribe\r\n${}\r\n{CHANNEL}\r\n:1\r\n", CHANNEL.len());
    let message = request(&[b"message", CHANNEL.as_bytes(), &data::value("", VALUE_LEN)]);
    (subscribe, confirmation.len(), message.len() * BATCH)
}

/// How many bytes of a batch are still to come after a read of `n`.
fn rest(left: usize, n: usize) -> Fallible<usize> {
    let rest = left.checked_sub(n).filter(|_| n > 0);
    rest.ok_or_else(|| format!("wrong messages: {n} bytes with {left} to come").into())
}
