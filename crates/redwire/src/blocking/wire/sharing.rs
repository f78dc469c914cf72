//! A wire for many: it only carries bytes, and whose they are is known elsewhere.

use std::sync::Arc;
use std::time::{Duration, Instant};

use redwire_core::Result;
use redwire_core::inbound::Frames;

use super::Wire;
use crate::blocking::stream::{Socket, Writer};
use crate::setup;

impl Wire {
    /// The writing side, for others, each write within `limit`; the socket, to end it; and the version of the credentials.
    pub(in crate::blocking) fn split(&mut self, limit: Duration) -> Result<(Writer, Arc<Socket>, u64)> {
        let writer = self.stream.writer(Some(limit)).map_err(|error| setup::io_error("writing", error))?;
        Ok((writer, Arc::clone(self.stream.socket()), self.version))
    }

    /// Writes bytes whose answer comes unasked for, as far as the link knows.
    pub(in crate::blocking) fn say(&mut self, bytes: &[u8], deadline: Option<Instant>) -> Result<()> {
        self.outbox.copy(bytes);
        while !self.outbox.is_empty() {
            self.write(deadline)?;
        }
        Ok(())
    }

    /// Reads once before `deadline`, and gives what came whole.
    #[inline]
    pub(in crate::blocking) fn receive_frames(
        &mut self,
        deadline: Option<Instant>,
    ) -> Result<Option<&mut Frames>> {
        if let Err(error) = self.read(deadline) {
            self.doubt(error, deadline)?;
        }
        Ok(self.inbound.poll_frames(&mut self.frames)?.then_some(&mut self.frames))
    }
}
