//! The model is held to real servers: the same random lines go to both, and the replies are compared byte by
//! byte, where they are determined.
//!
//! `REDWIRE_SERVER` names the server. `REDWIRE_MODEL_SEEDS=1000-2000` runs other and more lines.

mod dialogues;
mod differences;
mod frames;
mod lines;
mod pair;
mod patterns;

use redwire_testkit::{Server, find_server};

use crate::differences::About;
use crate::lines::Lines;
use crate::pair::Pair;

/// How many lines a seed makes, from an empty server on.
const LINES: usize = 250;

#[test]
fn replies_are_those_of_a_real_server() {
    if find_server().is_none() {
        return;
    }
    let server = Server::start();
    let about = About::of(&server);
    let mut failures = Vec::new();
    let mut count = 0;
    for seed in seeds() {
        let resp3 = seed % 2 == 1;
        let mut lines = Lines::new(seed, about);
        let mut pair = Pair::new(&server, about, resp3);
        let mut left = 3;
        for _ in 0..LINES {
            let (client, words) = lines.next(&pair.free_clients(), |client| pair.is_queueing(client));
            count += 1;
            if let Err(difference) = pair.run(client, &words) {
                failures.push(format!("seed {seed} on {about:?}, RESP{}: {difference}", 2 + u8::from(resp3)));
                left -= 1;
                if left == 0 {
                    break;
                }
            }
        }
        if failures.len() >= 40 {
            break;
        }
    }
    assert!(
        failures.is_empty(),
        "{} of the seeds differ ({count} lines):\n{}",
        failures.len(),
        failures.join("\n")
    );
    assert!(count > 0);
}

fn seeds() -> std::ops::Range<u64> {
    let named = std::env::var("REDWIRE_MODEL_SEEDS").ok();
    let range = named.as_deref().and_then(|range| range.split_once('-'));
    let number = |text: &str| text.parse().expect("REDWIRE_MODEL_SEEDS is FROM-TO");
    range.map_or(0..120, |(from, to)| number(from)..number(to))
}
