//! What a process uses, from `/proc` (proc(5)).

use std::{fs, time::Duration};

use anyhow::{Context, Result};

/// CPU time of a process so far, all threads, user and system.
///
/// # Errors
/// When it has ended.
pub fn cpu_time(pid: u32) -> Result<Duration> {
    let path = format!("/proc/{pid}/stat");
    let stat = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    // The name, in parentheses, may hold anything; fields are counted from behind it: state is the
    // third, utime and stime the 14th and 15th.
    let (_, fields) = stat.rsplit_once(')').context("a line of /proc/PID/stat")?;
    let ticks: Option<u64> = fields
        .split_ascii_whitespace()
        .skip(11)
        .take(2)
        .map(|field| field.parse::<u64>().ok())
        .sum();
    let ticks = ticks.context("times in /proc/PID/stat")?;
    let seconds = ticks as f64 / rustix::param::clock_ticks_per_second() as f64;
    Ok(Duration::from_secs_f64(seconds))
}

/// Memory of a process that is in RAM now, in bytes.
///
/// # Errors
/// When it has ended.
pub fn resident(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/statm");
    let statm = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    let pages: Option<u64> = statm
        .split_ascii_whitespace()
        .nth(1)
        .and_then(|field| field.parse().ok());
    let pages = pages.context("pages in /proc/PID/statm")?;
    Ok(pages * rustix::param::page_size() as u64)
}
