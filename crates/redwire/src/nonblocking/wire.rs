//! A connected socket, ready for commands: connecting and the handshake.
//!
//! It only waits; what is said in the handshake is decided in `redwire-core`.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Instant;

use redwire_core::config::Endpoint;
use redwire_core::handshake::{Handshake, Session};
use redwire_core::inbound::{Frames, Inbound};
use redwire_core::outbox::Outbox;
use redwire_core::{Cmd, Error, Outcome, Result, Value};
use tokio::sync::Notify;

use super::before;
use super::sentinel::{self, discover};
use super::stream::{self, StreamReader, StreamWriter};
use crate::shared::clock::{self, check_runtime};
use crate::shared::credentials::VersionedCredentials;
use crate::shared::interrupt::Interrupt;
use crate::shared::setup;
use crate::shared::target::{ConnectTo, Target};

/// A connected socket, ready for commands.
#[derive(Debug)]
pub(super) struct Wire {
    pub(super) reader: StreamReader,
    /// Callers that share the connection may write, too.
    pub(super) writer: Arc<StreamWriter>,
    pub(super) inbound: Inbound,
    pub(super) frames: Frames,
    pub(super) session: Session,
    /// Where it leads.
    pub(super) endpoint: Endpoint,
    /// The version of the credentials it authenticated with.
    pub(super) version: u64,
}

impl Wire {
    /// Connects and shakes hands within the connect timeout, and before `call_deadline`. Where it leads is
    /// told to `interrupt`.
    pub(super) async fn connect(
        target: &Arc<Target>,
        interrupt: Option<&Interrupt<Notify>>,
        call_deadline: Option<Instant>,
    ) -> Result<Self> {
        check_runtime().map_err(|error| target.locate(error))?;
        let own_deadline = clock::now() + target.config().connect_timeout();
        let deadline = call_deadline.map_or(own_deadline, |deadline| deadline.min(own_deadline));
        let mut tried = None;
        // Boxed, or else each future that connects would be larger by twice as much.
        let connecting = Box::pin(async {
            loop {
                let connected = Self::connect_to(target, interrupt, deadline, &mut tried).await;
                if connected.is_ok() || !target.has_moved_from(tried.as_ref()) {
                    return connected;
                }
            }
        });
        let connected = before(Some(deadline), connecting).await;
        let connected =
            connected.unwrap_or_else(|| Err(setup::too_slow(target.config(), deadline < own_deadline)));
        let connected = connected.map_err(|error| target.locate(error).with_outcome(Outcome::NotSent));
        connected.inspect_err(|error| target.handle_unconnected(tried.as_ref(), error))
    }

    async fn connect_to(
        target: &Arc<Target>,
        interrupt: Option<&Interrupt<Notify>>,
        deadline: Instant,
        tried: &mut Option<Endpoint>,
    ) -> Result<Self> {
        *tried = None;
        let endpoint = match target.next_server() {
            ConnectTo::Server(endpoint) => endpoint,
            ConnectTo::Ask(service) => Endpoint::Tcp(discover(service, target.config()).await?),
        };
        sentinel::watch(target);
        let endpoint = tried.insert(endpoint);
        if let Some(interrupt) = interrupt {
            interrupt.handle_connecting(endpoint);
        }
        target.handle_connecting(endpoint);
        let pass = VersionedCredentials::fetch(target.config()).await?;
        let mut protocol = target.protocol();
        let wire = loop {
            let (mut inbound, frames) = (setup::inbound(target.config()), Frames::default());
            let (reader, writer) = stream::connect(target, endpoint, deadline, inbound.spare()).await?;
            let (writer, session, version) = (Arc::new(writer), Session::default(), pass.version);
            let endpoint = endpoint.clone();
            let wire = Self { reader, writer, inbound, frames, session, endpoint, version };
            let mut handshake = Handshake::new(target.config(), pass.credentials.as_ref(), protocol);
            match wire.shake_hands(&mut handshake).await {
                Ok(wire) => break wire,
                Err(error) => protocol = handshake.poll_again(&error).ok_or(error)?,
            }
        };
        if target.handle_connected(endpoint, &wire.session)? {
            sentinel::cut_later(target);
        }
        Ok(wire)
    }

    /// Carries out `handshake`, of which the first bytes may follow commands that were answered.
    pub(super) async fn shake_hands(self, handshake: &mut Handshake) -> Result<Self> {
        self.converse(handshake).await.map_err(|error| handshake.handle_failed(error))
    }

    async fn converse(mut self, handshake: &mut Handshake) -> Result<Self> {
        loop {
            if let Some(bytes) = handshake.poll_transmit() {
                self.write(&bytes).await?;
            }
            if let Some(session) = handshake.poll_done() {
                self.session = session;
                return Ok(self);
            }
            while !self.inbound.poll_frames(&mut self.frames)? {
                self.read().await?;
            }
            self.frames.replies().try_for_each(|frame| handshake.handle_reply(frame))?;
        }
    }

    async fn write(&self, bytes: &[u8]) -> Result<()> {
        let mut outbox = Outbox::default();
        outbox.copy(bytes);
        let flushed = poll_fn(|cx| self.writer.poll_flush(cx, &mut outbox, |_| {})).await;
        flushed.map_err(|error| setup::io_error("writing", error))
    }

    /// Reads once; says whether whole frames came. Nothing is lost when the future is dropped.
    async fn read_frames(&mut self) -> Result<bool> {
        self.read().await?;
        Ok(self.inbound.poll_frames(&mut self.frames)?)
    }

    async fn read(&mut self) -> Result<()> {
        let read = poll_fn(|cx| self.reader.poll_read(cx, self.inbound.spare())).await;
        match read.map_err(|error| setup::io_error("reading", error))? {
            0 => Err(Error::closed_by_peer(Outcome::MaybeExecuted)),
            _ => Ok(()),
        }
    }

    /// Whether the peer has neither closed it nor sent anything but what servers may push at any time.
    pub(super) async fn is_silent(&mut self) -> Result<bool> {
        while !self.writer.is_silent()? {
            self.read_frames().await?;
            if self.frames.replies().next().is_some() {
                return Ok(false);
            }
        }
        Ok(self.inbound.is_empty())
    }

    /// Asks for a sign of life while nothing else is under way.
    pub(super) async fn ping(&mut self) -> Result<()> {
        self.write(&Cmd::<Value>::new("PING").to_bytes()).await?;
        // Whatever it answers, it answers.
        while !(self.read_frames().await? && self.frames.replies().next().is_some()) {}
        Ok(())
    }
}
