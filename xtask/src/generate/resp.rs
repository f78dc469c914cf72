//! The smallest RESP3 client that can ask a server for its command tables: one request, one reply, as JSON.
//!
//! Promises: reads what the servers' introspection commands answer. Must not know: the rest of the protocol;
//! it stands apart from the product so that the table can be made before the product builds.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Map, Value};

/// A connection to a server on this machine.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    /// Connects and chooses RESP3 where the server has it.
    pub(crate) fn open(port: u16) -> io::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let mut connection = Self { stream: BufReader::new(stream) };
        connection.call(&[b"HELLO", b"3"])?;
        Ok(connection)
    }

    /// Sends a command and reads its reply; an error reply is a string that begins with `-`.
    pub(crate) fn call(&mut self, words: &[&[u8]]) -> io::Result<Value> {
        let mut request = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            request.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
            request.extend_from_slice(word);
            request.extend_from_slice(b"\r\n");
        }
        self.stream.get_mut().write_all(&request)?;
        self.read()
    }

    fn read(&mut self) -> io::Result<Value> {
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        let line = line.strip_suffix("\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
        let kind = line.chars().next().ok_or(io::ErrorKind::InvalidData)?;
        let rest = &line[kind.len_utf8()..];
        match kind {
            '+' | ',' => Ok(rest.into()),
            '-' => Ok(line.into()),
            ':' => Ok(number(rest)?.into()),
            '#' => Ok((rest == "t").into()),
            '_' => Ok(Value::Null),
            '$' | '=' if rest == "-1" => Ok(Value::Null),
            '$' | '=' => self.read_bulk(number(rest)?),
            '*' | '~' | '>' => (0..number(rest)?).map(|_| self.read()).collect(),
            '%' => self.read_map(number(rest)?),
            _ => Err(io::Error::new(io::ErrorKind::InvalidData, format!("a reply begins with {line:?}"))),
        }
    }

    fn read_bulk(&mut self, len: i64) -> io::Result<Value> {
        let len = usize::try_from(len).map_err(|_| io::ErrorKind::InvalidData)?;
        let mut bytes = vec![0; len + 2];
        self.stream.read_exact(&mut bytes)?;
        bytes.truncate(len);
        Ok(String::from_utf8_lossy(&bytes).into())
    }

    fn read_map(&mut self, len: i64) -> io::Result<Value> {
        let mut map = Map::new();
        for _ in 0..len {
            let key = self.read()?;
            let key = key.as_str().ok_or(io::ErrorKind::InvalidData)?.to_owned();
            map.insert(key, self.read()?);
        }
        Ok(map.into())
    }
}

fn number(text: &str) -> io::Result<i64> {
    text.parse().map_err(|_| io::Error::new(io::ErrorKind::InvalidData, format!("{text:?} is not a number")))
}
