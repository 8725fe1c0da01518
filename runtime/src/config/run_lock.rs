//! `run.lock`: held by `concord run` from before it opens anything until everything is closed again.
//!
//! `run.json` says how to reach a process that is up; this says that one is on its way up or down, so that others wait for it and do
//! not meet half of it. An advisory lock of the system: it goes with the process, however that ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::run_file::{RunFile, RunFileError, Running};

const NAME: &str = "run.lock";
/// How often it is looked at while somebody waits.
const LOOK: Duration = Duration::from_millis(20);

/// Held until it is dropped.
#[derive(Debug)]
pub struct RunLock {
    _file: File,
}

impl RunLock {
    /// Takes it. Waits for a process that is on its way down, for at most `patience`.
    ///
    /// # Errors
    /// Another process has it, or the data directory is not ours to write.
    pub fn take(data_dir: &Path, patience: Duration) -> Result<RunLock, RunFileError> {
        let path = data_dir.join(NAME);
        let failed = |source| RunFileError::Io { path: path.clone(), action: "written", source };
        let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = options.map_err(failed)?;
        let begun = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => break,
                // Some file systems of a network have no locks: there nobody is kept out.
                Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => break,
                Err(TryLockError::WouldBlock) if begun.elapsed() < patience => sleep(LOOK),
                Err(TryLockError::WouldBlock) => return Err(RunFileError::Held { path, pid: number(&mut file) }),
                Err(TryLockError::Error(source)) => return Err(failed(source)),
            }
        }
        let pid = format!("{}\n", std::process::id());
        let written = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(pid.as_bytes()));
        written.map_err(failed)?;
        Ok(RunLock { _file: file })
    }

    /// The number of the process that has it, as far as it has said so; `None` if nobody has it.
    fn holder(data_dir: &Path) -> Result<Option<Option<u32>>, RunFileError> {
        let path = data_dir.join(NAME);
        let failed = |source| RunFileError::Io { path: path.clone(), action: "read", source };
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(None),
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => Ok(None),
            Err(TryLockError::WouldBlock) => Ok(Some(number(&mut file))),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }
}

fn number(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    let read = file.rewind().and_then(|()| file.take(16).read_to_string(&mut text));
    read.ok().and_then(|_| text.trim().parse().ok())
}

/// As [`RunFile::find`], once a process that is on its way up or down has arrived. `tell` hears its number when waiting takes
/// longer than a moment.
///
/// # Errors
/// Also that it has not arrived after `patience`.
pub fn settled(data_dir: &Path, patience: Duration, tell: impl FnOnce(Option<u32>)) -> Result<Running, RunFileError> {
    let (begun, mut tell) = (Instant::now(), Some(tell));
    loop {
        // First who holds it: one that has let it go has removed its run file before.
        let holder = RunLock::holder(data_dir)?;
        match (RunFile::find(data_dir)?, holder) {
            (running @ Running::Yes(_), _) | (running, None) => return Ok(running),
            (_, Some(pid)) if begun.elapsed() >= patience => {
                return Err(RunFileError::NotUp { path: data_dir.join(NAME), pid });
            }
            (_, Some(pid)) => {
                if begun.elapsed() > Duration::from_secs(1)
                    && let Some(tell) = tell.take()
                {
                    tell(pid);
                }
                sleep(LOOK);
            }
        }
    }
}

/// A process in words.
pub(super) fn process(pid: Option<u32>) -> String {
    pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::config::Door;

    const LONG: Duration = Duration::from_secs(600);

    fn run_file() -> RunFile {
        let door = Door { address: "http://127.0.0.1:2".into(), token: "t0ken".into() };
        RunFile::of_this_process("http://127.0.0.1:1".into(), "concord".into(), "reader".into(), "s3cret".into(), door)
    }

    #[test]
    fn whoever_comes_while_a_process_starts_waits_for_it() {
        let dir = tempfile::tempdir().unwrap();
        let lock = RunLock::take(dir.path(), Duration::ZERO).unwrap();
        let (told, hears) = mpsc::channel();
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| settled(dir.path(), LONG, |pid| told.send(pid).unwrap()));
            // It waits, and says for whom; only then is the process up.
            assert_eq!(hears.recv().unwrap(), Some(std::process::id()));
            let guard = run_file().write(dir.path()).unwrap();
            assert_eq!(waits.join().unwrap().unwrap(), Running::Yes(Box::new(run_file())));
            drop(guard);
        });
        drop(lock);
    }

    #[test]
    fn one_that_ends_while_it_starts_is_waited_for_no_longer() {
        let dir = tempfile::tempdir().unwrap();
        let lock = RunLock::take(dir.path(), Duration::ZERO).unwrap();
        let (told, hears) = mpsc::channel();
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| settled(dir.path(), LONG, |pid| told.send(pid).unwrap()));
            hears.recv().unwrap();
            drop(lock);
            assert_eq!(waits.join().unwrap().unwrap(), Running::No);
        });
    }

    #[test]
    fn who_does_not_arrive_is_named() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(settled(dir.path(), Duration::ZERO, |_| ()).unwrap(), Running::No, "nobody has ever run here");
        let lock = RunLock::take(dir.path(), Duration::ZERO).unwrap();
        let process = format!("process {}", std::process::id());
        let error = settled(dir.path(), Duration::ZERO, |_| ()).unwrap_err().to_string();
        assert!(error.starts_with(&process) && error.contains("what it prints"), "{error}");
        let error = RunLock::take(dir.path(), Duration::ZERO).unwrap_err().to_string();
        assert!(error.starts_with(&process) && error.contains("stop it first"), "{error}");
        drop(lock);
        RunLock::take(dir.path(), Duration::ZERO).unwrap();
    }
}
