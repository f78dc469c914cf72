//! The layer of latency: one `PING` after the other, over one connection.

use std::time::{Duration, Instant};

use redwire::{ErrorKind, cmd};
use serde_json::{Value as Json, json};

use super::handshake::busy;
use super::report::{Finding, Layer};
use super::tls::sentence;
use crate::session::Session;

const PROBES: usize = 100;

/// Longer than this is far away for a server in the same data centre.
const FAR: Duration = Duration::from_millis(20);

pub(crate) async fn examine(session: &mut Session) -> Layer {
    let begun = Instant::now();
    let mut layer = Layer::new("latency");
    let mut times = Vec::with_capacity(PROBES);
    for _ in 0..PROBES {
        let sent = Instant::now();
        match session.call(cmd("PING")).await {
            Ok(_) => times.push(sent.elapsed()),
            Err(error) if error.kind() == ErrorKind::Busy => {
                layer.found(busy(&error));
                break;
            }
            // A refusal takes as long as an answer.
            Err(error) if error.code().is_some() => times.push(sent.elapsed()),
            Err(error) => {
                layer.found(Finding::bad(
                    format!(
                        "Of {PROBES} PINGs, number {} got no answer: {}",
                        times.len() + 1,
                        sentence(error.message())
                    ),
                    "The server froze or the connection was cut: look at `SLOWLOG GET`, `LATENCY DOCTOR` and \
                     the server's log.",
                ));
                break;
            }
        }
    }
    layer.took(begun.elapsed());
    times.sort_unstable();
    judge(&mut layer, &times);
    layer
}

fn judge(layer: &mut Layer, times: &[Duration]) {
    let (Some(min), Some(max)) = (times.first().copied(), times.last().copied()) else { return };
    let at = |percent: usize| times[(times.len() * percent).div_ceil(100).clamp(1, times.len()) - 1];
    let (median, p99) = (at(50), at(99));
    layer.summary(format!(
        "min {min:.1?}, median {median:.1?}, p99 {p99:.1?}, max {max:.1?} of {}",
        times.len()
    ));
    layer.detail("probes", times.len());
    for (name, time) in [("min", min), ("median", median), ("p99", p99), ("max", max)] {
        layer.detail(&format!("{name}_us"), micros(time));
    }
    if median > FAR {
        layer.found(Finding::warning(
            format!(
                "Half of all round trips take more than {median:.1?}: the server is far away, or the network \
                 is slow."
            ),
            "Run the program near the server. A pipeline takes one round trip, not one for each command.",
        ));
    } else if max > 10 * median && max > FAR {
        layer.found(Finding::warning(
            format!(
                "Some round trips take {max:.1?}, where {median:.1?} is usual: something pauses now and then."
            ),
            "Look for slow commands (`SLOWLOG GET`), forks for snapshots, swapping (`LATENCY DOCTOR`), and \
             for load on this machine.",
        ));
    }
}

fn micros(time: Duration) -> Json {
    json!((time.as_secs_f64() * 1e7).round() / 10.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hiccups_and_distance_are_told_apart() {
        let layer = |times: &[u64]| {
            let mut layer = Layer::new("latency");
            judge(&mut layer, &times.iter().map(|time| Duration::from_millis(*time)).collect::<Vec<_>>());
            layer.to_string()
        };
        assert!(layer(&[1, 1, 2]).contains("good"));
        assert!(layer(&[1, 1, 200]).contains("now and then"));
        assert!(layer(&[100, 110, 120]).contains("far away"));
    }
}
