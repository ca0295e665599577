//! What another process uses, as Linux tells it.

use anyhow::Context;
use std::fs::read_to_string;

/// Clock ticks of a second in `/proc`; the kernel's ABI fixes them.
const TICKS: f64 = 100.0;

/// The fields after a process's name, which may hold spaces: state, parent, ...
fn fields(pid: &str) -> anyhow::Result<Vec<String>> {
    let stat = read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, fields) = stat.rsplit_once(')').context("a process without a name")?;
    Ok(fields.split_whitespace().map(str::to_owned).collect())
}

/// CPU seconds of a process so far, all its threads, user and system.
///
/// # Errors
/// If there is no such process.
pub fn cpu_seconds_of(pid: u32) -> anyhow::Result<f64> {
    let times = fields(&pid.to_string())?;
    let mut times = times.iter().skip(11).take(2);
    let mut next = || anyhow::Ok(times.next().context("/proc/PID/stat is short")?.parse::<f64>()?);
    Ok((next()? + next()?) / TICKS)
}

/// Memory that a process holds, in KiB.
///
/// # Errors
/// If there is no such process.
pub fn memory_kib_of(pid: u32) -> anyhow::Result<u64> {
    let status = read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).context("no VmRSS")?;
    Ok(line.split_whitespace().nth(1).context("VmRSS is empty")?.parse()?)
}

/// CPU seconds of a process and of all that it has started and that still run under it.
///
/// # Errors
/// If there is no such process.
pub fn cpu_seconds_under(pid: u32) -> anyhow::Result<f64> {
    let parent = pid.to_string();
    let mut sum = cpu_seconds_of(pid)?;
    for entry in std::fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let name = name.to_string_lossy();
        // A process may end while it is looked at.
        let Ok(child) = name.parse() else { continue };
        let is_child = fields(&name).is_ok_and(|fields| fields.get(1) == Some(&parent));
        if is_child {
            sum += cpu_seconds_under(child).unwrap_or_default();
        }
    }
    Ok(sum)
}
