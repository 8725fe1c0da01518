//! Standard error, shared by progress bars and log lines: a line never tears a bar.

use std::io::{Result, Write};
use std::sync::OnceLock;

use indicatif::MultiProgress;

/// All bars of this process.
pub fn bars() -> &'static MultiProgress {
    static BARS: OnceLock<MultiProgress> = OnceLock::new();
    BARS.get_or_init(MultiProgress::new)
}

/// Where log lines go.
pub fn lines() -> Lines {
    Lines
}

/// Writes to standard error while no bar is drawn.
pub struct Lines;

impl Write for Lines {
    fn write(&mut self, text: &[u8]) -> Result<usize> {
        bars().suspend(|| std::io::stderr().write(text))
    }

    fn flush(&mut self) -> Result<()> {
        std::io::stderr().flush()
    }
}
