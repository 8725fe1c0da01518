//! Makes a directory's file system durable, in one call for everything written so far.
//!
//! Knows the system call. Does not know what was written.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use crate::store::error::StoreError;

/// A file system that can be synced as a whole.
pub(crate) struct Disk {
    directory: Arc<File>,
}

impl Disk {
    /// `None` where the system has no such call.
    pub(crate) fn open(directory: &Path) -> Result<Option<Disk>, StoreError> {
        if !cfg!(target_os = "linux") {
            return Ok(None);
        }
        let file = File::open(directory).map_err(|error| StoreError::Option {
            option: "data_dir",
            detail: format!("{} cannot be opened: {error}", directory.display()),
        })?;
        Ok(Some(Disk { directory: Arc::new(file) }))
    }

    /// Returns when all that was written to the file system before is on its disk.
    pub(crate) async fn sync(&self) -> Result<(), StoreError> {
        let directory = Arc::clone(&self.directory);
        match tokio::task::spawn_blocking(move || sync(&directory)).await {
            Ok(done) => done.map_err(|error| StoreError::Disk(error.to_string())),
            Err(stopped) => Err(StoreError::Disk(stopped.to_string())),
        }
    }
}

#[cfg(target_os = "linux")]
fn sync(directory: &File) -> std::io::Result<()> {
    use std::os::fd::AsRawFd;
    // SAFETY: the descriptor is open as long as the file lives, and the call takes nothing else.
    match unsafe { libc::syncfs(directory.as_raw_fd()) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}

#[cfg(not(target_os = "linux"))]
fn sync(directory: &File) -> std::io::Result<()> {
    directory.sync_all()
}
