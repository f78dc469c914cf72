//! The command line. It knows the options and their defaults, not what they do.

use std::time::Duration;

use crate::Fallible;
use crate::clients::{self, Client};
use crate::workload::{self, Mode, Workload};

/// What `peers --help` prints.
pub const HELP: &str = "\
peers [OPTIONS]                          measure all, print a table per workload
peers run WORKLOAD CLIENT [OPTIONS]      one measurement in this process, one line of JSON
peers count WORKLOAD CLIENT --ops N      exactly N operations, no clock, for callgrind
peers instructions [OPTIONS]             instructions per operation, with valgrind
peers list                               workloads and clients

--only W3.64,W1      workloads; W3 stands for all W3.*        (all)
--clients a,b        clients                                  (all)
--rounds N           interleaved rounds                       (5)
--seconds S          measured per round and client            (0.7)
--warm-up S          before each measurement                  (0.2)
--pin one|two|none   server and client on one core, on one core each, or free; W3m is free (one)
--server PATH        the server to start                      (redis-server or valkey-server on PATH)
--markdown           tables in Markdown
--smoke              each once for 0.05 s, to see that all works
--mode blocking|async   run, count: how to wait               (the first that the client has)
--addr HOST:PORT,…      run, count: a loaded server, or the nodes of a cluster (starts private ones)
--ops N                 count: how many operations";

/// Which cores server and client run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pin {
    /// Both on core 0.
    One,
    /// The server on core 0, the client on core 1.
    Two,
    /// Wherever the kernel puts them.
    Free,
}

/// The options with their defaults filled in.
pub struct Options {
    /// Words that are not options.
    pub words: Vec<String>,
    /// Selected workloads.
    pub workloads: Vec<&'static Workload>,
    /// Selected clients.
    pub clients: Vec<&'static Client>,
    /// Interleaved rounds.
    pub rounds: usize,
    /// Time of one measurement.
    pub measure: Duration,
    /// Time before it.
    pub warm_up: Duration,
    /// Which cores.
    pub pin: Pin,
    /// The server program.
    pub server: Option<String>,
    /// Whether tables are Markdown.
    pub markdown: bool,
    /// How a single child waits.
    pub mode: Option<Mode>,
    /// The server a single child uses.
    pub addr: Option<String>,
    /// Operations of a count.
    pub ops: Option<u64>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            words: Vec::new(),
            workloads: workload::ALL.iter().collect(),
            clients: clients::ALL.iter().collect(),
            rounds: 5,
            measure: Duration::from_millis(700),
            warm_up: Duration::from_millis(200),
            pin: Pin::One,
            server: None,
            markdown: false,
            mode: None,
            addr: None,
            ops: None,
        }
    }
}

/// Reads the command line.
///
/// # Errors
/// Names the option or the value that is not known.
pub fn parse(args: impl Iterator<Item = String>) -> Fallible<Options> {
    let mut options = Options::default();
    let mut args = args;
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--markdown" => options.markdown = true,
            "--smoke" => {
                options.rounds = 1;
                options.measure = Duration::from_millis(50);
                options.warm_up = Duration::from_millis(10);
            }
            name if name.starts_with("--") => {
                let value = args.next().ok_or_else(|| format!("{name} needs a value"))?;
                set(&mut options, name, &value).map_err(|e| format!("{name} {value}: {e}"))?;
            }
            _ => options.words.push(arg),
        }
    }
    Ok(options)
}

fn set(options: &mut Options, name: &str, value: &str) -> Fallible<()> {
    match name {
        "--only" => options.workloads = selected(value)?,
        "--clients" => {
            let find = |name| {
                clients::find(name).ok_or_else(|| format!("no client {name}; see `peers list`").into())
            };
            options.clients = value.split(',').map(find).collect::<Fallible<_>>()?;
        }
        "--rounds" => options.rounds = value.parse::<usize>()?.max(1),
        "--seconds" => options.measure = Duration::try_from_secs_f64(value.parse()?)?,
        "--warm-up" => options.warm_up = Duration::try_from_secs_f64(value.parse()?)?,
        "--pin" => {
            options.pin = match value {
                "one" => Pin::One,
                "two" => Pin::Two,
                "none" => Pin::Free,
                _ => return Err("one, two or none".into()),
            }
        }
        "--server" => options.server = Some(value.to_owned()),
        "--mode" => {
            let modes = [Mode::Blocking, Mode::Async];
            options.mode = Some(modes.into_iter().find(|m| m.name() == value).ok_or("blocking or async")?);
        }
        "--addr" => options.addr = Some(value.to_owned()),
        "--ops" => options.ops = Some(value.parse()?),
        _ => return Err("no such option; see --help".into()),
    }
    Ok(())
}

/// The workloads of a list of names, where a name also stands for all that continue it after a dot.
fn selected(list: &str) -> Fallible<Vec<&'static Workload>> {
    let mut chosen = Vec::new();
    for name in list.split(',') {
        let family = format!("{name}.");
        let before = chosen.len();
        chosen.extend(workload::ALL.iter().filter(|w| w.name == name || w.name.starts_with(&family)));
        if chosen.len() == before {
            return Err(format!("no workload {name}; see `peers list`").into());
        }
    }
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Fallible<Options> {
        parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn a_family_stands_for_its_members() {
        let names = |line| parsed(line).map(|o| o.workloads.iter().map(|w| w.name).collect::<Vec<_>>());
        assert_eq!(names("--only W5,W1").unwrap(), ["W5.l", "W5.h", "W1"]);
        assert_eq!(names("--only W3m.64").unwrap(), ["W3m.64"]);
    }

    #[test]
    fn what_is_unknown_is_named() {
        for (line, named) in [("--only W99", "W99"), ("--clients nobody", "nobody"), ("--fast yes", "--fast")]
        {
            let error = parsed(line).err().map(|e| e.to_string()).unwrap_or_default();
            assert!(error.contains(named), "{line}: {error}");
        }
    }
}
