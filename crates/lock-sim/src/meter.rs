//! What a search costs, as the kernel counts it. Time on a processor, and not by the clock:
//! other work on the machine changes the one far less than the other.

use std::fs;

/// Seconds of processor time that all threads of this process have had.
#[must_use]
pub fn cpu_seconds() -> f64 {
    const TICKS_PER_SECOND: f64 = 100.0;
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name in parentheses may hold anything, so count from the last one.
    let fields = stat.rsplit_once(')').map(|(_, fields)| fields).unwrap_or_default();
    let ticks = fields.split_whitespace().skip(11).take(2);
    ticks.filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / TICKS_PER_SECOND
}

/// The most memory that this process has had so far.
#[must_use]
pub fn peak_megabytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kilobytes.unwrap_or_default() / 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_counts() {
        let before = cpu_seconds();
        let mut spun = 0_u64;
        while cpu_seconds() - before < 0.02 {
            spun = spun.wrapping_add(1);
        }
        assert!(spun > 0 && peak_megabytes() > 0);
    }
}
