//! What the limit sends and how much must come back. It knows the wire form, not how it is moved.

use crate::Fallible;
use crate::data::{self, HASH, HASH_LEN, KEYS, LIST, LIST_LEN, VALUE_LEN};
use crate::meter::{Budget, Measured};
use crate::workload::{Kind, MULTI_LEN};

/// One write, and the reads that answer it.
pub struct Exchange {
    /// What goes out.
    pub request: Vec<u8>,
    /// Bytes that answer it.
    pub reply_len: usize,
    /// First byte of those.
    reply_tag: u8,
}

impl Exchange {
    fn new(request: Vec<u8>, reply: &[u8]) -> Self {
        Self { request, reply_len: reply.len(), reply_tag: reply[0] }
    }

    /// How many bytes are still to come after a read of `n`, which began with `first`.
    ///
    /// # Errors
    /// Fails if the reply ended early, is longer than it must be, or begins with something else.
    pub fn account(&self, left: usize, n: usize, first: u8) -> Fallible<usize> {
        let starts = left == self.reply_len;
        match left.checked_sub(n) {
            Some(rest) if n > 0 && (!starts || first == self.reply_tag) => Ok(rest),
            _ => Err(format!("wrong reply: {n} bytes with {left} to come").into()),
        }
    }
}

/// What goes out and how much comes back.
pub struct Plan {
    /// Made in turn, one per lap; most are one exchange.
    pub calls: Vec<Vec<Exchange>>,
    /// Calls of the workload in one lap.
    per_lap: u64,
}

impl Plan {
    /// For a workload of one server.
    ///
    /// # Errors
    /// Fails for one that another file measures.
    pub fn new(kind: Kind) -> Fallible<Self> {
        let mut per_lap = 1;
        let calls = match kind {
            Kind::Get => get_batches(1),
            Kind::Tasks { tasks, .. } | Kind::Threads(tasks) => {
                per_lap = tasks as u64;
                get_batches(tasks)
            }
            Kind::Pipeline(gets) => get_batches(gets),
            Kind::Watch => vec![watch(&data::name(0))],
            other => vec![vec![single(other)?]],
        };
        Ok(Self { calls, per_lap })
    }

    /// A lap stands for several calls.
    pub fn laps(&self, budget: Budget) -> Budget {
        match budget {
            Budget::Calls(calls) => Budget::Calls(calls / self.per_lap),
            time => time,
        }
    }

    /// What was measured of laps, as calls.
    pub fn per_request(&self, mut measured: Measured) -> Measured {
        measured.calls *= self.per_lap;
        measured
    }
}

/// The wire form of one command.
pub fn request(parts: &[&[u8]]) -> Vec<u8> {
    data::encode(parts.iter())
}

/// A bulk string of `len` bytes in a reply.
pub fn bulk(len: usize) -> Vec<u8> {
    let mut wire = format!("${len}\r\n").into_bytes();
    wire.resize(wire.len() + len, b'.');
    wire.extend_from_slice(b"\r\n");
    wire
}

/// GET of `key`.
pub fn get(key: &str) -> Vec<u8> {
    request(&[b"GET", key.as_bytes()])
}

fn set(key: &str, len: usize) -> Vec<u8> {
    request(&[b"SET", key.as_bytes(), &data::value(key, len)])
}

const OK: &[u8] = b"+OK\r\n";

/// The one exchange of a workload that repeats it.
fn single(kind: Kind) -> Fallible<Exchange> {
    Ok(match kind {
        Kind::Set => Exchange::new(set(&data::name(0), VALUE_LEN), OK),
        Kind::Write { len, .. } => Exchange::new(set(&data::written(len), len), OK),
        Kind::Read { len, .. } => Exchange::new(get(&data::large(len)), &bulk(len)),
        Kind::Range(_) => {
            let reply = data::encode((0..LIST_LEN).map(|_| data::value("", VALUE_LEN)));
            Exchange::new(request(&[b"LRANGE", LIST.as_bytes(), b"0", b"-1"]), &reply)
        }
        Kind::Hash => {
            let len = |i| if i % 2 == 0 { data::name(0).len() } else { VALUE_LEN };
            let reply = data::encode((0..2 * HASH_LEN).map(|i| data::value("", len(i))));
            Exchange::new(request(&[b"HGETALL", HASH.as_bytes()]), &reply)
        }
        Kind::Multi => {
            let gets: Vec<u8> = (0..MULTI_LEN).flat_map(|i| get(&data::name(i))).collect();
            let sent = [request(&[b"MULTI"]), gets, request(&[b"EXEC"])].concat();
            let values = data::encode((0..MULTI_LEN).map(|_| data::value("", VALUE_LEN)));
            Exchange::new(sent, &[OK, &b"+QUEUED\r\n".repeat(MULTI_LEN), &values].concat())
        }
        _ => return Err(format!("{kind:?} is not measured by sending the same again").into()),
    })
}

/// WATCH and GET in one write, as nothing is decided between them; then the transaction in another.
fn watch(key: &str) -> Vec<Exchange> {
    let reading = [request(&[b"WATCH", key.as_bytes()]), get(key)].concat();
    let writing = [request(&[b"MULTI"]), set(key, VALUE_LEN), request(&[b"EXEC"])].concat();
    let read = [OK, &bulk(VALUE_LEN)].concat();
    vec![Exchange::new(reading, &read), Exchange::new(writing, b"+OK\r\n+QUEUED\r\n*1\r\n+OK\r\n")]
}

/// Batches of `n` GETs that go round the keys.
fn get_batches(n: usize) -> Vec<Vec<Exchange>> {
    let reply = bulk(VALUE_LEN).repeat(n);
    let batch = |first: usize| {
        let sent = (first..first + n).flat_map(|i| get(&data::name(i % KEYS))).collect();
        vec![Exchange::new(sent, &reply)]
    };
    (0..KEYS.div_ceil(n)).map(|i| batch(i * n)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_of_another_length_or_kind_is_refused() {
        let exchange = Exchange::new(get("k"), &bulk(3));
        assert_eq!(exchange.account(9, 4, b'$').unwrap(), 5);
        assert_eq!(exchange.account(5, 5, b'x').unwrap(), 0);
        assert!(exchange.account(9, 10, b'$').is_err());
        assert!(exchange.account(9, 9, b'-').is_err());
        assert!(exchange.account(5, 0, b'x').is_err());
    }
}
