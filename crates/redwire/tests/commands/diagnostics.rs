//! What a server tells about its commands, its memory, and what holds it up.

use std::time::Duration;

use redwire::commands::{CommandPattern, CommandlogKind, MemoryStats};
use redwire::prelude::*;
use redwire_testkit::Server;

use crate::each_client;
use crate::harness::{has, since};

const NONE: Option<&str> = None;

#[test]
fn a_server_documents_its_commands() {
    if !since(7, 0) {
        return;
    }
    each_client!(|c, key| {
        let docs = run!(c.command_docs(["lpos", "client|kill", "xinfo", "nosuch"]));
        assert_eq!(docs.len(), 3);
        let lpos = &docs["lpos"];
        assert_eq!((lpos.since.as_str(), lpos.group.as_str()), ("6.0.6", "list"));
        let names: Vec<_> = lpos.arguments.iter().map(|argument| argument.name.as_str()).collect();
        assert_eq!(names, ["key", "element", "rank", "num-matches", "len"]);
        assert_eq!((lpos.arguments[0].kind.as_str(), lpos.arguments[0].key_spec_index), ("key", Some(0)));
        assert_eq!(lpos.arguments[2].token.as_deref(), Some("RANK"));
        assert_eq!(lpos.arguments[2].flags, ["optional"]);
        assert!(docs["client|kill"].history.len() > 3);
        assert!(docs["xinfo"].subcommands.contains_key("xinfo|stream"));
        assert!(lpos.other.is_empty(), "{:?}", lpos.other);
        assert!(run!(c.command_docs(NONE)).len() > 200);
    });
}

#[test]
fn a_server_tells_the_facts_of_its_commands() {
    each_client!(|c, key| {
        let info = run!(c.command_info(["get", "nosuch"]));
        assert_eq!((info.len(), &info[1]), (2, &None));
        let get = info[0].as_ref().unwrap();
        assert_eq!((get.name.as_str(), get.arity, get.first_key, get.step), ("get", 2, 1, 1));
        assert!(get.flags.contains(&"readonly".to_owned()));
        assert!(get.acl_categories.contains(&"@read".to_owned()));
        assert_eq!(get.key_specs.len(), usize::from(since(7, 0)));
        let all = run!(c.command_info(NONE));
        assert!(all.len() > 200 || !since(7, 0), "{}", all.len());
        if since(7, 0) {
            let config = run!(c.command_info("config")).remove(0).unwrap();
            assert!(config.subcommands.iter().any(|command| command.name == "config|get"));
            let names = run!(c.command_list(Some(CommandPattern::Glob("xinfo*".into()))));
            assert!(names.contains(&"xinfo|stream".to_owned()), "{names:?}");
            assert!(run!(c.command_list(Some(CommandPattern::AclCategory("hash".into())))).len() > 10);
            assert!(run!(c.command_list(Some(CommandPattern::Module("nosuch".into())))).is_empty());
            assert!(run!(c.command_list(None)).len() > 200);
            let keys = run!(c.command_getkeysandflags::<Vec<(String, Vec<String>)>>(["MSET", "a", "1"]));
            assert_eq!(keys[0].0, "a");
            assert!(keys[0].1.contains(&"OW".to_owned()));
        }
    });
}

#[test]
fn a_server_tells_what_its_memory_is_for() {
    each_client!(|c, key| {
        run!(c.set(key("k"), "x"));
        let stats: MemoryStats = run!(c.memory_stats());
        assert!(stats.total_allocated > 100_000 && stats.peak_allocated >= stats.startup_allocated);
        assert!(stats.keys_count >= 1 && stats.databases[&0].hashtable_main > 0);
        assert!(stats.dataset_percentage > 0.0 && stats.peak_percentage > 0.0 && stats.fragmentation > 0.0);
        assert!(stats.other.contains_key("allocator.allocated"), "{:?}", stats.other);
        run!(c.memory_purge());
        assert!(!run!(c.memory_doctor()).is_empty() && !run!(c.memory_malloc_stats()).is_empty());
        assert!(!run!(c.latency_doctor()).is_empty());
    });
}

#[test]
fn a_server_tells_how_long_its_commands_took() {
    let server = Server::builder().arg("latency-monitor-threshold", "1").start();
    each_client!(on server, |c, key| {
        run!(c.eval::<()>("local n = 0 for i = 1, 3000000 do n = n + i end", NONE, NONE));
        assert!(run!(c.latency_graph("command")).contains("command"));
        if since(7, 0) {
            run!(c.set("k", "v"));
            let histograms = run!(c.latency_histogram(["set", "zadd"]));
            let set = &histograms["set"];
            assert!(set.calls >= 1 && set.times.last().unwrap().1 == set.calls, "{set:?}");
            assert!(set.times[0].0 > Duration::ZERO);
            assert!(!histograms.contains_key("zadd"));
            assert!(run!(c.latency_histogram(NONE)).contains_key("eval"));
        }
    });
}

#[test]
fn large_commands_and_replies_are_kept() {
    if !has("COMMANDLOG") {
        return;
    }
    let server = Server::builder()
        .arg("commandlog-request-larger-than", "1000")
        .arg("commandlog-reply-larger-than", "1000")
        .start();
    each_client!(on server, |c, key| {
        for kind in [CommandlogKind::Slow, CommandlogKind::LargeRequest, CommandlogKind::LargeReply] {
            run!(c.commandlog_reset(kind));
        }
        run!(c.set("k", "x".repeat(2000)));
        assert_eq!(run!(c.get::<String>("k")).unwrap().len(), 2000);
        assert_eq!(run!(c.commandlog_len(CommandlogKind::LargeRequest)), 1);
        let request = run!(c.commandlog_get(10, CommandlogKind::LargeRequest)).remove(0);
        assert!(request.amount > 2000 && request.words[0].eq_ignore_ascii_case("set"), "{request:?}");
        let reply = run!(c.commandlog_get(10, CommandlogKind::LargeReply)).remove(0);
        assert!(reply.amount > 2000 && reply.words[0].eq_ignore_ascii_case("get"), "{reply:?}");
        assert!(reply.client.contains(':') && reply.time > 1_700_000_000);
    });
}
