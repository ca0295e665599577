//! What this process and this machine have used, as Linux tells it.

use anyhow::Context;
use std::fs::read_to_string;

/// Clock ticks of a second in `/proc`; the kernel's ABI fixes them.
const TICKS: f64 = 100.0;

/// CPU seconds of this process so far, all its threads, user and system.
///
/// # Errors
/// If `/proc` is not Linux's.
pub fn cpu_seconds() -> anyhow::Result<f64> {
    cpu_seconds_of("self")
}

/// CPU seconds of a process of this machine so far.
///
/// # Errors
/// If there is none of this id.
pub fn cpu_seconds_of(process: &str) -> anyhow::Result<f64> {
    let stat = read_to_string(format!("/proc/{process}/stat"))?;
    // The name may hold spaces; the fields after it cannot.
    let (_, fields) = stat.rsplit_once(')').context("/proc/<process>/stat has no name")?;
    let mut times = fields.split_whitespace().skip(11).take(2);
    let mut next = || anyhow::Ok(times.next().context("/proc/<process>/stat is short")?.parse::<f64>()?);
    Ok((next()? + next()?) / TICKS)
}

/// Memory of this process in KiB: what it holds now, and the most that it ever held.
///
/// # Errors
/// If `/proc` is not Linux's.
pub fn memory_kib() -> anyhow::Result<(u64, u64)> {
    let status = read_to_string("/proc/self/status")?;
    let field = |name: &str| -> anyhow::Result<u64> {
        let line = status.lines().find(|line| line.starts_with(name)).with_context(|| format!("no {name}"))?;
        Ok(line.split_whitespace().nth(1).with_context(|| format!("{name} is empty"))?.parse()?)
    };
    Ok((field("VmRSS:")?, field("VmHWM:")?))
}

/// Processes that wanted to run, on average over the last minute; more than the cores means that others disturb.
pub fn load_average() -> String {
    let text = read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().unwrap_or("?").to_owned()
}
