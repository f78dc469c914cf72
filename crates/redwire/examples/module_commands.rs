//! The commands of a module as methods, by a trait of one's own: they work on clients, connections and
//! pipelines of both drivers, as redwire's own families do.
//!
//! `cargo run -p redwire --example module_commands`. The module is made up, and so is its server: it counts
//! words.
#![allow(clippy::print_stdout, reason = "a program for the terminal: printing is its work")]

use std::collections::HashMap;
use std::sync::Mutex;

use redwire::facts::{Facts, KeySpec};
use redwire::{Arg, Cmd, Reader, Reply, Result, Run};
use redwire_testkit::FakeServer;

/// What is known of each command. Without a word here, it is taken to write, and is never repeated.
static TALLY_ADD: Facts = Facts::new("TALLY.ADD").with_keys(&[KeySpec::at(1)]);
static TALLY_TOP: Facts = Facts::new("TALLY.TOP").with_keys(&[KeySpec::at(1)]).read_only();
static TALLY_INFO: Facts = Facts::new("TALLY.INFO").with_keys(&[KeySpec::at(1)]).read_only();

/// The family: one line for each command.
pub(crate) trait TallyCommands: Run {
    /// Counts words, and gives how many there are now.
    fn tally_add(self, key: impl Arg, words: impl Arg) -> Self::Out<u64> {
        self.run(Cmd::of(&TALLY_ADD).arg(key).arg(words))
    }

    /// The words that were counted most, the first ones first.
    fn tally_top(self, key: impl Arg, count: u32) -> Self::Out<Vec<(String, u64)>> {
        self.run(Cmd::of(&TALLY_TOP).arg(key).named("COUNT", count))
    }

    /// The size of it all.
    fn tally_info(self, key: impl Arg) -> Self::Out<Tally> {
        self.run(Cmd::of(&TALLY_INFO).arg(key))
    }
}

impl<T: Run> TallyCommands for T {}

/// A reply with a type of its own.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Different words.
    pub(crate) words: u64,
    /// All that were counted.
    pub(crate) total: u64,
}

impl Reply for Tally {
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let (words, total) = Reply::decode(reader)?;
        Ok(Self { words, total })
    }
}

fn main() -> Result<()> {
    let server = made_up_server();
    blocking(&server.url())?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts");
    runtime.block_on(tokio(&server.url()))
}

fn blocking(url: &str) -> Result<()> {
    let client = redwire::blocking::Client::connect(url)?;
    assert_eq!(client.tally_add("poem", ["a", "rose", "is", "a", "rose"])?, 5);
    let (total, top) =
        client.pipeline(|p| (p.tally_add("poem", ["is", "a", "rose"]), p.tally_top("poem", 2)))?;
    println!("{total} words, of which most often {top:?}");
    assert_eq!(top, [("a".to_owned(), 3), ("rose".to_owned(), 3)]);
    Ok(())
}

/// The same methods, awaited.
async fn tokio(url: &str) -> Result<()> {
    let client = redwire::Client::connect(url).await?;
    let mut connection = redwire::Connection::connect(url).await?;
    client.tally_add("poem", "daffodil").await?;
    let tally = connection.tally_info("poem").await?;
    println!("{tally:?}");
    assert_eq!(tally, Tally { words: 4, total: 9 });
    Ok(())
}

/// A server that has the module.
pub(crate) fn made_up_server() -> FakeServer {
    let tallies = Mutex::new(HashMap::<Vec<u8>, HashMap<Vec<u8>, u64>>::new());
    FakeServer::answering(move |words| {
        let mut tallies = tallies.lock().expect("no answer panics");
        let tally = words.get(1).map(|key| tallies.entry(key.clone()).or_default());
        match (&words[0][..], tally) {
            (b"TALLY.ADD", Some(tally)) => {
                words[2..].iter().for_each(|word| *tally.entry(word.clone()).or_default() += 1);
                format!(":{}\r\n", tally.values().sum::<u64>()).into_bytes()
            }
            (b"TALLY.TOP", Some(tally)) => {
                let mut top: Vec<_> = tally.iter().map(|(word, count)| (u64::MAX - count, word)).collect();
                top.sort_unstable();
                let pair = |(count, word): &(u64, &Vec<u8>)| {
                    format!("+{}\r\n:{}\r\n", String::from_utf8_lossy(word), u64::MAX - count)
                };
                let count = top.len().min(String::from_utf8_lossy(&words[3]).parse().unwrap_or(0));
                let pairs: String = top[..count].iter().map(pair).collect();
                format!("*{}\r\n{pairs}", 2 * count).into_bytes()
            }
            (b"TALLY.INFO", Some(tally)) => {
                format!("*2\r\n:{}\r\n:{}\r\n", tally.len(), tally.values().sum::<u64>()).into_bytes()
            }
            (b"CLIENT", _) => b"+OK\r\n".to_vec(),
            (b"HELLO", _) => b"%1\r\n+server\r\n+made up\r\n".to_vec(),
            _ => b"-ERR unknown command\r\n".to_vec(),
        }
    })
}
