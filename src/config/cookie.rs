//! The Erlang cookie: read as OTP reads it, with the remedy where it cannot be.

use super::build::Context;
use super::error::Fault;
use super::model::Cookie;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use toml::Spanned;

/// OTP makes the cookie an atom, so no more than this.
const COOKIE_MAX: usize = 255;
/// A file larger than this is surely something else.
const FILE_MAX: u64 = 4096;

/// `SIDEKICK_COOKIE`, else the file named outside, in the configuration, or `~/.erlang.cookie`.
pub(super) fn read(
    in_file: Option<Spanned<PathBuf>>,
    context: &mut Context<'_>,
) -> Result<Cookie, Fault> {
    if let Some(secret) = &context.overrides.cookie {
        let secret =
            check(secret).map_err(|why| Fault::outside(format!("SIDEKICK_COOKIE {why}")))?;
        return Ok(Cookie::new(secret, "SIDEKICK_COOKIE"));
    }
    let from_outside = context.overrides.cookie_file.clone();
    let span = in_file
        .as_ref()
        .map(Spanned::span)
        .filter(|_| from_outside.is_none());
    let path = context.path(from_outside.as_ref(), in_file, "~/.erlang.cookie")?;
    let fault = |message| Fault {
        span: span.clone(),
        message,
    };
    let text = read_file(&path, context).map_err(&fault)?;
    let secret =
        check(&text).map_err(|why| fault(format!("the cookie file {} {why}", path.display())))?;
    Ok(Cookie::new(secret, path.display().to_string()))
}

fn read_file(path: &Path, context: &mut Context<'_>) -> Result<String, String> {
    let name = path.display();
    let open = std::fs::File::open(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => format!(
            "the cookie file {name} does not exist; every node of a cluster shares one secret: copy the file from a machine that \
             has it, or make a new one with  (umask 377; head -c 20 /dev/urandom | base32 > {name})  or set SIDEKICK_COOKIE"
        ),
        std::io::ErrorKind::PermissionDenied => format!(
            "the cookie file {name} cannot be read by this user; make it theirs with  chown USER {name} && chmod 400 {name}"
        ),
        _ => format!("the cookie file {name} cannot be read: {error}; name another with `cookie_file`"),
    })?;
    let metadata = open
        .metadata()
        .map_err(|error| format!("the cookie file {name} cannot be read: {error}"))?;
    if !metadata.is_file() {
        return Err(format!(
            "the cookie file {name} is not a file; name a file with `cookie_file`"
        ));
    }
    if metadata.len() > FILE_MAX {
        return Err(format!(
            "the cookie file {name} has {} bytes, which cannot be a cookie; name the right one",
            metadata.len()
        ));
    }
    if metadata.mode() & 0o077 != 0 {
        context.warnings.push(format!(
            "the cookie file {name} is open to other users (mode {:03o}), and Erlang itself would refuse it; run  chmod 400 {name}",
            metadata.mode() & 0o777
        ));
    }
    let mut text = String::new();
    open.take(FILE_MAX)
        .read_to_string(&mut text)
        .map_err(|error| {
            format!("the cookie file {name} is not text ({error}); name the right one")
        })?;
    Ok(text)
}

/// The cookie within a text: what stands before the line's end, visible ASCII only.
fn check(text: &str) -> Result<&str, String> {
    let secret = text.trim_end_matches(['\n', '\r', ' ']);
    if secret.is_empty() {
        return Err("is empty; put the cluster's secret into it".to_owned());
    }
    if secret.len() > COOKIE_MAX {
        return Err(format!(
            "has more than {COOKIE_MAX} characters; use a shorter secret"
        ));
    }
    if !secret.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(
            "has spaces, line breaks or characters outside ASCII; use one line of letters and digits".to_owned()
        );
    }
    Ok(secret)
}
