//! One connection through the proxy: two sockets, and a thread for each way between them.
//!
//! What to do to the bytes is decided in `faults`; here it is done.

use std::io::{self, ErrorKind};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::Ordering;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use fastrand::Rng;
use socket2::Socket;

use super::{Direction, Flow, Shared};
use crate::halt::Halt;
use crate::resp::Frames;

/// How long the upstream may take to accept.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// How a connection is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// In order (FIN).
    Cut,
    /// At once (RST).
    Reset,
}

/// The handle by which a connection is ended, from its own threads or from outside.
#[derive(Debug)]
pub(super) struct Control {
    halt: Halt,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    end: Option<End>,
    ended: bool,
}

impl Control {
    pub(super) fn new() -> Self {
        let halt = Halt::new().expect("a pair of sockets can be made");
        Self { halt, state: Mutex::default(), changed: Condvar::new() }
    }

    /// Asks for the end; the first one to ask says how.
    pub(super) fn end(&self, end: End) {
        self.state().end.get_or_insert(end);
        self.halt.throw();
    }

    /// Waits until nothing is passed on any more and the sockets show their end.
    pub(super) fn wait_ended(&self) {
        let ended = self.changed.wait_while(self.state(), |state| !state.ended);
        drop(ended.unwrap_or_else(PoisonError::into_inner));
    }

    pub(super) fn has_ended(&self) -> bool {
        self.state().ended
    }

    fn set_ended(&self) {
        self.state().ended = true;
        self.changed.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs one connection to its end.
pub(super) fn run(shared: &Shared, control: &Control, client: Socket, index: usize) {
    let Ok(server) = connect(shared) else {
        if shared.any(|faults| faults.blackhole) {
            control.halt.drain(&client);
        }
        drop(client);
        return control.set_ended();
    };
    let pump = |direction, from, to| {
        // Two sequences that differ for each connection and direction, the same for the same seed.
        let seed =
            shared.seed.wrapping_add((index as u64) << 1 | u64::from(direction == Direction::ToClient));
        let flow = shared.flow(direction);
        Pump { control, flow, from, to, rng: Rng::with_seed(seed), frames: Frames::new(), dropping: false }
            .run();
    };
    thread::scope(|scope| {
        scope.spawn(|| pump(Direction::ToClient, &server, &client));
        pump(Direction::ToServer, &client, &server);
    });
    let end = control.state().end;
    match end {
        Some(End::Cut) => cut(shared, control, &client, &server),
        Some(End::Reset) => reset(client, server),
        None => drop((client, server)),
    }
    control.set_ended();
}

fn connect(shared: &Shared) -> io::Result<Socket> {
    let server = Socket::from(TcpStream::connect_timeout(&shared.upstream(), CONNECT_LIMIT)?);
    server.set_tcp_nodelay(true)?;
    server.set_nonblocking(true)?;
    Ok(server)
}

/// Ends both sides in order. They are read to their end: closing with bytes unread would send a reset.
fn cut(shared: &Shared, control: &Control, client: &Socket, server: &Socket) {
    for socket in [client, server] {
        // Fails if the peer is gone already.
        let _ = socket.shutdown(Shutdown::Write);
    }
    control.set_ended();
    shared.halt.drain(server);
    shared.halt.drain(client);
}

/// Resets both sides: that is what closing does without a time to linger.
fn reset(client: Socket, server: Socket) {
    for socket in [client, server] {
        // If it can't be set the peer is gone already.
        let _ = socket.set_linger(Some(Duration::ZERO));
    }
}

/// One way of a connection.
struct Pump<'a> {
    control: &'a Control,
    flow: &'a Flow,
    from: &'a Socket,
    to: &'a Socket,
    rng: Rng,
    frames: Frames,
    /// The present frame is being swallowed.
    dropping: bool,
}

impl Pump<'_> {
    fn run(&mut self) {
        let halt = &self.control.halt;
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let passed = match halt.read(self.from, &mut buffer) {
                Ok(0) => return self.finish(None),
                Ok(n) => self.pass(&buffer[..n]),
                Err(error) if error.kind() == ErrorKind::Interrupted => return,
                Err(_) => return self.finish(Some(End::Reset)),
            };
            match passed {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => return,
                // The receiver is gone; how, the other way will tell. Here the rest has nowhere to go.
                Err(_) => return halt.drain(self.from),
            }
        }
    }

    /// The sender has ended or reset its stream: so does the proxy on the other side, unless all is
    /// swallowed.
    fn finish(&self, end: Option<End>) {
        if self.flow.faults().blackhole {
            return;
        }
        match end {
            Some(end) => self.control.end(end),
            // Fails if the receiver is gone already.
            None => drop(self.to.shutdown(Shutdown::Write)),
        }
    }

    /// Passes bytes on as the faults have it; `Interrupted` if that was the end of the connection.
    fn pass(&mut self, bytes: &[u8]) -> io::Result<()> {
        let kept = self.without_dropped_frames(bytes);
        let mut rest = &kept[..];
        while !rest.is_empty() {
            let plan = {
                let mut faults = self.flow.faults();
                if faults.blackhole {
                    return Ok(());
                }
                faults.plan(rest.len(), &mut self.rng)
            };
            if !self.control.halt.sleep(plan.delay) {
                return Err(ErrorKind::Interrupted.into());
            }
            let (now, later) = rest.split_at(plan.len);
            // First: a test that has received a byte must find it counted.
            self.flow.passed.fetch_add(now.len() as u64, Ordering::SeqCst);
            self.control.halt.write_all(self.to, now)?;
            if let Some(end) = plan.end {
                self.control.end(end);
                return Err(ErrorKind::Interrupted.into());
            }
            rest = later;
        }
        Ok(())
    }

    /// Follows the frames, always, so as to know where one begins when some are to be swallowed.
    fn without_dropped_frames(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut kept = Vec::with_capacity(bytes.len());
        let mut rest = bytes;
        while !rest.is_empty() {
            if self.frames.at_boundary() {
                self.dropping = self.flow.faults().take_frame();
            }
            let (frame, behind) = rest.split_at(self.frames.scan(rest).unwrap_or(rest.len()));
            if !self.dropping {
                kept.extend_from_slice(frame);
            }
            rest = behind;
        }
        kept
    }
}
