//! Distribution over TLS against OTP's own: both directions, both versions, and everybody who must stay outside.

#![allow(clippy::unwrap_used)]

#[path = "support/beam.rs"]
mod beam;
#[path = "support/certificates.rs"]
mod certificates;
#[path = "support/echo.rs"]
mod echo;
#[path = "support/logged.rs"]
mod logged;

use beam::{Beam, COOKIE, Epmd, eventually, unique};
use certificates::{Authority, erl_flags, own, verify};
use logged::Logged;
use sidekick::dist::tls::Tls;
use sidekick::dist::{NodeName, Stream};
use sidekick::etf::Term;
use sidekick::node::{Node, TlsFiles};
use sidekick::shutdown::Shutdown;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const HOST: &str = "127.0.0.1";

struct Place {
    dir: tempfile::TempDir,
    authority: Authority,
    epmd: Epmd,
}

impl Place {
    async fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            authority: Authority::new("the cluster"),
            epmd: Epmd::start().await,
        }
    }

    fn sub(&self, name: &str) -> std::path::PathBuf {
        let dir = self.dir.path().join(name);
        std::fs::create_dir_all(&dir).unwrap();
        dir
    }

    fn files(&self, name: &str) -> TlsFiles {
        self.authority.files(&self.sub(name), &[HOST])
    }

    /// A sidekick with its own certificate, and a process that answers.
    async fn node(&self) -> Node {
        self.node_with(self.files("sidekick")).await
    }

    async fn node_with(&self, files: TlsFiles) -> Node {
        let mut options = echo::options(&unique("sidekick"), COOKIE, self.epmd.port);
        options.tls = Some(files);
        let node = Node::start(options, Shutdown::new()).await.unwrap();
        echo::echo(&node, "lobby");
        node
    }

    async fn beam(&self, flags: &[String]) -> Beam {
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        let flags = [&["-setcookie", COOKIE][..], &flags].concat();
        Beam::start_with(&unique("beam"), self.epmd.port, &flags).await
    }

    /// An `erl` as it should be set up.
    async fn good_beam(&self, versions: &str) -> Beam {
        let files = self.files("beam");
        let both = format!("{}, {}{versions}", own(&files), verify(&files));
        let server = format!("{both}, {{fail_if_no_peer_cert, true}}");
        self.beam(&erl_flags(&self.sub("beam"), &server, &both))
            .await
    }
}

async fn works_both_ways(node: &Node, beam: &mut Beam) {
    let call = format!("gen_server:call({{lobby,'{}'}}, {{echo,1}}).", node.name());
    assert_eq!(beam.show(&call).await, "1");
    beam.eval("whereis(adder) =/= undefined orelse register(adder, spawn(fun F() -> receive {'$gen_call', {P, T}, {A, B}} -> P ! {T, A + B}, F() end end)).")
        .await;
    let peer: NodeName = beam.name.parse().unwrap();
    let request = Term::tuple([Term::Int(1), Term::Int(2)]);
    let reply = node
        .call("adder", &peer, request, Duration::from_secs(10))
        .await;
    assert_eq!(reply, Ok(Term::Int(3)));
}

#[tokio::test]
async fn calls_work_over_both_versions_and_in_both_directions() {
    let place = Place::new().await;
    let node = place.node().await;
    for versions in [
        "",
        ", {versions, ['tlsv1.3']}",
        ", {versions, ['tlsv1.3', 'tlsv1.2']}",
    ] {
        let mut beam = place.good_beam(versions).await;
        let ping = beam
            .show(&format!("net_adm:ping('{}').", node.name()))
            .await;
        assert_eq!(ping, "pong", "{versions}");
        works_both_ways(&node, &mut beam).await;
        beam.kill().await;

        let mut beam = place.good_beam(versions).await;
        node.connect(&beam.name.parse().unwrap()).await.unwrap();
        works_both_ways(&node, &mut beam).await;
        beam.kill().await;
    }
}

#[tokio::test]
async fn big_messages_pass_both_ways_at_once() {
    let place = Place::new().await;
    let node = place.node().await;
    let mut beam = place.good_beam(", {versions, ['tlsv1.3']}").await;
    let name = node.name().to_string();
    beam.eval(&format!(
        "Big = rand:bytes(8 bsl 20), Ask = fun() -> gen_server:call({{lobby,'{name}'}}, {{echo,Big}}, 60000) end."
    ))
    .await;
    let all = beam
        .show(
            "Self = self(), [spawn(fun() -> Self ! {done, Ask() =:= Big} end) || _ <- lists:seq(1, 8)], \
             [receive {done, Same} -> Same end || _ <- lists:seq(1, 8)].",
        )
        .await;
    assert_eq!(all, "[true,true,true,true,true,true,true,true]");
}

#[tokio::test]
async fn a_certificate_of_another_ca_is_refused_on_both_sides() {
    let logged = Logged::start();
    let place = Place::new().await;
    let node = place.node().await;
    let strange = Authority::new("another cluster");
    let files = strange.files(&place.sub("strange"), &[HOST]);
    // It trusts everybody, so that the refusal is ours.
    let lax = format!("{}, {{verify, verify_none}}", own(&files));
    let mut beam = place
        .beam(&erl_flags(&place.sub("strange"), &lax, &lax))
        .await;
    let ping = beam
        .show(&format!("net_adm:ping('{}').", node.name()))
        .await;
    assert_eq!(ping, "pang");
    logged.wait("is not signed by a CA in").await;
    let error = node.connect(&beam.name.parse().unwrap()).await.unwrap_err();
    let said = error.to_string();
    assert!(said.contains("is not signed by a CA in"), "{said}");
    assert!(node.peers().is_empty());
}

#[tokio::test]
async fn a_peer_without_a_certificate_is_refused() {
    let logged = Logged::start();
    let place = Place::new().await;
    let node = place.node().await;
    let files = place.files("bare");
    for versions in ["", ", {versions, ['tlsv1.3']}"] {
        let server = format!("{}{versions}", own(&files));
        let client = format!("{}{versions}", verify(&files));
        let mut beam = place
            .beam(&erl_flags(&place.sub("bare"), &server, &client))
            .await;
        let ping = beam
            .show(&format!("net_adm:ping('{}').", node.name()))
            .await;
        assert_eq!(ping, "pang");
        beam.kill().await;
    }
    logged.wait("shows no certificate").await;
    assert!(node.peers().is_empty());
}

#[tokio::test]
async fn a_peer_that_refuses_our_certificate_is_named_with_the_reason() {
    let place = Place::new().await;
    // We trust the cluster, but our certificate is another one's.
    let strange = Authority::new("another cluster");
    let files = strange.files(&place.sub("sidekick"), &[HOST]);
    std::fs::write(&files.ca, place.authority.pem()).unwrap();
    let node = place.node_with(files).await;
    for versions in ["", ", {versions, ['tlsv1.3']}"] {
        let beam = place.good_beam(versions).await;
        let error = node.connect(&beam.name.parse().unwrap()).await.unwrap_err();
        let said = error.to_string();
        assert!(said.contains("does not trust the CA"), "{said}");
        beam.kill().await;
    }
}

#[tokio::test]
async fn a_node_at_another_host_than_its_certificate_says_is_refused() {
    let place = Place::new().await;
    let node = place.node().await;
    let files = place
        .authority
        .files(&place.sub("beam"), &["elsewhere.example"]);
    let both = format!("{}, {}", own(&files), verify(&files));
    let beam = place
        .beam(&erl_flags(&place.sub("beam"), &both, &both))
        .await;
    let error = node.connect(&beam.name.parse().unwrap()).await.unwrap_err();
    let said = error.to_string();
    assert!(
        said.contains("not for 127.0.0.1") && said.contains("elsewhere.example"),
        "{said}"
    );
}

#[tokio::test]
async fn certificates_are_read_again_when_their_files_change() {
    let logged = Logged::start();
    let place = Place::new().await;
    let files = place.files("sidekick");
    let node = place.node_with(files.clone()).await;
    let ping = format!("net_adm:ping('{}').", node.name());
    let mut old = place.good_beam("").await;
    assert_eq!(old.show(&ping).await, "pong");

    // Half of a new pair: told, and the old pair stays in use.
    let next = Authority::new("the next CA");
    let (certificate, key) = next.sign(&[HOST], |_| ());
    replace(&files.cert, &certificate);
    let mut other = place.good_beam("").await;
    assert_eq!(other.show(&ping).await, "pong");
    logged.wait("the old ones stay in use").await;
    other.kill().await;

    // Both, and both CAs: nodes of the old one and of the new one come in, and the old connection stands.
    replace(&files.key, &key);
    replace(&files.ca, &(place.authority.pem() + &next.pem()));
    let theirs = next.files(&place.sub("next"), &[HOST]);
    replace(&theirs.ca, &(place.authority.pem() + &next.pem()));
    let both = format!("{}, {}", own(&theirs), verify(&theirs));
    let flags = erl_flags(&place.sub("next"), &both, &both);
    let mut new = place.beam(&flags).await;
    assert_eq!(new.show(&ping).await, "pong");
    logged.wait("were read again").await;
    assert_eq!(old.show(&ping).await, "pong");
    assert_eq!(node.peers().len(), 2);

    // The old CA goes: a node that shows its certificate stays outside.
    replace(&files.ca, &next.pem());
    let lax = format!("{}, {{verify, verify_none}}", own(&place.files("late")));
    let flags = erl_flags(&place.sub("late"), &lax, &lax);
    let mut late = place.beam(&flags).await;
    assert_eq!(late.show(&ping).await, "pang");
}

/// As tools that renew certificates do it: at once.
fn replace(file: &Path, text: &str) {
    let next = file.with_extension("next");
    std::fs::write(&next, text).unwrap();
    std::fs::rename(next, file).unwrap();
}

#[tokio::test]
async fn plain_peers_at_a_tls_port_are_refused_at_once() {
    let logged = Logged::start();
    let place = Place::new().await;
    let node = place.node().await;
    let mut beam = Beam::start(&unique("plain"), place.epmd.port).await;
    let ping = beam
        .show(&format!("net_adm:ping('{}').", node.name()))
        .await;
    assert_eq!(ping, "pang");
    // At once, not by the time-out: that has other words.
    logged.wait("does not speak TLS").await;
}

#[tokio::test]
async fn tls_peers_at_a_plain_port_are_refused_at_once() {
    let logged = Logged::start();
    let place = Place::new().await;
    let plain = echo::node(&unique("plain"), COOKIE, place.epmd.port).await;
    let mut beam = place.good_beam("").await;
    let ping = beam
        .show(&format!("net_adm:ping('{}').", plain.name()))
        .await;
    assert_eq!(ping, "pang");
    // At once, not by the time-out: that has other words.
    logged.wait("the peer speaks TLS").await;
    let error = plain
        .connect(&beam.name.parse().unwrap())
        .await
        .unwrap_err();
    assert!(error.to_string().contains("the peer speaks TLS"), "{error}");
}

#[tokio::test]
async fn two_sidekicks_speak_tls_and_lose_each_other_at_once() {
    let place = Place::new().await;
    let (one, two) = (
        place.node().await,
        place.node_with(place.files("two")).await,
    );
    one.connect(two.name()).await.unwrap();
    let request = Term::tuple([Term::atom("echo"), Term::Int(1)]);
    let reply = one
        .call("lobby", two.name(), request, Duration::from_secs(10))
        .await;
    assert_eq!(reply, Ok(Term::Int(1)));
    two.close().await;
    eventually("it is gone", async || one.peers().is_empty()).await;
}

#[tokio::test]
async fn both_sides_at_once_make_one_connection() {
    let place = Place::new().await;
    let node = place.node().await;
    let mut beam = place.good_beam(", {versions, ['tlsv1.3']}").await;
    let (name, peer): (_, NodeName) = (node.name(), beam.name.parse().unwrap());
    for _ in 0..30 {
        beam.begin(&format!("net_adm:ping('{name}').")).await;
        let (ours, theirs) = tokio::join!(node.connect(&peer), beam.result());
        ours.unwrap();
        assert_eq!(theirs.to_string(), "{ok,pong}");
        works_both_ways(&node, &mut beam).await;
        beam.eval(&format!("erlang:disconnect_node('{name}')."))
            .await;
        eventually("both know", async || {
            node.peers().is_empty() && beam.show("length(nodes(hidden)).").await == "0"
        })
        .await;
    }
}

#[tokio::test]
async fn strangers_may_send_little_and_have_seven_seconds() {
    let place = Place::new().await;
    let node = place.node().await;
    let started = Instant::now();
    let mut silent = TcpStream::connect(node.listen_address()).await.unwrap();
    // A first message of 60,000 bytes, in records of 10,000, of which the rest never comes.
    let mut greedy = TcpStream::connect(node.listen_address()).await.unwrap();
    let mut first = vec![1, 0, 0xea, 0x60];
    first.resize(10_000, 0);
    for fragment in [first, vec![0; 10_000], vec![0; 10_000], vec![0; 10_000]] {
        let head = [22, 3, 1, 0x27, 0x10];
        // It may be hung up on before it has sent all.
        let _ = greedy.write_all(&[&head[..], &fragment].concat()).await;
    }
    let mut rest = Vec::new();
    let _ = greedy.read_to_end(&mut rest).await;
    let still_open = silent.try_read(&mut [0]).unwrap_err();
    assert_eq!(still_open.kind(), std::io::ErrorKind::WouldBlock);
    let _ = silent.read_to_end(&mut rest).await;
    let waited = started.elapsed();
    assert!(
        waited > Duration::from_secs(6) && waited < Duration::from_secs(15),
        "{waited:?}"
    );
}

#[tokio::test]
async fn the_seven_seconds_are_for_both_handshakes_together() {
    let place = Place::new().await;
    let node = place.node().await;
    let name: NodeName = unique("stranger").parse().unwrap();
    let tls = Tls::load(place.files("stranger"), name).unwrap();
    let started = Instant::now();
    let slow = TcpStream::connect(node.listen_address()).await.unwrap();
    // sleep: the stranger takes its time, which is what this is about
    tokio::time::sleep(Duration::from_secs(4)).await;
    // It is certified, and then says nothing.
    let stream: Stream = tls.connect(slow, node.name()).await.unwrap().into();
    loop {
        stream.readable().await.unwrap();
        match stream.try_read(&mut [0; 64]) {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            ended => {
                assert_eq!(ended.unwrap_or(0), 0);
                break;
            }
        }
    }
    let waited = started.elapsed();
    assert!(
        waited > Duration::from_secs(6) && waited < Duration::from_secs(10),
        "{waited:?}"
    );
}
