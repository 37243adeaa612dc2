//! What the manager may use, and what `/proc/self` says it does.

use std::fs;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use weft_telemetry::Process;

/// Takes as many open files as the system allows: each connection that the proxy carries needs two,
/// and the usual soft limit of 1024 is for programs that call `select`.
pub(crate) fn allow_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(
            "the limit of open files stays at {:?}: {error}",
            limit.current
        );
    }
}

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
