//! What servers tell about libraries of functions, and how such libraries are restored.

use std::collections::BTreeMap;
use std::time::Duration;

use redwire_core::{Arg, Args, Lossy, Reader, Reply, Result};

use crate::commands::server::fields::{fields, read};

/// What happens to the libraries that exist when others are restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RestorePolicy {
    /// They stay; an error where a name is taken.
    Append,
    /// They are deleted first.
    Flush,
    /// They stay, and are replaced where a name is taken.
    Replace,
}

impl Arg for RestorePolicy {
    fn write(&self, args: &mut Args) {
        args.bulk(match self {
            Self::Append => b"APPEND",
            Self::Flush => b"FLUSH",
            Self::Replace => b"REPLACE",
        });
    }
}

/// A library of functions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Library {
    /// Its name.
    pub name: String,
    /// What runs it, such as `LUA`.
    pub engine: String,
    /// Its functions, in no particular order.
    pub functions: Vec<Function>,
    /// Its code, where that was asked for.
    pub code: Option<String>,
}

/// A function of a library.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Function {
    /// The name to call it by.
    pub name: String,
    /// What its author says about it.
    pub description: Option<String>,
    /// Such as `no-writes`.
    pub flags: Vec<String>,
}

impl Reply for Library {
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let mut library = Self::default();
        fields(reader, |name, reader| match name {
            "library_name" => read(&mut library.name, reader),
            "engine" => read(&mut library.engine, reader),
            "functions" => read(&mut library.functions, reader),
            "library_code" => read(&mut library.code, reader),
            _ => Ok(false),
        })?;
        Ok(library)
    }
}

impl Reply for Function {
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let mut function = Self::default();
        fields(reader, |name, reader| match name {
            "name" => read(&mut function.name, reader),
            "description" => read(&mut function.description, reader),
            "flags" => read(&mut function.flags, reader),
            _ => Ok(false),
        })?;
        Ok(function)
    }
}

/// What runs, and what could.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct FunctionStats {
    /// The function that runs now.
    pub running: Option<RunningFunction>,
    /// What runs functions, by name.
    pub engines: BTreeMap<String, EngineStats>,
}

/// A function that runs now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RunningFunction {
    /// Its name.
    pub name: String,
    /// The words of the command that called it.
    pub command: Vec<Lossy>,
    /// For how long it has been running.
    pub duration: Duration,
}

/// Something that runs functions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct EngineStats {
    /// How many libraries it has.
    pub libraries: u64,
    /// How many functions they have.
    pub functions: u64,
}

impl Reply for FunctionStats {
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let mut stats = Self::default();
        fields(reader, |name, reader| match name {
            "running_script" => read(&mut stats.running, reader),
            "engines" => read(&mut stats.engines, reader),
            _ => Ok(false),
        })?;
        Ok(stats)
    }
}

impl Reply for RunningFunction {
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let (mut function, mut millis) = (Self::default(), 0);
        fields(reader, |name, reader| match name {
            "name" => read(&mut function.name, reader),
            "command" => read(&mut function.command, reader),
            "duration_ms" => read(&mut millis, reader),
            _ => Ok(false),
        })?;
        function.duration = Duration::from_millis(millis);
        Ok(function)
    }
}

impl Reply for EngineStats {
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let mut stats = Self::default();
        fields(reader, |name, reader| match name {
            "libraries_count" => read(&mut stats.libraries, reader),
            "functions_count" => read(&mut stats.functions, reader),
            _ => Ok(false),
        })?;
        Ok(stats)
    }
}
