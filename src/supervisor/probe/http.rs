//! The little HTTP that a probe needs: one GET, and the status of its answer.
//!
//! Only the head is read, at most [`HEAD_MAX`] bytes, and the connection is closed: no body, no redirects, no TLS, nothing kept
//! alive. A library that does all of HTTP would bring more code than the rest of the supervisor (`docs/adr/0019`), and what is
//! read here comes from a process that may be broken: what does not look like HTTP is a failure, not a riddle.

use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Bytes of an answer's head, interim answers included.
pub const HEAD_MAX: usize = 16 << 10;

/// The status of the answer.
///
/// # Errors
/// What went wrong, in few words.
pub async fn get(mut stream: TcpStream, host: SocketAddr, path: &str) -> Result<u16, String> {
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: sidekick/{}\r\nAccept: */*\r\nConnection: close\r\n\r\n",
        env!("CARGO_PKG_VERSION")
    );
    stream
        .write_all(request.as_bytes())
        .await
        .map_err(|error| format!("cannot send: {error}"))?;
    let mut head = Vec::with_capacity(1024);
    let mut chunk = [0; 1024];
    loop {
        let length = stream
            .read(&mut chunk)
            .await
            .map_err(|error| format!("cannot receive: {error}"))?;
        if length == 0 {
            return Err("it closed the connection before its answer was complete".to_owned());
        }
        head.extend_from_slice(&chunk[..length]);
        if let Some(status) = answer(&head)? {
            return Ok(status);
        }
        if head.len() >= HEAD_MAX {
            return Err(format!("the head of its answer is over {HEAD_MAX} bytes"));
        }
    }
}

/// The final status, once the head of its answer is complete.
fn answer(mut bytes: &[u8]) -> Result<Option<u16>, String> {
    loop {
        let Some(end) = find(bytes, b"\r\n") else {
            let line = &bytes[..bytes.len().min(STATUS_LINE.len())];
            return if line
                .iter()
                .zip(STATUS_LINE)
                .all(|(byte, form)| form == b'?' || *byte == form)
            {
                Ok(None)
            } else {
                Err(no_http())
            };
        };
        let status = status(&bytes[..end]).ok_or_else(no_http)?;
        let Some(close) = find(bytes, b"\r\n\r\n") else {
            return Ok(None);
        };
        if !(100..200).contains(&status) || status == 101 {
            return Ok(Some(status));
        }
        // An interim answer: the final one follows.
        bytes = &bytes[close + 4..];
    }
}

/// How every answer begins; `?` stands for any byte.
const STATUS_LINE: [u8; 8] = *b"HTTP/1.?";

fn no_http() -> String {
    "its answer is not HTTP".to_owned()
}

/// `HTTP/1.1 200 OK` gives 200.
fn status(line: &[u8]) -> Option<u16> {
    let rest = line
        .strip_prefix(b"HTTP/1.1 ")
        .or_else(|| line.strip_prefix(b"HTTP/1.0 "))?;
    let (digits, rest) = rest.split_at_checked(3)?;
    let apart = rest.first().is_none_or(|byte| *byte == b' ');
    let number = digits.iter().all(u8::is_ascii_digit);
    let status: u16 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    (apart && number && (100..=599).contains(&status)).then_some(status)
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tokio::net::TcpListener;

    #[test]
    fn a_status_counts_once_its_head_is_complete() {
        let whole = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.0 204 \r\nA: b\r\n\r\nrest";
        let complete = whole.len() - 4;
        for end in 0..complete {
            assert_eq!(answer(&whole[..end]), Ok(None), "{end}");
        }
        assert_eq!(answer(whole), Ok(Some(204)));
        assert_eq!(answer(b"HTTP/1.1 503\r\n\r\n"), Ok(Some(503)));
    }

    #[test]
    fn what_is_not_http_is_a_failure_at_once() {
        for bytes in [
            &b"SSH-2.0-x"[..],
            b"HTTP/2 200\r\n\r\n",
            b"HTTP/1.1 20\r\n\r\n",
            b"HTTP/1.1 2000 OK\r\n\r\n",
            b"HTTP/1.1  200 OK\r\n\r\n",
            b"HTTP/1.1 700 No\r\n\r\n",
            b"\r\n\r\n",
        ] {
            assert_eq!(answer(bytes), Err(no_http()), "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_judged_without_a_fault(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(Some(status)) = answer(&bytes) {
                prop_assert!(bytes.starts_with(b"HTTP/1."));
                prop_assert!((100..=599).contains(&status));
            }
        }
    }

    async fn asked(answer: &'static [u8]) -> (Result<u16, String>, Vec<u8>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let address = listener.local_addr().expect("has one");
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("accepts");
            let mut request = Vec::new();
            while find(&request, b"\r\n\r\n").is_none() {
                assert!(stream.read_buf(&mut request).await.expect("reads") > 0);
            }
            // The other side may leave once it has seen enough.
            let _ = stream.write_all(answer).await;
            request
        });
        let stream = TcpStream::connect(address).await.expect("connects");
        let got = get(stream, address, "/health?x=1").await;
        (got, server.await.expect("ends"))
    }

    #[tokio::test]
    async fn one_request_goes_out_and_a_flood_is_cut_off() {
        let (got, request) = asked(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
        assert_eq!(got, Ok(200));
        let request = String::from_utf8(request).expect("ASCII");
        assert!(request.starts_with("GET /health?x=1 HTTP/1.1\r\nHost: 127.0.0.1:"));
        assert!(request.contains("\r\nConnection: close\r\n"));
        let (flooded, _) = asked(Box::leak(
            [b"HTTP/1.1 200 OK\r\nA: ".to_vec(), vec![b'a'; 1 << 20]]
                .concat()
                .into_boxed_slice(),
        ))
        .await;
        assert!(flooded.is_err_and(|error| error.contains("over 16384 bytes")));
        let (cut, _) = asked(b"HTTP/1.1 200 OK\r\n").await;
        assert!(cut.is_err_and(|error| error.contains("closed")));
    }
}
