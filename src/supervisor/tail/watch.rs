//! What tells the log reader which servers' files grew: inotify, or looks at their sizes.
//!
//! Linux gives one user 128 instances of inotify by default, and a number of watches; every guard takes an instance too, and so does
//! whatever else that user runs. A server of whose files one is not watched is *blind*: the sizes of its files are looked at whenever the
//! reader is awake, and it wakes every [`BLIND_MS`] for that. Two calls for each such server; lines come that much later.

use crate::telemetry::{Fact, LogsUnwatched};
use nix::poll::PollTimeout;
use rustix::fs::inotify;
use rustix::io::Errno;
use std::collections::{BTreeSet, HashMap};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// Between two looks at files that are not watched, milliseconds.
const BLIND_MS: u16 = 250;

/// The watched files, and the servers that are blind.
pub struct Watch {
    /// None where the machine has no more.
    inotify: Option<OwnedFd>,
    watched: HashMap<i32, String>,
    blind: BTreeSet<String>,
    /// That a limit is reached is said once.
    told: bool,
}

impl Watch {
    /// With an instance of inotify, if there is one.
    pub fn new() -> Self {
        let made = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK);
        let mut watch = Self::with(None);
        match made {
            Ok(inotify) => watch.inotify = Some(inotify),
            Err(error) => watch.tell("fs.inotify.max_user_instances", error),
        }
        watch
    }

    /// With this instance, or blind for all servers.
    pub fn with(inotify: Option<OwnedFd>) -> Self {
        Self {
            inotify,
            watched: HashMap::new(),
            blind: BTreeSet::new(),
            told: false,
        }
    }

    fn tell(&mut self, limit: &str, error: Errno) {
        if !std::mem::replace(&mut self.told, true) {
            LogsUnwatched {
                limit: &limit,
                error: &error,
            }
            .emit();
        }
    }

    /// Watches a file of a server, which is blind where that cannot be.
    pub fn add(&mut self, server: &str, path: &Path) {
        let added = self
            .inotify
            .as_ref()
            .map(|inotify| inotify::add_watch(inotify, path, inotify::WatchFlags::MODIFY));
        match added {
            Some(Ok(watch)) => {
                self.watched.insert(watch, server.to_owned());
                return;
            }
            Some(Err(error @ (Errno::NOSPC | Errno::NOMEM))) => {
                self.tell("fs.inotify.max_user_watches", error);
            }
            Some(Err(error)) => {
                tracing::warn!(path = %path.display(), %error, "log file is not watched: lines come late");
            }
            None => {}
        }
        self.blind.insert(server.to_owned());
    }

    /// Forgets the files of a server.
    pub fn remove(&mut self, server: &str) {
        self.blind.remove(server);
        let Some(inotify) = &self.inotify else { return };
        self.watched.retain(|watch, of| {
            let keep = of != server;
            if !keep {
                let _ = inotify::remove_watch(inotify, *watch);
            }
            keep
        });
    }

    /// Readable once a watched file grew.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.inotify.as_ref().map(AsFd::as_fd)
    }

    /// How long the reader may sleep where nothing wakes it.
    pub fn timeout(&self) -> PollTimeout {
        if self.blind.is_empty() {
            PollTimeout::NONE
        } else {
            PollTimeout::from(BLIND_MS)
        }
    }

    /// The servers whose files have to be looked at.
    pub fn blind(&self) -> impl Iterator<Item = &String> {
        self.blind.iter()
    }

    /// Adds the servers of which a watched file grew since the last time.
    pub fn take(&mut self, grown: &mut Vec<String>) {
        let Some(inotify) = &self.inotify else { return };
        let mut buffer = [const { MaybeUninit::uninit() }; 4096];
        let mut events = inotify::Reader::new(inotify, &mut buffer);
        let mut overflow = false;
        while let Ok(event) = events.next() {
            overflow |= event.events().contains(inotify::ReadFlags::QUEUE_OVERFLOW);
            if let Some(server) = self.watched.get(&event.wd()) {
                if !grown.contains(server) {
                    grown.push(server.clone());
                }
            }
        }
        if overflow {
            // Events were lost, so each file may have grown.
            grown.extend(self.watched.values().cloned());
            grown.sort_unstable();
            grown.dedup();
        }
    }
}
