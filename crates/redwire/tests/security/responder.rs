//! An OCSP responder by HTTP, on a free port of this machine, which answers as the test says. It counts what
//! it was asked.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

/// Dropping it stops it.
pub(crate) struct Responder {
    address: SocketAddr,
    shared: Arc<(Mutex<State>, Condvar)>,
}

#[derive(Default)]
struct State {
    /// The bytes of each answer; none are sent where there is no answer.
    answer: Vec<u8>,
    requests: Vec<String>,
    is_held: bool,
    is_over: bool,
}

impl Responder {
    /// It says nothing yet.
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let responder = Self { address: listener.local_addr().unwrap(), shared: Arc::default() };
        let shared = Arc::clone(&responder.shared);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if shared.0.lock().unwrap().is_over {
                    return;
                }
                let shared = Arc::clone(&shared);
                thread::spawn(move || serve(&stream, &shared));
            }
        });
        responder
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/ocsp", self.address)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers from now on with this OCSP response.
    pub(crate) fn answer(&self, response: &[u8]) {
        let headers =
            format!("Content-Type: application/ocsp-response\r\nContent-Length: {}", response.len());
        self.answer_raw("200 OK", &headers, response);
    }

    /// Answers from now on with these bytes, behind a status and headers.
    pub(crate) fn answer_raw(&self, status: &str, headers: &str, body: &[u8]) {
        let head = format!("HTTP/1.1 {status}\r\n{headers}\r\n\r\n");
        self.say(&[head.as_bytes(), body].concat());
    }

    /// Sends these bytes from now on, and nothing where there are none.
    pub(crate) fn say(&self, bytes: &[u8]) {
        self.shared.0.lock().unwrap().answer = bytes.to_vec();
    }

    /// Whether questions wait for their answers from now on.
    pub(crate) fn hold(&self, is_held: bool) {
        self.shared.0.lock().unwrap().is_held = is_held;
        self.shared.1.notify_all();
    }

    /// The headers of each question so far.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.shared.0.lock().unwrap().requests.clone()
    }

    pub(crate) fn asked(&self) -> usize {
        self.requests().len()
    }
}

fn serve(mut stream: &TcpStream, shared: &(Mutex<State>, Condvar)) {
    let Some(request) = question(stream) else { return };
    let (state, released) = shared;
    let mut state = state.lock().unwrap();
    state.requests.push(request);
    let state = released.wait_while(state, |state| state.is_held && !state.is_over).unwrap();
    let answer = state.answer.clone();
    drop(state);
    let _ = stream.write_all(&answer);
    if answer.is_empty() {
        // Silent, until the client has had enough.
        let _ = stream.read(&mut [0]);
    }
}

/// The headers of a whole request.
fn question(mut stream: &TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        let mut buffer = [0; 1024];
        match stream.read(&mut buffer) {
            Ok(read) if read > 0 => bytes.extend_from_slice(&buffer[..read]),
            _ => return None,
        }
        let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let headers = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let length = headers.lines().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap();
        if bytes.len() >= end + 4 + length.parse::<usize>().unwrap() {
            return Some(headers);
        }
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        if let Ok(mut state) = self.shared.0.lock() {
            state.is_over = true;
        }
        self.shared.1.notify_all();
        // The listener goes with the thread that accepts.
        let _ = TcpStream::connect(self.address);
    }
}
