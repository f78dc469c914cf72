//! Scripts, and libraries of functions.
//!
//! `keys` are the keys a script touches and `args` what else it is given: one value, a slice, or
//! `None::<&str>`. What a script returns decides the type of the reply.

use redwire_core::{Arg, Cmd, Invocation, Reply, Run, facts};

use super::server::FlushMode;

mod functions;

pub use functions::{EngineStats, Function, FunctionStats, Library, RestorePolicy, RunningFunction};

/// Scripts and functions.
pub trait ScriptingCommands: Run {
    /// Calls a [`Script`](redwire_core::Script): by its SHA-1, and with its source where the server does not
    /// have it.
    ///
    /// ```no_run
    /// # fn example(client: &redwire::blocking::Client) -> redwire::Result<()> {
    /// use redwire::Script;
    /// use redwire::prelude::*;
    ///
    /// let add = Script::new("return redis.call('INCRBY', KEYS[1], ARGV[1])");
    /// let n: i64 = client.invoke(add.key("n").arg(5))?;
    /// // In a pipeline the source is sent once.
    /// let (one, two) = (add.key("a").arg(1), add.key("b").arg(2));
    /// let (a, b): (i64, i64) = client.pipeline(|p| (p.invoke(one), p.invoke(two)))?;
    /// # Ok(())
    /// # }
    /// ```
    fn invoke<R: Reply>(self, call: impl Into<Invocation>) -> Self::Out<R> {
        self.run(call.into().cmd())
    }

    /// Runs a script and gives what it returns. [EVAL](https://redis.io/docs/latest/commands/eval/)
    fn eval<R: Reply>(self, script: impl Arg, keys: impl Arg, args: impl Arg) -> Self::Out<R> {
        self.run(Cmd::of(&facts::EVAL).required(script).any_counted(keys).any_places(args))
    }

    /// As [`eval`](Self::eval), for a script that only reads (Redis 7.0).
    /// [EVAL_RO](https://redis.io/docs/latest/commands/eval_ro/)
    fn eval_ro<R: Reply>(self, script: impl Arg, keys: impl Arg, args: impl Arg) -> Self::Out<R> {
        self.run(Cmd::of(&facts::EVAL_RO).required(script).any_counted(keys).any_places(args))
    }

    /// Runs the script of this SHA-1, which the server must have already (`NOSCRIPT`).
    /// [EVALSHA](https://redis.io/docs/latest/commands/evalsha/)
    fn evalsha<R: Reply>(self, sha: impl Arg, keys: impl Arg, args: impl Arg) -> Self::Out<R> {
        self.run(Cmd::of(&facts::EVALSHA).required(sha).any_counted(keys).any_places(args))
    }

    /// As [`evalsha`](Self::evalsha), for a script that only reads (Redis 7.0).
    /// [EVALSHA_RO](https://redis.io/docs/latest/commands/evalsha_ro/)
    fn evalsha_ro<R: Reply>(self, sha: impl Arg, keys: impl Arg, args: impl Arg) -> Self::Out<R> {
        self.run(Cmd::of(&facts::EVALSHA_RO).required(sha).any_counted(keys).any_places(args))
    }

    /// Gives a script to the server, and its SHA-1 to you. [SCRIPT
    /// LOAD](https://redis.io/docs/latest/commands/script-load/)
    fn script_load(self, script: impl Arg) -> Self::Out<String> {
        self.run(Cmd::of(&facts::SCRIPT_LOAD).required(script))
    }

    /// Whether the server has the script, for each of these SHA-1s.
    /// [SCRIPT EXISTS](https://redis.io/docs/latest/commands/script-exists/)
    fn script_exists(self, shas: impl Arg) -> Self::Out<Vec<bool>> {
        self.run(Cmd::of(&facts::SCRIPT_EXISTS).places(shas))
    }

    /// The source of the script of this SHA-1; an error where the server does not have it (`NOSCRIPT`). O(1),
    /// since Valkey 8.0. [SCRIPT SHOW](https://valkey.io/commands/script-show/)
    ///
    /// ```no_run
    /// # use redwire::{blocking::Client, prelude::*};
    /// # fn example(client: &Client) -> redwire::Result<()> {
    /// let sha = client.script_load("return 1")?;
    /// assert_eq!(client.script_show(sha)?, "return 1");
    /// # Ok(()) }
    /// ```
    fn script_show(self, sha: impl Arg) -> Self::Out<String> {
        self.run(Cmd::of(&facts::SCRIPT_SHOW).required(sha))
    }

    /// Makes the server forget all scripts. [SCRIPT
    /// FLUSH](https://redis.io/docs/latest/commands/script-flush/)
    fn script_flush(self, mode: FlushMode) -> Self::Out<()> {
        self.run(Cmd::of(&facts::SCRIPT_FLUSH).arg(mode))
    }

    /// Ends the script that runs, unless it has written; an error where none runs.
    /// [SCRIPT KILL](https://redis.io/docs/latest/commands/script-kill/)
    fn script_kill(self) -> Self::Out<()> {
        self.run(Cmd::of(&facts::SCRIPT_KILL))
    }

    /// Calls a function and gives what it returns (Redis 7.0).
    /// [FCALL](https://redis.io/docs/latest/commands/fcall/)
    fn fcall<R: Reply>(self, function: impl Arg, keys: impl Arg, args: impl Arg) -> Self::Out<R> {
        self.run(Cmd::of(&facts::FCALL).required(function).any_counted(keys).any_places(args))
    }

    /// As [`fcall`](Self::fcall), for a function that only reads (Redis 7.0).
    /// [FCALL_RO](https://redis.io/docs/latest/commands/fcall_ro/)
    fn fcall_ro<R: Reply>(self, function: impl Arg, keys: impl Arg, args: impl Arg) -> Self::Out<R> {
        self.run(Cmd::of(&facts::FCALL_RO).required(function).any_counted(keys).any_places(args))
    }

    /// Gives a new library to the server, and its name to you (Redis 7.0).
    /// [FUNCTION LOAD](https://redis.io/docs/latest/commands/function-load/)
    fn function_load(self, code: impl Arg) -> Self::Out<String> {
        self.run(Cmd::of(&facts::FUNCTION_LOAD).required(code))
    }

    /// As [`function_load`](Self::function_load), over a library of that name (Redis 7.0).
    /// [FUNCTION LOAD](https://redis.io/docs/latest/commands/function-load/)
    fn function_load_replace(self, code: impl Arg) -> Self::Out<String> {
        self.run(Cmd::of(&facts::FUNCTION_LOAD).arg("REPLACE").required(code))
    }

    /// The libraries whose names match a glob pattern (Redis 7.0).
    /// [FUNCTION LIST](https://redis.io/docs/latest/commands/function-list/)
    fn function_list(self, pattern: impl Arg) -> Self::Out<Vec<Library>> {
        self.run(Cmd::of(&facts::FUNCTION_LIST).named("LIBRARYNAME", pattern))
    }

    /// As [`function_list`](Self::function_list), with the code (Redis 7.0).
    /// [FUNCTION LIST](https://redis.io/docs/latest/commands/function-list/)
    fn function_list_withcode(self, pattern: impl Arg) -> Self::Out<Vec<Library>> {
        self.run(Cmd::of(&facts::FUNCTION_LIST).named("LIBRARYNAME", pattern).arg("WITHCODE"))
    }

    /// Deletes a library; an error where there is none (Redis 7.0).
    /// [FUNCTION DELETE](https://redis.io/docs/latest/commands/function-delete/)
    fn function_delete(self, library: impl Arg) -> Self::Out<()> {
        self.run(Cmd::of(&facts::FUNCTION_DELETE).required(library))
    }

    /// Deletes all libraries (Redis 7.0). [FUNCTION
    /// FLUSH](https://redis.io/docs/latest/commands/function-flush/)
    fn function_flush(self, mode: FlushMode) -> Self::Out<()> {
        self.run(Cmd::of(&facts::FUNCTION_FLUSH).arg(mode))
    }

    /// All libraries in the server's own format, for [`function_restore`](Self::function_restore) (Redis
    /// 7.0). [FUNCTION DUMP](https://redis.io/docs/latest/commands/function-dump/)
    fn function_dump(self) -> Self::Out<Vec<u8>> {
        self.run(Cmd::of(&facts::FUNCTION_DUMP))
    }

    /// Makes libraries from what [`function_dump`](Self::function_dump) gave (Redis 7.0).
    /// [FUNCTION RESTORE](https://redis.io/docs/latest/commands/function-restore/)
    fn function_restore(self, payload: impl Arg, policy: RestorePolicy) -> Self::Out<()> {
        self.run(Cmd::of(&facts::FUNCTION_RESTORE).required(payload).arg(policy))
    }

    /// Which function runs, and what runs functions (Redis 7.0).
    /// [FUNCTION STATS](https://redis.io/docs/latest/commands/function-stats/)
    fn function_stats(self) -> Self::Out<FunctionStats> {
        self.run(Cmd::of(&facts::FUNCTION_STATS))
    }

    /// Ends the function that runs, unless it has written; an error where none runs (Redis 7.0).
    /// [FUNCTION KILL](https://redis.io/docs/latest/commands/function-kill/)
    fn function_kill(self) -> Self::Out<()> {
        self.run(Cmd::of(&facts::FUNCTION_KILL))
    }
}

impl<T: Run> ScriptingCommands for T {}
