//! Messages for one subscriber: who publishes them, in batches, and whether they came whole and in order.
//! It knows neither who listens nor how.
//!
//! A script on the server publishes a whole batch, so that publishing costs the measured process one small
//! request per batch. The next batch is published when the one before has been heard.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::Fallible;
use crate::child::Job;
use crate::data::{self, VALUE_LEN};
use crate::meter::{Laps, Measured};

/// Messages in one batch.
pub const BATCH: usize = 1000;
/// The channel they are published on.
pub const CHANNEL: &str = "feed:all";

const SCRIPT: &str = "for i = 0, ARGV[2] - 1 do \
    redis.call('PUBLISH', ARGV[1], string.format('key:%04d', i) .. ARGV[3]) end";

/// A publisher and its account of what the subscriber has heard.
pub struct Feed {
    server: TcpStream,
    request: Vec<u8>,
    names: Vec<String>,
    laps: Laps,
    /// How many of the batch were heard.
    heard: usize,
    /// Whether the reply to the last request is still to be read.
    asked: bool,
}

impl Feed {
    /// Publishes nothing yet. Call it when the subscriber is ready but for its subscription.
    ///
    /// # Errors
    /// Fails if the server cannot be reached.
    pub fn connect(job: &Job) -> Fallible<Self> {
        let server = TcpStream::connect(&job.addr)?;
        server.set_nodelay(true)?;
        let names: Vec<_> = (0..BATCH).map(data::name).collect();
        let rest = ".".repeat(VALUE_LEN - names[0].len());
        let batch = BATCH.to_string();
        let request = data::encode(["EVAL", SCRIPT, "0", CHANNEL, &batch, &rest].iter());
        Ok(Self { server, request, names, laps: Laps::new(job.budget), heard: 0, asked: false })
    }

    /// Has a batch published; `false` when the measurement is over.
    ///
    /// # Errors
    /// Fails if the server does.
    pub fn publish(&mut self) -> Fallible<bool> {
        if !self.laps.next() {
            return Ok(false);
        }
        if std::mem::replace(&mut self.asked, true) {
            // Nil, and it came with the messages.
            let mut reply = [0; 5];
            self.server.read_exact(&mut reply)?;
            if &reply != b"$-1\r\n" {
                return Err(format!("publishing: {}", String::from_utf8_lossy(&reply)).into());
            }
        }
        self.server.write_all(&self.request)?;
        Ok(true)
    }

    /// One message was heard. Publishes the next batch after the last; `false` when the measurement is over.
    ///
    /// # Errors
    /// Fails if the message is not the next one, or if the server does.
    pub fn hear(&mut self, payload: &[u8]) -> Fallible<bool> {
        data::check(&self.names[self.heard], payload, VALUE_LEN)?;
        self.heard += 1;
        if self.heard < BATCH {
            return Ok(true);
        }
        self.heard = 0;
        self.publish()
    }

    /// The figures up to the last whole batch.
    pub fn finish(self) -> Measured {
        self.laps.finish()
    }
}
