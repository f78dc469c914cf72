//! Asks a responder whether the certificate of a server was revoked. What is asked, and what an answer
//! means, is decided in [`tls`](crate::tls).

use std::future::poll_fn;
use std::time::Instant;

use redwire_core::Result;

use super::connect_plain;
use crate::nonblocking::before;
use crate::shared::clock;
use crate::shared::setup;
use crate::shared::target::Target;
use crate::tls::{HttpExchange, OcspStep, TlsSession};

/// An answer is read in pieces of this size: most are smaller.
const READ_AT_ONCE: usize = 4 * 1024;

/// Finds out whether the server of `session` may be talked to; that is to be ready by `deadline`.
pub(super) async fn check(session: &TlsSession, target: &Target, deadline: Instant) -> Result<()> {
    let Some(mut inquiry) = session.ocsp_inquiry(clock::now(), deadline) else { return Ok(()) };
    loop {
        match inquiry.poll(clock::now())? {
            OcspStep::Good => return Ok(()),
            OcspStep::Wait(flight, until) => {
                let landed = before(Some(until), flight.answered()).await;
                inquiry.handle_landed(landed)?;
            }
            OcspStep::Ask(exchange, until) => {
                let reply = before(Some(until), ask(exchange, target)).await;
                inquiry.handle_reply(reply);
            }
        }
    }
}

async fn ask(mut exchange: HttpExchange, target: &Target) -> Result<Vec<u8>> {
    let (mut reader, writer) = connect_plain(target, &exchange.endpoint()).await?;
    writer.send(exchange.request()).await?;
    let mut bytes = Vec::with_capacity(READ_AT_ONCE);
    loop {
        bytes.clear();
        let read = poll_fn(|cx| reader.poll_read(cx, &mut bytes)).await;
        read.map_err(|error| setup::io_error("reading", error))?;
        if let Some(answer) = exchange.handle_read(&bytes)? {
            return Ok(answer);
        }
    }
}
