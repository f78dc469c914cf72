//! Scripts that run at the server: sent by their SHA-1, and whole where the server does not have them.
//!
//! Everything that decides the words of such a call lives here. This file must not know how they are sent,
//! nor when they are sent anew: that is [`retry`](crate::retry)'s.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use crate::arg::{Arg, Args};
use crate::cmd::Cmd;
use crate::facts::{self, Facts};

/// A script in Lua, with its SHA-1. Cheap to clone.
///
/// Its calls name it by its SHA-1 (`EVALSHA`). A server that does not have it yet, or not any more, is given
/// the source at once (`EVAL`), which it keeps: the caller sees nothing of it. In a pipeline or a
/// transaction, which are one write, the first call of a script has the source and those after it have not;
/// it comes again behind a `SCRIPT FLUSH`, and after so many other scripts that the server may have forgotten
/// this one. In a pipeline over a cluster each node is given the source before its first use (`SCRIPT LOAD`),
/// or with each use (`EVAL`) where the user may not load scripts.
///
/// Whatever carries commands runs it, by `invoke`:
///
/// ```
/// # use redwire_core as redwire;
/// use redwire::Script;
///
/// let add = Script::new("return redis.call('INCRBY', KEYS[1], ARGV[1])");
/// let call = add.key("n").arg(5);
/// // let n: i64 = client.invoke(&call).await?;
/// # use redwire_core::Cmd;
/// let cmd: Cmd<i64> = call.cmd();
/// assert_eq!(cmd.words(), ["EVALSHA", add.sha(), "1", "n", "5"]);
/// ```
///
/// A script that fails half-way leaves what it has written: the [outcome](crate::Error::outcome) of such an
/// error is [`MaybeExecuted`](crate::Outcome::MaybeExecuted), whatever error code it made up. A script must
/// not answer with a whole sentence by which a server refuses to run it (`NOSCRIPT No matching script. …`,
/// `BUSY Redis is busy running a script. …`), or it may be run a second time.
#[doc(alias = "register_script")]
#[derive(Clone)]
pub struct Script(Arc<ScriptInner>);

#[derive(Clone)]
struct ScriptInner {
    source: Bytes,
    /// In hexadecimal, as servers write it.
    sha: String,
    read_only: bool,
}

impl Script {
    /// A script of this source.
    #[must_use]
    pub fn new(source: impl AsRef<[u8]>) -> Self {
        let source = source.as_ref();
        let sha = sha1_smol::Sha1::from(source).digest().to_string();
        Self(Arc::new(ScriptInner { source: Bytes::copy_from_slice(source), sha, read_only: false }))
    }

    /// Declares that the script only reads (Redis 7.0): the server refuses its writes, a replica may run it,
    /// and it is repeated when its reply was lost.
    #[must_use]
    pub fn read_only(mut self) -> Self {
        Arc::make_mut(&mut self.0).read_only = true;
        self
    }

    /// Whether it was declared to read only.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        self.0.read_only
    }

    /// Its SHA-1, 40 hexadecimal digits, as in `script_exists(script.sha())`.
    #[must_use]
    pub fn sha(&self) -> &str {
        &self.0.sha
    }

    /// Its source, as in `script_load(script.source())`, with which a server has it before the first call.
    #[must_use]
    pub fn source(&self) -> &Bytes {
        &self.0.source
    }

    /// A call of it with a key, or several: [`Invocation::key`].
    pub fn key(&self, key: impl Arg) -> Invocation {
        Invocation::from(self).key(key)
    }

    /// A call of it with an argument, or several: [`Invocation::arg`].
    pub fn arg(&self, arg: impl Arg) -> Invocation {
        Invocation::from(self).arg(arg)
    }

    /// A call of it by its SHA-1, with these words behind.
    pub(crate) fn named<R>(&self, rest: &[&[u8]]) -> Cmd<R> {
        let cmd = Cmd::of(self.facts().0).arg(self.sha());
        rest.iter().fold(cmd, |cmd, word| cmd.arg(*word)).naming(self.clone())
    }

    /// What is known of a call by SHA-1, and of one with the source.
    fn facts(&self) -> (&'static Facts, &'static Facts) {
        match self.0.read_only {
            true => (&facts::EVALSHA_RO, &facts::EVAL_RO),
            false => (&facts::EVALSHA, &facts::EVAL),
        }
    }

    /// The words of `args`, a call by SHA-1, with the source in its place.
    pub(crate) fn spell_out(&self, args: &Args) -> (&'static Facts, Args) {
        let (named, whole) = self.facts();
        let mut words = Args::new();
        words.encoded(whole.wire, usize::from(whole.words));
        words.bytes(&self.0.source);
        // `$40`, the digits, and the end of each line.
        let sha = 3 + 2 + self.0.sha.len() + 2;
        words.rest_of(args, named.wire.len() + sha, usize::from(named.words) + 1);
        (whole, words)
    }
}

impl fmt::Debug for Script {
    /// Tells the SHA-1 and hides the source: it may be long, and may have a secret in it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Script")
            .field("sha", &self.0.sha)
            .field("bytes", &self.0.source.len())
            .field("read_only", &self.0.read_only)
            .finish()
    }
}

/// One call of a [`Script`]: the keys it touches, and what else it is given.
#[derive(Clone, Debug)]
#[must_use = "a call does nothing until it is invoked"]
pub struct Invocation {
    script: Script,
    keys: Args,
    args: Args,
}

impl Invocation {
    /// Adds a key, or several: `KEYS` of the script. An empty list adds none; `None` is refused, since the
    /// next key would take its place.
    pub fn key(mut self, key: impl Arg) -> Self {
        self.keys.some(key);
        self
    }

    /// Adds an argument, or several: `ARGV` of the script. An empty list adds none; `None` is refused, since
    /// the next argument would take its place: say what stands for nothing in the script, such as an empty
    /// text.
    pub fn arg(mut self, arg: impl Arg) -> Self {
        self.args.some(arg);
        self
    }

    /// The script that is called.
    #[must_use]
    pub fn script(&self) -> &Script {
        &self.script
    }

    /// The call as a command, for its options:
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use redwire_core::{Cmd, Script};
    /// let slow = Script::new("return redis.call('SORT', KEYS[1])");
    /// let cmd: Cmd<Vec<String>> = slow.key("list").cmd().timeout(Duration::from_secs(20));
    /// ```
    pub fn cmd<R>(&self) -> Cmd<R> {
        let cmd = Cmd::of(self.script.facts().0)
            .arg(self.script.sha())
            .arg(self.keys.len())
            .arg(&self.keys)
            .arg(&self.args);
        cmd.naming(self.script.clone())
    }
}

/// The scripts that a server has while it executes one write, since their sources were in it.
///
/// From Redis 7.4 and Valkey 8 on, servers keep no more than the 500 scripts used last of those that came by
/// `EVAL`, so after [`KEPT`] of them none counts any more. What other clients send meanwhile is not seen
/// here.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    given: BTreeSet<String>,
    /// How many calls had a source, since there was none.
    evaluated: usize,
}

/// After so many sources the first is given again: somewhat less than servers keep.
const KEPT: usize = 400;

impl Sources {
    /// Whether there is none.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.given.is_empty()
    }

    /// Whether the server has `script`.
    pub(crate) fn has(&self, script: &Script) -> bool {
        self.given.contains(script.sha())
    }

    /// A command of these facts goes next, a call of `script` if it is one.
    pub(crate) fn handle_sent(&mut self, facts: &Facts, script: Option<&Script>) {
        match facts.name {
            "EVAL" | "EVAL_RO" if self.evaluated < KEPT => self.evaluated += 1,
            "EVAL" | "EVAL_RO" => *self = Self { evaluated: 1, ..Self::default() },
            // Functions are kept elsewhere, and have no sources that could be sent instead: `FUNCTION FLUSH`
            // changes nothing here.
            "SCRIPT FLUSH" => *self = Self::default(),
            _ => {}
        }
        self.given.extend(script.filter(|script| !self.has(script)).map(|script| script.sha().to_owned()));
    }
}

impl From<&Script> for Invocation {
    /// A call without keys and arguments.
    fn from(script: &Script) -> Self {
        Self { script: script.clone(), keys: Args::new(), args: Args::new() }
    }
}

impl From<&Self> for Invocation {
    fn from(invocation: &Self) -> Self {
        invocation.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arg::SHARED_FROM;
    use crate::call::Call;
    use crate::error::Error;
    use crate::pipeline::{Batch, Pipeline};
    use crate::reply::Value;
    use crate::run::Run;

    fn missing() -> Error {
        Error::from_server(b"NOSCRIPT No matching script. Please use EVAL.")
    }

    #[test]
    fn the_digest_is_the_servers() {
        // What `SCRIPT LOAD` says to "return 1".
        assert_eq!(Script::new("return 1").sha(), "e0e1f9fabfc9d4800c877a703b823ac0578ff8db");
    }

    #[test]
    fn a_missing_script_is_sent_whole_and_only_once() {
        let value = Bytes::from(vec![7; SHARED_FROM]);
        for (script, name) in
            [(Script::new("return 1"), "EVAL"), (Script::new(vec![b' '; SHARED_FROM]).read_only(), "EVAL_RO")]
        {
            let mut named: Cmd<Value> =
                script.key(("a", &value)).key("b").arg(&value).arg(b"\r\n$3\r\n\0").arg(&value).cmd();
            let whole: Cmd<Value> = Cmd::new(name).arg(script.source()).arg(3).arg((
                "a",
                &value,
                "b",
                &value,
                b"\r\n$3\r\n\0",
                &value,
            ));
            assert_eq!(named.name(), name.replace("EVAL", "EVALSHA"));
            assert!(!named.revise(&Error::from_server(b"ERR no")) && named.revise(&missing()));
            assert!((named.to_bytes(), named.words()) == (whole.to_bytes(), whole.words()), "{name}");
            assert_eq!((named.name(), Call::size(&named)), (whole.name(), Call::size(&whole)));
            assert!(!named.revise(&missing()), "it was sent whole");
        }
    }

    #[test]
    fn what_is_no_call_of_a_script_is_not_changed() {
        let mut raw: Cmd<Value> = Cmd::of(&facts::EVALSHA).arg(Script::new("return 1").sha()).arg(0);
        assert!(!raw.revise(&missing()));
        let mut done: Cmd<Value> = Invocation::from(&Script::new("return 1")).cmd();
        assert!(!done.revise(&Error::from_server(b"NOSCRIPT of the script's own")));
    }

    #[test]
    fn in_one_write_the_first_use_has_the_source() {
        let (one, two) = (Script::new("return 1"), Script::new("return 2"));
        let reading = one.clone().read_only();
        let (batch, _) = Pipeline::record(|p| {
            [&one, &two, &one, &reading, &two].map(|script| p.run(Invocation::from(script).cmd::<Value>()))
        });
        let of = |name: &str, script: &str| Cmd::<Value>::new(name).arg(script).arg(0).to_bytes();
        let whole = [of("EVAL", "return 1"), of("EVAL", "return 2")];
        let named = [of("EVALSHA", one.sha()), of("EVALSHA_RO", one.sha()), of("EVALSHA", two.sha())];
        assert_eq!(batch.to_bytes(), [whole.concat(), named.concat()].concat());
    }

    /// Runs a batch at a server that keeps `kept` scripts, those used last; says how many sources it was
    /// given.
    fn serve(batch: &Batch, kept: usize) -> usize {
        let (mut scripts, mut sources) = (Vec::new(), 0);
        batch.for_each(|words| {
            let sha = match words[0] {
                b"EVAL" => Script::new(words[1]).sha().to_owned(),
                b"EVALSHA" => String::from_utf8(words[1].to_vec()).unwrap(),
                b"SCRIPT" => return scripts.clear(),
                _ => return,
            };
            sources += usize::from(words[0] == b"EVAL");
            let known = scripts.iter().position(|known| *known == sha);
            assert!(known.is_some() || words[0] == b"EVAL", "NOSCRIPT");
            known.map(|place| scripts.remove(place));
            scripts.push(sha);
            if scripts.len() > kept {
                scripts.remove(0);
            }
        });
        sources
    }

    #[test]
    fn in_one_write_the_source_comes_again_where_a_server_may_have_forgotten_it() {
        let scripts: Vec<_> = (0..700).map(|n| Script::new(format!("return {n}"))).collect();
        let call = |p: &Pipeline, script: &Script| drop(p.run(Invocation::from(script).cmd::<Value>()));
        // All of them, and again, as in the worst case.
        let all = |p: &Pipeline| scripts.iter().chain(&scripts).for_each(|script| call(p, script));
        assert_eq!(serve(&Pipeline::record(all).0, 500), 1400);
        // As many as any server keeps: hardly more than once.
        let few =
            |p: &Pipeline| (0..5).for_each(|_| scripts[..300].iter().for_each(|script| call(p, script)));
        assert_eq!(serve(&Pipeline::record(few).0, 500), 300);
        // The same behind those that came whole, and where all were forgotten.
        let whole = |p: &Pipeline| {
            for n in 0..600 {
                call(p, &scripts[0]);
                drop(p.run(Cmd::<Value>::new("EVAL").arg(format!("return {{{n}}}")).arg(0)));
                call(p, &scripts[1]);
            }
        };
        assert_eq!(serve(&Pipeline::record(whole).0, 500), 600 + 2 * 2);
        let flushed = |p: &Pipeline| {
            for words in ["PING", "SCRIPT FLUSH", "script flush sync", "FUNCTION FLUSH"] {
                call(p, &scripts[0]);
                drop(p.run(words.split(' ').fold(Cmd::<Value>::new(""), Cmd::arg)));
            }
            call(p, &scripts[0]);
        };
        assert_eq!(serve(&Pipeline::record(flushed).0, 500), 3);
    }
}
