//! Scripts, and libraries of functions.

use redwire::commands::{FlushMode, RestorePolicy};
use redwire::prelude::*;
use redwire_testkit::Server;

use crate::each_client;
use crate::harness::{has, since};

const NONE: Option<&str> = None;

#[test]
fn scripts_run_with_keys_and_arguments() {
    each_client!(|c, key| {
        let script = "return {KEYS[1], KEYS[2], ARGV[1], #KEYS, #ARGV}";
        let (one, two) = (key("1"), key("2"));
        let got: (String, String, String, u32, u32) = run!(c.eval(script, [&one, &two], "x"));
        assert_eq!(got, (one.clone(), two, "x".to_owned(), 2, 1));
        assert_eq!(run!(c.eval::<u32>("return #KEYS + #ARGV", NONE, NONE)), 0);
        assert_eq!(run!(c.eval::<Option<u32>>("return nil", NONE, [1, 2])), None);
        run!(c.eval::<()>("return redis.call('SET', KEYS[1], ARGV[1])", &one, 7));
        assert_eq!(run!(c.get::<u32>(&one)), Some(7));
        let failed = try_run!(c.eval::<()>("return redis.error_reply('MINE no')", NONE, NONE));
        assert_eq!(failed.unwrap_err().code(), Some("MINE"));
        if since(7, 0) {
            assert_eq!(run!(c.eval_ro::<u32>("return redis.call('GET', KEYS[1])", &one, NONE)), 7);
            let writes = c.eval_ro::<()>("return redis.call('SET', KEYS[1], 1)", &one, NONE);
            assert!(try_run!(writes).is_err());
        }
    });
}

#[test]
fn scripts_are_kept_by_the_server() {
    let server = Server::start();
    each_client!(on server, |c, key| {
        let sha = run!(c.script_load("return 40 + ARGV[1]"));
        assert_eq!(sha.len(), 40);
        assert_eq!(run!(c.evalsha::<u32>(&sha, NONE, 2)), 42);
        if since(7, 0) {
            assert_eq!(run!(c.evalsha_ro::<u32>(&sha, NONE, 2)), 42);
        }
        assert_eq!(run!(c.script_exists([sha.as_str(), "none"])), [true, false]);
        run!(c.script_flush(FlushMode::Sync));
        let failed = try_run!(c.evalsha::<u32>(&sha, NONE, 2)).unwrap_err();
        assert_eq!(failed.code(), Some("NOSCRIPT"));
        assert_eq!(try_run!(c.script_kill()).unwrap_err().code(), Some("NOTBUSY"));
    });
}

const LIBRARY: &str = "#!lua name=math
redis.register_function{function_name = 'double', description = 'twice as much', flags = {'no-writes'},
    callback = function(keys, args) return 2 * args[1] end}
redis.register_function('put', function(keys, args) return redis.call('SET', keys[1], args[1]) end)";

#[test]
fn functions_live_in_libraries() {
    if !since(7, 0) {
        return;
    }
    let server = Server::start();
    each_client!(on server, |c, key| {
        assert_eq!(run!(c.function_load(LIBRARY)), "math");
        assert!(try_run!(c.function_load(LIBRARY)).is_err());
        assert_eq!(run!(c.function_load_replace(LIBRARY)), "math");
        assert_eq!(run!(c.fcall_ro::<u32>("double", NONE, 21)), 42);
        run!(c.fcall::<()>("put", key("a"), "x"));
        assert_eq!(run!(c.get::<String>(key("a"))), Some("x".to_owned()));

        let libraries = run!(c.function_list("m*"));
        assert_eq!((libraries[0].name.as_str(), libraries[0].engine.as_str()), ("math", "LUA"));
        assert_eq!(libraries[0].code, None);
        let double = libraries[0].functions.iter().find(|function| function.name == "double").unwrap();
        assert_eq!(double.description.as_deref(), Some("twice as much"));
        assert_eq!(double.flags, ["no-writes"]);
        let put = libraries[0].functions.iter().find(|function| function.name == "put").unwrap();
        assert_eq!((&put.description, put.flags.len()), (&None, 0));
        assert_eq!(run!(c.function_list_withcode("math"))[0].code.as_deref(), Some(LIBRARY));
        assert!(run!(c.function_list("none")).is_empty());

        let stats = run!(c.function_stats());
        assert_eq!(stats.running, None);
        assert_eq!((stats.engines["LUA"].libraries, stats.engines["LUA"].functions), (1, 2));
        let payload = run!(c.function_dump());
        run!(c.function_delete("math"));
        assert!(try_run!(c.function_delete("math")).is_err());
        run!(c.function_restore(&payload, RestorePolicy::Append));
        assert!(try_run!(c.function_restore(&payload, RestorePolicy::Append)).is_err());
        run!(c.function_restore(&payload, RestorePolicy::Replace));
        run!(c.function_restore(&payload, RestorePolicy::Flush));
        assert_eq!(run!(c.function_list("*")).len(), 1);
        run!(c.function_flush(FlushMode::Sync));
        assert!(run!(c.function_list("*")).is_empty());
        assert_eq!(try_run!(c.function_kill()).unwrap_err().code(), Some("NOTBUSY"));
    });
}

#[test]
fn a_function_that_runs_is_seen_and_ended() {
    if !since(7, 0) {
        return;
    }
    let server = Server::builder().arg("busy-reply-threshold", "1").start();
    let endless = "#!lua name=slow\nredis.register_function('endless', function() while true do end end)";
    each_client!(on server, |c, key| {
        run!(c.function_load_replace(endless));
        let other = redwire::blocking::Client::connect(&server.url()).unwrap();
        let runs = std::thread::spawn(move || other.fcall::<()>("endless", NONE, "word"));
        // The server answers only once the function has run for longer than the threshold, and then only
        // this.
        let running = loop {
            if let Some(running) = run!(c.function_stats()).running {
                break running;
            }
            assert!(!runs.is_finished(), "it runs until it is ended");
            std::thread::sleep(std::time::Duration::from_millis(1));
        };
        assert_eq!(running.name, "endless");
        assert_eq!(running.command.last().map(|word| &**word), Some("word"));
        run!(c.function_kill());
        assert!(runs.join().unwrap().is_err());
    });
}

#[test]
fn a_script_is_shown() {
    if !has("SCRIPT|SHOW") {
        return;
    }
    each_client!(|c, key| {
        let sha = run!(c.script_load("return 1"));
        assert_eq!(run!(c.script_show(sha)), "return 1");
        try_run!(c.script_show("0".repeat(40))).unwrap_err();
    });
}
