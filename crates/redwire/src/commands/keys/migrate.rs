//! How keys are moved to another server.

use std::fmt;

use redwire_core::{Arg, Args, Error, ErrorKind, Outcome, Reader, Reply, Result};

/// How keys are moved to another server.
#[derive(Clone, Default)]
pub struct MigrateOptions {
    copy: bool,
    replace: bool,
    auth: Option<(Option<String>, String)>,
}

impl MigrateOptions {
    /// They are deleted here, and it is an error where one of them exists there.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// They stay here.
    #[must_use]
    pub fn copy(mut self) -> Self {
        self.copy = true;
        self
    }

    /// Also over keys that exist there.
    #[must_use]
    pub fn replace(mut self) -> Self {
        self.replace = true;
        self
    }

    /// The password of the other server's default user.
    #[must_use]
    pub fn auth(mut self, password: impl Into<String>) -> Self {
        self.auth = Some((None, password.into()));
        self
    }

    /// The name and password of a user of the other server (Redis 6.0).
    #[must_use]
    pub fn auth2(mut self, user: impl Into<String>, password: impl Into<String>) -> Self {
        self.auth = Some((Some(user.into()), password.into()));
        self
    }
}

impl fmt::Debug for MigrateOptions {
    /// Never shows the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { copy, replace, auth } = self;
        let user = auth.as_ref().map(|(user, _)| user);
        f.debug_struct("MigrateOptions")
            .field("copy", copy)
            .field("replace", replace)
            .field("user", &user)
            .finish_non_exhaustive()
    }
}

impl Arg for MigrateOptions {
    fn write(&self, args: &mut Args) {
        args.flag(self.copy, "COPY");
        args.flag(self.replace, "REPLACE");
        match &self.auth {
            Some((Some(user), password)) => ("AUTH2", user, password).write(args),
            Some((None, password)) => password.write_named("AUTH", args),
            None => {}
        }
    }
}

/// Whether keys were moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Migrated {
    /// Those that there were.
    Moved,
    /// There was none.
    NoKey,
}

impl Reply for Migrated {
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        match String::decode(reader)?.as_str() {
            "OK" => Ok(Self::Moved),
            "NOKEY" => Ok(Self::NoKey),
            other => {
                let message = format!("expected OK or NOKEY, got {other:?}");
                Err(Error::new(ErrorKind::Decode, Outcome::Unreadable, message))
            }
        }
    }
}
