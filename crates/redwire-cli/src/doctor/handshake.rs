//! Getting in: `HELLO` and `AUTH`, and the database.
//!
//! Promises that each way to be kept out has a text of its own. Shows no password.

use std::net::SocketAddr;
use std::time::Duration;

use redwire::config::{Config, Protocol};
use redwire::{AuthenticationFault, ConnectionFault, Error, ErrorKind, cmd};

use super::inspect::{self, Answer};
use super::report::{Finding, Layer};
use super::tls::sentence;
use crate::session::Session;

/// What is told of a connection that was made.
pub(crate) fn describe(layer: &mut Layer, config: &Config, session: &Session) {
    let facts = session.facts().unwrap_or_default();
    let protocol = if facts.protocol == Protocol::Resp3 { "RESP3" } else { "RESP2" };
    let who = match (config.username(), config.password()) {
        (Some(name), _) => format!("as {name}"),
        (None, Some(_)) => "as the default user, with a password".to_owned(),
        (None, None) => "as the default user, without a password".to_owned(),
    };
    layer.summary(format!("{protocol}, {who}"));
    layer.detail("protocol", protocol);
    layer.detail("user", config.username().unwrap_or("default"));
    layer.detail("version", facts.version);
    if config.protocol() == Protocol::Resp3 && facts.protocol != Protocol::Resp3 {
        layer.found(Finding::warning(
            "The server has no `HELLO` for this user, so the old protocol RESP2 is spoken.",
            "Servers from 6.0 on have it: look at the version, at the user's rights (`+hello`), and at \
             proxies in between.",
        ));
    }
}

/// Why there is no connection. `address`: where a server listens; `None` for a Unix socket.
pub(crate) async fn failed(
    error: &Error,
    config: &Config,
    address: Option<SocketAddr>,
    name: &str,
) -> Finding {
    match error.kind() {
        ErrorKind::Authentication(fault) => refused(fault, error, config),
        ErrorKind::MaxClients => Finding::bad(
            "The server has as many clients as it may have (`maxclients`), and sent this one away.",
            "Find who holds so many connections (`CLIENT LIST` from one that is in), and bound their pools; \
             or raise `maxclients` and the limit of open files.",
        ),
        ErrorKind::Busy => busy(error),
        ErrorKind::Response => said(error),
        _ if error.is_timeout() => silent(config, address, name).await,
        _ => stranger(error, config, address, name).await,
    }
}

fn refused(fault: AuthenticationFault, error: &Error, config: &Config) -> Finding {
    let user = config.username().unwrap_or("default");
    match fault {
        AuthenticationFault::PasswordRequired => Finding::bad(
            "The server wants a password, and none was given.",
            "Put it into the URL (`redis://:PASSWORD@HOST`), or into the environment as REDWIRE_PASSWORD.",
        ),
        AuthenticationFault::WrongPassword
            if error.message().contains("without any password")
                || error.message().contains("no password is set") =>
        {
            Finding::bad(
                "The server has no password, and refuses to be given one.",
                "Leave the password out; and ask whether this is the server that was meant.",
            )
        }
        AuthenticationFault::WrongPassword => Finding::bad(
            format!(
                "The server does not accept this password for the user {user:?}: it is wrong, or there is no \
                 such user, or it is off."
            ),
            "Compare it with the server's (`requirepass`, `ACL LIST`). Characters such as @ / : # % in a URL \
             must be percent-encoded. Servers before 6.0 have no users: give the password alone.",
        ),
        _ => no_rights(error),
    }
}

fn no_rights(error: &Error) -> Finding {
    Finding::bad(
        format!("The user may not run the commands that connecting needs: {}", sentence(error.message())),
        "Give the user `+@connection` (`ACL SETUSER NAME +@connection`).",
    )
}

/// The server is there, and cannot serve now.
pub(crate) fn busy(error: &Error) -> Finding {
    match error.code() {
        Some("LOADING") => Finding::bad(
            "The server is loading its data into memory, and serves no client before that is done.",
            "Wait: `INFO persistence` tells how far it is. If it happens often, find out why the server \
             restarts.",
        ),
        Some("MASTERDOWN") => Finding::bad(
            "This replica has lost its master, and is told not to serve old data.",
            "Bring the master or the link to it back; or allow it (`replica-serve-stale-data yes`).",
        ),
        _ => Finding::bad(
            format!(
                "The server is busy, with a script perhaps, and serves no client: {}",
                sentence(error.message())
            ),
            "`SCRIPT KILL` or `FUNCTION KILL` ends a script that has written nothing yet.",
        ),
    }
}

/// The server's own words.
fn said(error: &Error) -> Finding {
    match error.code() {
        Some("DENIED") => Finding::bad(
            "The server is in protected mode: it has no password, so it serves no client from outside its \
             own machine.",
            "Set a password (`requirepass`) and `bind` the right address; only then, if at all, \
             `protected-mode no`.",
        ),
        _ => Finding::bad(sentence(error.message()), "The server said so; its log may say more."),
    }
}

async fn silent(config: &Config, address: Option<SocketAddr>, name: &str) -> Finding {
    let limit = config.connect_timeout();
    if let (false, Some(address)) = (config.tls(), address)
        && inspect::clear(address, name, limit.min(Duration::from_secs(1))).await == Answer::Tls
    {
        return speaks_tls();
    }
    Finding::bad(
        format!("The peer accepts connections, and did not answer within {limit:?}."),
        "It is frozen (SIGSTOP, swapping, a slow command: `SLOWLOG`, `LATENCY DOCTOR`), or a firewall or \
         proxy on the way accepts connections for a server that it does not reach. Try `redis-cli PING` on \
         the server's own machine.",
    )
}

fn speaks_tls() -> Finding {
    Finding::bad(
        "This port speaks TLS, and the client does not.",
        "Use `rediss://` (or `--tls`), or the port that the server has without TLS (`port`).",
    )
}

/// What came makes no sense, or the connection was lost: what kind of server is it?
async fn stranger(error: &Error, config: &Config, address: Option<SocketAddr>, name: &str) -> Finding {
    let other = "Check the host and the port.";
    if let (false, Some(address)) = (config.tls(), address) {
        match inspect::clear(address, name, config.connect_timeout()).await {
            Answer::Tls => return speaks_tls(),
            Answer::Http(line) => {
                return Finding::bad(format!("This is a web server, not Redis: it said `{line}`."), other);
            }
            Answer::Other(line) => {
                return Finding::bad(format!("This is no Redis server: it said `{line}`."), other);
            }
            Answer::Redis | Answer::Closes | Answer::Silent => {}
        }
    }
    let meaning = sentence(error.message());
    match error.kind() {
        ErrorKind::Connection(ConnectionFault::Closed | ConnectionFault::Reset) => Finding::bad(
            format!("The peer closed the connection and did not answer: {meaning}"),
            "See the server's log. A balancer without a healthy server behind it, a list of allowed \
             addresses, or another protocol end like this.",
        ),
        ErrorKind::Protocol => Finding::bad(format!("This is no Redis server: {meaning}"), other),
        _ => Finding::bad(meaning, "See the server's log for its side of it."),
    }
}

/// Chooses the database.
pub(crate) async fn select(config: &Config, session: &mut Session) -> Layer {
    let db = config.db();
    let mut layer = Layer::new("select");
    layer.detail("db", db);
    let begun = std::time::Instant::now();
    let result = session.call(cmd("SELECT").arg(db)).await;
    layer.took(begun.elapsed());
    layer.summary(format!("database {db}"));
    match result {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::Busy => layer.found(busy(&error)),
        Err(error) if error.kind() == ErrorKind::Authentication(AuthenticationFault::NoPermission) => {
            // Database 0 is where every connection begins.
            let grade = if db == 0 { Finding::warning } else { Finding::bad };
            layer.found(grade(
                format!("The user may not choose a database: {}", sentence(error.message())),
                "Give the user `+select`.".to_owned(),
            ));
        }
        Err(error) if error.code().is_some() && db != 0 => layer.found(Finding::bad(
            format!("The server has no database {db}: {}", sentence(error.message())),
            "`databases` in the server's configuration says how many it has (16 by default, 0 to 15). A \
             cluster, and many hosted servers, have only 0.",
        )),
        Err(error) => layer.found(Finding::bad(
            format!("The database cannot be chosen: {}", sentence(error.message())),
            "The server said so; its log may say more.",
        )),
    }
    layer
}
