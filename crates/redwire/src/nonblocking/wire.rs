//! A connected socket, ready for commands: connecting and the handshake.
//!
//! It only waits; what is said in the handshake is decided in `redwire-core`.

use std::future::poll_fn;

use redwire_core::config::{Config, Endpoint, Protocol};
use redwire_core::handshake::{Handshake, Session};
use redwire_core::inbound::{Frames, Inbound};
use redwire_core::outbox::Outbox;
use redwire_core::{Error, Outcome, Result};

use super::stream::{self, Reader, Writer};
use crate::setup;

/// A connected socket, ready for commands.
#[derive(Debug)]
pub(super) struct Wire {
    pub(super) reader: Reader,
    pub(super) writer: Writer,
    pub(super) inbound: Inbound,
    pub(super) frames: Frames,
    pub(super) session: Session,
}

impl Wire {
    /// Connects and shakes hands within the connect timeout.
    pub(super) async fn connect(endpoint: &Endpoint, config: &Config, protocol: Protocol) -> Result<Self> {
        let connecting = async {
            let (reader, writer) = stream::connect(endpoint, config).await?;
            let (inbound, frames) = (setup::inbound(config), Frames::default());
            let wire = Self { reader, writer, inbound, frames, session: Session::default() };
            wire.shake_hands(Handshake::new(config, protocol)).await
        };
        let connected = tokio::time::timeout(config.connect_timeout(), connecting).await;
        let connected = connected.unwrap_or_else(|_| Err(setup::connect_timeout(config)));
        connected
            .map_err(|error| error.with_address(&setup::address(endpoint)).with_outcome(Outcome::NotSent))
    }

    async fn shake_hands(mut self, mut handshake: Handshake) -> Result<Self> {
        loop {
            if let Some(bytes) = handshake.poll_transmit() {
                let mut outbox = Outbox::default();
                outbox.copy(&bytes);
                let flushed = poll_fn(|cx| self.writer.poll_flush(cx, &mut outbox, |_| {})).await;
                flushed.map_err(|error| setup::io_error("writing", error))?;
            }
            if let Some(session) = handshake.poll_done() {
                self.session = session;
                return Ok(self);
            }
            if self.read_frames().await? {
                self.frames.replies().try_for_each(|frame| handshake.handle_reply(frame))?;
            }
        }
    }

    /// Reads once; says whether whole frames came. Nothing is lost when the future is dropped.
    async fn read_frames(&mut self) -> Result<bool> {
        let read = poll_fn(|cx| self.reader.poll_read(cx, self.inbound.spare())).await;
        match read.map_err(|error| setup::io_error("reading", error))? {
            0 => Err(Error::closed_by_peer(Outcome::MaybeExecuted)),
            _ => Ok(self.inbound.poll_frames(&mut self.frames)?),
        }
    }
}
