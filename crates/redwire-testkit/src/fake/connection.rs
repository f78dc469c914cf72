//! One connection of the fake server: plays its script, or asks the answering function.
//!
//! All it finds out goes to the log that the connections share.

use std::any::Any;
use std::io::{self, ErrorKind};
use std::net::Shutdown;
use std::panic::{self, AssertUnwindSafe};
use std::time::Duration;

use socket2::Socket;

use super::{Answer, Role, Settled, Shared, Step, Words, halted};
use crate::resp::{Frames, Value};

/// Serves one connection to its end.
pub(super) fn serve(shared: &Shared, socket: Socket, id: usize) {
    let frames = Frames::new();
    let mut connection =
        Connection { shared, socket, id, frames, bytes: Vec::new(), scanned: 0, reset: false };
    let played = panic::catch_unwind(AssertUnwindSafe(|| connection.play()));
    let problem = match played {
        Ok(Ok(())) => None,
        Ok(Err(problem)) => Some(problem),
        Err(panic) => Some(format!("the answering function panicked: {}", message(&*panic))),
    };
    shared.note(|log| {
        log.problems.extend(problem.map(|problem| format!("connection {id}: {problem}")));
        log.settled[id] = Settled::Done;
    });
    // Last: a client that sees the end must find the log complete.
    connection.close();
}

struct Connection<'a> {
    shared: &'a Shared,
    socket: Socket,
    id: usize,
    frames: Frames,
    /// What has come and isn't taken yet.
    bytes: Vec<u8>,
    /// How many of `bytes` were looked at for the frame's end.
    scanned: usize,
    /// To end with a reset.
    reset: bool,
}

impl Connection<'_> {
    fn play(&mut self) -> Result<(), String> {
        match &self.shared.role {
            Role::Each(steps) => self.play_steps(steps),
            Role::InTurn(scripts) => match scripts.get(self.id) {
                Some(steps) => self.play_steps(steps),
                None => Err("no script for so many connections".to_owned()),
            },
            Role::Answer(answer) => self.answer(answer),
        }
    }

    fn play_steps(&mut self, steps: &[Step]) -> Result<(), String> {
        for (at, step) in steps.iter().enumerate() {
            self.settle(Settled::AtStep(at));
            match self.play_step(step) {
                Ok(true) => {}
                Ok(false) => return Ok(()),
                Err(problem) => return Err(format!("step {at}: {problem}")),
            }
        }
        self.settle(Settled::Done);
        match self.command() {
            Ok(Some(words)) => Err(format!("after the last step: got {}", show(&words))),
            Err(error) if error.kind() == ErrorKind::InvalidData => {
                Err(format!("after the last step: {error}"))
            }
            // Gone in whatever way, which is all right now.
            Ok(None) | Err(_) => Ok(()),
        }
    }

    /// Plays one step; false if it was the end of the connection.
    fn play_step(&mut self, step: &Step) -> Result<bool, String> {
        match step {
            Step::Expect(wanted) => self.expect(&show(wanted), |words| same(words, wanted)),
            Step::ExpectName(name) => {
                self.expect(&show(&[name]), |words| words[0].eq_ignore_ascii_case(name))
            }
            Step::ExpectAny => self.expect("any command", |_| true),
            Step::Reply(bytes) | Step::Push(bytes) => self.write(bytes),
            Step::ReplyPieces(pieces, pause) => self.write_pieces(pieces, *pause),
            Step::Wait(duration) => Ok(self.shared.halt.sleep(*duration)),
            Step::Close => Ok(false),
            Step::Reset => {
                self.reset = true;
                Ok(false)
            }
            Step::Stall => {
                self.settle(Settled::Done);
                while let Ok(Some(_)) = self.command() {}
                self.shared.halt.drain(&self.socket);
                Ok(false)
            }
        }
    }

    fn expect(&mut self, wanted: &str, fits: impl FnOnce(&Words) -> bool) -> Result<bool, String> {
        match self.command() {
            Ok(Some(words)) if fits(&words) => Ok(true),
            Ok(Some(words)) => Err(format!("expected {wanted}, got {}", show(&words))),
            Ok(None) => Err(format!("expected {wanted}, got the end of the stream")),
            Err(error) if halted(&error) => Ok(false),
            Err(error) => Err(format!("expected {wanted}, got: {error}")),
        }
    }

    fn answer(&mut self, answer: &Answer) -> Result<(), String> {
        self.settle(Settled::Done);
        loop {
            match self.command() {
                Ok(Some(words)) => {
                    let bytes = answer(&words);
                    // Clients may leave without their answer.
                    if self.shared.halt.write_all(&self.socket, &bytes).is_err() {
                        return Ok(());
                    }
                }
                Err(error) if error.kind() == ErrorKind::InvalidData => return Err(error.to_string()),
                Ok(None) | Err(_) => return Ok(()),
            }
        }
    }

    fn write_pieces(&self, pieces: &[Vec<u8>], pause: Duration) -> Result<bool, String> {
        for (at, piece) in pieces.iter().enumerate() {
            if (at > 0 && !self.shared.halt.sleep(pause)) || !self.write(piece)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn write(&self, bytes: &[u8]) -> Result<bool, String> {
        match self.shared.halt.write_all(&self.socket, bytes) {
            Ok(()) => Ok(true),
            Err(error) if halted(&error) => Ok(false),
            Err(error) => Err(format!("write: {error}")),
        }
    }

    /// The next command, noted; `None` at the end of the stream.
    fn command(&mut self) -> io::Result<Option<Words>> {
        let mut chunk = vec![0; 16 * 1024];
        let end = loop {
            if let Some(len) = self.frames.scan(&self.bytes[self.scanned..]) {
                break self.scanned + len;
            }
            self.scanned = self.bytes.len();
            let n = self.shared.halt.read(&self.socket, &mut chunk)?;
            if n == 0 {
                return Ok(None);
            }
            self.bytes.extend_from_slice(&chunk[..n]);
        };
        let rest = self.bytes.split_off(end);
        let frame = std::mem::replace(&mut self.bytes, rest);
        self.scanned = 0;
        let words = Value::read(&mut &frame[..]).and_then(Value::into_words).ok_or_else(|| {
            let what = format!("not a command: \"{}\"", frame.escape_ascii());
            io::Error::new(ErrorKind::InvalidData, what)
        })?;
        self.shared.note(|log| log.received.push((self.id, words.clone())));
        Ok(Some(words))
    }

    fn settle(&self, settled: Settled) {
        self.shared.note(|log| log.settled[self.id] = settled);
    }

    /// Ends the stream: at once with a reset, else in order.
    fn close(self) {
        if self.reset {
            // It goes out as the socket drops. If the option can't be set, that is a plain close.
            let _ = self.socket.set_linger(Some(Duration::ZERO));
        } else {
            // Fails if the client is gone already.
            let _ = self.socket.shutdown(Shutdown::Write);
            self.shared.halt.drain(&self.socket);
        }
    }
}

/// Whether a command is the wanted one.
fn same(words: &[Vec<u8>], wanted: &[Vec<u8>]) -> bool {
    match (words, wanted) {
        ([name, args @ ..], [wanted, rest @ ..]) => name.eq_ignore_ascii_case(wanted) && args == rest,
        _ => words == wanted,
    }
}

/// A command for people: `GET k`, with what isn't printable escaped.
fn show(words: &[impl AsRef<[u8]>]) -> String {
    words.iter().map(|word| word.as_ref().escape_ascii().to_string()).collect::<Vec<_>>().join(" ")
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message")
}
