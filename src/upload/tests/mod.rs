//! The core by cases and against a simulated world; the beam protocol by its terms.

mod back;
mod beam;
mod cases;
mod simulation;
mod slow;
mod states;
mod verdict;

use super::breaker::{BreakerOptions, BreakerState};
use super::core::{Action, Core, Input, News, StateGoal};
use super::lane::{Extent, Moment};
use super::memory::Memory;
use super::options::SinkOptions;
use super::outcome::{BuryError, Failure, Outcome, StateOutcome, StoreId};
use super::status::SinkState;
use crate::types::{Scope, SinkName, StreamName};
use bytes::Bytes;
use std::num::NonZeroU64;
use std::time::Duration;

const STORE: StoreId = Bytes::from_static(b"store-1");

fn options(nodes: usize) -> SinkOptions {
    let name = SinkName::try_from("khepri").unwrap();
    let nodes = (0..nodes).map(|n| format!("frontend{n}@127.0.0.1").parse().unwrap());
    SinkOptions::new(name, nodes.collect())
}

fn stream(name: &str) -> StreamName {
    StreamName::try_from(name).unwrap()
}

fn scope(name: &str) -> Scope {
    Scope::try_from(name).unwrap()
}

fn ms(ms: u64) -> Moment {
    Duration::from_millis(ms)
}

fn extent(cursor: u64, first: u64, last: u64) -> Extent {
    let bytes = (last + 1).saturating_sub(first) * 100;
    Extent {
        cursor,
        first,
        last,
        bytes,
    }
}

fn stored(watermark: u64) -> Outcome {
    Outcome::Stored {
        store: STORE,
        watermark,
    }
}
