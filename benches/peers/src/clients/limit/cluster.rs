//! The limit on a cluster: of the requests of N tasks, each node is sent its own in one write; then each is
//! read from until the bytes of its replies have come.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{BUFFER_LEN, bulk, request};
use crate::child::{Job, runtime};
use crate::data::{self, KEYS, VALUE_LEN};
use crate::meter::{Budget, Laps, Measured};
use crate::workload::Kind;
use crate::{Fallible, share};

/// Measures the limit on tokio, in one task.
///
/// # Errors
/// Fails if a connection does, or if the replies have another length than they must.
pub fn on_tokio(job: &Job) -> Fallible<Measured> {
    let Kind::Cluster { tasks } = job.kind else { return Err("that is no workload of a cluster".into()) };
    let job = job.clone();
    runtime(0)?.block_on(async { tokio::spawn(one_loop(job, tasks)).await? })
}

async fn one_loop(job: Job, tasks: usize) -> Fallible<Measured> {
    let mut nodes = Vec::new();
    for addr in job.addr.split(',') {
        let node = TcpStream::connect(addr).await?;
        node.set_nodelay(true)?;
        nodes.push(node);
    }
    let waves: Vec<_> = (0..KEYS.div_ceil(tasks)).map(|i| wave(i * tasks, tasks)).collect();
    let mut waves = waves.iter().cycle();
    let mut buffer = vec![0; BUFFER_LEN];
    // A lap stands for a request of each task.
    let mut laps = Laps::new(match job.budget {
        Budget::Calls(calls) => Budget::Calls(calls / tasks as u64),
        time => time,
    });
    while laps.next() {
        let wave = waves.next().expect("a cycle over at least one wave");
        for (node, part) in nodes.iter_mut().zip(wave) {
            node.write_all(&part.requests).await?;
        }
        for (node, part) in nodes.iter_mut().zip(wave) {
            let mut left = part.reply_len;
            while left > 0 {
                let n = node.read(&mut buffer).await?;
                if n == 0 || n > left || left == part.reply_len && buffer[0] != b'$' {
                    return Err(format!("wrong reply: {n} bytes with {left} to come").into());
                }
                left -= n;
            }
        }
    }
    let mut measured = laps.finish();
    measured.calls *= tasks as u64;
    Ok(measured)
}

/// What one node is asked in one lap.
#[derive(Clone, Default)]
struct Part {
    requests: Vec<u8>,
    /// Bytes that answer it.
    reply_len: usize,
}

/// The parts of `n` GETs from the `first` key on, node by node.
fn wave(first: usize, n: usize) -> Vec<Part> {
    let mut parts = vec![Part::default(); share::NODES];
    for key in (first..first + n).map(|i| data::name(i % KEYS)) {
        let part = &mut parts[share::owner(&key)];
        part.requests.extend(request(&[b"GET", key.as_bytes()]));
        part.reply_len += bulk(VALUE_LEN).len();
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_a_wave_are_all_of_it() {
        let reply_len: usize = wave(1000, 64).iter().map(|part| part.reply_len).sum();
        assert_eq!(reply_len, 64 * bulk(VALUE_LEN).len());
        assert!(wave(1000, 64).iter().all(|part| part.requests.starts_with(b"*2\r\n$3\r\nGET\r\n")));
    }
}
