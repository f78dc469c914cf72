//! The user of a connection: credentials, which may change while it lives, and the handshake that
//! makes a used connection as new.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use redwire_core::handshake::Handshake;
use redwire_core::{Outcome, Result, Value};

use super::Wire;
use crate::shared::credentials::{self, VersionedCredentials};
use crate::shared::events::EventKind;
use crate::shared::setup;
use crate::shared::target::Target;
use crate::shared::threads;

impl Wire {
    /// Makes it as new, whatever was said on it before. After a failure it is of no use.
    pub(in crate::blocking) fn reset(&mut self, deadline: Instant) -> Result<()> {
        let reset = fetch(&self.target, deadline).and_then(|pass| {
            self.version = pass.version;
            let (config, protocol) = (self.target.config(), self.target.protocol());
            let mut handshake = Handshake::again(config, pass.credentials.as_ref(), protocol);
            self.shake_hands(&mut handshake, deadline)
        });
        reset.inspect_err(|error| self.lose(error))
    }

    /// Presents credentials that have changed. Where the server refuses them, the connection goes on as the
    /// former user.
    #[inline]
    pub(in crate::blocking) fn renew(&mut self, deadline: Option<Instant>) -> Result<()> {
        let version = credentials::version(self.target.config());
        if version == self.version { Ok(()) } else { self.authenticate(version, deadline) }
    }

    #[cold]
    fn authenticate(&mut self, version: u64, deadline: Option<Instant>) -> Result<()> {
        // Without a deadline of its own, a call is not held up for ever by this.
        let deadline = deadline.unwrap_or_else(|| threads::now() + self.target.config().connect_timeout());
        self.version = version;
        let refused = match fetch(&self.target, deadline) {
            Ok(VersionedCredentials { credentials: None, .. }) => return Ok(()),
            Ok(VersionedCredentials { credentials: Some(credentials), version }) => {
                self.version = version;
                let auth = credentials.auth();
                let replies = self.exchange(&auth, Some(deadline));
                let mut replies = replies.map_err(|error| error.with_outcome(Outcome::NotSent))?;
                replies.read::<Value>().err().map(|error| auth.judge(error))
            }
            Err(error) => Some(error),
        };
        if let Some(error) = refused {
            self.target.tell(EventKind::Refused(self.target.locate(error)));
        }
        Ok(())
    }
}

/// The credentials to present. A provider may take its time, but not more than there is.
pub(in crate::blocking) fn fetch(target: &Arc<Target>, deadline: Instant) -> Result<VersionedCredentials> {
    let config = target.config();
    let Some(provider) = config.credential_provider() else { return Ok(VersionedCredentials::fixed(config)) };
    let pass = target.lookups().pass(provider, config).wait(deadline);
    let late = || setup::io_error("asking for credentials", io::ErrorKind::TimedOut.into());
    pass.unwrap_or_else(|| Err(late()))
}
