//! Leader election: of several candidates, the one that holds a lock leads, and another takes over when it is
//! lost or given up.
//!
//! `cargo run -p redwire --example leader_election` starts a server for itself, with a proxy for each
//! candidate, so that one can be cut off from it. What a lock cannot prevent, a write of a former leader that
//! comes late, its fencing number does.
#![allow(clippy::print_stdout, reason = "a program for the terminal: printing is its work")]

use std::time::{Duration, Instant};

use redwire::prelude::*;
use redwire::{Client, Result, Script};
use redwire_testkit::{Direction, Fault, Proxy, Server};
use tokio::sync::mpsc;

/// Sets a value, unless it was set under a higher fencing number: this is the resource that the lock
/// protects.
const WRITE: &str = "\
if tonumber(redis.call('HGET', KEYS[1], 'fence') or 0) > tonumber(ARGV[1]) then return 0 end
redis.call('HSET', KEYS[1], 'fence', ARGV[1], 'leader', ARGV[2])
return 1";

/// For how long a leader that is not heard of stays in office.
const TERM: Duration = Duration::from_millis(400);

/// What happens to a candidate.
enum News {
    Elected { name: &'static str, fence: u64 },
    Deposed { name: &'static str },
}

struct Candidate {
    name: &'static str,
    client: Client,
    news: mpsc::Sender<News>,
    resign: mpsc::Receiver<()>,
}

impl Candidate {
    /// Stands for election again and again, until it resigns from office.
    async fn run(mut self) -> Result<()> {
        let office = self.client.lock("office").ttl(TERM).auto_extend(true).wait_forever();
        loop {
            let guard = office.acquire().await?;
            let (name, fence) = (self.name, guard.fence());
            let _ = self.news.send(News::Elected { name, fence }).await;
            write(&self.client, name, fence).await?;
            tokio::select! {
                // By this candidate's own clock, before another candidate can be elected.
                () = guard.lost() => drop(self.news.send(News::Deposed { name }).await),
                // Wakes the next candidate.
                _ = self.resign.recv() => return guard.release().await,
            }
        }
    }
}

/// Whether the write was accepted.
async fn write(client: &Client, name: &str, fence: u64) -> Result<bool> {
    client.invoke(Script::new(WRITE).key("resource").arg(fence).arg(name)).await
}

/// Waits for the next election, and tells of all that happens until then.
async fn election(news: &mut mpsc::Receiver<News>) -> (&'static str, u64) {
    loop {
        match news.recv().await.expect("the candidates tell of themselves") {
            News::Elected { name, fence } => {
                println!("{name} leads, with the number {fence}");
                return (name, fence);
            }
            News::Deposed { name } => println!("{name} has lost the office, and knows it"),
        }
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let server = Server::start();
    let (sender, mut news) = mpsc::channel(16);
    let mut candidates = Vec::new();
    for name in ["Anna", "Ben", "Carla"] {
        let proxy = Proxy::start(server.addr());
        let client = Client::connect(&proxy.url()).await?;
        let (resign, resigned) = mpsc::channel(1);
        let candidate = Candidate { name, client: client.clone(), news: sender.clone(), resign: resigned };
        tokio::spawn(candidate.run());
        candidates.push((name, proxy, client, resign));
    }
    let (first, old) = election(&mut news).await;

    println!("the line to {first} is cut");
    let (_, proxy, client, _) =
        candidates.iter().find(|candidate| candidate.0 == first).expect("a candidate");
    proxy.set(Direction::ToServer, Fault::Blackhole);
    let (second, new) = election(&mut news).await;
    assert!(second != first && new > old);

    // What the old one had under way arrives when the line is mended, and is too late.
    proxy.heal();
    proxy.reset_all();
    let accepted = write(client, first, old).await?;
    println!("a late write of {first} is {}", if accepted { "accepted" } else { "refused" });
    assert!(!accepted);

    let (_, _, _, resign) = candidates.iter().find(|candidate| candidate.0 == second).expect("a candidate");
    let resigned = Instant::now();
    let _ = resign.send(()).await;
    println!("{second} resigns");
    let (third, newest) = election(&mut news).await;
    println!("that took {:.1?}: who waits is woken", resigned.elapsed());
    assert!(third != second && newest > new);
    Ok(())
}
