//! The server itself: its data as a whole, settings, users, figures and replication.

use std::collections::HashMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use redwire::ErrorKind;
use redwire::commands::{AclDryRun, FailoverOptions, FlushMode, ModuleOptions, Role, ShutdownOptions};
use redwire::prelude::*;
use redwire_testkit::{Server, eventually};

use crate::each_client;
use crate::harness::since;

const LIMIT: Duration = Duration::from_secs(10);

#[test]
fn a_server_tells_about_itself() {
    each_client!(|c, key| {
        let info = run!(c.info("server"));
        assert!(info.get("redis_version").unwrap().contains('.'));
        assert_eq!(info.get("redis"), None);
        assert!(info.parse::<u32>("process_id").unwrap() > 1);
        assert!(info.text().starts_with("# Server"));
        let (seconds, micros) = run!(c.time());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        assert!(now.abs_diff(seconds) < 60 && micros < 1_000_000);
        assert!(run!(c.command_count()) > 200);
        assert_eq!(run!(c.command_getkeys::<Vec<String>>(["MSET", "a", "1", "b", "2"])), ["a", "b"]);
        run!(c.set(key("a"), "x"));
        assert!(run!(c.memory_usage(key("a"))).unwrap() > 10);
        assert_eq!(run!(c.memory_usage(key("none"))), None);
    });
}

#[test]
fn data_are_counted_swapped_and_flushed() {
    let server = Server::start();
    each_client!(on server, |c, key| {
        run!(c.set("a", 1));
        assert_eq!(run!(c.dbsize()), 1);
        run!(c.swapdb(0, 1));
        assert_eq!(run!(c.dbsize()), 0);
        run!(c.set("b", 1));
        run!(c.flushdb(FlushMode::Sync));
        assert_eq!(run!(c.dbsize()), 0);
        run!(c.swapdb(0, 1));
        assert_eq!(run!(c.dbsize()), 1);
        run!(c.flushall(FlushMode::Async));
        assert_eq!(run!(c.dbsize()), 0);
    });
}

#[test]
fn settings_are_read_and_changed() {
    let server = Server::start();
    each_client!(on server, |c, key| {
        run!(c.config_set(("maxmemory-samples", 7)));
        let got: HashMap<String, String> = run!(c.config_get("maxmemory-samples"));
        assert_eq!(got, HashMap::from([("maxmemory-samples".to_owned(), "7".to_owned())]));
        if since(7, 0) {
            run!(c.config_set([("maxmemory-samples", "6"), ("slowlog-max-len", "9")]));
            let got: HashMap<String, u32> = run!(c.config_get(["maxmemory-samples", "slowlog-max-len"]));
            assert_eq!(got["maxmemory-samples"] + got["slowlog-max-len"], 15);
        }
        run!(c.config_rewrite());
        run!(c.config_resetstat());
        assert_eq!(run!(c.info("stats")).parse::<u32>("expired_keys"), Some(0));
    });
}

#[test]
fn data_are_saved() {
    let server = Server::start();
    let idle = || {
        let persistence = server.command(&["INFO", "persistence"]).unwrap();
        persistence.contains("rdb_bgsave_in_progress:0") && persistence.contains("aof_rewrite_in_progress:0")
    };
    each_client!(on server, |c, key| {
        run!(c.save());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        assert!(run!(c.lastsave()).abs_diff(now) < 60);
        run!(c.bgsave());
        eventually("the data are saved", LIMIT, idle);
        run!(c.bgrewriteaof());
        eventually("the file is written", LIMIT, idle);
    });
}

#[test]
fn refusals_are_kept_and_users_saved() {
    let file = tempfile();
    let server = Server::builder().arg("aclfile", file.to_str().unwrap()).start();
    each_client!(on server, |c, key| {
        run!(c.acl_setuser("joe", ["reset", "on", ">pw", "~x", "+get", "+client"]));
        run!(c.acl_log_reset());
        let url = format!("redis://joe:pw@127.0.0.1:{}", server.port());
        let joe = redwire::blocking::Client::connect(&url).unwrap();
        joe.set("k", "v").unwrap_err();
        let log = run!(c.acl_log(10));
        assert_eq!(log.len(), 1, "{log:?}");
        let entry = &log[0];
        assert_eq!((entry.count, entry.reason.as_str(), entry.context.as_str()), (1, "command", "toplevel"));
        assert_eq!((&*entry.object, &*entry.username, entry.client.user()), ("set", "joe", Some("joe")));
        assert!(entry.age < LIMIT && entry.other.is_empty(), "{entry:?}");
        assert_eq!(entry.entry_id.is_some() && entry.created.is_some(), since(7, 2));
        run!(c.acl_save());
        assert!(std::fs::read_to_string(&file).unwrap().contains("user joe on"));
        run!(c.acl_deluser("joe"));
        run!(c.acl_load());
        assert!(run!(c.acl_users()).contains(&"joe".to_owned()));
        if since(7, 0) {
            assert_eq!(run!(c.acl_dryrun("joe", ["GET", "x"])), AclDryRun::Allowed);
            let denied = run!(c.acl_dryrun("joe", ["SET", "x", "1"]));
            assert!(matches!(&denied, AclDryRun::Denied(why) if why.contains("set")), "{denied:?}");
            try_run!(c.acl_dryrun("nobody", ["GET", "x"])).unwrap_err();
        }
    });
    std::fs::remove_file(&file).unwrap();
}

/// An empty file of the test's own.
fn tempfile() -> std::path::PathBuf {
    let path = std::env::temp_dir().join(format!("redwire-users-{}.acl", std::process::id()));
    std::fs::write(&path, "").unwrap();
    path
}

#[test]
fn a_server_that_is_told_to_ends() {
    let server = Server::start();
    each_client!(on server, |c, key| {
        let error = try_run!(c.shutdown_abort()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Response, "{error}");
        run!(c.shutdown(ShutdownOptions::new().nosave()));
        eventually("it ends", LIMIT, || !server.is_up());
        server.restart();
        if since(7, 0) {
            run!(c.shutdown(ShutdownOptions::new().save().now().force()));
            eventually("it ends", LIMIT, || !server.is_up());
            server.restart();
        }
    });
}

#[test]
fn a_server_hands_over() {
    let (server, replica) = (Server::builder().arg("repl-diskless-sync-delay", "0").start(), Server::start());
    let is = |server: &Server, word: &str| server.command(&["ROLE"]).is_ok_and(|role| role.contains(word));
    each_client!(on server, |c, key| {
        try_run!(c.failover_abort()).unwrap_err();
        replica.command(&["REPLICAOF", "127.0.0.1", &server.port().to_string()]).unwrap();
        eventually("it follows", LIMIT, || {
            is(&replica, "connected") && is(&server, &replica.port().to_string())
        });
        let options = FailoverOptions::new().to("127.0.0.1", replica.port()).timeout(LIMIT);
        run!(c.failover(options));
        eventually("it has handed over", LIMIT, || is(&server, "slave") && is(&replica, "master"));
        run!(c.replicaof_no_one());
    });
}

#[test]
fn modules_are_told_and_refused() {
    each_client!(|c, key| {
        let modules = run!(c.module_list());
        assert!(modules.iter().all(|module| !module.name.is_empty() && module.version > 0), "{modules:?}");
        assert!(modules.iter().all(|module| module.other.is_empty()), "{modules:?}");
        try_run!(c.module_load("/nosuch.so", ["a"])).unwrap_err();
        try_run!(c.module_unload("nosuch")).unwrap_err();
        if since(7, 0) {
            try_run!(c.module_loadex("/nosuch.so", ModuleOptions::new().config("m.a", "1").arg("x")))
                .unwrap_err();
        }
        assert!(run!(c.lolwut()).contains("ver"));
    });
}

#[test]
fn slow_commands_are_kept() {
    let server = Server::builder().arg("slowlog-log-slower-than", "0").start();
    each_client!(on server, |c, key| {
        run!(c.slowlog_reset());
        run!(c.set("key of a slow command", [0xff_u8]));
        assert!(run!(c.slowlog_len()) >= 2);
        let entries = run!(c.slowlog_get(10));
        let entry = entries.iter().find(|entry| entry.words[0].eq_ignore_ascii_case("SET")).unwrap();
        assert_eq!(&*entry.words[1], "key of a slow command");
        assert!(entry.client.contains(':') && entry.client_name.is_empty());
        assert!(entry.time > 1_700_000_000 && entry.duration < LIMIT);
        assert_eq!(run!(c.slowlog_get(1)).len(), 1);
    });
}

#[test]
fn what_held_the_server_up_is_kept() {
    let server = Server::builder().arg("latency-monitor-threshold", "1").start();
    each_client!(on server, |c, key| {
        let none: Option<&str> = None;
        let spin = "local n = 0 for i = 1, 3000000 do n = n + i end";
        run!(c.eval::<()>(spin, none, none));
        let events = run!(c.latency_latest());
        let event = events.iter().find(|event| event.name == "command").unwrap();
        assert!(event.latest >= Duration::from_millis(1) && event.longest >= event.latest);
        assert_eq!(run!(c.latency_history("command"))[0].0, event.time);
        assert!(run!(c.latency_reset()) >= 1);
        assert!(run!(c.latency_latest()).is_empty());
    });
}

#[test]
fn servers_follow_each_other() {
    let primary = Server::builder().arg("repl-diskless-sync-delay", "0").start();
    let replica = Server::start();
    each_client!(on replica, |c, key| {
        assert!(matches!(run!(c.role()), Role::Primary { replicas, .. } if replicas.is_empty()));
        run!(c.replicaof("127.0.0.1", primary.port()));
        eventually("the replica has come", LIMIT, || {
            let knows = |server: &Server, word| {
                server.command(&["ROLE"]).is_ok_and(|role| role.contains(word))
            };
            knows(&replica, "connected") && knows(&primary, &replica.port().to_string())
        });
        let Role::Replica { host, port, state, .. } = run!(c.role()) else { panic!("it follows") };
        assert_eq!((host.as_str(), port, state.as_str()), ("127.0.0.1", primary.port(), "connected"));
        let other = redwire::blocking::Client::connect(&primary.url()).unwrap();
        let Role::Primary { replicas, .. } = other.role().unwrap() else { panic!("it is followed") };
        assert_eq!((replicas.len(), replicas[0].1), (1, replica.port()));
        assert_eq!(other.wait(1, LIMIT).unwrap(), 1);
        run!(c.replicaof_no_one());
        assert!(matches!(run!(c.role()), Role::Primary { .. }));
    });
}

#[test]
fn users_are_made_described_and_deleted() {
    let server = Server::start();
    each_client!(on server, |c, key| {
        assert_eq!(run!(c.acl_whoami()), "default");
        run!(c.acl_setuser("ann", ["on", ">secret", "~cache:*", "resetchannels", "&news", "-@all", "+get"]));
        assert_eq!(run!(c.acl_users()).len(), 2);
        assert!(run!(c.acl_list()).iter().any(|line| line.starts_with("user ann on")));
        let ann = run!(c.acl_getuser("ann")).unwrap();
        assert!(ann.flags.contains(&"on".to_owned()));
        assert_eq!(ann.passwords.len(), 1);
        assert_eq!(ann.commands, "-@all +get");
        assert_eq!((ann.keys, ann.channels), (vec!["~cache:*".to_owned()], vec!["&news".to_owned()]));
        if since(7, 0) {
            run!(c.acl_setuser("ann", ["~b", "(+set ~x &y)"]));
            let ann = run!(c.acl_getuser("ann")).unwrap();
            assert_eq!(ann.keys, ["~cache:*", "~b"]);
            assert_eq!(ann.selectors[0].commands, "-@all +set");
            assert_eq!((&ann.selectors[0].keys[0][..], &ann.selectors[0].channels[0][..]), ("~x", "&y"));
        }
        assert_eq!(run!(c.acl_getuser("nobody")), None);
        assert_eq!(run!(c.acl_deluser(["ann", "nobody"])), 1);
        assert!(run!(c.acl_cat()).contains(&"hash".to_owned()));
        assert!(run!(c.acl_cat_of("hash")).contains(&"hget".to_owned()));
        assert_eq!(run!(c.acl_genpass(64)).len(), 16);
    });
}
