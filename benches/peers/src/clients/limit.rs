//! The limit: a loop that sends requests encoded beforehand and only counts the bytes of the replies.
//! No client can be faster; it decodes nothing and has nothing to share.
//!
//! Where a workload has N tasks, one call here is N requests in one write, then reading until the
//! bytes of N replies have come. From a cluster, the same with each of its nodes: see `cluster`.

pub mod cluster;

use std::io::{Read, Write};
use std::net::TcpStream;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::Fallible;
use crate::child::{Job, runtime};
use crate::data::{self, BIG, BIG_LEN, BIG_WRITTEN, HASH, HASH_LEN, KEYS, LIST, LIST_LEN, VALUE_LEN};
use crate::feed::{BATCH, CHANNEL, Feed};
use crate::meter::{Budget, Laps, Measured};
use crate::workload::Kind;

/// Measures the limit on the calling thread.
///
/// # Errors
/// Fails if the connection does, or if the replies have another length than they must.
pub fn blocking(job: &Job) -> Fallible<Measured> {
    if job.kind == Kind::Messages {
        return listen(job);
    }
    let plan = Plan::new(job.kind);
    let mut server = TcpStream::connect(&job.addr)?;
    server.set_nodelay(true)?;
    let mut buffer = vec![0; BUFFER_LEN];
    let mut laps = Laps::new(plan.laps(job.budget));
    let mut requests = plan.requests.iter().cycle();
    while laps.next() {
        server.write_all(requests.next().expect("a cycle over at least one request"))?;
        let mut left = plan.reply_len;
        while left > 0 {
            left = plan.account(left, server.read(&mut buffer)?, buffer[0])?;
        }
    }
    Ok(plan.per_request(laps.finish()))
}

/// Measures the limit on tokio, in one task.
///
/// # Errors
/// As [`blocking`].
pub fn on_tokio(job: &Job) -> Fallible<Measured> {
    let job = job.clone();
    if job.kind == Kind::Messages {
        return runtime(0)?.block_on(async { tokio::spawn(listen_on_tokio(job)).await? });
    }
    runtime(job.kind.workers())?.block_on(async { tokio::spawn(one_loop(job)).await? })
}

// As large as a socket buffer gets, so that one read empties it.
const BUFFER_LEN: usize = 256 << 10;

async fn one_loop(job: Job) -> Fallible<Measured> {
    let plan = Plan::new(job.kind);
    let mut server = tokio::net::TcpStream::connect(&job.addr).await?;
    server.set_nodelay(true)?;
    let mut buffer = vec![0; BUFFER_LEN];
    let mut laps = Laps::new(plan.laps(job.budget));
    let mut requests = plan.requests.iter().cycle();
    while laps.next() {
        server.write_all(requests.next().expect("a cycle over at least one request")).await?;
        let mut left = plan.reply_len;
        while left > 0 {
            left = plan.account(left, server.read(&mut buffer).await?, buffer[0])?;
        }
    }
    Ok(plan.per_request(laps.finish()))
}

/// Listens on the calling thread.
fn listen(job: &Job) -> Fallible<Measured> {
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

/// As [`listen`], on tokio.
async fn listen_on_tokio(job: Job) -> Fallible<Measured> {
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

/// What goes out and how much comes back.
struct Plan {
    /// Sent in turn, one per lap.
    requests: Vec<Vec<u8>>,
    /// Requests of the workload in one lap.
    per_lap: u64,
    /// Bytes that answer one lap.
    reply_len: usize,
    /// First byte of those.
    reply_tag: u8,
}

impl Plan {
    fn new(kind: Kind) -> Self {
        let value = |len| data::value(BIG_WRITTEN, len);
        let (requests, reply) = match kind {
            Kind::Messages => unreachable!("messages are listened for, not asked for"),
            Kind::Cluster { .. } => unreachable!("clusters are measured by `cluster::on_tokio`"),
            Kind::Get => (get_batches(1), get_replies(1)),
            Kind::Tasks { tasks, .. } => (get_batches(tasks), get_replies(tasks)),
            Kind::Pipeline(gets) => (get_batches(gets), get_replies(gets)),
            Kind::Set => {
                let key = data::name(0);
                let value = data::value(&key, VALUE_LEN);
                (vec![request(&[b"SET", key.as_bytes(), &value])], b"+OK\r\n".to_vec())
            }
            Kind::BigSet => {
                let request = request(&[b"SET", BIG_WRITTEN.as_bytes(), &value(BIG_LEN)]);
                (vec![request], b"+OK\r\n".to_vec())
            }
            Kind::BigGet => (vec![request(&[b"GET", BIG.as_bytes()])], bulk(BIG_LEN)),
            Kind::Range => {
                let elements = (0..LIST_LEN).map(|_| value(VALUE_LEN));
                (vec![request(&[b"LRANGE", LIST.as_bytes(), b"0", b"-1"])], data::encode(elements))
            }
            Kind::Hash => {
                let field_len = data::name(0).len();
                let parts = (0..2 * HASH_LEN).map(|i| value(if i % 2 == 0 { field_len } else { VALUE_LEN }));
                (vec![request(&[b"HGETALL", HASH.as_bytes()])], data::encode(parts))
            }
        };
        let per_lap = if let Kind::Tasks { tasks, .. } = kind { tasks as u64 } else { 1 };
        Self { requests, per_lap, reply_len: reply.len(), reply_tag: reply[0] }
    }

    /// A lap stands for several requests.
    fn laps(&self, budget: Budget) -> Budget {
        match budget {
            Budget::Calls(calls) => Budget::Calls(calls / self.per_lap),
            time => time,
        }
    }

    fn per_request(&self, mut measured: Measured) -> Measured {
        measured.calls *= self.per_lap;
        measured
    }

    /// How many bytes are still to come after a read of `n`, which began with `first`.
    fn account(&self, left: usize, n: usize, first: u8) -> Fallible<usize> {
        let starts = left == self.reply_len;
        match left.checked_sub(n) {
            Some(rest) if n > 0 && (!starts || first == self.reply_tag) => Ok(rest),
            _ => Err(format!("wrong reply: {n} bytes with {left} to come").into()),
        }
    }
}

fn request(parts: &[&[u8]]) -> Vec<u8> {
    data::encode(parts.iter())
}

fn bulk(len: usize) -> Vec<u8> {
    let mut wire = format!("${len}\r\n").into_bytes();
    wire.resize(wire.len() + len, b'.');
    wire.extend_from_slice(b"\r\n");
    wire
}

/// Batches of `n` GETs that go round the keys.
fn get_batches(n: usize) -> Vec<Vec<u8>> {
    let batch = |first: usize| {
        let keys = (first..first + n).map(|i| data::name(i % KEYS));
        keys.flat_map(|key| request(&[b"GET", key.as_bytes()])).collect()
    };
    (0..KEYS.div_ceil(n)).map(|i| batch(i * n)).collect()
}

fn get_replies(n: usize) -> Vec<u8> {
    bulk(VALUE_LEN).repeat(n)
}
