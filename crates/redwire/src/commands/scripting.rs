//! Lua scripts and functions.

use redwire_core::Run;

/// Lua scripts and functions.
pub trait ScriptingCommands: Run {}

impl<T: Run> ScriptingCommands for T {}
