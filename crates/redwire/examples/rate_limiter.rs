//! A rate limiter by a script: so many calls in so long a time, counted for all processes together.
//!
//! `cargo run -p redwire --example rate_limiter` starts a server for itself. Counting and deciding must be
//! one step, or two callers who come at once both take the last place: so it is a script, which the server
//! runs as a whole.
#![allow(clippy::print_stdout, reason = "a program for the terminal: printing is its work")]

use std::thread;
use std::time::{Duration, Instant};

use redwire::prelude::*;
use redwire::{Invocation, Result, Script, blocking};
use redwire_testkit::Server;

/// Lets in so many calls in each `window`, over which they may be spread as they like.
struct RateLimiter {
    script: Script,
    most: u32,
    window: Duration,
}

impl RateLimiter {
    fn new(most: u32, window: Duration) -> Self {
        // A sorted set has a member for each call that was let in, with its time. The clock is the server's,
        // so that the clocks of callers do not matter. The answer is how many milliseconds are to be waited,
        // and 0 is a place.
        let script = Script::new(
            "local time = redis.call('TIME')
             local now = time[1] * 1000 + math.floor(time[2] / 1000)
             local most, window = tonumber(ARGV[1]), tonumber(ARGV[2])
             redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - window)
             local taken = redis.call('ZCARD', KEYS[1])
             if taken >= most then
                 local oldest = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')[2]
                 return oldest + window - now
             end
             redis.call('ZADD', KEYS[1], now, time[1] .. '.' .. time[2] .. '.' .. taken)
             redis.call('PEXPIRE', KEYS[1], window)
             return 0",
        );
        Self { script, most, window }
    }

    /// A place for a call of `who`.
    fn ask(&self, who: &str) -> Invocation {
        let window = u64::try_from(self.window.as_millis()).unwrap_or(u64::MAX);
        self.script.key(format!("calls of {who}")).arg(self.most).arg(window)
    }
}

fn main() -> Result<()> {
    let server = Server::start();
    threads(&server.url())?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts");
    runtime.block_on(tasks(&server.url()))
}

/// Eight threads want five calls each, and ten places are there.
fn threads(url: &str) -> Result<()> {
    let client = blocking::Client::connect(url)?;
    let limiter = RateLimiter::new(10, Duration::from_secs(60));
    let allowed = thread::scope(|scope| {
        let callers: Vec<_> = (0..8).map(|_| scope.spawn(|| calls(&client, &limiter, 5))).collect();
        callers.into_iter().map(|caller| caller.join().expect("a caller does not panic")).sum::<Result<u32>>()
    })?;
    println!("8 threads made 40 calls in a minute that has 10: {allowed} were let in");
    assert_eq!(allowed, 10);
    Ok(())
}

/// How many of so many calls are let in.
fn calls(client: &blocking::Client, limiter: &RateLimiter, wanted: u32) -> Result<u32> {
    let mut allowed = 0;
    for _ in 0..wanted {
        let wait: u64 = client.invoke(limiter.ask("ann"))?;
        allowed += u32::from(wait == 0);
    }
    Ok(allowed)
}

/// One that waits for its turn.
async fn tasks(url: &str) -> Result<()> {
    let client = redwire::Client::connect(url).await?;
    let limiter = RateLimiter::new(3, Duration::from_millis(200));
    let (begin, mut done) = (Instant::now(), 0);
    while done < 7 {
        match client.invoke::<u64>(limiter.ask("bob")).await? {
            0 => done += 1,
            wait => tokio::time::sleep(Duration::from_millis(wait)).await,
        }
    }
    println!("7 calls at 3 in 200 ms took {:.0?}", begin.elapsed());
    assert!(begin.elapsed() >= Duration::from_millis(400) - Duration::from_millis(1));
    Ok(())
}
