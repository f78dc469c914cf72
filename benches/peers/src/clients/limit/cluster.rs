//! The limit on a cluster: of N requests, each node is sent its own in one write; then each is read from
//! until the bytes of its replies have come. N are those of a pipeline, or one of each task.

use std::io::{Read, Write};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::BUFFER_LEN;
use super::plan::{bulk, get};
use crate::child::{Job, runtime};
use crate::data::{self, KEYS, VALUE_LEN};
use crate::meter::{Budget, Laps, Measured};
use crate::workload::Kind;
use crate::{Fallible, share};

/// Measures the limit on the calling thread.
///
/// # Errors
/// Fails if a connection does, or if the replies have another length than they must.
pub fn blocking(job: &Job) -> Fallible<Measured> {
    let plan = Plan::new(job.kind)?;
    let mut nodes = Vec::new();
    for addr in job.addr.split(',') {
        let node = std::net::TcpStream::connect(addr)?;
        node.set_nodelay(true)?;
        nodes.push(node);
    }
    let mut waves = plan.waves.iter().cycle();
    let mut buffer = vec![0; BUFFER_LEN];
    let mut laps = Laps::new(plan.laps(job.budget));
    while laps.next() {
        let wave = waves.next().expect("a cycle over at least one wave");
        for (node, part) in nodes.iter_mut().zip(wave) {
            node.write_all(&part.requests)?;
        }
        for (node, part) in nodes.iter_mut().zip(wave) {
            let mut left = part.reply_len;
            while left > 0 {
                left = part.account(left, node.read(&mut buffer)?, buffer[0])?;
            }
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
    runtime(0)?.block_on(async { tokio::spawn(one_loop(job)).await? })
}

async fn one_loop(job: Job) -> Fallible<Measured> {
    let plan = Plan::new(job.kind)?;
    let mut nodes = Vec::new();
    for addr in job.addr.split(',') {
        let node = tokio::net::TcpStream::connect(addr).await?;
        node.set_nodelay(true)?;
        nodes.push(node);
    }
    let mut waves = plan.waves.iter().cycle();
    let mut buffer = vec![0; BUFFER_LEN];
    let mut laps = Laps::new(plan.laps(job.budget));
    while laps.next() {
        let wave = waves.next().expect("a cycle over at least one wave");
        for (node, part) in nodes.iter_mut().zip(wave) {
            node.write_all(&part.requests).await?;
        }
        for (node, part) in nodes.iter_mut().zip(wave) {
            let mut left = part.reply_len;
            while left > 0 {
                left = part.account(left, node.read(&mut buffer).await?, buffer[0])?;
            }
        }
    }
    Ok(plan.per_request(laps.finish()))
}

/// What goes out, lap by lap.
struct Plan {
    /// Sent in turn, one per lap; each has a part for each node.
    waves: Vec<Vec<Part>>,
    /// Calls of the workload in one lap.
    per_lap: u64,
}

impl Plan {
    fn new(kind: Kind) -> Fallible<Self> {
        let (gets, per_lap) = match kind {
            Kind::Cluster { tasks } => (tasks, tasks as u64),
            Kind::ClusterPipeline(gets) => (gets, 1),
            _ => return Err("that is no workload of a cluster".into()),
        };
        let waves = (0..KEYS.div_ceil(gets)).map(|i| wave(i * gets, gets)).collect();
        Ok(Self { waves, per_lap })
    }

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
}

/// What one node is asked in one lap.
#[derive(Clone, Default)]
struct Part {
    requests: Vec<u8>,
    /// Bytes that answer it.
    reply_len: usize,
}

impl Part {
    /// How many bytes are still to come after a read of `n`, which began with `first`.
    fn account(&self, left: usize, n: usize, first: u8) -> Fallible<usize> {
        if n == 0 || n > left || left == self.reply_len && first != b'$' {
            return Err(format!("wrong reply: {n} bytes with {left} to come").into());
        }
        Ok(left - n)
    }
}

/// The parts of `n` GETs from the `first` key on, node by node.
fn wave(first: usize, n: usize) -> Vec<Part> {
    let mut parts = vec![Part::default(); share::NODES];
    for key in (first..first + n).map(|i| data::name(i % KEYS)) {
        let part = &mut parts[share::owner(&key)];
        part.requests.extend(get(&key));
        part.reply_len += bulk(VALUE_LEN).len();
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_a_wave_are_all_of_it() {
        let parts = wave(1000, 64);
        let reply_len: usize = parts.iter().map(|part| part.reply_len).sum();
        assert_eq!(reply_len, 64 * bulk(VALUE_LEN).len());
        assert!(parts.iter().all(|part| part.requests.starts_with(b"*2\r\n$3\r\nGET\r\n")));
    }
}
