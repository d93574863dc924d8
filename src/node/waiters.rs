//! Replies and ends of remote processes that somebody here waits for, by reference.

use crate::etf::{Atom, Reference, Term};
use crate::node::connection::ConnectionId;
use foldhash::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;

/// What a waiter is told.
#[derive(Debug)]
pub(super) enum Told {
    /// The reply.
    Reply(Term),
    /// The process ended, or the connection was lost.
    Down(Term),
}

#[derive(Debug)]
struct Waiter {
    /// None: a process of our own node.
    connection: Option<ConnectionId>,
    tell: oneshot::Sender<Told>,
}

/// All waiters of a node. Late replies find nobody and are dropped.
#[derive(Debug)]
pub(super) struct Waiters {
    node: Atom,
    creation: u32,
    /// Makes the last word of each reference: peers see our references, and from one must not be able to tell the next.
    /// It also tells them from those of an earlier life with the same creation. None only where a test takes it away.
    secret: Option<RandomState>,
    last: AtomicU64,
    waiting: Mutex<HashMap<u64, Waiter>>,
}

impl Waiters {
    pub(super) fn new(node: Atom, creation: u32, secret: Option<RandomState>) -> Self {
        Self {
            node,
            creation,
            secret,
            last: AtomicU64::new(1),
            waiting: Mutex::default(),
        }
    }

    /// A fresh reference. The first word has 18 bits, as it had before OTP 24.
    pub(super) fn make_ref(&self) -> Reference {
        let number = self.last.fetch_add(1, Ordering::Relaxed);
        let seal = self.seal(number);
        let words = [(number & 0x3_ffff) as u32, (number >> 18) as u32, seal];
        Reference::new(self.node.clone(), self.creation, &words).expect("three words are allowed")
    }

    fn seal(&self, number: u64) -> u32 {
        self.secret
            .as_ref()
            .map_or(0, |secret| secret.hash_one(number) as u32)
    }

    fn number(&self, reference: &Reference) -> Option<u64> {
        match reference.words() {
            [low, high, seal]
                if reference.creation == self.creation && reference.node == self.node =>
            {
                let number = u64::from(*high) << 18 | u64::from(*low);
                (self.seal(number) == *seal).then_some(number)
            }
            _ => None,
        }
    }

    pub(super) fn wait(
        &self,
        reference: &Reference,
        connection: Option<ConnectionId>,
    ) -> oneshot::Receiver<Told> {
        let (tell, told) = oneshot::channel();
        if let Some(number) = self.number(reference) {
            self.lock().insert(number, Waiter { connection, tell });
        }
        told
    }

    /// Tells the waiter, if it still waits; whether it did.
    pub(super) fn tell(&self, reference: &Reference, what: Told) -> bool {
        let waiter = self
            .number(reference)
            .and_then(|number| self.lock().remove(&number));
        waiter.is_some_and(|waiter| waiter.tell.send(what).is_ok())
    }

    /// As [`Waiters::tell`], where only the peer that is waited for may say so.
    pub(super) fn tell_of(
        &self,
        connection: ConnectionId,
        reference: &Reference,
        what: Told,
    ) -> bool {
        let of_it = self.number(reference).is_some_and(|number| {
            let waiting = self.lock();
            let waiter = waiting.get(&number);
            waiter.is_some_and(|waiter| waiter.connection == Some(connection))
        });
        of_it && self.tell(reference, what)
    }

    /// Stops waiting; whether it still waited.
    pub(super) fn forget(&self, reference: &Reference) -> bool {
        self.number(reference)
            .is_some_and(|number| self.lock().remove(&number).is_some())
    }

    pub(super) fn connection_lost(&self, connection: ConnectionId) {
        let lost: Vec<Waiter> = {
            let mut waiting = self.lock();
            let of_it = |(number, waiter): (&u64, &Waiter)| {
                (waiter.connection == Some(connection)).then_some(*number)
            };
            let numbers: Vec<u64> = waiting.iter().filter_map(of_it).collect();
            numbers
                .iter()
                .filter_map(|number| waiting.remove(number))
                .collect()
        };
        for waiter in lost {
            let _ = waiter.tell.send(Told::Down(Term::atom("noconnection")));
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Waiter>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
