//! What goes wrong at the server: passwords, rights, databases, limits, and servers of the wrong kind.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use redwire_testkit::{Server, eventually};

use crate::{doctor, redwire};

const LIMIT: Duration = Duration::from_secs(5);

/// A URL of the server, with this between the scheme and the host.
fn url(server: &Server, login: &str) -> String {
    format!("redis://{login}{}", server.addr())
}

#[test]
fn all_is_well() {
    let server = Server::start();
    for options in [&[][..], &["--blocking"]] {
        for url in [server.url(), server.unix_url()] {
            let report = doctor(&url, options);
            assert_eq!(report.json["verdict"], "good", "{:#}", report.json);
            let latency = &report.layer("latency")["detail"];
            assert_eq!(latency["probes"], 100);
            assert!(latency["min_us"].as_f64() <= latency["max_us"].as_f64(), "{latency}");
            let told = &report.layer("server")["detail"];
            assert_eq!((&told["role"], &told["takes_writes"]), (&"master".into(), &true.into()));
            assert_eq!(report.layer("acl")["detail"]["may_not"], serde_json::json!([]));
            assert_eq!(report.layer("settings")["detail"]["client_connect_timeout_ms"], 2000);
        }
    }
    // It leaves nothing behind.
    assert_eq!(server.command(&["DBSIZE"]).unwrap(), "0");
}

#[test]
fn people_get_lines_and_no_password() {
    let server = Server::builder().password("s3cret").start();
    let output = redwire(&["doctor", "--color", "never", "--url", &server.url()]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    for word in ["redis://:***@", "good     tcp", "skipped  tls", "median", "RESP3"] {
        assert!(text.contains(word), "{word:?} is not in {text}");
    }
    assert!(!text.contains("s3cret"), "{text}");
}

#[test]
fn no_password_given() {
    let server = Server::builder().password("word").start();
    for url in [url(&server, ""), format!("{}?protocol=2", url(&server, ""))] {
        doctor(&url, &[])
            .says("handshake", "bad", &["wants a password", "REDWIRE_PASSWORD"])
            .skips_from("acl");
    }
}

#[test]
fn a_wrong_password() {
    let server = Server::builder().password("word").start();
    let report = doctor(&url(&server, ":s3cret@"), &[]);
    report.says("handshake", "bad", &["does not accept this password", "percent-encoded"]).skips_from("acl");
    assert!(!report.json.to_string().contains("s3cret"), "{}", report.json);
}

#[test]
fn a_user_without_rights() {
    let server = Server::builder()
        .acl_line("user none on >pw")
        .acl_line("user few on >pw ~* &* +get +ping +select +info")
        .acl_line("user deaf on >pw ~* &* +@all -ping")
        .start();
    let report = doctor(&url(&server, "none:pw@"), &[]);
    report.says("acl", "bad", &["may do nothing", "ACL SETUSER none"]);
    let report = doctor(&url(&server, "few:pw@"), &[]);
    report.says("acl", "warning", &["CLIENT SETNAME", "+@connection"]);
    assert_eq!(report.json["verdict"], "good");
    assert!(
        report.layer("acl")["detail"]["may"].as_array().unwrap().contains(&"GET".into()),
        "{}",
        report.json
    );
    doctor(&url(&server, "deaf:pw@"), &[]).says("acl", "bad", &["may not run PING"]);
}

#[test]
fn a_database_that_is_not_there() {
    let server = Server::start();
    let report = doctor(&format!("{}/99", server.url()), &[]);
    report.says("handshake", "good", &[]).says("select", "bad", &["no database 99", "databases"]);
    // What follows is looked at all the same; on a loaded machine with a warning.
    assert_ne!(report.layer("latency")["verdict"], "skipped", "{}", report.json);
    doctor(&format!("{}/15", server.url()), &[]).says("select", "good", &[]);
}

#[test]
fn a_cluster_node_by_a_plain_url() {
    let server = Server::builder().arg("cluster-enabled", "yes").start();
    let report = doctor(&server.url(), &[]);
    report.says("topology", "bad", &["node of a cluster", "MOVED", "redis+cluster://"]);
}

#[test]
fn a_frozen_server() {
    let server = Server::start();
    server.freeze();
    let report = doctor(&format!("{}?connect_timeout=300ms", server.url()), &[]);
    report.says("tcp", "good", &[]).says("handshake", "bad", &["did not answer", "frozen"]).skips_from("acl");
}

#[test]
fn a_server_that_loads() {
    // Servers before 7.0 answer no client while so little is loaded.
    if Server::start().version() < (7, 0, 0) {
        return;
    }
    let server = Server::builder()
        .arg("enable-debug-command", "yes")
        .arg("loading-process-events-interval-bytes", "1024")
        .start();
    let filled = "for i = 1, 2000 do redis.call('SET', 'k' .. i, string.rep('x', 100)) end";
    server.command(&["EVAL", filled, "0"]).unwrap();
    // Microseconds for each key: four seconds in all, if the server were not ended.
    server.command(&["CONFIG", "SET", "key-load-delay", "2000"]).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| server.command(&["DEBUG", "RELOAD"]));
        let loading =
            || server.command(&["INFO", "persistence"]).is_ok_and(|info| info.contains("\nloading:1"));
        eventually("the server loads", LIMIT, loading);
        let report = doctor(&server.url(), &[]);
        report.says("handshake", "good", &[]).says("server", "bad", &["loading its data", "Wait"]);
        server.command(&["CONFIG", "SET", "key-load-delay", "0"]).unwrap();
    });
}

#[test]
fn as_many_clients_as_may_be() {
    let server = Server::builder().arg("maxclients", "12").start();
    let taken: Vec<TcpStream> = std::iter::from_fn(|| {
        let mut stream = TcpStream::connect(server.addr()).unwrap();
        stream.write_all(b"PING\r\n").unwrap();
        let mut answer = [0; 5];
        (stream.read_exact(&mut answer).is_ok() && &answer == b"+PONG").then_some(stream)
    })
    .collect();
    assert!(taken.len() > 5, "{}", taken.len());
    let report = doctor(&server.url(), &[]);
    report
        .says("tcp", "good", &[])
        .says("handshake", "bad", &["maxclients", "CLIENT LIST"])
        .skips_from("acl");
}

#[test]
fn a_full_server() {
    let server = Server::builder().arg("maxmemory", "1").arg("maxmemory-policy", "noeviction").start();
    doctor(&server.url(), &[]).says("server", "bad", &["server is full", "maxmemory"]);
}

#[test]
fn a_server_that_could_not_save() {
    let builder = Server::builder().arg("save", "3600 1");
    // Servers before 7.0 protect nothing, and do not know the directive.
    let server = builder
        .clone()
        .arg("enable-protected-configs", "yes")
        .start_or_err()
        .unwrap_or_else(|_| builder.start());
    let dir = server.dir().join("gone");
    std::fs::create_dir(&dir).unwrap();
    server.command(&["CONFIG", "SET", "dir", dir.to_str().unwrap()]).unwrap();
    server.command(&["SET", "k", "v"]).unwrap();
    std::fs::remove_dir(&dir).unwrap();
    server.command(&["BGSAVE"]).unwrap();
    let failed =
        || server.command(&["INFO", "persistence"]).is_ok_and(|info| info.contains("bgsave_status:err"));
    eventually("a snapshot fails", LIMIT, failed);
    doctor(&server.url(), &[]).says("server", "bad", &["snapshot failed", "could not save", "full disk"]);
}

#[test]
fn a_replica_that_is_read_only() {
    let master = Server::builder().arg("repl-diskless-sync-delay", "0").start();
    let replica = Server::builder().arg("replicaof", &format!("127.0.0.1 {}", master.port())).start();
    let up =
        || replica.command(&["INFO", "replication"]).is_ok_and(|info| info.contains("master_link_status:up"));
    eventually("the link is up", LIMIT, up);
    let report = doctor(&replica.url(), &[]);
    report.says("server", "warning", &["replica, and read-only", "topology"]).says("topology", "good", &[]);
    let known = || master.command(&["INFO", "replication"]).is_ok_and(|info| info.contains("state=online"));
    eventually("the replica is known", LIMIT, known);
    let report = doctor(&master.url(), &[]);
    assert_eq!(report.layer("topology")["detail"]["servers"][0]["from_here"], "open");
    master.kill();
    let down = || {
        replica.command(&["INFO", "replication"]).is_ok_and(|info| info.contains("master_link_status:down"))
    };
    eventually("the link is down", LIMIT, down);
    let report = doctor(&replica.url(), &[]);
    report.says("server", "bad", &["no link to its master"]).says(
        "topology",
        "warning",
        &["master", "refused"],
    );
}

#[test]
fn timeouts_that_do_not_fit_together() {
    let server =
        Server::builder().arg("timeout", "2").arg("tcp-keepalive", "0").arg("maxclients", "40").start();
    let report = doctor(&format!("{}?idle_timeout=1m&timeout=1s", server.url()), &[]);
    let words =
        ["idle for 2s", "`idle_timeout`", "`health_check_interval`", "tcp-keepalive", "`max_connections`"];
    report.says("settings", "warning", &words).says(
        "settings",
        "warning",
        &["longer than `connect_timeout`"],
    );
    let fit = "idle_timeout=1s&health_check_interval=500ms&max_connections=5";
    server.command(&["CONFIG", "SET", "tcp-keepalive", "300"]).unwrap();
    doctor(&format!("{}?{fit}", server.url()), &[]).says("settings", "good", &[]);
}
