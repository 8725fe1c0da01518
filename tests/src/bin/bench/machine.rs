//! What the machine is and what a process took of it.
//!
//! Knows /proc and getrusage. Does not know what is measured.

use std::time::{Duration, Instant};

fn first_value(file: &str, key: &str) -> Option<String> {
    let text = std::fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.starts_with(key))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// Load averages of 1, 5 and 15 minutes: above 0 before a run, somebody else works here as well.
pub fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

/// Microseconds that a synced write of 4 KiB takes in `dir`: median of 50.
fn sync_micros(dir: &std::path::Path) -> anyhow::Result<u64> {
    use std::io::Write;
    let mut file = std::fs::File::create(dir.join("sync"))?;
    let mut times = Vec::new();
    for _ in 0..50 {
        let start = Instant::now();
        file.write_all(&[7; 4096])?;
        file.sync_data()?;
        times.push(start.elapsed().as_micros() as u64);
    }
    times.sort_unstable();
    Ok(times[times.len() / 2])
}

/// One line each: processor, memory, kernel, disk, load.
pub fn describe(dir: &std::path::Path) -> anyhow::Result<Vec<String>> {
    let unknown = || "unknown".to_owned();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory = first_value("/proc/meminfo", "MemTotal").unwrap_or_else(unknown);
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_else(|_| unknown());
    Ok(vec![
        format!("processor   {}, {cores} cores", first_value("/proc/cpuinfo", "model name").unwrap_or_else(unknown)),
        format!("memory      {memory}, Linux {}", kernel.trim()),
        format!("disk        a synced write of 4 KiB takes {} us (median of 50)", sync_micros(dir)?),
        format!("load        {} (1, 5 and 15 minutes) before the first run", load()),
    ])
}

/// Processor time of this process so far, all threads.
pub fn cpu() -> Duration {
    // SAFETY: getrusage fills a struct that lives on our stack; zeros are a valid value of it.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &mut usage);
        usage
    };
    let time = |t: libc::timeval| Duration::new(t.tv_sec as u64, t.tv_usec as u32 * 1000);
    time(usage.ru_utime) + time(usage.ru_stime)
}

/// Resident bytes of this process.
pub fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = text.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0);
    pages * 4096
}

/// Wall clock and processor time of a piece of work.
#[derive(Clone, Copy)]
pub struct Watch {
    wall: Instant,
    cpu: Duration,
}

impl Watch {
    pub fn start() -> Watch {
        Watch { wall: Instant::now(), cpu: cpu() }
    }

    /// Seconds since the start: wall clock, processor.
    pub fn read(&self) -> (f64, f64) {
        (self.wall.elapsed().as_secs_f64(), (cpu() - self.cpu).as_secs_f64())
    }
}
