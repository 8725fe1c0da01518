//! `run.json`: how other commands reach the process that runs a pipeline.
//!
//! `concord run` writes it into the data directory, readable by its user alone, and removes it at the end. A file left
//! by a process that died is recognized: the process is gone, or another one has its number now.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::run_lock::process;

const NAME: &str = "run.json";

/// What the running process tells other commands.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunFile {
    pub pid: u32,
    /// When the process started, in the kernel's ticks, where the system tells: a reused number is seen by it.
    #[serde(default)]
    pub started: Option<u64>,
    /// ClickHouse's HTTP interface, such as `http://127.0.0.1:8123`.
    pub address: String,
    pub database: String,
    /// May only read.
    pub user: String,
    pub password: String,
    /// Where deliveries and control records may be handed in.
    pub door: Door,
}

/// The process's door for other commands of the same user.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Door {
    /// Such as `http://127.0.0.1:40123`.
    pub address: String,
    pub token: String,
}

/// Who runs a pipeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Running {
    No,
    /// The file of a process that is gone; nothing can be reached through it.
    Stale {
        pid: u32,
    },
    Yes(Box<RunFile>),
}

/// Why `run.json` could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum RunFileError {
    #[error("{path} cannot be {action}: {source}; check that the data directory is yours to write")]
    Io { path: PathBuf, action: &'static str, source: io::Error },
    #[error("{path} is no run file: {source}; if nothing runs on this data directory, remove it")]
    Malformed { path: PathBuf, source: serde_json::Error },
    #[error("process {pid} already runs this pipeline ({path}); stop it first, or use another data_dir")]
    Taken { path: PathBuf, pid: u32 },
    #[error("{} runs this pipeline already, or is just ending ({}); stop it first, or use another data_dir", process(*pid), path.display())]
    Held { path: PathBuf, pid: Option<u32> },
    #[error(
        "{} starts or ends, and has not come to the end of it ({}); look at what it prints, and try again when it is up or gone",
        process(*pid), path.display()
    )]
    NotUp { path: PathBuf, pid: Option<u32> },
}

impl fmt::Debug for RunFile {
    /// Without the secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("RunFile");
        shown.field("pid", &self.pid).field("address", &self.address).field("user", &self.user);
        shown.field("door", &self.door.address).finish_non_exhaustive()
    }
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Door").field("address", &self.address).finish_non_exhaustive()
    }
}

impl RunFile {
    /// Of the present process.
    pub fn of_this_process(address: String, database: String, user: String, password: String, door: Door) -> RunFile {
        let pid = std::process::id();
        RunFile { pid, started: started(pid), address, database, user, password, door }
    }

    /// Where it lies.
    pub fn path(data_dir: &Path) -> PathBuf {
        data_dir.join(NAME)
    }

    /// Writes the file whole or not at all, mode 0600, in place of a stale one. The guard removes it.
    pub fn write(&self, data_dir: &Path) -> Result<RunGuard, RunFileError> {
        let path = Self::path(data_dir);
        match Self::find(data_dir) {
            Ok(Running::Yes(other)) if other.pid != self.pid => {
                return Err(RunFileError::Taken { path, pid: other.pid });
            }
            Err(error @ RunFileError::Io { .. }) => return Err(error),
            // Nothing, a stale one, our own, or one that a crash of the machine left unreadable.
            _ => {}
        }
        let temporary = data_dir.join(format!("{NAME}.{}", self.pid));
        let written = self.write_to(&temporary).and_then(|()| fs::rename(&temporary, &path));
        written.map_err(|source| {
            let _gone_or_never_there = fs::remove_file(&temporary);
            RunFileError::Io { path: path.clone(), action: "written", source }
        })?;
        Ok(RunGuard { path, pid: self.pid })
    }

    fn write_to(&self, path: &Path) -> io::Result<()> {
        // One of an earlier process with our number might lie here with another mode.
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(serde_json::to_string_pretty(self)?.as_bytes())?;
        file.write_all(b"\n")?;
        file.sync_all()
    }

    /// Who runs the pipeline with this data directory.
    pub fn find(data_dir: &Path) -> Result<Running, RunFileError> {
        let path = Self::path(data_dir);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Running::No),
            Err(source) => return Err(RunFileError::Io { path, action: "read", source }),
        };
        let file: RunFile = serde_json::from_slice(&text).map_err(|source| RunFileError::Malformed { path, source })?;
        Ok(if file.is_alive() { Running::Yes(Box::new(file)) } else { Running::Stale { pid: file.pid } })
    }

    fn is_alive(&self) -> bool {
        match (self.started, started(self.pid)) {
            (Some(then), Some(now)) => then == now,
            (Some(_), None) => false,
            (None, _) => answers(self.pid),
        }
    }
}

/// Removes `run.json` at the end, if it is still this process's.
#[derive(Debug)]
pub struct RunGuard {
    path: PathBuf,
    pid: u32,
}

impl Drop for RunGuard {
    fn drop(&mut self) {
        let ours = fs::read(&self.path)
            .ok()
            .and_then(|text| serde_json::from_slice::<RunFile>(&text).ok())
            .is_some_and(|file| file.pid == self.pid);
        if ours && let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "run.json stays behind; it will be recognized as stale");
        }
    }
}

/// The start of a process in ticks since the machine's start: field 22 of `/proc/PID/stat`. `None` when there is no such
/// process, it has ended and waits for its parent, or the system has no `/proc`.
fn started(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name in parentheses and may hold blanks and parentheses itself.
    let mut fields = stat.get(stat.rfind(')')? + 1..)?.split_ascii_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X") { None } else { fields.nth(18)?.parse().ok() }
}

/// Whether a process of this number exists, for systems without `/proc`.
fn answers(pid: u32) -> bool {
    let Ok(pid) = i32::try_from(pid) else { return false };
    // SAFETY: signal 0 sends nothing; the call only asks whether the process exists.
    let answer = unsafe { libc::kill(pid, 0) };
    // Not permitted means that there is one, of another user.
    answer == 0 || io::Error::last_os_error().raw_os_error() == Some(libc::EPERM)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn ours() -> RunFile {
        let door = Door { address: "http://127.0.0.1:2".into(), token: "t0ken".into() };
        RunFile::of_this_process("http://127.0.0.1:1".into(), "concord".into(), "reader".into(), "s3cret".into(), door)
    }

    #[test]
    fn it_lives_as_long_as_the_guard() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(RunFile::find(dir.path()).unwrap(), Running::No);
        let guard = ours().write(dir.path()).unwrap();
        let mode = fs::metadata(RunFile::path(dir.path())).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(RunFile::find(dir.path()).unwrap(), Running::Yes(Box::new(ours())));
        drop(guard);
        assert_eq!(RunFile::find(dir.path()).unwrap(), Running::No);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_dead_process_leaves_a_stale_file_that_the_next_one_replaces() {
        let dir = tempfile::tempdir().unwrap();
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = child.id();
        child.wait().unwrap();
        let dead = RunFile { pid, started: None, ..ours() };
        std::mem::forget(dead.write(dir.path()).unwrap());
        assert_eq!(RunFile::find(dir.path()).unwrap(), Running::Stale { pid });
        let _guard = ours().write(dir.path()).unwrap();
        assert!(matches!(RunFile::find(dir.path()).unwrap(), Running::Yes(_)));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_reused_number_is_seen_by_the_start() {
        let dir = tempfile::tempdir().unwrap();
        let earlier = RunFile { started: Some(1), ..ours() };
        std::mem::forget(earlier.write(dir.path()).unwrap());
        assert_eq!(RunFile::find(dir.path()).unwrap(), Running::Stale { pid: earlier.pid });
    }

    #[test]
    fn a_second_process_is_told_who_runs() {
        let dir = tempfile::tempdir().unwrap();
        let _guard = ours().write(dir.path()).unwrap();
        let error = RunFile { pid: 1, ..ours() }.write(dir.path()).unwrap_err();
        assert!(error.to_string().contains(&format!("process {}", std::process::id())), "{error}");
    }

    #[test]
    fn garbage_is_named_and_replaced() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(RunFile::path(dir.path()), "{").unwrap();
        assert!(matches!(RunFile::find(dir.path()), Err(RunFileError::Malformed { .. })));
        let _guard = ours().write(dir.path()).unwrap();
        assert!(matches!(RunFile::find(dir.path()).unwrap(), Running::Yes(_)));
    }

    #[test]
    fn debug_shows_no_secret() {
        let shown = format!("{:?}", ours());
        assert!(!shown.contains("s3cret") && !shown.contains("t0ken"), "{shown}");
    }
}
