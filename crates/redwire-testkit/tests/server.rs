//! Real servers: how they start, answer, stand still, die, come back and go.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use redwire_testkit::{Server, eventually, servers_from_env, shared};

const LIMIT: Duration = Duration::from_secs(10);

#[test]
fn it_answers_on_tcp_and_on_its_unix_socket() {
    for binary in servers_from_env() {
        let server = Server::builder().binary(&binary).start();
        let mut tcp = TcpStream::connect(server.addr()).unwrap();
        assert_eq!(ask(&mut tcp, b"PING\r\n", 7), b"+PONG\r\n", "{}", binary.display());
        let mut unix = UnixStream::connect(server.unix_path()).unwrap();
        unix.write_all(b"PING\r\n").unwrap();
        let mut reply = [0; 7];
        unix.read_exact(&mut reply).unwrap();
        assert_eq!(&reply, b"+PONG\r\n");
        assert_eq!(server.url(), format!("redis://127.0.0.1:{}", server.port()));
        assert_eq!(server.unix_url(), format!("unix://{}", server.unix_path().display()));
    }
}

#[test]
fn it_knows_its_version() {
    for binary in servers_from_env() {
        let server = Server::builder().binary(&binary).start();
        let info = server.command(&["INFO", "server"]).unwrap();
        let field = if server.is_valkey() { "valkey_version" } else { "redis_version" };
        let (major, minor, patch) = server.version();
        assert!(info.contains(&format!("{field}:{major}.{minor}.{patch}")), "{info}");
        assert_eq!(server.is_valkey(), info.contains("valkey"));
    }
}

#[test]
fn commands_print_their_replies() {
    let server = shared();
    assert_eq!(server.command(&["RPUSH", "print:list", "a", "b c"]), Ok("2".to_owned()));
    assert_eq!(server.command(&["LRANGE", "print:list", "0", "-1"]), Ok("a\nb c".to_owned()));
    assert_eq!(server.command(&["GET", "print:none"]), Ok("(nil)".to_owned()));
    let refused = server.command(&["GET", "print:list"]).unwrap_err();
    assert!(refused.starts_with("WRONGTYPE"), "{refused}");
}

#[test]
fn passwords_users_and_directives_are_set() {
    let server = Server::builder()
        .password("se\"cret @1")
        .acl_line("user alice on >pw ~* +@all -client")
        .arg("--maxclients", "10")
        .arg("client-output-buffer-limit", "pubsub 1mb 512kb 7")
        .start();
    assert_eq!(server.url(), format!("redis://:se%22cret%20%401@127.0.0.1:{}", server.port()));
    assert_eq!(server.command(&["CONFIG", "GET", "maxclients"]), Ok("maxclients\n10".to_owned()));
    let limits = server.command(&["CONFIG", "GET", "client-output-buffer-limit"]).unwrap();
    assert!(limits.contains("pubsub 1048576 524288 7"), "{limits}");
    let mut stream = TcpStream::connect(server.addr()).unwrap();
    assert_eq!(ask(&mut stream, b"GET k\r\n", 8), b"-NOAUTH ");
    let mut alice = TcpStream::connect(server.addr()).unwrap();
    assert_eq!(ask(&mut alice, b"AUTH alice pw\r\n", 5), b"+OK\r\n");
    assert_eq!(ask(&mut alice, b"CLIENT ID\r\n", 8), b"-NOPERM ");
}

#[test]
fn a_frozen_server_is_silent_until_thawed() {
    let server = Server::start();
    let mut stream = TcpStream::connect(server.addr()).unwrap();
    server.freeze();
    stream.write_all(b"PING\r\n").unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    assert!(stream.read(&mut [0; 7]).is_err(), "it answered");
    server.thaw();
    assert_eq!(ask(&mut stream, b"", 7), b"+PONG\r\n");
}

#[test]
fn it_is_up_unless_killed_or_frozen_or_ended() {
    let server = Server::start();
    assert!(server.is_up());
    server.freeze();
    assert!(!server.is_up());
    server.thaw();
    assert!(server.is_up());
    server.freeze();
    server.kill();
    assert!(!server.is_up());
    server.restart();
    assert!(server.is_up());
    assert!(server.command(&["SHUTDOWN", "NOSAVE"]).is_err());
    eventually("it has ended", LIMIT, || !server.is_up());
}

#[test]
fn it_comes_back_on_the_same_port_even_from_frozen() {
    let server = Server::start();
    let (port, pid) = (server.port(), server.pid());
    let mut stream = TcpStream::connect(server.addr()).unwrap();
    server.freeze();
    server.kill();
    server.kill();
    assert_eq!(server.pid(), 0);
    assert!(matches!(stream.read(&mut [0; 1]), Ok(0) | Err(_)));
    assert!(TcpStream::connect(server.addr()).is_err());
    assert!(server.command(&["PING"]).is_err());
    server.restart();
    assert_eq!((server.port(), server.pid() == pid), (port, false));
    let mut stream = TcpStream::connect(server.addr()).unwrap();
    assert_eq!(ask(&mut stream, b"PING\r\n", 7), b"+PONG\r\n");
}

#[test]
fn a_restart_keeps_what_was_to_be_kept() {
    let server = Server::builder().arg("appendonly", "yes").arg("appendfsync", "always").start();
    server.command(&["SET", "k", "v"]).unwrap();
    server.restart();
    assert_eq!(server.command(&["GET", "k"]), Ok("v".to_owned()));
}

#[test]
fn a_restart_keeps_the_unix_socket_too() {
    let server = Server::start();
    let path = server.unix_path().to_owned();
    let mut old = UnixStream::connect(&path).unwrap();
    server.restart();
    assert!(matches!(old.read(&mut [0]), Ok(0) | Err(_)));
    assert_eq!(server.unix_path(), path);
    let mut new = UnixStream::connect(&path).unwrap();
    new.write_all(b"PING\r\n").unwrap();
    let mut reply = [0; 7];
    new.read_exact(&mut reply).unwrap();
    assert_eq!(&reply, b"+PONG\r\n");
}

#[test]
fn it_tells_what_it_counts() {
    for binary in servers_from_env() {
        let server = Server::builder().binary(&binary).password("pw").start();
        let before = server.stat("total_connections_received");
        let stream = TcpStream::connect(server.addr()).unwrap();
        // The connection of the test and the one that asks.
        eventually("it is accepted", LIMIT, || server.stat("connected_clients") == 2);
        assert!(server.stat("total_connections_received") >= before + 2);
        drop(stream);
        assert_eq!(server.calls("incr"), 0);
        server.command(&["INCR", "n"]).unwrap();
        server.command(&["INCR", "n"]).unwrap();
        assert_eq!((server.calls("INCR"), server.calls("incr")), (2, 2));
        let stats = server.info("stats");
        assert!(stats.contains_key("total_commands_processed") && !stats.contains_key("connected_clients"));
    }
}

#[test]
fn it_lists_and_kills_clients_and_takes_directives() {
    for binary in servers_from_env() {
        let server = Server::builder().binary(&binary).start();
        assert_eq!(
            server.client_list(),
            [],
            "neither the one that asks nor those before are clients of the test"
        );
        let mut streams = [(); 2].map(|()| TcpStream::connect(server.addr()).unwrap());
        for (stream, word) in streams.iter_mut().zip(["a", "b"]) {
            let command = format!("CLIENT SETNAME {word}\r\n");
            assert_eq!(ask(stream, command.as_bytes(), 5), b"+OK\r\n");
        }
        let clients = server.client_list();
        let mut names: Vec<_> = clients.iter().map(|client| client["name"].as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, ["a", "b"]);
        let a = clients.iter().find(|client| client["name"] == "a").unwrap();
        assert_eq!(server.kill_clients(&["ID", &a["id"]]), 1);
        assert_eq!(streams[0].read(&mut [0]).unwrap(), 0);
        assert_eq!(ask(&mut streams[1], b"PING\r\n", 7), b"+PONG\r\n");
        assert_eq!(server.kill_clients(&["TYPE", "normal"]), 1);
        assert_eq!(streams[1].read(&mut [0]).unwrap(), 0);
        assert_eq!(server.client_list(), []);
        server.config_set("maxclients", "77");
        assert_eq!(server.command(&["CONFIG", "GET", "maxclients"]), Ok("maxclients\n77".to_owned()));
    }
}

#[test]
#[should_panic(expected = "INFO has no such_number")]
fn a_number_it_does_not_count_is_no_zero() {
    shared().stat("such_number");
}

#[test]
fn nothing_is_left_after_a_drop() {
    let server = Server::start();
    let (dir, addr, pid) = (server.dir().to_owned(), server.addr(), server.pid());
    drop(server);
    assert!(!dir.exists());
    assert!(TcpStream::connect(addr).is_err());
    assert!(!is_running(pid));
}

#[test]
fn a_server_that_cannot_start_says_why() {
    let reason = Server::builder().arg("no-such-directive", "1").start_or_err().unwrap_err();
    assert!(reason.contains("no-such-directive"), "{reason}");
    let reason = Server::builder().binary("/no/such/server").start_or_err().unwrap_err();
    assert!(reason.contains("No such file"), "{reason}");
}

#[test]
fn a_port_taken_in_between_is_told() {
    let first = Server::start();
    // The kit sees to it that this is rare; here the second is told to take the port of the first.
    let reason = Server::builder().arg("port", &first.port().to_string()).start_or_err().unwrap_err();
    assert!(reason.contains("Address already in use"), "{reason}");
}

#[test]
fn servers_start_side_by_side() {
    std::thread::scope(|scope| {
        let starts: Vec<_> = (0..8).map(|_| scope.spawn(Server::start)).collect();
        let servers: Vec<_> = starts.into_iter().map(|start| start.join().unwrap()).collect();
        let mut ports: Vec<_> = servers.iter().map(Server::port).collect();
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), 8);
    });
}

/// Run by the next test as a process of its own, which is then killed.
#[test]
#[ignore = "not a test by itself"]
fn hold_a_server_until_killed() {
    let server = shared();
    let note = std::env::var_os("TESTKIT_NOTE").map(PathBuf::from).expect("set by the test that runs this");
    let draft = note.with_extension("draft");
    std::fs::write(&draft, format!("{}\n{}", server.pid(), server.dir().display())).unwrap();
    std::fs::rename(draft, note).unwrap();
    std::thread::sleep(LIMIT * 6);
}

#[test]
fn a_server_ends_with_the_process_of_its_test() {
    let notes = tempfile::tempdir().unwrap();
    let note = notes.path().join("note");
    let mut test = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "hold_a_server_until_killed", "--ignored"])
        .env("TESTKIT_NOTE", &note)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    eventually("the other process has its server", LIMIT, || note.exists());
    let text = std::fs::read_to_string(&note).unwrap();
    let (pid, dir) = text.split_once('\n').unwrap();
    let pid = pid.parse().unwrap();
    assert!(is_running(pid));
    test.kill().unwrap();
    test.wait().unwrap();
    eventually("the server is gone", LIMIT, || !is_running(pid));
    eventually("so is its directory", LIMIT, || !Path::new(dir).exists());
}

#[test]
fn a_start_is_quick() {
    let best = (0..5)
        .map(|_| {
            let begin = Instant::now();
            drop(Server::start());
            begin.elapsed()
        })
        .min();
    assert!(best < Some(Duration::from_millis(500)), "{best:?}");
}

fn is_running(pid: u32) -> bool {
    let found = Command::new("ps").args(["-o", "stat=", "-p", &pid.to_string()]).output().unwrap();
    let state = String::from_utf8_lossy(&found.stdout);
    // There may be no process to wait for the child of a killed one: a zombie has ended.
    !state.trim().is_empty() && !state.contains('Z')
}

fn ask(stream: &mut TcpStream, command: &[u8], len: usize) -> Vec<u8> {
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream.write_all(command).unwrap();
    let mut reply = vec![0; len];
    stream.read_exact(&mut reply).unwrap();
    reply
}
