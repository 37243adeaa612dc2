//! What `/proc/self` says of the manager.

use std::fs;

use weft_telemetry::Process;

/// Reads it; `None` when /proc is not there.
pub(crate) fn read() -> Option<Process> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The command may contain spaces and parentheses; fields after it do not (proc(5)).
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?;
    let pages: u64 = fields.get(21)?.parse().ok()?;
    let open_fds = fs::read_dir("/proc/self/fd").ok()?.count();
    Some(Process {
        cpu_seconds: ticks / rustix::param::clock_ticks_per_second() as f64,
        resident_bytes: pages * rustix::param::page_size() as u64,
        open_fds: open_fds as u64,
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn this_process_uses_memory_and_files() {
        let process = super::read().expect("/proc is mounted");
        assert!(process.resident_bytes > 100_000 && process.open_fds >= 3);
    }
}
