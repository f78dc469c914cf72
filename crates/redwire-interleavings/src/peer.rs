//! A server in memory that knows a few commands. It has no thread: what is written is answered on the spot.
//!
//! Streams take and give pieces by chance. This file must not know the client.

use std::io;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use redwire::blocking::connector::{Connector, Stream};
use redwire::explored::{ExploredCondvar, ExploredMutex, MutexGuard, now};

use crate::explore::pick;

/// A server. Clones are the same one.
///
/// It answers `PING` and `ECHO`, and knows subscriptions. An `ECHO` of a word that begins with `held` is
/// answered after [`release`](Self::release), and only then what comes behind it on the same connection.
#[derive(Clone, Debug, Default)]
pub struct Peer(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: ExploredMutex<State>,
    changed: ExploredCondvar,
}

#[derive(Debug, Default)]
struct State {
    links: Vec<Link>,
    /// Whether what is held is answered.
    released: bool,
    /// How many commands came by a write that brought several.
    together: usize,
}

/// One connection, as the server has it.
#[derive(Debug, Default)]
struct Link {
    input: Vec<u8>,
    output: Vec<u8>,
    channels: Vec<String>,
    ended: bool,
}

impl Peer {
    /// Makes connections to it.
    #[must_use]
    pub fn connector(&self) -> Connector {
        let peer = self.clone();
        Connector::from_fn(move |_, _| {
            let mut state = peer.lock();
            state.links.push(Link::default());
            Ok(PeerStream { peer: peer.clone(), index: state.links.len() - 1 })
        })
    }

    /// Answers what was held, and holds nothing any more.
    pub fn release(&self) {
        self.change(|state| {
            state.released = true;
            (0..state.links.len()).for_each(|index| state.serve(index));
        });
    }

    /// Ends all connections.
    pub fn hang_up(&self) {
        self.change(|state| state.links.iter_mut().for_each(|link| link.ended = true));
    }

    /// Tells all subscribers.
    pub fn publish(&self, channel: &str, message: &str) {
        self.change(|state| state.publish(channel, message));
    }

    /// Waits until so many connections hear of `channel`.
    pub fn await_subscribers(&self, channel: &str, count: usize) {
        let is_heard = |link: &&Link| !link.ended && link.channels.iter().any(|heard| heard == channel);
        let mut state = self.lock();
        while state.links.iter().filter(is_heard).count() != count {
            state = self.0.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// How many commands came by a write that brought several.
    #[must_use]
    pub fn together(&self) -> usize {
        self.lock().together
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.lock());
        self.0.changed.notify_all();
        result
    }
}

impl State {
    /// Answers the commands that are there whole.
    fn serve(&mut self, index: usize) {
        let mut served = 0;
        loop {
            let link = &mut self.links[index];
            let Some((words, end)) = command(&link.input) else { break };
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            if words.first() == Some(&"ECHO") && words[1].starts_with("held") && !self.released {
                break;
            }
            link.answer(&words);
            link.input.drain(..end);
            served += 1;
        }
        self.together += if served > 1 { served } else { 0 };
    }

    fn publish(&mut self, channel: &str, message: &str) {
        let heard = |link: &&mut Link| link.channels.iter().any(|heard| heard == channel);
        for link in self.links.iter_mut().filter(heard) {
            link.push(&["message", channel, message], None);
        }
    }
}

impl Link {
    fn answer(&mut self, words: &[&str]) {
        match words {
            ["HELLO", ..] => self.say("%2\r\n+server\r\n+redis\r\n+proto\r\n:3\r\n"),
            ["PING"] => self.say("+PONG\r\n"),
            ["PING" | "ECHO", word] => self.say(&bulk(word)),
            ["SUBSCRIBE", channels @ ..] => {
                for channel in channels {
                    self.channels.push((*channel).to_owned());
                    self.push(&["subscribe", channel], Some(self.channels.len()));
                }
            }
            ["UNSUBSCRIBE", channels @ ..] => {
                for channel in channels {
                    self.channels.retain(|heard| heard != channel);
                    self.push(&["unsubscribe", channel], Some(self.channels.len()));
                }
            }
            _ => self.say("+OK\r\n"),
        }
    }

    fn say(&mut self, text: &str) {
        self.output.extend_from_slice(text.as_bytes());
    }

    fn push(&mut self, words: &[&str], count: Option<usize>) {
        self.say(&format!(">{}\r\n", words.len() + usize::from(count.is_some())));
        words.iter().for_each(|word| self.say(&bulk(word)));
        if let Some(count) = count {
            self.say(&format!(":{count}\r\n"));
        }
    }
}

fn bulk(word: &str) -> String {
    format!("${}\r\n{word}\r\n", word.len())
}

/// The first command, if it is there whole, and where it ends.
fn command(bytes: &[u8]) -> Option<(Vec<String>, usize)> {
    let mut at = 0;
    let number = |at: &mut usize| {
        let line = bytes[*at..].split_inclusive(|byte| *byte == b'\n').next()?;
        let text = std::str::from_utf8(line.strip_suffix(b"\r\n")?).ok()?;
        *at += line.len();
        text.get(1..)?.parse::<usize>().ok()
    };
    let count = number(&mut at)?;
    let mut words = Vec::new();
    for _ in 0..count {
        let length = number(&mut at)?;
        words.push(String::from_utf8_lossy(bytes.get(at..at + length + 2)?.strip_suffix(b"\r\n")?).into());
        at += length + 2;
    }
    Some((words, at))
}

/// The client's end of a connection.
struct PeerStream {
    peer: Peer,
    index: usize,
}

impl Stream for PeerStream {
    fn read(&self, buffer: &mut [u8], limit: Option<Duration>) -> io::Result<usize> {
        let until = limit.and_then(|limit| now().checked_add(limit));
        let mut state = self.peer.lock();
        loop {
            let link = &mut state.links[self.index];
            if !link.output.is_empty() {
                let count = piece(link.output.len().min(buffer.len()));
                buffer[..count].copy_from_slice(&link.output[..count]);
                link.output.drain(..count);
                return Ok(count);
            }
            if link.ended {
                return Ok(0);
            }
            if until.is_some_and(|until| until <= now()) {
                return Err(io::ErrorKind::TimedOut.into());
            }
            let left = until.map_or(Duration::MAX, |until| until.saturating_duration_since(now()));
            let waited = self.peer.0.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn write(&self, bytes: &[u8], _: Option<Duration>) -> io::Result<usize> {
        self.peer.change(|state| {
            let link = &mut state.links[self.index];
            if link.ended {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            let count = piece(bytes.len());
            link.input.extend_from_slice(&bytes[..count]);
            state.serve(self.index);
            Ok(count)
        })
    }

    fn shutdown(&self) {
        self.peer.change(|state| state.links[self.index].ended = true);
    }
}

impl Drop for PeerStream {
    fn drop(&mut self) {
        self.shutdown();
    }
}

/// All, or in one of eight cases a part of it.
fn piece(length: usize) -> usize {
    if length > 1 && pick(8) == 0 { 1 + pick(length - 1) } else { length }
}
