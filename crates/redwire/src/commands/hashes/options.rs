//! What may be said about hashes, and what servers answer about the expiry of fields.

use std::time::{Duration, SystemTime};

use redwire_core::{Arg, Args, Reader, Reply, Result};

use crate::commands::strings::Expiry;

/// What may be said about setting fields: under which condition, and for how long.
///
/// ```
/// use std::time::Duration;
/// use redwire::commands::HsetexOptions;
/// use redwire::prelude::*;
/// # let (batch, _) = redwire::Pipeline::record(|client| {
///
/// let options = HsetexOptions::new().fnx().ex(Duration::from_secs(60));
/// client.hsetex("session", options, [("user", "ann"), ("token", "x")]);
/// # });
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct HsetexOptions {
    condition: Option<&'static str>,
    expiry: Option<Expiry>,
    keep_expiry: bool,
}

impl HsetexOptions {
    /// Sets under all conditions, for ever.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Only where none of the fields exists.
    #[must_use]
    pub fn fnx(mut self) -> Self {
        self.condition = Some("FNX");
        self
    }

    /// Only where all of the fields exist.
    #[must_use]
    pub fn fxx(mut self) -> Self {
        self.condition = Some("FXX");
        self
    }

    /// The fields expire after this time (sent as `PX`).
    #[must_use]
    pub fn ex(mut self, duration: Duration) -> Self {
        self.expiry = Some(Expiry::In(duration));
        self
    }

    /// The fields expire at this moment (sent as `PXAT`).
    #[must_use]
    pub fn exat(mut self, time: SystemTime) -> Self {
        self.expiry = Some(Expiry::At(time));
        self
    }

    /// Leaves the fields' expiry as it is, where setting would take it away.
    #[must_use]
    pub fn keepttl(mut self) -> Self {
        self.keep_expiry = true;
        self
    }
}

impl Arg for HsetexOptions {
    fn write(&self, args: &mut Args) {
        args.optional(self.condition);
        args.optional(self.expiry);
        args.flag(self.keep_expiry, "KEEPTTL");
    }
}

/// What became of a field whose expiry was to change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FieldExpiry {
    /// There is no such field.
    Missing,
    /// The condition did not hold, or there was no expiry to take away.
    Unchanged,
    /// The expiry is set, or taken away.
    Changed,
    /// The field was deleted, since the moment has passed already.
    Deleted,
}

impl Reply for FieldExpiry {
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        Ok(match i64::decode(reader)? {
            -2 => Self::Missing,
            1 => Self::Changed,
            2 => Self::Deleted,
            _ => Self::Unchanged,
        })
    }
}
