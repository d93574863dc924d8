//! From the raw file to the frozen value: paths, defaults, and checks between values.

use super::error::Fault;
use super::model::{Config, LogConfig, RunConfig, SessionConfig};
use super::raw::{RawConfig, RawLog, RawRun, RawSession};
use super::values::resolve;
use super::{Overrides, buffer, groups, node, servers, sinks};
use std::ops::Range;
use std::path::{Path, PathBuf};
use toml::Spanned;
use tracing_subscriber::EnvFilter;

/// Longest path a Unix socket can have on Linux, without its end mark.
const SOCKET_PATH_MAX: usize = 107;
/// What a frame may have at least, so that an ordinary state fits.
const FRAME_BYTES_MIN: u64 = 64 << 10;
/// What a frame may have at most: one frame is held in memory.
const FRAME_BYTES_MAX: u64 = 1 << 30;

/// What the checks of all sections share.
pub(super) struct Context<'a> {
    /// The file, absolute.
    pub file: PathBuf,
    /// Directory of the file, absolute.
    pub base: PathBuf,
    /// Working directory.
    pub here: PathBuf,
    /// Home directory, where known.
    pub home: Option<PathBuf>,
    pub overrides: &'a Overrides,
    pub warnings: Vec<String>,
}

impl<'a> Context<'a> {
    /// What this process knows about where it runs.
    pub fn new(file: &Path, overrides: &'a Overrides) -> Result<Self, Fault> {
        let here = std::env::current_dir().map_err(|error| {
            Fault::outside(format!(
                "the working directory is unknown ({error}); change to one that exists"
            ))
        })?;
        let file = here.join(file);
        Ok(Self {
            base: file.parent().unwrap_or(Path::new("/")).to_owned(),
            file,
            here,
            home: std::env::var_os("HOME")
                .filter(|home| !home.is_empty())
                .map(PathBuf::from),
            overrides,
            warnings: Vec::new(),
        })
    }

    /// The path of an override, of the file, or the default, made absolute.
    pub fn path(
        &self,
        from_outside: Option<&PathBuf>,
        in_file: Option<Spanned<PathBuf>>,
        default: &str,
    ) -> Result<PathBuf, Fault> {
        let home = self.home.as_deref();
        if let Some(path) = from_outside {
            return resolve(path, &self.here, home).map_err(Fault::outside);
        }
        match in_file {
            Some(path) => self.file_path(path.span(), path.get_ref()),
            None => resolve(Path::new(default), &self.base, home).map_err(Fault::outside),
        }
    }

    /// A path that stands in the file, made absolute.
    pub fn file_path(&self, span: Range<usize>, path: &Path) -> Result<PathBuf, Fault> {
        resolve(path, &self.base, self.home.as_deref()).map_err(|message| Fault::at(span, message))
    }
}

/// Checks everything and freezes it.
pub(super) fn build(raw: RawConfig, context: &mut Context<'_>) -> Result<Config, Fault> {
    let sinks = sinks::build(raw.sink, context)?;
    let node = node::build(raw.node, &sinks, context)?;
    let run = run(raw.run, context)?;
    let session = session(raw.session, &run, context)?;
    let buffer = buffer::build(raw.buffer, raw.stream, raw.state, context)?;
    let groups = groups::build(raw.group)?;
    let servers = servers::build(raw.server, &groups, context)?;
    groups::warn_of_empty(&groups, &servers, context);
    let log = log(raw.log, context)?;
    if buffer.dir == run.dir {
        return Err(Fault::outside(format!(
            "[buffer] dir and [run] dir are both {}; give each its own directory",
            run.dir.display()
        )));
    }
    if session.socket.is_none()
        && session.tcp.is_none()
        && servers.iter().any(|server| server.session)
    {
        return Err(Fault::outside(
            "[session] has neither `socket` nor `tcp`, so that no game can connect; remove `socket = false`, or set \
             `session = false` at each [[server]]",
        ));
    }
    Ok(Config {
        file: context.file.clone(),
        node,
        buffer,
        run,
        session,
        groups,
        servers,
        sinks: sinks.list,
        log,
        warnings: std::mem::take(&mut context.warnings),
    })
}

pub(super) fn run(raw: RawRun, context: &Context<'_>) -> Result<RunConfig, Fault> {
    let dir = context.path(context.overrides.run_dir.as_ref(), raw.dir, "var/run")?;
    Ok(RunConfig { dir })
}

fn session(
    raw: RawSession,
    run: &RunConfig,
    context: &Context<'_>,
) -> Result<SessionConfig, Fault> {
    let (span, socket) = match raw.socket {
        None => (None, Some(run.dir.join("session.sock"))),
        Some(socket) => {
            let span = socket.span();
            let path = match socket.into_inner().0 {
                Some(path) => Some(context.file_path(span.clone(), &path)?),
                None => None,
            };
            (Some(span), path)
        }
    };
    if let Some(path) = &socket {
        let length = path.as_os_str().len();
        if length > SOCKET_PATH_MAX {
            let message = format!(
                "the socket path {} has {length} bytes, and Unix allows {SOCKET_PATH_MAX}; set a shorter [run] dir (such as \
                 \"/run/sidekick\") or [session] socket",
                path.display()
            );
            return Err(Fault { span, message });
        }
    }
    if let Some(tcp) = raw
        .tcp
        .as_ref()
        .filter(|tcp| !tcp.get_ref().ip().is_loopback())
    {
        return Err(Fault::at(
            tcp.span(),
            format!(
                "games connect without encryption, so `tcp` must be a loopback address, not {}; write \"127.0.0.1:{}\"",
                tcp.get_ref().ip(),
                tcp.get_ref().port()
            ),
        ));
    }
    let max_frame_bytes = match raw.max_frame_bytes {
        None => 16 << 20,
        Some(size) => {
            let bytes = size.get_ref().0;
            if !(FRAME_BYTES_MIN..=FRAME_BYTES_MAX).contains(&bytes) {
                return Err(Fault::at(
                    size.span(),
                    "max_frame_bytes must be from 64KiB to 1GiB",
                ));
            }
            bytes as u32
        }
    };
    Ok(SessionConfig {
        socket,
        tcp: raw.tcp.map(Spanned::into_inner),
        max_frame_bytes,
    })
}

fn log(raw: RawLog, context: &Context<'_>) -> Result<LogConfig, Fault> {
    let (span, filter, source) = match (&context.overrides.log_filter, raw.filter) {
        (Some(filter), _) => (None, filter.clone(), "SIDEKICK_LOG"),
        (None, Some(filter)) => (Some(filter.span()), filter.into_inner(), "filter"),
        (None, None) => (None, "info".to_owned(), "filter"),
    };
    if let Err(error) = EnvFilter::try_new(&filter) {
        let message = format!(
            "{source} {filter:?} is not a log filter ({error}); write such as \"info\" or \"info,sidekick::node=debug\""
        );
        return Err(Fault { span, message });
    }
    Ok(LogConfig {
        format: context.overrides.log_format.unwrap_or(raw.format),
        filter,
    })
}
