//! Configuration to the options of each part.

use super::AppError;
use crate::config::{
    Config, Cookie, ProbeConfig, ProbeKind, Restart, ServerConfig, SinkKind, SinkStart, Strategy,
    WhenFull,
};
use crate::node::{self, NodeName, NodeOptions};
use crate::supervisor::{Backoff, Group, OnExit, ProbeSpec, ServerSpec, SupervisorOptions};
use crate::upload::{BreakerOptions, PostgresOptions, SinkOptions};
use crate::{buffer, config, godot, supervisor};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::str::FromStr;

/// Options of the buffer.
pub fn buffer_options(config: &Config) -> buffer::Options {
    let when_full = |when| match when {
        WhenFull::Block => buffer::WhenFull::Block,
        WhenFull::DropOldest => buffer::WhenFull::DropOldest,
        WhenFull::Reject => buffer::WhenFull::Reject,
    };
    let streams = config.buffer.streams.iter().map(|rule| buffer::StreamRule {
        pattern: rule.pattern.clone(),
        keep: buffer::Keep {
            bytes: rule.keep.bytes,
            age: rule.keep.age,
            count: rule.keep.count,
        },
        limit: buffer::Limit {
            bytes: rule.limit.bytes,
            age: rule.limit.age,
            count: rule.limit.count,
        },
        when_full: rule.when_full.map(when_full),
    });
    let states = config.buffer.states.iter().map(|rule| buffer::StateRule {
        pattern: rule.pattern.clone(),
        history: rule.history,
    });
    let sinks = config.sinks.iter().map(|sink| buffer::SinkRule {
        name: sink.name.clone(),
        patterns: sink.streams.clone(),
        start: match sink.start {
            SinkStart::First => buffer::Start::First,
            SinkStart::Now => buffer::Start::Now,
        },
    });
    buffer::Options {
        max_bytes: config.buffer.max_bytes,
        when_full: when_full(config.buffer.when_full),
        segment_bytes: config.buffer.segment_bytes,
        streams: streams.collect(),
        states: states.collect(),
        sinks: sinks.collect(),
        ..buffer::Options::new(&config.buffer.dir)
    }
}

/// Options of the Erlang node.
pub fn node_options(config: &Config) -> Result<NodeOptions, AppError> {
    let name = node_name(&config.node.name)?;
    let tls = config.node.tls.as_ref().map(|tls| node::TlsFiles {
        cert: tls.cert_file.clone(),
        key: tls.key_file.clone(),
        ca: tls.ca_file.clone(),
    });
    Ok(NodeOptions {
        tls,
        visible: config.node.visible,
        listen_address: config.node.listen,
        listen_port: config.node.port,
        ticktime: config.node.ticktime,
        epmd_port: config.node.epmd.port,
        serve_epmd: config.node.epmd.serve,
        monitors: config.node.monitors,
        ..NodeOptions::new(name, cookie(&config.node.cookie))
    })
}

/// Whether the certificates that the configuration names, and the connection strings, can be used. Connects nowhere.
///
/// # Errors
/// Names the file and the remedy.
pub fn check_certificates(config: &Config) -> Result<(), AppError> {
    sinks(config)?;
    node_options(config)?
        .check_tls()
        .map_err(|error| AppError::Config(error.to_string()))
}

/// What keeps servers from being contained as they ask, as seen by this process.
pub fn check_containment(config: &Config) -> Vec<String> {
    supervisor::containment_faults(&server_specs(config))
}

fn cookie(cookie: &Cookie) -> node::Cookie {
    node::Cookie::new(cookie.expose())
}

fn node_name(name: &str) -> Result<NodeName, AppError> {
    NodeName::from_str(name).map_err(|error| AppError::Config(error.to_string()))
}

/// Nodes to which connections are kept: the configured ones and those of the sinks.
pub fn nodes_to_keep(config: &Config) -> Result<Vec<NodeName>, AppError> {
    let mut names: BTreeSet<&str> = config.node.connect.iter().map(String::as_str).collect();
    for sink in &config.sinks {
        match &sink.kind {
            SinkKind::Beam { nodes } => names.extend(nodes.iter().map(String::as_str)),
            SinkKind::Postgres(_) => {}
        }
    }
    names.into_iter().map(node_name).collect()
}

/// Options of each sink.
pub fn sinks(config: &Config) -> Result<Vec<SinkOptions>, AppError> {
    let options = config.sinks.iter().map(|sink| {
        let name = sink.name.clone();
        let to = match &sink.kind {
            SinkKind::Beam { nodes } => {
                let nodes = nodes.iter().map(|name| node_name(name));
                SinkOptions::new(name, nodes.collect::<Result<_, _>>()?)
            }
            SinkKind::Postgres(config) => {
                let options = PostgresOptions::new(name.clone(), config)
                    .map_err(|error| AppError::Config(error.to_string()))?;
                SinkOptions::postgres(name, options)
            }
        };
        Ok(SinkOptions {
            streams: sink.streams.clone(),
            batch_records: sink.limits.records as usize,
            batch_bytes: usize::try_from(sink.limits.bytes).unwrap_or(usize::MAX),
            batch_age: sink.limits.age,
            timeout: sink.limits.timeout,
            max_bytes_per_second: sink.limits.max_bytes_per_second.and_then(NonZeroU64::new),
            breaker: BreakerOptions {
                failures: sink.breaker.failures,
                open_min: sink.breaker.open,
                open_max: sink.breaker.open_max,
            },
            refusals: sink.dead_letters.after,
            dead_letters: sink.dead_letters.max,
            ..to
        })
    });
    options.collect()
}

/// Options of the session server.
pub fn session_options(config: &Config) -> godot::SessionOptions {
    let limits = godot::SessionLimits {
        frame_bytes: config.session.max_frame_bytes as usize,
        ..godot::SessionLimits::default()
    };
    godot::SessionOptions {
        socket: config.session.socket.clone(),
        tcp: config.session.tcp,
        limits,
    }
}

/// Options of the supervisor. Guards run this very binary.
pub fn supervisor_options(config: &Config) -> Result<SupervisorOptions, AppError> {
    let exe = std::env::current_exe().map_err(AppError::Runtime)?;
    let run = &config.run;
    Ok(SupervisorOptions {
        run_dir: run.guard_dir(),
        log_dir: run.log_dir(),
        crash_dir: run.crash_dir(),
        home_dir: run.dir.join("homes"),
        ..SupervisorOptions::under(&run.dir, exe)
    })
}

/// The specs of all servers.
pub fn server_specs(config: &Config) -> Vec<ServerSpec> {
    let servers = config.servers.iter();
    servers.map(|server| server_spec(server, config)).collect()
}

fn group(server: &ServerConfig, config: &Config) -> Option<Group> {
    let name = server.group.as_ref()?;
    let group = config.groups.iter().find(|group| group.name == *name)?;
    Some(Group {
        name: name.clone(),
        strategy: match group.strategy {
            Strategy::OneForOne => supervisor::Strategy::OneForOne,
            Strategy::RestForOne => supervisor::Strategy::RestForOne,
            Strategy::OneForAll => supervisor::Strategy::OneForAll,
        },
    })
}

fn probe(probe: &ProbeConfig) -> ProbeSpec {
    ProbeSpec {
        kind: match probe.kind {
            ProbeKind::Tcp => supervisor::ProbeKind::Tcp,
            ProbeKind::Udp => supervisor::ProbeKind::Udp {
                payload: probe.payload.as_bytes().to_vec(),
                expect: probe.expect.as_bytes().to_vec(),
            },
            ProbeKind::Http => supervisor::ProbeKind::Http {
                path: probe.path.clone().unwrap_or_else(|| "/".to_owned()),
                status: probe.status,
            },
        },
        address: SocketAddr::new(probe.address, probe.port.get()),
        interval: probe.interval,
        timeout: probe.timeout,
        failures: probe.failures.get(),
    }
}

fn server_spec(server: &ServerConfig, config: &Config) -> ServerSpec {
    ServerSpec {
        group: group(server, config),
        quarantine: server.quarantine,
        restart_at: server.restart_at,
        restart_when_empty: server.restart_when_empty,
        directory: Some(server.directory.clone()),
        env: server.env.expose().clone(),
        restart: match server.restart {
            Restart::Permanent => supervisor::Restart::Permanent,
            Restart::Transient => supervisor::Restart::Transient,
            Restart::Temporary => supervisor::Restart::Temporary,
        },
        max_restarts: server.max_restarts,
        max_seconds: server.max_seconds.get(),
        backoff: Backoff {
            initial: server.backoff.initial,
            max: server.backoff.max,
        },
        start_timeout: server.start_timeout,
        hang_timeout: server.hang_timeout,
        stop_timeout: server.stop_timeout,
        session: server.session,
        on_exit: match server.on_exit {
            config::OnExit::Keep => OnExit::Keep,
            config::OnExit::Stop => OnExit::Stop,
        },
        autostart: server.autostart,
        busy_max: server.busy_max,
        memory_warn: server.memory_warn,
        probe: server.probe.as_ref().map(probe),
        contain: server.contain.clone(),
        standby: server.standby,
        ..ServerSpec::new(server.id.clone(), server.command.clone())
    }
}
