//! Private database servers for a test or a demo: PostgreSQL and MariaDB from the system's packages, in folders of their own, on
//! loopback, ended with whoever started them.
//!
//! Does not know what is stored in them. Servers refuse to run as root: then another account of the machine runs them.

mod certificate;
mod console;
mod mariadb;
mod postgres;

use std::ffi::CString;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

pub use certificate::Certificate;
pub use console::Console;
pub use mariadb::MariaDb;
pub use postgres::Postgres;

/// The user that captures, and its password.
pub const USER: &str = "concord";
pub const PASSWORD: &str = "only-for-tests";

/// Until a server answers, or has ended.
const PATIENCE: Duration = Duration::from_secs(60);

/// Whether both servers are installed. Where one is missing this says so; in CI that is an error.
///
/// # Panics
/// In CI, which has to install them.
pub fn installed() -> bool {
    let missing: Vec<&str> = [("PostgreSQL", Postgres::is_installed()), ("MariaDB", MariaDb::is_installed())]
        .into_iter()
        .filter(|(_, there)| !there)
        .map(|(name, _)| name)
        .collect();
    if missing.is_empty() {
        return true;
    }
    assert!(std::env::var_os("CI").is_none(), "CI has to install {}", missing.join(" and "));
    println!("skipped: {} not installed (Debian: postgresql, mariadb-server)", missing.join(" and "));
    false
}

/// A program of a server: on the path, or where distributions keep those that are not for everybody.
fn program(name: &str, folders: &[PathBuf]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let all = folders.iter().cloned().chain(std::env::split_paths(&path)).chain(["/usr/sbin".into()]);
    all.map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// Who runs servers, if this process is root.
#[derive(Clone, Copy, Debug)]
struct Account {
    uid: u32,
    gid: u32,
}

impl Account {
    /// `None`: whoever runs this may run servers himself.
    fn find() -> Result<Option<Account>> {
        // SAFETY: the call has no conditions.
        if unsafe { libc::geteuid() } != 0 {
            return Ok(None);
        }
        for name in ["postgres", "mysql", "nobody"] {
            let c_name = CString::new(name)?;
            // SAFETY: the name is a C string; the answer is read before the next call, and nobody else asks at this time.
            let found = unsafe { libc::getpwnam(c_name.as_ptr()).as_ref() };
            if let Some(entry) = found {
                return Ok(Some(Account { uid: entry.pw_uid, gid: entry.pw_gid }));
            }
        }
        bail!("servers do not run as root, and there is no other account (postgres, mysql, nobody)")
    }

    fn owns(account: Option<Account>, folder: &Path) -> Result<()> {
        match account {
            Some(Account { uid, gid }) => Ok(chown(folder, Some(uid), Some(gid))?),
            None => Ok(()),
        }
    }

    fn runs(account: Option<Account>, command: &mut Command) {
        if let Some(Account { uid, gid }) = account {
            command.uid(uid).gid(gid);
        }
    }
}

/// A server's folder, which it owns.
struct Home {
    account: Option<Account>,
    folder: TempDir,
}

impl Home {
    fn new(name: &str) -> Result<Home> {
        let account = Account::find()?;
        // Short: the path of a socket has a hundred bytes.
        let folder = tempfile::Builder::new().prefix(name).tempdir().context("a folder for a server")?;
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755))?;
        Account::owns(account, folder.path())?;
        Ok(Home { account, folder })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The files of a server's certificate; it alone can read them.
    fn certify(&self, certificate: &Certificate) -> Result<[PathBuf; 2]> {
        let files = [("server.crt", &certificate.chain), ("server.key", &certificate.key)];
        for (name, text) in files {
            let path = self.path(name);
            std::fs::write(&path, text)?;
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
            Account::owns(self.account, &path)?;
        }
        Ok(files.map(|(name, _)| self.path(name)))
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        Account::runs(self.account, &mut command);
        command
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .env("LC_ALL", "C.UTF-8")
            // What servers that start at the same time put there has the same names.
            .env("TMPDIR", self.folder.path())
            .env("HOME", self.folder.path());
        command
    }

    /// Runs a program to its end.
    fn run(&self, command: &mut Command) -> Result<()> {
        let output = command.output().with_context(|| format!("{command:?}"))?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{command:?} ended with {}:\n{said}", output.status);
        Ok(())
    }

    /// Starts a server whose words go to a file.
    fn serve(&self, command: &mut Command) -> Result<Child> {
        let log = std::fs::File::options().create(true).append(true).open(self.path("server.log"))?;
        command.stdout(log.try_clone()?).stderr(log);
        // SAFETY: the call is allowed between fork and exec; it lets the server end with this process.
        unsafe {
            command.pre_exec(|| {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM);
                Ok(())
            });
        }
        command.spawn().with_context(|| format!("{command:?}"))
    }

    fn said(&self) -> String {
        let text = std::fs::read_to_string(self.path("server.log")).unwrap_or_default();
        let last: Vec<&str> = text.lines().rev().take(15).collect();
        last.into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    /// Waits until a server answers.
    fn wait(&self, child: &mut Child, mut answers: impl FnMut() -> bool) -> Result<()> {
        let started = Instant::now();
        while !answers() {
            if let Some(status) = child.try_wait()? {
                bail!("the server ended with {status}:\n{}", self.said());
            }
            ensure!(started.elapsed() < PATIENCE, "the server does not answer:\n{}", self.said());
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }
}

/// A port that is free at the moment.
fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

fn signal(child: &Child, number: i32) {
    if let Ok(pid) = i32::try_from(child.id()) {
        // SAFETY: the process is our child and not waited for yet, so the number is still its own.
        unsafe { libc::kill(pid, number) };
    }
}
