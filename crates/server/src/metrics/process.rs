//! What the system says of this process, under the names that all exporters use. Where there is no `/proc`, only the
//! start is told.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use super::text::{Kind, Text};

/// The kernel tells processor time in hundredths of a second on every machine that Rust's standard library runs on.
const TICKS: f64 = 100.0;

/// Writes the figures of a process that started then.
pub(super) fn write(text: &mut Text, started: SystemTime) {
    let started = started.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    // one of them is the directory that is being read
    let open = fs::read_dir("/proc/self/fd").ok().map(|all| all.count().saturating_sub(1) as f64);
    let bytes = |name| number_after(&status, name).map(|kib| kib * 1024.0);
    for (kind, name, help, value) in [
        (
            Kind::Counter,
            "process_cpu_seconds_total",
            "User and system time of all threads.",
            cpu_seconds(&stat),
        ),
        (Kind::Gauge, "process_resident_memory_bytes", "Memory that is resident.", bytes("VmRSS:")),
        (Kind::Gauge, "process_virtual_memory_bytes", "Memory that is mapped.", bytes("VmSize:")),
        (Kind::Gauge, "process_threads", "Threads.", number_after(&status, "Threads:")),
        (Kind::Gauge, "process_open_fds", "Open files and sockets.", open),
        (
            Kind::Gauge,
            "process_max_fds",
            "The most open files and sockets that the system allows.",
            number_after(&limits, "Max open files"),
        ),
        (Kind::Gauge, "process_start_time_seconds", "When it started, in Unix time.", Some(started)),
    ] {
        if let Some(value) = value {
            text.family(kind, name, help);
            text.number(&[], value);
        }
    }
}

/// The number that follows `name` at the start of a line.
fn number_after(text: &str, name: &str) -> Option<f64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}

/// The 14th and the 15th field; the second may hold anything, but ends with the last parenthesis.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<f64>().ok();
    Some((next()? + next()?) / TICKS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_found_whatever_the_process_is_called() {
        let stat = "7 (a) b 3) S 1 2 3 4 5 6 7 8 9 10 150 25 1 1 20 0";
        assert_eq!(cpu_seconds(stat), Some(1.75));
        assert_eq!(cpu_seconds("7 (a"), None);
        let status = "Name:\tx\nVmSize:\t   900 kB\nVmRSS:\t    12 kB\n";
        assert_eq!(number_after(status, "VmRSS:"), Some(12.0));
        assert_eq!(number_after("Max open files            unlimited  1 files", "Max open files"), None);
    }
}
