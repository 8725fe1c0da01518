//! The real `concord` program, run as a person would.
//!
//! Knows how it is built and started. Does not know what its commands do.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;

use crate::pipeline::target_dir;

/// The program of this build: `CONCORD_BIN`, else built by cargo, which does nothing where it is up to date.
pub fn concord() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        if let Some(given) = std::env::var_os("CONCORD_BIN") {
            return given.into();
        }
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        // All of the workspace, as the tests are built: other features would compile everything anew.
        let mut build = Command::new(cargo);
        // What `cargo test` tells its tests is no concern of another build: `ring` would be compiled anew, and all
        // that stands on it.
        let told = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_"];
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(|name| told.iter().any(|prefix| name.starts_with(prefix))) {
                build.env_remove(&name);
            }
        }
        let built = build
            .args(["build", "--locked", "--workspace", "--bin", "concord", "--target-dir"])
            .arg(target_dir())
            .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
            .output()
            .expect("cargo runs");
        assert!(built.status.success(), "cannot build concord:\n{}", String::from_utf8_lossy(&built.stderr));
        target_dir().join("debug/concord")
    })
}

/// What a command said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    pub status: i32,
    pub out: String,
    pub err: String,
}

impl Said {
    fn of(output: Output) -> Said {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Said { status: output.status.code().unwrap_or(-1), out: text(&output.stdout), err: text(&output.stderr) }
    }

    /// Its standard output, if it ended with this status.
    pub fn with(self, status: i32) -> String {
        assert_eq!(self.status, status, "exit status; it said:\n{}\n{}", self.out, self.err);
        self.out
    }
}

/// Runs a command to its end in a folder with a `pipeline.toml`.
pub fn say(folder: &Path, arguments: &[&str]) -> Said {
    Said::of(command(folder, arguments).output().expect("concord runs"))
}

fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(concord());
    command.args(arguments).current_dir(folder).stdin(Stdio::null());
    command.env("CONCORD_CONFIG", "pipeline.toml").env_remove("CONCORD_LOG").env_remove("CONCORD_LOG_FORMAT");
    command
}

/// `concord run` while it is up.
pub struct Up {
    child: Child,
    /// What it printed until other commands could reach it.
    pub said: String,
}

impl Up {
    /// Starts it; returns when other commands can reach it.
    pub fn start(folder: &Path) -> Up {
        Up::begin(folder, |_| ())
    }

    /// The same; `meanwhile` happens as soon as the process has its lock, while it opens what it needs.
    pub fn begin(folder: &Path, meanwhile: impl FnOnce(&Path)) -> Up {
        let mut child = command(folder, &["run"]).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().expect("starts");
        let held = || {
            let lock = std::fs::File::open(folder.join("data/run.lock"));
            lock.is_ok_and(|lock| matches!(lock.try_lock_shared(), Err(std::fs::TryLockError::WouldBlock)))
        };
        while !held() && child.try_wait().expect("a child").is_none() {
            std::thread::yield_now();
        }
        meanwhile(folder);
        let mut lines = BufReader::new(child.stderr.take().expect("standard error")).lines();
        let mut said = String::new();
        loop {
            let line = lines.next().unwrap_or_else(|| panic!("concord run ended:\n{said}")).expect("text");
            said.push_str(&line);
            said.push('\n');
            // Said once `run.json` lies there.
            if line.contains(" runs") {
                break;
            }
        }
        // Somebody has to go on reading.
        std::thread::spawn(move || lines.for_each(drop));
        Up { child, said }
    }

    /// Where it takes webhooks.
    pub fn webhooks(&self) -> &str {
        let line = self.said.lines().find_map(|line| line.split_once("webhooks at http://"));
        line.map(|(_, address)| address.trim()).unwrap_or_else(|| panic!("no gateway:\n{}", self.said))
    }

    /// kill -9.
    pub fn kill(mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("it ends");
    }

    /// Ctrl-C, and the exit status.
    pub fn interrupt(mut self) -> Option<i32> {
        let pid = libc::pid_t::try_from(self.child.id()).expect("a process id");
        // SAFETY: a signal to a child that has not been waited for.
        unsafe { libc::kill(pid, libc::SIGINT) };
        self.child.wait().expect("it ends").code()
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        // Where a test failed; else it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
