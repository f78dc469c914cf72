//! The data set: what the server is loaded with, and the checks that a reply is the right one.
//! It knows the wire form of requests, but no client.
//!
//! Every value begins with the key it belongs to, so that a reply that reached the wrong request
//! is noticed by comparing eight bytes.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::ops::Deref;

use crate::{Fallible, share};

/// Number of keys that GET and the pipelines go round, each of [`VALUE_LEN`] bytes.
pub const KEYS: usize = 1024;
/// Bytes of an ordinary value.
pub const VALUE_LEN: usize = 100;
/// Elements of the list under [`LIST`].
pub const LIST_LEN: usize = 10_000;
/// Fields of the hash under [`HASH`].
pub const HASH_LEN: usize = 1_000;
/// Bytes of the large values that are loaded with the rest; larger ones are loaded when they are wanted.
pub const LARGE: [usize; 3] = [16 << 10, 64 << 10, 1 << 20];

/// Key of the list.
pub const LIST: &str = "list:all";
/// Key of the hash.
pub const HASH: &str = "hash:all";
/// The password of the server that wants one.
pub const PASSWORD: &str = "open-sesame";

/// The `index`-th key, element or field: eight bytes.
pub fn name(index: usize) -> String {
    format!("key:{index:04}")
}

/// Key of the value of `len` bytes that is read.
pub fn large(len: usize) -> String {
    format!("big:{len:09}")
}

/// Key of the value of `len` bytes that is written.
pub fn written(len: usize) -> String {
    format!("put:{len:09}")
}

/// All keys, in order.
pub fn keys() -> Vec<String> {
    (0..KEYS).map(name).collect()
}

/// A value of `len` bytes that begins with `key`.
pub fn value(key: &str, len: usize) -> Vec<u8> {
    let mut value = key.as_bytes().to_vec();
    value.resize(len, b'.');
    value
}

/// The wire form of a request, which is also that of an array of bulk strings in a reply.
pub fn encode<T: AsRef<[u8]>>(parts: impl ExactSizeIterator<Item = T>) -> Vec<u8> {
    let mut wire = format!("*{}\r\n", parts.len()).into_bytes();
    for part in parts {
        let part = part.as_ref();
        wire.extend_from_slice(format!("${}\r\n", part.len()).as_bytes());
        wire.extend_from_slice(part);
        wire.extend_from_slice(b"\r\n");
    }
    wire
}

/// Loads the whole data set into an empty server.
///
/// # Errors
/// Fails if the server cannot be reached or refuses a command.
pub fn load(addr: &str) -> Fallible<()> {
    let mut server = TcpStream::connect(addr)?;
    let mut command = |parts: Vec<Vec<u8>>| ask(&mut server, &parts).map(drop);
    for key in keys() {
        command(set(key))?;
    }
    for len in LARGE {
        command(set_large(len))?;
    }
    let mut list = vec![b"RPUSH".to_vec(), LIST.into()];
    list.extend((0..LIST_LEN).map(|i| value(&name(i), VALUE_LEN)));
    command(list)?;
    let mut hash = vec![b"HSET".to_vec(), HASH.into()];
    hash.extend((0..HASH_LEN).flat_map(|i| [name(i).into_bytes(), value(&name(i), VALUE_LEN)]));
    command(hash)
}

/// Loads the value of `len` bytes that is read.
///
/// # Errors
/// As [`load`].
pub fn load_large(addr: &str, len: usize) -> Fallible<()> {
    ask(&mut TcpStream::connect(addr)?, &set_large(len)).map(drop)
}

/// Removes the values of `len` bytes.
///
/// # Errors
/// As [`load`].
pub fn drop_large(addr: &str, len: usize) -> Fallible<()> {
    ask(&mut TcpStream::connect(addr)?, &["DEL".to_owned(), large(len), written(len)]).map(drop)
}

/// Loads the ordinary keys into the nodes of an empty cluster, each into the one that has its slot.
///
/// # Errors
/// As [`load`].
pub fn load_shares(addrs: &[String]) -> Fallible<()> {
    let mut nodes = addrs.iter().map(TcpStream::connect).collect::<Result<Vec<_>, _>>()?;
    keys().into_iter().try_for_each(|key| ask(&mut nodes[share::owner(&key)], &set(key)).map(drop))
}

fn set(key: String) -> Vec<Vec<u8>> {
    let value = value(&key, VALUE_LEN);
    vec![b"SET".to_vec(), key.into_bytes(), value]
}

fn set_large(len: usize) -> Vec<Vec<u8>> {
    let value = value(&large(len), len);
    vec![b"SET".to_vec(), large(len).into_bytes(), value]
}

/// Sends one command. Gives the beginning of its reply: whatever one read brings.
///
/// # Errors
/// Fails if the server is gone, and with its own words if it refuses.
pub fn ask(server: &mut TcpStream, parts: &[impl AsRef<[u8]>]) -> Fallible<String> {
    server.write_all(&encode(parts.iter()))?;
    let mut reply = [0; 4096];
    let n = server.read(&mut reply)?;
    let told = String::from_utf8_lossy(&reply[..n]).into_owned();
    if n == 0 || reply[0] == b'-' { Err(format!("the server said: {told:?}").into()) } else { Ok(told) }
}

/// Checks one value read under `key`.
///
/// # Errors
/// Names the key and the length that came, if it is not that key's value.
pub fn check(key: &str, got: &[u8], len: usize) -> Fallible<()> {
    if got.len() == len && got.starts_with(key.as_bytes()) { Ok(()) } else { Err(wrong(key, got.len())) }
}

/// Checks the replies to a pipeline of GETs of `keys`.
///
/// # Errors
/// As [`check`]; also if the number of replies is wrong.
pub fn check_many<V: Deref<Target = [u8]>>(keys: &[String], got: &[V]) -> Fallible<()> {
    if keys.len() != got.len() {
        return Err(wrong("the pipeline", got.len()));
    }
    keys.iter().zip(got).try_for_each(|(key, value)| check(key, value, VALUE_LEN))
}

/// Checks the list read from end to end.
///
/// # Errors
/// As [`check`].
pub fn check_list<V: Deref<Target = [u8]>>(got: &[V]) -> Fallible<()> {
    if got.len() != LIST_LEN || got.iter().any(|element| element.len() != VALUE_LEN) {
        return Err(wrong(LIST, got.len()));
    }
    let last = LIST_LEN - 1;
    check(&name(0), &got[0], VALUE_LEN)?;
    check(&name(last), &got[last], VALUE_LEN)
}

/// Checks the hash read into a map.
///
/// # Errors
/// As [`check`].
pub fn check_hash<V: Deref<Target = [u8]>>(got: &HashMap<String, V>) -> Fallible<()> {
    let field = name(HASH_LEN - 1);
    match got.get(&field) {
        Some(value) if got.len() == HASH_LEN => check(&field, value, VALUE_LEN),
        _ => Err(wrong(HASH, got.len())),
    }
}

#[cold]
fn wrong(key: &str, len: usize) -> Box<dyn std::error::Error + Send + Sync> {
    format!("wrong reply for {key}: length {len}").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_keys_value_or_length_is_refused() {
        let mine = value(&name(7), VALUE_LEN);
        assert!(check(&name(7), &mine, VALUE_LEN).is_ok());
        assert!(check(&name(8), &mine, VALUE_LEN).is_err());
        assert!(check(&name(7), &mine[1..], VALUE_LEN).is_err());
        assert!(check_many(&[name(7), name(8)], &[mine.clone(), mine]).is_err());
    }

    #[test]
    fn a_request_is_an_array_of_bulks() {
        assert_eq!(encode(["GET", "k"].iter()), b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n");
    }
}
