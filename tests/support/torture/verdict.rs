//! What is wrong with records that were found somewhere, given those that were acknowledged. Knows nothing of how either
//! came to be.

use std::collections::{BTreeMap, BTreeSet};

/// A record: its sequence, and who made it as which.
pub type Found = (u64, String);

/// Says everything that is wrong with a stream: missing, twice, out of order, or with other contents. Records that are there and
/// were never acknowledged are only wrong where `closed`: whoever was told nothing may have been stored.
pub fn faults(acknowledged: &BTreeMap<u64, String>, found: &[Found], closed: bool) -> Vec<String> {
    let mut faults = Vec::new();
    let mut seen = BTreeMap::<u64, u32>::new();
    let mut before = 0;
    for (seq, label) in found {
        if *seq < before {
            faults.push(format!("{seq} stands behind {before}"));
        }
        before = *seq;
        *seen.entry(*seq).or_default() += 1;
        match acknowledged.get(seq) {
            Some(told) if told != label => faults.push(format!("{seq} is {label}, not {told}")),
            None if closed => faults.push(format!("{seq} ({label}) was never acknowledged")),
            _ => {}
        }
    }
    for (seq, times) in &seen {
        if *times > 1 {
            faults.push(format!("{seq} is there {times} times"));
        }
    }
    let missing = acknowledged.keys().filter(|seq| !seen.contains_key(seq));
    faults.extend(missing.map(|seq| format!("{seq} is missing")));
    faults
}

/// The same where only names were told, in order: a game knows no sequences.
pub fn faults_of_names(told: &[String], found: &[Found]) -> Vec<String> {
    let mut faults = Vec::new();
    let mut places = BTreeMap::<&str, usize>::new();
    let mut before = 0;
    for (place, (seq, name)) in found.iter().enumerate() {
        if *seq <= before {
            faults.push(format!("{seq} stands behind {before}"));
        }
        before = *seq;
        if places.insert(name, place).is_some() {
            faults.push(format!("{name} is there twice"));
        }
    }
    let mut last = None;
    for name in told {
        match places.get(name.as_str()) {
            None => faults.push(format!("{name} is missing")),
            Some(place) if last > Some(*place) => faults.push(format!("{name} is out of order")),
            Some(place) => last = Some(*place),
        }
    }
    faults
}

/// The kinds of faults among these, for a test that puts one kind in.
pub fn kinds(faults: &[&str]) -> BTreeSet<&'static str> {
    let kind = |fault: &&str| match fault {
        _ if fault.contains("times") || fault.contains("twice") => "duplicate",
        _ if fault.contains("missing") => "missing",
        _ if fault.contains("behind") || fault.contains("out of order") => "order",
        _ => "other",
    };
    faults.iter().map(kind).collect()
}
