//! One connection for commands of every kind, those included that change the connection or answer for ever;
//! of a cluster, a client.
//!
//! Promises that what one command did to the connection holds for the next, and that it is told when a new
//! connection had to be made; and that in a cluster each command goes where it belongs, and none that would
//! change a connection. Must not know where commands come from, nor how replies are printed.

use std::pin::pin;
use std::time::Duration;

use redwire::config::{Config, Deployment, Protocol};
use redwire::facts::{self, Facts, SessionEffect};
use redwire::{ClusterFault, Cmd, Error, ErrorKind, Outcome, Result, Value};

use crate::connect::{self, Client, apart};
use crate::interrupt::interrupted;
use crate::output::{Failure, Output};
use crate::session::Session;

/// What became of a command.
#[derive(Debug)]
pub(crate) enum Answer {
    Reply(Value),
    /// The server answered with an error, or the command cannot be run here.
    Refused(Error),
    /// What goes on for ever was ended by the user.
    Ended,
    /// The user did not wait for the reply.
    Interrupted,
}

/// A connection and what was done to it.
#[derive(Debug)]
pub(crate) struct ExecConnection {
    config: Config,
    blocking: bool,
    /// Of a cluster: it finds the node of each command.
    cluster: Option<Client>,
    /// None until the next command where the connection was lost or given up; in a cluster it is there to
    /// listen only.
    session: Option<Session>,
    db: u32,
    /// A database that was chosen in a transaction, and holds once that is executed.
    db_to_be: Option<u32>,
    in_transaction: bool,
    /// Whether a command (`AUTH`) said who the user is.
    is_other_user: bool,
}

/// What is printed as it comes.
pub(crate) type OnValue<'a> = &'a mut (dyn FnMut(&Value) -> Result<(), Failure> + Send);

/// How long a thread waits for a message before it looks whether it is still wanted.
const PATIENCE: Duration = Duration::from_millis(200);

impl ExecConnection {
    pub(crate) async fn open(config: Config, blocking: bool) -> Result<Self> {
        let (cluster, session) = match config.deployment() {
            Deployment::Cluster { .. } => (Some(Client::open(config.clone(), blocking).await?), None),
            _ => (None, Some(Session::open(config.clone(), blocking).await?)),
        };
        Ok(Self {
            db: config.db(),
            config,
            blocking,
            cluster,
            session,
            db_to_be: None,
            in_transaction: false,
            is_other_user: false,
        })
    }

    /// Where commands go and in what state, as redis-cli's prompt tells it.
    pub(crate) fn describe(&self) -> String {
        let mut text = match self.config.deployment() {
            Deployment::Cluster { nodes } => nodes.first().map_or_else(String::new, ToString::to_string),
            _ => connect::place(&self.config),
        };
        if self.db > 0 {
            text.push_str(&format!("[{}]", self.db));
        }
        if self.cluster.is_some() {
            text.push_str("(cluster)");
        } else if self.session.is_none() {
            text.push_str("(not connected)");
        }
        if self.in_transaction {
            text.push_str("(TX)");
        }
        text
    }

    /// Runs one command. What goes on for ever is given to `heard` until the user ends it.
    ///
    /// # Errors
    /// The connection cannot be made, or was lost; `heard` failed.
    pub(crate) async fn run(
        &mut self,
        words: &[Vec<u8>],
        output: &Output,
        heard: OnValue<'_>,
    ) -> Result<Answer, Failure> {
        let mut words = words.iter();
        let Some(first) = words.next() else { return Ok(Answer::Ended) };
        // The name is a word as any other: what is given in one piece goes out in one piece.
        let cmd = words.fold(Cmd::new("").arg(first), |cmd, word| cmd.arg(word));
        let facts = cmd.facts();
        if let Some(advice) = refusal(facts, self.in_transaction) {
            return Ok(Answer::Refused(Error::usage(advice)));
        }
        let listens = matches!(facts.session, SessionEffect::Subscribes | SessionEffect::Monitors);
        if let Some(cluster) = self.cluster.as_ref().filter(|_| !listens) {
            return spread(cluster, cmd).await;
        }
        self.connect(output).await?;
        let result = match facts.session {
            _ if listens => self.listen(&cmd, facts, heard).await?,
            _ => self.call(cmd.clone()).await,
        };
        match result {
            Ok(answer) => {
                self.note(&cmd, facts, &answer);
                Ok(answer)
            }
            Err(error) if is_answer(&error) => {
                if matches!(facts.name, "EXEC" | "DISCARD") {
                    (self.in_transaction, self.db_to_be) = (false, None);
                }
                Ok(Answer::Refused(error))
            }
            Err(error) => {
                self.give_up();
                Err(error.into())
            }
        }
    }

    /// A connection where there is none, in the database that was chosen last.
    async fn connect(&mut self, output: &Output) -> Result<(), Failure> {
        if self.session.is_some() {
            return Ok(());
        }
        let config = self.config.to_builder().db(self.db).build().map_err(Error::from)?;
        self.session = Some(Session::open(config, self.blocking).await?);
        if self.cluster.is_some() {
            return Ok(());
        }
        let user =
            if std::mem::take(&mut self.is_other_user) { ", as the user of the command line" } else { "" };
        output.note(format_args!("connected anew{user}"));
        Ok(())
    }

    async fn call(&mut self, cmd: Cmd<Value>) -> Result<Answer> {
        let Some(session) = &mut self.session else { return Ok(Answer::Interrupted) };
        let result = tokio::select! {
            result = session.call(cmd) => result.map(Answer::Reply),
            () = interrupted() => Ok(Answer::Interrupted),
        };
        if matches!(result, Ok(Answer::Interrupted)) {
            // The server may still hold the command; a connection of which that is known would make the next
            // one wait.
            self.give_up();
        }
        result
    }

    /// Prints what comes until the user ends it. The connection is no use after that.
    async fn listen(
        &mut self,
        cmd: &Cmd<Value>,
        facts: &Facts,
        heard: OnValue<'_>,
    ) -> Result<Result<Answer>, Failure> {
        let Some(mut session) = self.session.take() else { return Ok(Ok(Answer::Interrupted)) };
        self.give_up();
        let is_resp3 = session.facts().is_some_and(|facts| facts.protocol == Protocol::Resp3);
        // Messages are printed as the lists that they are in RESP2.
        if is_resp3
            && facts.session == SessionEffect::Subscribes
            && let Err(error) = session.call(Cmd::new("HELLO").arg(2)).await
        {
            return Ok(Err(error));
        }
        if let Err(error) = session.send(cmd.clone()).await {
            return Ok(Err(error));
        }
        let mut end = pin!(interrupted());
        loop {
            let next = tokio::select! {
                biased;
                _ = &mut end => return Ok(Ok(Answer::Ended)),
                next = session.hear() => next,
            };
            match next {
                Ok(Some(message)) => heard(&message)?,
                Ok(None) => {}
                Err(error) => return Ok(Err(error)),
            }
        }
    }

    fn give_up(&mut self) {
        (self.session, self.in_transaction, self.db_to_be) = (None, false, None);
    }

    /// What a command that succeeded did to the connection.
    fn note(&mut self, cmd: &Cmd<Value>, facts: &Facts, answer: &Answer) {
        let Answer::Reply(reply) = answer else { return };
        match facts.session {
            SessionEffect::Transaction => {
                self.in_transaction = facts.name == "MULTI";
                let chosen = self.db_to_be.take();
                // A transaction that a watched key ended did nothing.
                if facts.name == "EXEC" && !matches!(reply, Value::Null) {
                    self.db = chosen.unwrap_or(self.db);
                }
            }
            SessionEffect::Selects => {
                let db = cmd.words().get(1).and_then(|word| word.parse().ok());
                match db {
                    Some(db) if self.in_transaction => self.db_to_be = Some(db),
                    Some(db) => self.db = db,
                    None => {}
                }
            }
            SessionEffect::Resets => {
                (self.db, self.in_transaction, self.db_to_be, self.is_other_user) = (0, false, None, true);
            }
            SessionEffect::Authenticates | SessionEffect::Greets => self.is_other_user = true,
            SessionEffect::Quits | SessionEffect::Ends => self.give_up(),
            _ => {}
        }
    }
}

/// Runs a command in a cluster, where its keys or its facts lead it.
///
/// # Errors
/// No node that would have to answer can be reached.
async fn spread(cluster: &Client, cmd: Cmd<Value>) -> Result<Answer, Failure> {
    let result = tokio::select! {
        result = cluster.execute(cmd) => result,
        () = interrupted() => return Ok(Answer::Interrupted),
    };
    match result {
        Ok(value) => Ok(Answer::Reply(value)),
        Err(error) => match error.kind() {
            ErrorKind::Usage | ErrorKind::Cluster(ClusterFault::CrossSlot) => Ok(Answer::Refused(error)),
            _ if is_answer(&error) => Ok(Answer::Refused(error)),
            _ => Err(error.into()),
        },
    }
}

/// Whether the server has answered. That of a script's own error says nothing of what the script did before.
fn is_answer(error: &Error) -> bool {
    error.outcome() == Outcome::Rejected || error.code().is_some()
}

/// Why a command cannot be run here, if it cannot.
fn refusal(facts: &Facts, in_transaction: bool) -> Option<&'static str> {
    match facts.session {
        SessionEffect::Replies => Some("replies cannot be switched off here: each command waits for its own"),
        SessionEffect::Replicates => {
            Some("it would turn the connection into a replica's, which this program cannot be")
        }
        SessionEffect::Subscribes | SessionEffect::Monitors if in_transaction => {
            Some("it cannot be run in a transaction: say EXEC or DISCARD first")
        }
        SessionEffect::Subscribes if facts.name.contains("UNSUBSCRIBE") => {
            Some("nothing is subscribed to: SUBSCRIBE listens until Ctrl-C, and that unsubscribes")
        }
        _ => None,
    }
}

/// Whether a command's answer has no end.
pub(crate) fn goes_on(facts: &Facts) -> bool {
    matches!(facts.session, SessionEffect::Subscribes | SessionEffect::Monitors)
        && refusal(facts, false).is_none()
}

/// The facts of the command that these words are, if it is known.
pub(crate) fn facts_of(words: &[Vec<u8>]) -> Option<&'static Facts> {
    facts::lookup(words.first()?, words.get(1).map(Vec::as_slice))
}

/// Messages by hand, on either driver.
impl Session {
    /// Sends a command whose answer has no end.
    async fn send(&mut self, cmd: Cmd<Value>) -> Result<()> {
        match self {
            Self::Tokio(connection) => connection.send(&cmd).await,
            Self::Blocking(place) => {
                let Some(mut connection) = place.take() else { return Err(dropped()) };
                let (sent, connection) = apart(move || Ok((connection.send(&cmd), connection))).await?;
                *place = Some(connection);
                sent
            }
        }
    }

    /// The next frame, if one comes soon.
    async fn hear(&mut self) -> Result<Option<Value>> {
        let heard = match self {
            Self::Tokio(connection) => match connection.can_read(PATIENCE).await? {
                true => Some(connection.read_reply().await?),
                false => None,
            },
            Self::Blocking(place) => {
                let Some(mut connection) = place.take() else { return Err(dropped()) };
                let (heard, connection) = apart(move || {
                    let heard = match connection.can_read(PATIENCE) {
                        Ok(true) => connection.read_reply().map(Some),
                        Ok(false) => Ok(None),
                        Err(error) => Err(error),
                    };
                    Ok((heard, connection))
                })
                .await?;
                *place = Some(connection);
                heard?
            }
        };
        Ok(heard)
    }
}

fn dropped() -> Error {
    Error::usage("a call before this one was dropped")
}
