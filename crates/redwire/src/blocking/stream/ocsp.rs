//! Asks a responder whether the certificate of a server was revoked. What is asked, and what an answer
//! means, is decided in [`tls`](crate::tls).

use std::time::Instant;

use redwire_core::Result;

use super::{WireStream, left};
use crate::shared::setup;
use crate::shared::target::Target;
use crate::shared::threads;
use crate::tls::{HttpExchange, OcspStep, TlsSession};

/// An answer is read in pieces of this size: most are smaller.
const READ_AT_ONCE: usize = 4 * 1024;

/// Finds out whether the server of `session` may be talked to; that is to be ready by `deadline`.
pub(super) fn check(session: &TlsSession, target: &Target, deadline: Instant) -> Result<()> {
    let Some(mut inquiry) = session.ocsp_inquiry(threads::now(), deadline) else { return Ok(()) };
    loop {
        match inquiry.poll(threads::now())? {
            OcspStep::Good => return Ok(()),
            OcspStep::Wait(flight, until) => inquiry.handle_landed(flight.wait(until))?,
            OcspStep::Ask(exchange, until) => {
                let reply = ask(exchange, target, until);
                let is_late = reply.is_err() && threads::now() >= until;
                inquiry.handle_reply(Some(reply).filter(|_| !is_late));
            }
        }
    }
}

fn ask(mut exchange: HttpExchange, target: &Target, deadline: Instant) -> Result<Vec<u8>> {
    let mut stream = WireStream::connect_plain(target, &exchange.endpoint(), deadline)?;
    stream.send(exchange.request(), deadline)?;
    let mut bytes = [0; READ_AT_ONCE];
    loop {
        let now = threads::now();
        let read = left(Some(deadline), now).and_then(|limit| stream.read(&mut bytes, limit, now));
        let read = read.map_err(|error| setup::io_error("reading", error))?;
        if let Some(answer) = exchange.handle_read(&bytes[..read])? {
            return Ok(answer);
        }
    }
}
