//! `redwire exec`: any command: one, one a line from a pipe, or from a prompt.
//!
//! Promises one connection for all of them, and an exit status of 1 if the server answered any with an error.
//! Must not know how a connection is kept ([`connection`]), nor how replies look ([`reply`]).

mod connection;
mod hints;
mod prompt;
pub(crate) mod reply;
mod words;

use std::io::{self, IsTerminal};
use std::pin::pin;

use redwire::{Error, Value};
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::args::{Exec, Global};
use crate::connect;
use crate::interrupt::interrupted;
use crate::output::{BAD, DIM, Failure, Output, Verdict};
use connection::{Answer, ExecConnection};
use prompt::{Line, Prompt};

/// How replies are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// As redis-cli does on a terminal.
    People,
    /// For scripts: one item a line.
    Plain,
    /// The bytes and nothing else.
    Raw,
    Json,
}

/// Prints the replies of one run.
#[derive(Clone, Copy, Debug)]
struct Printer<'a> {
    output: &'a Output,
    form: Form,
}

pub(crate) async fn run(global: &Global, exec: &Exec, output: &Output) -> Result<Verdict, Failure> {
    let form = match (output.is_json(), exec.raw, output.is_terminal()) {
        (true, ..) => Form::Json,
        (_, true, _) => Form::Raw,
        (_, _, true) => Form::People,
        _ => Form::Plain,
    };
    let printer = Printer { output, form };
    let config = connect::config(global, connect::only_url(global)?)?;
    let mut connection = ExecConnection::open(config, global.blocking).await?;
    if !exec.words.is_empty() {
        let words: Vec<_> = exec.words.iter().map(|word| word.as_encoded_bytes().to_vec()).collect();
        return run_one(&mut connection, &words, printer).await;
    }
    if io::stdin().is_terminal() && io::stdout().is_terminal() {
        run_prompt(&mut connection, global, printer).await
    } else {
        run_lines(&mut connection, printer).await
    }
}

async fn run_one(
    connection: &mut ExecConnection,
    words: &[Vec<u8>],
    printer: Printer<'_>,
) -> Result<Verdict, Failure> {
    match connection.run(words, printer.output, &mut |message| printer.reply(message)).await? {
        // Bytes for a file are not to end with what is not theirs.
        Answer::Reply(value) if printer.form == Form::Raw && !io::stdout().is_terminal() => {
            printer.output.bytes(&reply::raw(&value))
        }
        Answer::Reply(value) => printer.reply(&value).map(|()| Verdict::Good),
        Answer::Refused(error) => printer.refusal(&error).map(|()| Verdict::Bad),
        Answer::Ended => Ok(Verdict::Good),
        Answer::Interrupted => Err(Failure::new("interrupted", "the reply had not come yet")),
    }
}

/// One command a line, from standard input. Goes on after errors of the server, not without a connection.
async fn run_lines(connection: &mut ExecConnection, printer: Printer<'_>) -> Result<Verdict, Failure> {
    let mut input = BufReader::new(tokio::io::stdin());
    let mut end = pin!(interrupted());
    let mut verdict = Verdict::Good;
    let mut number = 0_u64;
    loop {
        let mut line = Vec::new();
        let read = tokio::select! {
            read = input.read_until(b'\n', &mut line) => read.map_err(|error| Failure::new("reading the \
                 commands", error))?,
            _ = &mut end => return Ok(verdict),
        };
        if read == 0 {
            return Ok(verdict);
        }
        number += 1;
        let words = match words::split(&line) {
            Ok(words) if words.is_empty() => continue,
            Ok(words) => words,
            Err(fault) => {
                verdict = Verdict::Bad;
                printer.refusal(&Error::usage(format!("line {number}: {fault}")))?;
                continue;
            }
        };
        match connection.run(&words, printer.output, &mut |message| printer.reply(message)).await? {
            Answer::Reply(value) => printer.reply(&value)?,
            Answer::Refused(error) => {
                verdict = Verdict::Bad;
                printer.refusal(&error)?;
            }
            Answer::Ended | Answer::Interrupted => return Ok(verdict),
        }
    }
}

/// Commands as they are typed. What fails is told, and the next one may be typed.
async fn run_prompt(
    connection: &mut ExecConnection,
    global: &Global,
    printer: Printer<'_>,
) -> Result<Verdict, Failure> {
    let output = printer.output;
    let mut prompt = Prompt::new(global.color, output)?;
    loop {
        let (line, back) = prompt.read(format!("{}> ", connection.describe())).await?;
        prompt = back;
        let line = match line {
            Line::Text(line) => line,
            Line::DropIt => continue,
            Line::End => return Ok(Verdict::Good),
        };
        let words = match words::split(line.as_bytes()) {
            Ok(words) => words,
            Err(fault) => {
                printer.refusal(&Error::usage(fault.to_string()))?;
                continue;
            }
        };
        match words.first().map(|word| word.to_ascii_lowercase()).as_deref() {
            None => continue,
            Some(b"quit" | b"exit") => return Ok(Verdict::Good),
            Some(b"help" | b"?") if words.len() == 1 => {
                output.note(
                    "Tab completes names, what may follow is shown as you type, the arrow keys go through \
                     earlier lines. Ctrl-C stops waiting for a reply or for messages, Ctrl-D ends.",
                );
                continue;
            }
            Some(_) => {}
        }
        prompt.keep(&line, &words);
        if connection::facts_of(&words).is_some_and(connection::goes_on) {
            output.note(format_args!("{DIM}listening until Ctrl-C{DIM:#}"));
        }
        match connection.run(&words, output, &mut |message| printer.reply(message)).await {
            Ok(Answer::Reply(value)) => printer.reply(&value)?,
            Ok(Answer::Refused(error)) => printer.refusal(&error)?,
            Ok(Answer::Ended) => {}
            Ok(Answer::Interrupted) => {
                output.note("interrupted: whether the server runs it nevertheless is not known")
            }
            Err(failure) => output.note(format_args!("{BAD}error{BAD:#}: {failure}")),
        }
    }
}

impl Printer<'_> {
    fn reply(&self, value: &Value) -> Result<(), Failure> {
        match self.form {
            Form::People if matches!(value, Value::Error(_)) => {
                self.output.line(format_args!("{BAD}{}{BAD:#}", reply::for_people(value)));
            }
            Form::People => self.output.line(reply::for_people(value)),
            Form::Json => self.output.json(&reply::json(value)),
            Form::Plain | Form::Raw => {
                let mut bytes = reply::raw(value);
                bytes.push(b'\n');
                self.output.bytes(&bytes)?;
            }
        }
        Ok(())
    }

    /// An error in place of a reply. Among raw bytes it would pass for one of them.
    fn refusal(&self, error: &Error) -> Result<(), Failure> {
        match self.form {
            Form::People | Form::Plain => {
                self.output.line(format_args!("{BAD}{}{BAD:#}", reply::error_for_people(error)));
            }
            Form::Raw => self.output.note(reply::error_for_people(error)),
            Form::Json => self.output.json(&reply::error_json(error)),
        }
        Ok(())
    }
}
