//! What a process has used, as Linux tells it in files. Elsewhere nothing is measured.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

/// Processor time of each thread so far.
#[derive(Clone, Default)]
pub struct Used(BTreeMap<u32, Duration>);

/// What the threads of a process have used so far.
pub fn used(process: u32) -> Used {
    let threads = fs::read_dir(format!("/proc/{process}/task"));
    let threads = threads.into_iter().flatten().flatten().filter_map(|entry| {
        let thread = entry.file_name().to_str()?.parse().ok()?;
        let statistics = fs::read_to_string(entry.path().join("schedstat")).ok()?;
        let nanoseconds = statistics.split(' ').next()?.parse().ok()?;
        Some((thread, Duration::from_nanos(nanoseconds)))
    });
    Used(threads.collect())
}

/// The same, added up by what threads are called, less their numbers.
pub fn used_by_name(process: u32) -> BTreeMap<String, Duration> {
    let mut by_name = BTreeMap::new();
    for (thread, used) in used(process).0 {
        let name = fs::read_to_string(format!("/proc/{process}/task/{thread}/comm"));
        let name = name.unwrap_or_default();
        let name = name
            .trim_end()
            .trim_end_matches(|c: char| c.is_ascii_digit() || c == '-');
        *by_name.entry(name.to_owned()).or_default() += used;
    }
    by_name
}

impl Used {
    /// What was used since `before`; `None` where the system does not tell.
    pub fn since(&self, before: &Self) -> Option<Duration> {
        // A thread that has ended in between takes what it used with it: of those that serve
        // requests none does.
        let each = self.0.iter().map(|(thread, used)| {
            let then = before.0.get(thread).copied().unwrap_or_default();
            used.saturating_sub(then)
        });
        (!self.0.is_empty()).then(|| each.sum())
    }
}

/// Resident memory in KiB.
pub fn resident(process: u32) -> Option<u64> {
    memory(process, "VmRSS:")
}

/// The most that was resident so far, in KiB.
pub fn peak(process: u32) -> Option<u64> {
    memory(process, "VmHWM:")
}

fn memory(process: u32, which: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(which))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}
