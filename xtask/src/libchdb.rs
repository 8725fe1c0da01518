//! Brings libchdb, the ClickHouse engine as a library, into the user's cache: once, verified, whole or not at all.
//!
//! Knows the npm packages that hold it, their checksums and where it goes. Does not load it.

use std::fs::{self, File};
use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use base64::Engine as _;
use indicatif::{ProgressBar, ProgressStyle};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha512};

use crate::steps::{output, run};

/// What the host is built and tested against.
const VERSION: &str = "26.7.3-stable.1";
const LIBRARY: &str = "libchdb.so";
const STAMP: &str = "verified.json";

/// Checksums (Subresource Integrity) and sizes of packages that were verified when this was written. The others are
/// held against what the registry says of them.
const PINNED: [Pin; 1] = [Pin {
    package: "@chdb/lib-linux-x64-gnu",
    integrity: "sha512-XP97mMqnc5tZpKQywR8N7cLTsHNiTmHr30pC5mzo3jWmukjKn2IBa60c2B/gWUNcuFjOMjWoorQICCqBVj5wpw==",
    bytes: 177_817_999,
}];

struct Pin {
    package: &'static str,
    integrity: &'static str,
    bytes: u64,
}

/// Lies beside the library: what it was unpacked from and that it was whole.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Stamp {
    package: String,
    /// Of the package's archive.
    integrity: String,
    /// Of the library.
    bytes: u64,
}

/// The library: the one that `CONCORD_LIBCHDB` names, else the one in the cache, fetched if it is not there.
pub fn bring() -> Result<PathBuf> {
    if let Some(named) = std::env::var_os("CONCORD_LIBCHDB").filter(|named| !named.is_empty()) {
        let named = std::path::absolute(PathBuf::from(named)).context("CONCORD_LIBCHDB is no path")?;
        ensure!(
            named.is_file(),
            "CONCORD_LIBCHDB names {}, where there is no file; correct or unset it",
            named.display()
        );
        eprintln!("    {} (CONCORD_LIBCHDB)", named.display());
        return Ok(named);
    }
    let shelf = cache()?.join("libchdb");
    let folder = shelf.join(VERSION);
    if !is_whole(&folder) {
        fs::create_dir_all(&shelf).with_context(|| format!("cannot create {}", shelf.display()))?;
        // Two set-ups at a time fetch it once. The lock goes with the process, whatever ends it.
        let lock = File::create(shelf.join("lock")).context("cannot create the lock of the cache")?;
        lock.lock().context("cannot lock the cache")?;
        if !is_whole(&folder) {
            fetch(&shelf, &folder)?;
        }
    }
    eprintln!("    {}", folder.join(LIBRARY).display());
    Ok(folder.join(LIBRARY))
}

/// `CONCORD_CACHE`, else the user's cache directory.
fn cache() -> Result<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(own) = variable("CONCORD_CACHE") {
        return std::path::absolute(own).context("CONCORD_CACHE is no path");
    }
    let user = variable("XDG_CACHE_HOME").filter(|path| path.is_absolute());
    let user = user.or_else(|| std::env::home_dir().map(|home| home.join(".cache")));
    Ok(user.context("no home directory; set CONCORD_CACHE to a folder for what is fetched")?.join("concord"))
}

/// Whether a verified library lies in `folder`, as long as it was.
fn is_whole(folder: &Path) -> bool {
    let stamp = fs::read(folder.join(STAMP)).ok().and_then(|text| serde_json::from_slice::<Stamp>(&text).ok());
    let bytes = fs::metadata(folder.join(LIBRARY)).map(|file| file.len()).ok();
    stamp.is_some_and(|stamp| Some(stamp.bytes) == bytes)
}

/// The npm package for this machine.
fn package() -> Result<&'static str> {
    let package = match (std::env::consts::OS, std::env::consts::ARCH) {
        ("linux", "x86_64") if cfg!(target_env = "gnu") => "@chdb/lib-linux-x64-gnu",
        ("linux", "aarch64") if cfg!(target_env = "gnu") => "@chdb/lib-linux-arm64-gnu",
        ("macos", "x86_64") => "@chdb/lib-darwin-x64",
        ("macos", "aarch64") => "@chdb/lib-darwin-arm64",
        (os, arch) => bail!("there is no libchdb package for {os} on {arch}; {}", by_hand()),
    };
    Ok(package)
}

fn by_hand() -> String {
    format!(
        "bring libchdb {VERSION} yourself and set CONCORD_LIBCHDB=/path/to/{LIBRARY}, \
         or use a ClickHouse server (clickhouse.kind = \"server\" in the pipeline file)"
    )
}

/// Fetches, verifies and unpacks into a staging folder, then renames it to `folder` in one go.
fn fetch(shelf: &Path, folder: &Path) -> Result<()> {
    let package = package()?;
    let staging = shelf.join("staging");
    // Under the lock whatever lies there is of a set-up that was interrupted.
    remove(&staging)?;
    fs::create_dir_all(&staging).with_context(|| format!("cannot create {}", staging.display()))?;
    let result = fetch_into(package, &staging).and_then(|made| {
        remove(folder)?;
        fs::rename(&made, folder).with_context(|| format!("cannot move {} into place", made.display()))
    });
    remove(&staging)?;
    result
}

fn fetch_into(package: &str, staging: &Path) -> Result<PathBuf> {
    let archive = pack(package, staging)?;
    let integrity = integrity(&archive)?;
    let wanted = match PINNED.iter().find(|pin| pin.package == package) {
        Some(pin) => pin.integrity.to_owned(),
        None => registry_integrity(package)?,
    };
    ensure!(
        integrity == wanted,
        "what came for {package}@{VERSION} is not what it should be ({integrity}, expected {wanted}); nothing was kept; \
         run `npm cache verify` and try again, or {}",
        by_hand()
    );
    eprintln!("    verified: {integrity}");
    let made = staging.join("made");
    fs::create_dir_all(&made)?;
    let inside = format!("package/{LIBRARY}");
    run(Command::new("tar").arg("-xzf").arg(&archive).arg("-C").arg(&made).args(["--strip-components=1", &inside]))?;
    let library = File::open(made.join(LIBRARY)).with_context(|| format!("{package} holds no {LIBRARY}"))?;
    library.sync_all().context("cannot write the library to the disk")?;
    let stamp = Stamp { package: format!("{package}@{VERSION}"), integrity, bytes: library.metadata()?.len() };
    fs::write(made.join(STAMP), serde_json::to_string_pretty(&stamp)? + "\n")?;
    Ok(made)
}

/// `npm pack`, with the user's own registry settings and a cache of its own, whose growth is the progress.
fn pack(package: &str, staging: &Path) -> Result<PathBuf> {
    eprintln!("    fetching {package}@{VERSION} (once; about 170 MB)");
    let (said, errors) = (staging.join("npm.out"), staging.join("npm.err"));
    let npm = Command::new("npm")
        .args(["pack", "--ignore-scripts", "--no-progress", "--loglevel=error"])
        .arg("--cache")
        .arg(staging.join("npm"))
        .arg(format!("{package}@{VERSION}"))
        .current_dir(staging)
        .stdin(Stdio::null())
        .stdout(File::create(said)?)
        .stderr(File::create(&errors)?)
        .spawn();
    let npm =
        npm.map_err(|error| anyhow::anyhow!("npm does not run ({error}); install Node.js with npm, or {}", by_hand()))?;
    let total = PINNED.iter().find(|pin| pin.package == package).map(|pin| pin.bytes);
    let status = watch(npm, &[staging.join("npm"), staging.to_owned()], total)?;
    if !status.success() {
        let said = fs::read_to_string(&errors).unwrap_or_default();
        bail!(
            "npm could not fetch {package}@{VERSION}:\n{}\ntry again when the registry is reachable, or {}",
            said.trim(),
            by_hand()
        );
    }
    let archives = fs::read_dir(staging)?.filter_map(|entry| entry.ok()).map(|entry| entry.path());
    let mut archives = archives.filter(|path| path.extension().is_some_and(|ending| ending == "tgz"));
    archives.next().context("npm said it was done, but left no archive")
}

/// Waits for `child` and shows how much it has fetched meanwhile: a bar on a terminal, else a line every few seconds.
fn watch(mut child: Child, folders: &[PathBuf], total: Option<u64>) -> Result<std::process::ExitStatus> {
    let bar = total.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
    let template = match total {
        Some(_) => "    {bar:40} {bytes}/{total_bytes} {bytes_per_sec} {eta}",
        None => "    {spinner} {bytes} {bytes_per_sec}",
    };
    bar.set_style(ProgressStyle::with_template(template)?);
    let lines = !std::io::stderr().is_terminal();
    let (mut shown, started) = (Instant::now(), Instant::now());
    loop {
        if let Some(status) = child.try_wait().context("npm cannot be waited for")? {
            bar.finish_and_clear();
            return Ok(status);
        }
        // The archive is in the cache first and then beside it: whichever has more is what came.
        let fetched = folders.iter().map(|folder| files_in(folder)).max().unwrap_or(0);
        bar.set_position(total.map_or(fetched, |total| fetched.min(total)));
        if lines && shown.elapsed() > Duration::from_secs(5) {
            shown = Instant::now();
            let of = total.map(|total| format!(" of {}", total >> 20)).unwrap_or_default();
            eprintln!("    {}{of} MiB after {} s", fetched >> 20, started.elapsed().as_secs());
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// The size of the largest file below a folder; files that vanish meanwhile count nothing.
fn files_in(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let size = |entry: fs::DirEntry| match entry.metadata() {
        Ok(data) if data.is_dir() => files_in(&entry.path()),
        Ok(data) => data.len(),
        Err(_) => 0,
    };
    entries.filter_map(|entry| entry.ok()).map(size).max().unwrap_or(0)
}

fn registry_integrity(package: &str) -> Result<String> {
    let mut npm = Command::new("npm");
    let said = output(npm.args(["view", &format!("{package}@{VERSION}"), "dist.integrity"]))?;
    let said = said.trim();
    ensure!(
        said.starts_with("sha512-"),
        "the registry gives no SHA-512 checksum of {package}@{VERSION}; {}",
        by_hand()
    );
    Ok(said.to_owned())
}

/// The SHA-512 of a file in the form of Subresource Integrity.
fn integrity(path: &Path) -> Result<String> {
    let mut file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let (mut hash, mut buffer) = (Sha512::new(), vec![0; 1 << 20]);
    loop {
        match file.read(&mut buffer).with_context(|| format!("cannot read {}", path.display()))? {
            0 => break,
            n => hash.update(&buffer[..n]),
        }
    }
    Ok(format!("sha512-{}", base64::engine::general_purpose::STANDARD.encode(hash.finalize())))
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integrity_is_that_of_npm() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("empty");
        fs::write(&file, "").unwrap();
        assert_eq!(
            integrity(&file).unwrap(),
            "sha512-z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7kxvUdBeoGlODJ6+SfaPg=="
        );
    }

    #[test]
    fn a_library_counts_only_with_its_stamp_and_its_length() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(LIBRARY), "12345").unwrap();
        assert!(!is_whole(dir.path()));
        let stamp = |bytes| Stamp { package: "p".into(), integrity: "sha512-x".into(), bytes };
        fs::write(dir.path().join(STAMP), serde_json::to_string(&stamp(5)).unwrap()).unwrap();
        assert!(is_whole(dir.path()));
        fs::write(dir.path().join(LIBRARY), "1234").unwrap();
        assert!(!is_whole(dir.path()));
    }

    #[test]
    fn progress_is_the_largest_file_below() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("a")).unwrap();
        fs::write(dir.path().join("a/big"), "12345").unwrap();
        fs::write(dir.path().join("small"), "1").unwrap();
        assert_eq!(files_in(dir.path()), 5);
        assert_eq!(files_in(&dir.path().join("none")), 0);
    }
}
