//! One question by HTTP/1.1 and its answer (RFC 6960, appendix A): bytes out, bytes in.
//!
//! Knows of HTTP what a responder needs, and no more: one `POST`, and an answer of a length, in chunks, or up
//! to the end of the connection. Must not know sockets, nor what is asked.

use redwire_core::config::{Endpoint, HostPort};
use redwire_core::{ConnectionFault, Error, ErrorKind, Outcome, Result};

use super::request::ResponderUrl;

/// At most so many bytes of headers, and of an answer, are taken. Answers have one or two thousand.
pub(super) const MOST_HEADERS: usize = 8 * 1024;
pub(super) const MOST_BODY: usize = 64 * 1024;

/// The length of a chunk stands in a line of at most so many bytes.
const MOST_CHUNK_LINE: usize = 256;

/// So much of what a responder says is quoted in messages.
const MOST_QUOTED: usize = 80;

const CONTENT_TYPE: &str = "application/ocsp-response";
const LINE_END: &[u8] = b"\r\n";
const HEADERS_END: &[u8] = b"\r\n\r\n";

/// One question, and as much of its answer as has come.
#[derive(Debug)]
pub(crate) struct HttpExchange {
    responder: HostPort,
    request: Vec<u8>,
    /// What was received and not understood yet.
    received: Vec<u8>,
    reading: ReplyPart,
    body: Vec<u8>,
}

/// What comes next of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ReplyPart {
    Headers,
    /// The body, of this length.
    Sized(usize),
    /// The next chunk of the body.
    Chunked,
    /// The body, up to the end of the connection.
    Rest,
}

impl HttpExchange {
    /// Posts `question` to `url`.
    pub(super) fn post(url: &ResponderUrl, question: &[u8]) -> Self {
        let ResponderUrl { address, authority, path, .. } = url;
        let length = question.len();
        let mut request = format!(
            "POST {path} HTTP/1.1\r\nHost: {authority}\r\nContent-Type: application/ocsp-request\r\n\
             Content-Length: {length}\r\nAccept: {CONTENT_TYPE}\r\nConnection: close\r\n\r\n"
        )
        .into_bytes();
        request.extend_from_slice(question);
        Self {
            responder: address.clone(),
            request,
            received: Vec::new(),
            reading: ReplyPart::Headers,
            body: Vec::new(),
        }
    }

    /// Where it leads.
    pub(crate) fn endpoint(&self) -> Endpoint {
        Endpoint::Tcp(self.responder.clone())
    }

    /// What is to be sent.
    pub(crate) fn request(&self) -> &[u8] {
        &self.request
    }

    /// Takes what was read, which is nothing where the responder has closed; gives the body of the answer
    /// once it is whole.
    ///
    /// # Errors
    /// It is no answer to the question, or one that is not understood.
    pub(crate) fn handle_read(&mut self, bytes: &[u8]) -> Result<Option<Vec<u8>>> {
        self.received.extend_from_slice(bytes);
        if self.reading == ReplyPart::Headers {
            self.reading = self.read_headers()?;
        }
        let is_whole = match self.reading {
            ReplyPart::Headers => false,
            ReplyPart::Sized(length) => self.read_sized(length),
            ReplyPart::Chunked => self.read_chunks()?,
            ReplyPart::Rest => {
                self.take_body(self.received.len())?;
                bytes.is_empty()
            }
        };
        match is_whole {
            true => Ok(Some(std::mem::take(&mut self.body))),
            false if bytes.is_empty() => Err(self.broken_off()),
            false => Ok(None),
        }
    }

    /// What comes behind the headers; they themselves where they are not whole yet.
    fn read_headers(&mut self) -> Result<ReplyPart> {
        loop {
            let end = find(&self.received, HEADERS_END);
            let shown = &self.received[..self.received.len().min(HTTP.len())];
            if !HTTP.starts_with(shown) {
                return Err(unexpected(&self.received, "HTTP/1.1"));
            }
            if end.unwrap_or(self.received.len()) > MOST_HEADERS {
                return Err(failed(format!("its headers are longer than {MOST_HEADERS} bytes")));
            }
            let Some(end) = end else { return Ok(ReplyPart::Headers) };
            let headers: Vec<u8> = self.received.drain(..end + HEADERS_END.len()).take(end).collect();
            // "Continue" and the like announce an answer.
            if let Some(body) = Headers::read(&headers)?.body()? {
                return Ok(body);
            }
        }
    }

    fn read_sized(&mut self, length: usize) -> bool {
        let is_whole = self.received.len() >= length;
        if is_whole {
            self.received.truncate(length);
            self.body = std::mem::take(&mut self.received);
        }
        is_whole
    }

    /// Whether the last chunk has come.
    fn read_chunks(&mut self) -> Result<bool> {
        loop {
            let Some(line) = find(&self.received, LINE_END) else {
                let is_long = self.received.len() > MOST_CHUNK_LINE;
                return if is_long { Err(bad_chunk(&self.received)) } else { Ok(false) };
            };
            let length =
                chunk_length(&self.received[..line]).ok_or_else(|| bad_chunk(&self.received[..line]))?;
            if length == 0 {
                return Ok(true);
            }
            self.check_body(length)?;
            let from = line + LINE_END.len();
            let Some(end) = self.received.get(from + length..from + length + LINE_END.len()) else {
                return Ok(false);
            };
            if end != LINE_END {
                return Err(bad_chunk(end));
            }
            self.received.drain(..from);
            self.take_body(length)?;
            self.received.drain(..LINE_END.len());
        }
    }

    /// Moves the next `length` bytes to the body.
    fn take_body(&mut self, length: usize) -> Result<()> {
        self.check_body(length)?;
        self.body.extend(self.received.drain(..length));
        Ok(())
    }

    /// Whether the body may have `more` bytes.
    fn check_body(&self, more: usize) -> Result<()> {
        if more > MOST_BODY - self.body.len() { Err(too_long()) } else { Ok(()) }
    }

    #[cold]
    fn broken_off(&self) -> Error {
        let got = self.body.len() + self.received.len();
        failed(match self.reading {
            ReplyPart::Headers if got == 0 => "it closed the connection without an answer".into(),
            ReplyPart::Headers => "it broke off within the headers of its answer".into(),
            ReplyPart::Sized(length) => format!("it broke off after {got} of {length} bytes of its answer"),
            ReplyPart::Chunked | ReplyPart::Rest => "it broke off before the last chunk of its answer".into(),
        })
    }
}

const HTTP: &[u8] = b"HTTP/1.";

/// The headers of an answer, as far as they matter.
#[derive(Default)]
struct Headers<'a> {
    status: u16,
    reason: &'a str,
    content_type: Option<&'a str>,
    content_length: Option<&'a str>,
    transfer_encoding: Option<&'a str>,
    location: Option<&'a str>,
}

impl<'a> Headers<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self> {
        let Ok(text) = str::from_utf8(bytes) else {
            return Err(failed("its headers are no text".into()));
        };
        let mut lines = text.split("\r\n");
        let first = lines.next().unwrap_or_default();
        let mut headers =
            Self::status(first).ok_or_else(|| unexpected(first.as_bytes(), "a status of HTTP/1.1"))?;
        for line in lines {
            let Some((name, value)) = line.split_once(':') else {
                return Err(unexpected(line.as_bytes(), "a header"));
            };
            let value = value.trim();
            let seen = match name.to_ascii_lowercase().as_str() {
                "content-type" => &mut headers.content_type,
                "content-length" => &mut headers.content_length,
                "transfer-encoding" => &mut headers.transfer_encoding,
                "location" => &mut headers.location,
                _ => continue,
            };
            if seen.replace(value).is_some_and(|before| before != value) {
                return Err(failed(format!("it sent the header {name} twice, each time another one")));
            }
        }
        Ok(headers)
    }

    /// Of `HTTP/1.1 200 OK`.
    fn status(line: &'a str) -> Option<Self> {
        let (version, rest) = line.split_once(' ')?;
        let (status, reason) = rest.split_once(' ').unwrap_or((rest, ""));
        let is_version = matches!(version, "HTTP/1.0" | "HTTP/1.1");
        let is_status = status.len() == 3 && status.bytes().all(|byte| byte.is_ascii_digit());
        let status = status.parse().ok().filter(|_| is_version && is_status)?;
        Some(Self { status, reason, ..Self::default() })
    }

    /// How the body comes; `None`: another answer follows.
    fn body(&self) -> Result<Option<ReplyPart>> {
        match (self.status, self.location) {
            (100..200, _) => return Ok(None),
            (200, _) => {}
            (status @ 300..400, Some(location)) => {
                let location = quoted(location.as_bytes());
                return Err(failed(format!(
                    "it answered {status}, on to {location}: no redirect is followed"
                )));
            }
            (status, _) => {
                let reason = quoted(self.reason.as_bytes());
                return Err(failed(format!("it answered {status} {reason}, and 200 was expected")));
            }
        }
        if let Some(text) = self.content_type
            && !text.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(CONTENT_TYPE)
        {
            return Err(unexpected(text.as_bytes(), CONTENT_TYPE));
        }
        match (self.transfer_encoding, self.content_length) {
            (Some(encoding), _) if encoding.eq_ignore_ascii_case("chunked") => Ok(Some(ReplyPart::Chunked)),
            (Some(encoding), _) => Err(unexpected(encoding.as_bytes(), "the encoding `chunked`, or none,")),
            (None, Some(length)) => match number(length.as_bytes(), 10) {
                Some(length) if length <= MOST_BODY => Ok(Some(ReplyPart::Sized(length))),
                Some(_) => Err(too_long()),
                None => Err(unexpected(length.as_bytes(), "the length of its answer")),
            },
            (None, None) => Ok(Some(ReplyPart::Rest)),
        }
    }
}

/// The length of a chunk, before what else may stand in its line.
fn chunk_length(line: &[u8]) -> Option<usize> {
    let digits = line.split(|byte| *byte == b';').next()?;
    number(digits.trim_ascii_end(), 16)
}

/// A number that consists of digits alone. One that is too large for anything is the largest.
fn number(digits: &[u8], radix: u32) -> Option<usize> {
    let mut number: usize = 0;
    for digit in digits {
        let digit = char::from(*digit).to_digit(radix)?;
        number = number.saturating_mul(radix as usize).saturating_add(digit as usize);
    }
    (!digits.is_empty()).then_some(number)
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

/// The beginning of `bytes`, for a message.
fn quoted(bytes: &[u8]) -> String {
    let shown = bytes[..bytes.len().min(MOST_QUOTED)].escape_ascii();
    format!("`{shown}`")
}

#[cold]
fn bad_chunk(got: &[u8]) -> Error {
    unexpected(got, "a chunk of its answer")
}

#[cold]
fn unexpected(got: &[u8], expected: &str) -> Error {
    failed(format!("it sent {}, and {expected} was expected", quoted(got)))
}

#[cold]
fn too_long() -> Error {
    failed(format!("its answer is longer than {MOST_BODY} bytes"))
}

#[cold]
fn failed(why: String) -> Error {
    Error::new(ErrorKind::Connection(ConnectionFault::Io), Outcome::NotSent, why)
}

#[cfg(test)]
mod tests;
