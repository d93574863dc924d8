//! OTP's `term_to_binary` and `binary_to_term`, driven from Rust: `term_peer.erl` in a real `erl`, over a socket.

#![allow(dead_code, clippy::unwrap_used)]

use crate::beam::{Beam, Epmd, unique};
use bytes::{Bytes, BytesMut};
use sidekick::etf::{self, Term};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A running `erl` with the module loaded.
pub struct TermPeer {
    stream: TcpStream,
    _beam: Beam,
    _epmd: Epmd,
}

impl TermPeer {
    pub async fn start() -> Self {
        let epmd = Epmd::start().await;
        let mut beam = Beam::start(&unique("terms"), epmd.port).await;
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/term_peer.erl");
        let load = format!(
            "{{ok, M, B}} = compile:file({source:?}, [binary]), {{module, M}} = code:load_binary(M, {source:?}, B), M:start({port}), ok."
        );
        beam.eval(&load).await;
        let (stream, _) = listener.accept().await.unwrap();
        Self {
            stream,
            _beam: beam,
            _epmd: epmd,
        }
    }

    async fn ask(&mut self, request: &Term) -> Vec<Term> {
        let request = etf::encode(request);
        self.stream.write_u32(request.len() as u32).await.unwrap();
        self.stream.write_all(&request).await.unwrap();
        let mut answer = BytesMut::zeroed(self.stream.read_u32().await.unwrap() as usize);
        self.stream.read_exact(&mut answer).await.unwrap();
        match etf::decode(answer.freeze()).unwrap() {
            Term::List(elements) => elements,
            other => panic!("the peer answered {other}"),
        }
    }

    /// Each payload as OTP writes it after having read it; empty where OTP refuses to read it.
    pub async fn reencode(&mut self, payloads: &[Bytes], options: Term) -> Vec<Bytes> {
        let request = Term::tuple([Term::atom("reencode"), options, binaries(payloads)]);
        bytes(&self.ask(&request).await)
    }

    /// So many random terms in OTP's form; the peer keeps them for [`TermPeer::wrong`].
    pub async fn make(&mut self, seed: u64, count: usize, options: Term) -> Vec<Bytes> {
        let seed = Term::Int((seed >> 1) as i64);
        let request = [Term::atom("make"), seed, Term::Int(count as i64), options];
        bytes(&self.ask(&Term::tuple(request)).await)
    }

    /// Numbers, from 1, of the payloads that are not exactly the terms that were made last.
    pub async fn wrong(&mut self, payloads: &[Bytes]) -> Vec<Term> {
        self.ask(&Term::tuple([Term::atom("compare"), binaries(payloads)]))
            .await
    }

    /// Numbers, from 1, of the pairs whose sides are not exactly the same term for OTP.
    pub async fn differ(&mut self, pairs: impl Iterator<Item = (Bytes, Bytes)>) -> Vec<Term> {
        let pair = |(a, b)| Term::tuple([Term::Binary(a), Term::Binary(b)]);
        let pairs = Term::List(pairs.map(pair).collect());
        self.ask(&Term::tuple([Term::atom("differ"), pairs])).await
    }
}

/// Options of `term_to_binary`: all the forms in which OTP writes a term.
pub fn options(number: usize) -> Term {
    let version = |n| Term::tuple([Term::atom("minor_version"), Term::Int(n)]);
    Term::List(match number % 4 {
        0 => Vec::new(),
        1 => vec![version(1)],
        2 => vec![version(0)],
        _ => vec![Term::atom("deterministic")],
    })
}

fn binaries(payloads: &[Bytes]) -> Term {
    Term::List(payloads.iter().cloned().map(Term::Binary).collect())
}

fn bytes(terms: &[Term]) -> Vec<Bytes> {
    terms
        .iter()
        .map(|term| term.as_binary().unwrap().clone())
        .collect()
}
