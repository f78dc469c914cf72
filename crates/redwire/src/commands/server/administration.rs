//! How a server ends, hands over and loads modules.

use std::collections::BTreeMap;
use std::time::Duration;

use redwire_core::{Arg, Args, Lossy, Reader, Reply, Result, Value};

use super::fields::{fields_and_rest, read};
use crate::commands::keys::time::timeout_millis;

/// How a server ends.
#[derive(Clone, Copy, Debug, Default)]
pub struct ShutdownOptions {
    save: Option<bool>,
    now: bool,
    force: bool,
}

impl ShutdownOptions {
    /// It saves if its settings say when to.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// It saves in any case.
    #[must_use]
    pub fn save(mut self) -> Self {
        self.save = Some(true);
        self
    }

    /// It does not save: what changed since the last time is lost.
    #[must_use]
    pub fn nosave(mut self) -> Self {
        self.save = Some(false);
        self
    }

    /// It does not wait for replicas that are behind (Redis 7.0).
    #[must_use]
    pub fn now(mut self) -> Self {
        self.now = true;
        self
    }

    /// It ends even if it cannot save (Redis 7.0).
    #[must_use]
    pub fn force(mut self) -> Self {
        self.force = true;
        self
    }
}

impl Arg for ShutdownOptions {
    fn write(&self, args: &mut Args) {
        args.optional(self.save.map(|save| if save { "SAVE" } else { "NOSAVE" }));
        args.flag(self.now, "NOW");
        args.flag(self.force, "FORCE");
    }
}

/// How a server hands over to a replica.
#[derive(Clone, Debug, Default)]
pub struct FailoverOptions {
    to: Option<(String, u16)>,
    force: bool,
    timeout: Option<Duration>,
}

impl FailoverOptions {
    /// To the replica that is ready first, as long as that takes.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// To this replica.
    #[must_use]
    pub fn to(mut self, host: impl Into<String>, port: u16) -> Self {
        self.to = Some((host.into(), port));
        self
    }

    /// When the time is over, to the replica that was named all the same, though writes are lost.
    #[must_use]
    pub fn force(mut self) -> Self {
        self.force = true;
        self
    }

    /// It is called off after this time, or forced if that was said.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }
}

impl Arg for FailoverOptions {
    fn write(&self, args: &mut Args) {
        if let Some((host, port)) = &self.to {
            ("TO", host, *port).write(args);
            args.flag(self.force, "FORCE");
        }
        self.timeout.map(timeout_millis).write_named("TIMEOUT", args);
    }
}

/// What a module is loaded with.
#[derive(Clone, Debug, Default)]
pub struct ModuleOptions {
    configs: Vec<(String, String)>,
    args: Vec<String>,
}

impl ModuleOptions {
    /// Nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A setting of the module, by its whole name.
    #[must_use]
    pub fn config(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.configs.push((name.into(), value.into()));
        self
    }

    /// One more argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }
}

impl Arg for ModuleOptions {
    fn write(&self, args: &mut Args) {
        for (name, value) in &self.configs {
            ("CONFIG", name, value).write(args);
        }
        if !self.args.is_empty() {
            self.args.write_named("ARGS", args);
        }
    }
}

/// A module that is loaded.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct ModuleInfo {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: u64,
    /// The file that it came from (Redis 7.0), empty for one that the server is built with.
    pub path: Option<String>,
    /// What it was loaded with (Redis 7.0).
    pub args: Vec<Lossy>,
    /// What newer servers tell besides.
    pub other: BTreeMap<String, Value>,
}

impl Reply for ModuleInfo {
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let mut module = Self::default();
        module.other = fields_and_rest(reader, |name, reader| match name {
            "name" => read(&mut module.name, reader),
            "ver" => read(&mut module.version, reader),
            "path" => read(&mut module.path, reader),
            "args" => read(&mut module.args, reader),
            _ => Ok(false),
        })?;
        Ok(module)
    }
}
