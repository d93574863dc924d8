//! `[node]`: names, addresses, and whether plain distribution would leave the machine.

use super::build::Context;
use super::cookie;
use super::error::Fault;
use super::model::{EpmdConfig, NodeConfig, TlsConfig};
use super::raw::{RawNode, RawTls};
use super::sinks::Sinks;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

const DEFAULT_NAME: &str = "sidekick@127.0.0.1";
const TICKTIME: Duration = Duration::from_secs(60);
const EPMD_PORT: u16 = 4369;

pub(super) fn build(
    raw: RawNode,
    sinks: &Sinks,
    context: &mut Context<'_>,
) -> Result<NodeConfig, Fault> {
    let (name_span, name) = match (&context.overrides.name, raw.name) {
        (Some(name), _) => (None, name.clone()),
        (None, Some(name)) => (Some(name.span()), name.into_inner()),
        (None, None) => (None, DEFAULT_NAME.to_owned()),
    };
    check_name(&name).map_err(|message| Fault {
        span: name_span.clone(),
        message,
    })?;

    let tls = tls(raw.tls, raw.plain_network, context)?;
    let may_leave = raw.plain_network || tls.is_some();
    let listen = raw
        .listen
        .as_ref()
        .map_or_else(|| loopback(host(&name)), |listen| *listen.get_ref());
    if !listen.is_loopback() && !may_leave {
        let span = raw.listen.as_ref().map(toml::Spanned::span);
        return Err(Fault {
            span,
            message: plain(&format!("listening on {listen}")),
        });
    }
    let mut connect = Vec::new();
    for peer in raw.connect {
        let span = peer.span();
        check_peer(peer.get_ref(), span.clone(), &name, may_leave)?;
        if connect.contains(peer.get_ref()) {
            return Err(Fault::at(
                span,
                format!("{:?} stands in `connect` twice; remove one", peer.get_ref()),
            ));
        }
        connect.push(peer.into_inner());
    }
    for (span, node) in &sinks.nodes {
        check_peer(node, span.clone(), &name, may_leave)?;
    }
    Ok(NodeConfig {
        cookie: cookie::read(raw.cookie_file, context)?,
        name,
        connect,
        allow_start: raw.allow_start,
        listen,
        port: raw.port,
        epmd: EpmdConfig {
            serve: raw.epmd.serve.unwrap_or(true),
            port: epmd_port(raw.epmd.port.as_ref(), context)?,
        },
        visible: raw.visible,
        ticktime: ticktime(raw.ticktime)?,
        monitors: raw.monitors.unwrap_or(true),
        plain_network: raw.plain_network,
        tls,
    })
}

/// Where to listen by default: the loopback address of the kind that the node's name has.
fn loopback(host: &str) -> IpAddr {
    match host.parse() {
        Ok(IpAddr::V6(_)) => Ipv6Addr::LOCALHOST.into(),
        _ => Ipv4Addr::LOCALHOST.into(),
    }
}

fn tls(
    raw: Option<toml::Spanned<RawTls>>,
    plain_network: bool,
    context: &Context<'_>,
) -> Result<Option<TlsConfig>, Fault> {
    let Some(raw) = raw else {
        return Ok(None);
    };
    if plain_network {
        return Err(Fault::at(
            raw.span(),
            "`plain_network = true` and [node.tls] contradict each other, as a node speaks TLS with every peer or with none; \
             remove one of them",
        ));
    }
    let raw = raw.into_inner();
    let path = |path: toml::Spanned<PathBuf>| context.file_path(path.span(), path.get_ref());
    Ok(Some(TlsConfig {
        cert_file: path(raw.cert_file)?,
        key_file: path(raw.key_file)?,
        ca_file: path(raw.ca_file)?,
    }))
}

fn epmd_port(in_file: Option<&toml::Spanned<u16>>, context: &Context<'_>) -> Result<u16, Fault> {
    match (context.overrides.epmd_port, in_file) {
        (Some(0), _) => Err(Fault::outside(
            "ERL_EPMD_PORT is 0; unset it or give the port of the port mapper",
        )),
        (None, Some(port)) if *port.get_ref() == 0 => Err(Fault::at(
            port.span(),
            "the port mapper needs a fixed port; 4369 is the usual one",
        )),
        (Some(port), _) => Ok(port),
        (None, Some(port)) => Ok(*port.get_ref()),
        (None, None) => Ok(EPMD_PORT),
    }
}

fn ticktime(raw: Option<toml::Spanned<super::values::Span>>) -> Result<Duration, Fault> {
    let Some(ticktime) = raw else {
        return Ok(TICKTIME);
    };
    let duration = ticktime.get_ref().0;
    if !(Duration::from_secs(4)..=Duration::from_secs(3600)).contains(&duration) {
        return Err(Fault::at(
            ticktime.span(),
            "ticktime must be from 4s to 1h, and should be that of the other nodes (OTP's default is 60s)",
        ));
    }
    Ok(duration)
}

/// Checks a node another section or entry names, as seen from our own name.
fn check_peer(peer: &str, span: Range<usize>, own: &str, may_leave: bool) -> Result<(), Fault> {
    let refuse = |message: String| Err(Fault::at(span.clone(), message));
    if let Err(message) = check_name(peer) {
        return refuse(message);
    }
    if peer == own {
        return refuse(format!(
            "{peer:?} is sidekick's own name; name the other node"
        ));
    }
    if is_long(host(peer)) != is_long(host(own)) {
        let form = |name| if is_long(host(name)) { "long" } else { "short" };
        return refuse(format!(
            "{peer:?} is a {} node name but sidekick's own, {own:?}, is a {} one, and Erlang connects only nodes of the same \
             form; write both hosts with a dot (long) or both without (short)",
            form(peer),
            form(own)
        ));
    }
    if !is_local(host(peer), host(own)) && !may_leave {
        return refuse(plain(&format!("connecting to {peer}")));
    }
    Ok(())
}

fn plain(what: &str) -> String {
    format!(
        "{what} would carry the Erlang cookie's handshake and all data unencrypted over the network; give \
         this node certificates in [node.tls], keep it on loopback, or set `plain_network = true` in [node] if that network is \
         private (the cookie grants the whole cluster)"
    )
}

/// Checks `name@host` as OTP would.
fn check_name(name: &str) -> Result<(), String> {
    let example = "such as \"sidekick@127.0.0.1\" (long) or \"sidekick@myhost\" (short)";
    let Some((alive, host)) = name.split_once('@') else {
        return Err(format!(
            "node name {name:?} has no host; write name@host, {example}"
        ));
    };
    let alive_ok = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if alive.is_empty() || !alive.chars().all(alive_ok) {
        return Err(format!(
            "node name {name:?}: before the @ stand only letters, digits, _ and -, {example}"
        ));
    }
    let host_ok = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
    if host.is_empty() || !host.chars().all(host_ok) {
        return Err(format!(
            "node name {name:?} has no valid host after the @, {example}"
        ));
    }
    if name.len() > 255 {
        return Err(format!(
            "node name {name:?} is longer than 255 bytes; shorten it"
        ));
    }
    Ok(())
}

fn host(name: &str) -> &str {
    name.split_once('@').map_or("", |(_, host)| host)
}

/// Long names have a dot, or a colon for IPv6.
fn is_long(host: &str) -> bool {
    host.contains(['.', ':'])
}

/// Whether traffic to that host stays on this machine, as far as its name tells.
fn is_local(host: &str, own: &str) -> bool {
    host == own
        || host.eq_ignore_ascii_case("localhost")
        || host
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}
