//! Promises: each byte of the request is as RFC 6960 has it, answers are understood in whatever pieces they
//! come, and what is none is told, within limits.

use super::*;

fn exchange() -> HttpExchange {
    HttpExchange::post(&ResponderUrl::parse("http://ca.test:8080/a/b?c=d").unwrap(), b"\x30\x00")
}

/// What comes of `answer`, whose connection then ends, read in pieces of `size`.
fn read(answer: &[u8], size: usize) -> Result<Vec<u8>> {
    let mut exchange = exchange();
    for piece in answer.chunks(size) {
        if let Some(body) = exchange.handle_read(piece)? {
            return Ok(body);
        }
    }
    exchange.handle_read(b"").map(|body| body.expect("an end ends the answer"))
}

/// As [`read`], which must be the same in pieces of each size.
#[track_caller]
fn read_anyhow(answer: &[u8]) -> Result<Vec<u8>, String> {
    let read = |size| read(answer, size).map_err(|error| error.message().to_owned());
    let whole = read(answer.len().max(1));
    for size in 1..answer.len().min(400) {
        let pieces = read(size);
        match &whole {
            Ok(_) => assert_eq!(pieces, whole, "in pieces of {size}"),
            // What is wrong may show before all of it is quoted.
            Err(_) => assert!(pieces.is_err(), "in pieces of {size}"),
        }
    }
    whole
}

#[test]
fn the_request_is_posted_to_path_and_host() {
    let exchange = exchange();
    assert_eq!(exchange.endpoint().to_string(), "ca.test:8080");
    let expected =
        b"POST /a/b?c=d HTTP/1.1\r\nHost: ca.test:8080\r\nContent-Type: application/ocsp-request\r\n\
        Content-Length: 2\r\nAccept: application/ocsp-response\r\nConnection: close\r\n\r\n\x30\x00";
    assert_eq!(exchange.request(), expected);
}

#[test]
fn answers_are_understood_in_any_pieces() {
    let table: [(&[u8], &[u8]); 12] = [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", b"abc"),
        // What follows is not part of it.
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcd", b"abc"),
        (b"HTTP/1.0 200\r\ncontent-length:3\r\nCONTENT-LENGTH: 3 \r\n\r\nabc", b"abc"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b""),
        (b"HTTP/1.1 200 OK\r\nContent-Type: Application/OCSP-Response ;a=b\r\n\r\nabc\r\n", b"abc\r\n"),
        (b"HTTP/1.1 200 OK\r\n\r\n", b""),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", b"abc"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n03\r\nabc\r\n1 ;x\r\n\r\r\n0\r\n", b"abc\r"),
        // Lengths with letters as digits, in both cases; a trailer is not looked at.
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\nb\r\n0123456789a\r\n\
              A\r\n\r\n34\r\n7890\r\n0\r\nExpires: x\r\n\r\n",
            b"0123456789a\r\n34\r\n7890",
        ),
        // Chunks count where both stand.
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
            b"ab",
        ),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nA: b\r\n\r\nHTTP/1.1 200 OK\r\n\r\na", b"a"),
        (b"HTTP/1.1 200 \r\nX: \r\nContent-Length: 1\r\n\r\n\r", b"\r"),
    ];
    for (answer, body) in table {
        assert_eq!(read_anyhow(answer).as_deref(), Ok(body), "{}", answer.escape_ascii());
    }
}

#[test]
fn what_is_no_answer_is_told() {
    let table: [(&[u8], &str); 21] = [
        (b"", "it closed the connection without an answer"),
        (b"HTTP/1.1 200 OK\r\nContent-Le", "it broke off within the headers of its answer"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab", "it broke off after 2 of 3 bytes of its answer"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", "before the last chunk"),
        (b"-ERR no\r\n", "it sent `-ERR no\\r\\n`, and HTTP/1.1 was expected"),
        (b"HTTP/2 200 OK\r\n\r\n", "it sent `HTTP/2 200 OK\\r\\n\\r\\n`, and HTTP/1.1 was expected"),
        (b"HTTP/1.2 200 OK\r\n\r\n", "it sent `HTTP/1.2 200 OK`, and a status of HTTP/1.1"),
        (b"HTTP/1.1 2OO OK\r\n\r\n", "it sent `HTTP/1.1 2OO OK`, and a status of HTTP/1.1"),
        (b"HTTP/1.1 +20 OK\r\n\r\n", "it sent `HTTP/1.1 +20 OK`, and a status of HTTP/1.1"),
        (b"HTTP/1.1 404 Not \x1b[1m\r\n\r\n", "it answered 404 `Not \\x1b[1m`, and 200 was expected"),
        (b"HTTP/1.1 204 None\r\n\r\n", "it answered 204 `None`, and 200 was expected"),
        (b"HTTP/1.1 302 Found\r\nLocation: //x\r\n\r\n", "it answered 302, on to `//x`: no redirect"),
        (b"HTTP/1.1 304 Same\r\n\r\n", "it answered 304 `Same`, and 200 was expected"),
        (b"HTTP/1.1 200 OK\r\nnonsense\r\n\r\n", "it sent `nonsense`, and a header was expected"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "it sent `-1`, and the length of its answer"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            "it sent the header Content-Length twice, each time another one",
        ),
        (b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<", "it sent `text/html`, and application/"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", "it sent `xyz`, and a chunk"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n", "it sent `bc`, and a chunk"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", "it sent `gzip`, and the encoding `chunked`"),
        (b"HTTP/1.1 200 OK\r\nX: \xff\r\n\r\n", "its headers are no text"),
    ];
    for (answer, wanted) in table {
        let message = read_anyhow(answer).expect_err(wanted);
        assert!(message.contains(wanted), "{message}\nlacks {wanted}");
    }
}

#[test]
fn there_are_limits() {
    let body = vec![b'x'; MOST_BODY];
    let over = vec![b'x'; MOST_BODY + 1];
    let sized = |body: &[u8]| {
        let headers = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        [headers.as_bytes(), body].concat()
    };
    let rest = |body: &[u8]| [b"HTTP/1.1 200 OK\r\n\r\n", body].concat();
    let chunked = |body: &[u8]| {
        let mut answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        for chunk in body.chunks(MOST_BODY / 4) {
            answer.extend([format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat());
        }
        [&answer[..], b"0\r\n\r\n"].concat()
    };
    for shape in [&sized as &dyn Fn(&[u8]) -> Vec<u8>, &rest, &chunked] {
        assert_eq!(read(&shape(&body), 4096).unwrap(), body);
        assert_eq!(read(&shape(&over), 4096).unwrap_err().message(), "its answer is longer than 65536 bytes");
    }
    let huge = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffffffff\r\n";
    assert_eq!(read(huge, 4096).unwrap_err().message(), "its answer is longer than 65536 bytes");
    let endless = [&huge[..huge.len() - 24], &[b'0'; MOST_CHUNK_LINE + 1]].concat();
    assert!(read(&endless, 1).unwrap_err().message().contains("and a chunk of its answer was expected"));
    let headers = [&b"HTTP/1.1 200 OK\r\nX: "[..], &[b'x'; MOST_HEADERS]].concat();
    assert_eq!(read(&headers, 100).unwrap_err().message(), "its headers are longer than 8192 bytes");
    let long = [&b"HTTP/1.1 500 "[..], &[b'x'; 1000], b"\r\n\r\n"].concat();
    assert!(read(&long, 1000).unwrap_err().message().len() < 150);
}
