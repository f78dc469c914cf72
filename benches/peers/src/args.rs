//! The command line. It knows the options and their defaults, not what they do.

use std::path::PathBuf;
use std::time::Duration;

use crate::Fallible;
use crate::clients::{self, Client};
use crate::workload::{self, Cores, Mode, Workload};

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
--seconds S          measured per round and client            (0.15)
--warm-up S          before each measurement                  (0.05)
--pin one|two|none   server and client on one core, on one core each, or free (each workload its own;
                     those that are free remain so)
--server PATH        the server to start; several times: a report on each
                     (REDWIRE_SERVER, or redis-server or valkey-server on PATH)
--markdown           one table per server in Markdown, of redwire's rows, as the README has it
--details            with it, those of all clients, too
--smoke              each once for 0.05 s, to see that all works
--mode blocking|async   run, count: how to wait               (the first that the client has)
--addr HOST:PORT,…      run, count: a loaded server, or the nodes of a cluster (starts private ones)
--ca FILE               run, count: the certificate of the authority to trust, where TLS is spoken
--ops N                 count: how many operations";

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
    /// Which cores, where a workload's own are not meant.
    pub pin: Option<Cores>,
    /// The server programs.
    pub servers: Vec<String>,
    /// Whether the report is a table per server, in Markdown.
    pub markdown: bool,
    /// Whether all clients are told of in Markdown, too.
    pub details: bool,
    /// How a single child waits.
    pub mode: Option<Mode>,
    /// The server a single child uses.
    pub addr: Option<String>,
    /// The certificate of the authority that a single child trusts.
    pub ca: Option<PathBuf>,
    /// Operations of a count.
    pub ops: Option<u64>,
}

impl Options {
    /// The server program, where only one can be meant.
    pub fn server(&self) -> Option<&str> {
        self.servers.first().map(String::as_str)
    }

    /// The cores that a workload is measured on.
    pub fn cores(&self, workload: &Workload) -> Cores {
        match (workload.cores, self.pin) {
            // Several threads and a server need more than one core, whatever is asked for the others.
            (Cores::Free, _) => Cores::Free,
            (own, pin) => pin.unwrap_or(own),
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            words: Vec::new(),
            workloads: workload::ALL.iter().collect(),
            clients: clients::ALL.iter().collect(),
            rounds: 5,
            measure: Duration::from_millis(150),
            warm_up: Duration::from_millis(50),
            pin: None,
            servers: Vec::new(),
            markdown: false,
            details: false,
            mode: None,
            addr: None,
            ca: None,
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
            "--details" => options.details = true,
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
            options.pin = Some(match value {
                "one" => Cores::One,
                "two" => Cores::Two,
                "none" => Cores::Free,
                _ => return Err("one, two or none".into()),
            });
        }
        "--server" => options.servers.push(value.to_owned()),
        "--mode" => {
            let modes = [Mode::Blocking, Mode::Async];
            options.mode = Some(modes.into_iter().find(|m| m.name() == value).ok_or("blocking or async")?);
        }
        "--addr" => options.addr = Some(value.to_owned()),
        "--ca" => options.ca = Some(PathBuf::from(value)),
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
        assert_eq!(names("--only W5,W1").unwrap(), ["W5.l", "W5.b", "W5.h", "W1"]);
        assert_eq!(names("--only W3m.64").unwrap(), ["W3m.64"]);
    }

    #[test]
    fn several_servers_are_reported_on_in_turn() {
        let options = parsed("--server one --markdown --server two").unwrap();
        assert_eq!(options.servers, ["one", "two"]);
    }

    #[test]
    fn threads_are_never_bound_to_one_core() {
        let cores = |line| {
            let options = parsed(line).unwrap();
            options.workloads.iter().map(|workload| options.cores(workload)).collect::<Vec<_>>()
        };
        assert_eq!(cores("--only W1,W3x.64,W3m.64"), [Cores::One, Cores::Two, Cores::Free]);
        assert_eq!(cores("--only W1,W3x.64,W3m.64 --pin one"), [Cores::One, Cores::One, Cores::Free]);
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
