//! CPU time and memory of processes, and tables.

use std::fs;

/// CPU time that processes have used, seconds.
pub fn cpu_seconds(pids: &[i32]) -> f64 {
    let ticks = |pid: &i32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // The name may hold anything; what follows its last bracket begins with the state.
        let (_, rest) = stat.rsplit_once(')').unwrap_or_default();
        let fields = rest
            .split_whitespace()
            .map(|field| field.parse().unwrap_or(0));
        fields.skip(11).take(2).sum::<u64>()
    };
    // Linux counts in hundredths of a second here, whatever the kernel's own clock.
    pids.iter().map(ticks).sum::<u64>() as f64 / 100.0
}

/// Begins to look for the most memory of a process anew.
pub fn forget_peak(pid: i32) {
    fs::write(format!("/proc/{pid}/clear_refs"), "5").unwrap();
}

/// The most resident memory since then, MiB.
pub fn peak_mib(pid: i32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kib.unwrap() / 1024.0
}

/// Median, least and most.
pub fn spread(values: impl IntoIterator<Item = f64>) -> (f64, f64, f64) {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    (
        values[values.len() / 2],
        values[0],
        values[values.len() - 1],
    )
}

/// The same as text.
pub fn show(values: impl IntoIterator<Item = f64>, digits: usize) -> String {
    let (median, least, most) = spread(values);
    format!("{median:.digits$} ({least:.digits$}–{most:.digits$})")
}

/// The value below which this share of them lies.
pub fn quantile(values: &[f64], share: f64) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values[((values.len() - 1) as f64 * share).round() as usize]
}
