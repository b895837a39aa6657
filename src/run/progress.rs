//! How far long work has come, on a terminal only.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

/// Work that is done sooner shows nothing.
const SILENT: Duration = Duration::from_secs(1);
/// Between two lines.
const PAUSE: Duration = Duration::from_millis(200);

/// One line on standard error that is written over until the work is done.
pub(super) struct Progress {
    total: u64,
    begun: Instant,
    told: Option<Instant>,
    shown: bool,
}

impl Progress {
    /// For work of `total` bytes; shows nothing unless `wanted` and standard error is a terminal.
    pub(super) fn new(total: u64, wanted: bool) -> Progress {
        Progress { total, begun: Instant::now(), told: None, shown: wanted && io::stderr().is_terminal() }
    }

    /// Says that so many bytes are done.
    pub(super) fn tell(&mut self, done: u64) {
        if !self.shown || self.begun.elapsed() < SILENT || self.told.is_some_and(|t| t.elapsed() < PAUSE) {
            return;
        }
        self.told = Some(Instant::now());
        let share = if self.total == 0 { 100.0 } else { done as f64 / self.total as f64 * 100.0 };
        let rate = done as f64 / self.begun.elapsed().as_secs_f64() / 1e9;
        let gigabytes = |n: u64| n as f64 / 1e9;
        let (done, total) = (gigabytes(done), gigabytes(self.total));
        let line = format!("\r{share:5.1} %   {done:.1} of {total:.1} GB   {rate:.1} GB/s\x1b[K");
        // Nobody to tell is no reason to stop.
        let _ = io::stderr().lock().write_all(line.as_bytes());
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.told.is_some() {
            let _ = io::stderr().lock().write_all(b"\r\x1b[K");
        }
    }
}
