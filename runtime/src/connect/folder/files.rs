//! A watched folder on the disk: what is complete, what is taken, what is put away.
//!
//! Blocks. Knows names, sizes and times; does not open what it moves.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use super::FolderError;
use crate::config::Folder;
use crate::event::sha256_hex;

/// Taken files wait here, within the watched folder.
const TAKEN: &str = ".taken";
/// Names that say themselves that somebody is still writing.
const UNFINISHED: [&str; 7] = [".part", ".partial", ".filepart", ".tmp", ".temp", ".crdownload", "~"];
/// Ends the name of the file that says why another one failed.
const REASON: &str = ".reason.txt";

/// Since when files have been as they are.
#[derive(Debug, Default)]
pub(super) struct Still(HashMap<OsString, (Shape, Instant)>);

/// By what is seen that a file has changed: size and time of change in nanoseconds.
type Shape = (u64, i128);

/// A file that nobody else writes any more.
#[derive(Clone, Debug)]
pub(super) struct Taken {
    pub name: OsString,
    pub path: PathBuf,
    /// Nanoseconds since 1970.
    changed: i128,
}

impl Taken {
    /// The same for the same file, whenever it is read; another one for a later file of this name.
    pub fn id(&self) -> String {
        let name = self.name.to_string_lossy();
        // Names may hold anything; ids are for people, too.
        let plain: String = name.chars().filter(|c| !c.is_control()).take(100).collect();
        let print = sha256_hex(format!("{}\0{}", name, self.changed).as_bytes());
        format!("{plain}@{}", &print[..16])
    }
}

fn failed<T>(path: &Path, what: &'static str, result: std::io::Result<T>) -> Result<T, FolderError> {
    result.map_err(|why| FolderError::Files { path: path.into(), what, why })
}

/// Makes the folders that are not there, and looks whether files can be moved between them.
pub(super) fn prepare(folder: &Folder) -> Result<(), FolderError> {
    let taken = folder.path.join(TAKEN);
    let mut home = None;
    for path in [&folder.path, &taken, &folder.done, &folder.failed] {
        failed(path, "made", std::fs::create_dir_all(path))?;
        let device = failed(path, "looked at", std::fs::metadata(path))?.dev();
        if *home.get_or_insert(device) != device {
            return Err(FolderError::Apart { one: folder.path.clone(), other: path.clone() });
        }
    }
    Ok(())
}

/// Regular files with a name of their own; links and folders are nobody's deliveries.
fn list(path: &Path) -> Result<Vec<(OsString, std::fs::Metadata)>, FolderError> {
    let mut files = Vec::new();
    for entry in failed(path, "read", std::fs::read_dir(path))? {
        let entry = failed(path, "read", entry)?;
        match entry.metadata() {
            Ok(metadata) if metadata.is_file() => files.push((entry.file_name(), metadata)),
            Ok(_) => {}
            // Gone in the meantime.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return failed(&entry.path(), "looked at", Err(error)),
        }
    }
    Ok(files)
}

fn changed(metadata: &std::fs::Metadata) -> i128 {
    i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec())
}

fn is_unfinished(name: &OsStr) -> bool {
    let name = name.to_string_lossy().to_lowercase();
    name.starts_with('.') || UNFINISHED.iter().any(|ending| name.ends_with(ending))
}

/// What was taken and is not put away, the oldest first.
pub(super) fn taken(folder: &Folder) -> Result<Vec<Taken>, FolderError> {
    let path = folder.path.join(TAKEN);
    let mut files: Vec<Taken> = list(&path)?
        .into_iter()
        .map(|(name, metadata)| Taken { path: path.join(&name), name, changed: changed(&metadata) })
        .collect();
    files.sort_by(|a, b| (a.changed, &a.name).cmp(&(b.changed, &b.name)));
    Ok(files)
}

/// The names of files that have stood still for long enough, the oldest first. `now` is that of a clock that never goes back.
pub(super) fn complete(folder: &Folder, still: &mut Still, now: Instant) -> Result<Vec<OsString>, FolderError> {
    let mut files = list(&folder.path)?;
    files.retain(|(name, _)| !is_unfinished(name));
    files.sort_by(|(a, a_data), (b, b_data)| (changed(a_data), a).cmp(&(changed(b_data), b)));
    let mut seen = HashMap::with_capacity(files.len());
    let mut complete = Vec::new();
    for (name, metadata) in files {
        let shape = (metadata.len(), changed(&metadata));
        let known = still.0.get(&name).filter(|(known, _)| *known == shape);
        let since = known.map_or(now, |(_, since)| *since);
        if now.saturating_duration_since(since) >= folder.settle {
            complete.push(name.clone());
        }
        seen.insert(name, (shape, since));
    }
    still.0 = seen;
    Ok(complete)
}

/// Takes a file; `None` if it is gone.
pub(super) fn take(folder: &Folder, name: &OsStr) -> Result<Option<Taken>, FolderError> {
    let (from, path) = (folder.path.join(name), folder.path.join(TAKEN).join(name));
    match std::fs::rename(&from, &path) {
        Ok(()) => {
            let metadata = failed(&path, "looked at", std::fs::metadata(&path))?;
            Ok(Some(Taken { name: name.into(), path, changed: changed(&metadata) }))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => failed(&from, "moved", Err(error)),
    }
}

/// Moves a taken file into a folder, under a name that is free there.
pub(super) fn put_away(folder: &Path, taken: &Taken) -> Result<(), FolderError> {
    let path = free(folder, &taken.name);
    failed(&taken.path, "put away", std::fs::rename(&taken.path, path))
}

/// Says why a file failed, beside the place where it is going to lie.
pub(super) fn write_reason(folder: &Path, taken: &Taken, text: &str) -> Result<(), FolderError> {
    let mut path = free(folder, &taken.name).into_os_string();
    path.push(REASON);
    let path = PathBuf::from(path);
    failed(&path, "written", std::fs::write(&path, text))
}

fn free(folder: &Path, name: &OsStr) -> PathBuf {
    let mut path = folder.join(name);
    for number in 1.. {
        if std::fs::symlink_metadata(&path).is_err() {
            break;
        }
        let mut other = name.to_owned();
        other.push(format!(".{number}"));
        path = folder.join(other);
    }
    path
}

/// Deletes what has been put away for longer than it is to be kept.
pub(super) fn tidy(folder: &Folder, now: SystemTime) -> Result<(), FolderError> {
    let Some(keep) = folder.keep else { return Ok(()) };
    let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().saturating_sub(keep);
    for path in [&folder.done, &folder.failed] {
        for (name, metadata) in list(path)? {
            // When it was moved: that changes the file's status, not its content.
            let moved = Duration::from_secs(u64::try_from(metadata.ctime()).unwrap_or(0));
            if moved < since {
                let path = path.join(name);
                match std::fs::remove_file(&path) {
                    Err(error) if error.kind() != ErrorKind::NotFound => failed(&path, "deleted", Err(error))?,
                    _ => tracing::debug!("{} is deleted: it was kept for long enough", path.display()),
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> (tempfile::TempDir, Folder) {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("in");
        let folder = Folder {
            done: path.join("done"),
            failed: path.join("failed"),
            path,
            every: Duration::from_secs(1),
            settle: Duration::from_secs(2),
            keep: None,
            lines: false,
            content_type: None,
            attributes: Vec::new(),
            body_bytes: 1 << 20,
        };
        prepare(&folder).expect("prepared");
        (dir, folder)
    }

    fn write(folder: &Folder, name: &str, text: &str, changed: u64) {
        let path = folder.path.join(name);
        std::fs::write(&path, text).expect("written");
        let file = std::fs::File::options().write(true).open(path).expect("open");
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(changed)).expect("a time");
    }

    #[test]
    fn only_what_stands_still_is_complete() {
        let (_dir, folder) = folder();
        let (mut still, start) = (Still::default(), Instant::now());
        let mut at = |seconds: u64| {
            let names = complete(&folder, &mut still, start + Duration::from_secs(seconds)).expect("a list");
            names.into_iter().map(|name| name.into_string().expect("text")).collect::<Vec<_>>()
        };
        write(&folder, "b.json", "{}", 20);
        write(&folder, "a.json", "{", 30);
        for name in [".hidden.json", "c.json.part", "d.TMP", "e.json~"] {
            write(&folder, name, "{}", 10);
        }
        std::os::unix::fs::symlink("/etc/passwd", folder.path.join("link.json")).expect("a link");
        assert!(at(0).is_empty());
        // Somebody goes on writing.
        write(&folder, "a.json", "{}", 31);
        assert!(at(1).is_empty());
        assert_eq!(at(2), ["b.json"]);
        // The same size, another time.
        write(&folder, "a.json", "[]", 32);
        assert_eq!(at(3), ["b.json"]);
        assert_eq!(at(5), ["b.json", "a.json"]);
        // A file that went away and came back begins anew.
        std::fs::remove_file(folder.path.join("b.json")).expect("gone");
        assert_eq!(at(6), ["a.json"]);
        write(&folder, "b.json", "{}", 20);
        assert_eq!(at(7), ["a.json"]);
    }

    #[test]
    fn a_taken_file_keeps_its_id_and_another_one_has_another() {
        let (_dir, folder) = folder();
        write(&folder, "a.json", "{}", 20);
        let first = take(&folder, OsStr::new("a.json")).expect("taken").expect("there");
        assert!(take(&folder, OsStr::new("a.json")).expect("taken").is_none());
        let again = taken(&folder).expect("a list");
        assert_eq!(again.iter().map(Taken::id).collect::<Vec<_>>(), [first.id()]);
        put_away(&folder.done, &first).expect("away");
        assert!(taken(&folder).expect("a list").is_empty());
        write(&folder, "a.json", "{}", 21);
        let second = take(&folder, OsStr::new("a.json")).expect("taken").expect("there");
        assert_ne!(first.id(), second.id());
        // The place is taken: it gets another name, and its reason goes with it.
        std::fs::write(folder.failed.join("a.json"), "earlier").expect("written");
        write_reason(&folder.failed, &second, "why").expect("a reason");
        put_away(&folder.failed, &second).expect("away");
        let read = |name: &str| std::fs::read_to_string(folder.failed.join(name)).expect(name);
        assert_eq!(
            (read("a.json"), read("a.json.1"), read("a.json.1.reason.txt")),
            ("earlier".to_owned(), "{}".to_owned(), "why".to_owned())
        );
    }

    #[test]
    fn what_was_put_away_is_deleted_in_time() {
        let (_dir, mut folder) = folder();
        write(&folder, "a.json", "{}", 20);
        let first = take(&folder, OsStr::new("a.json")).expect("taken").expect("there");
        put_away(&folder.done, &first).expect("away");
        let later = |days: u64| SystemTime::now() + Duration::from_secs(days * 86_400);
        let there = |folder: &Folder| folder.done.join("a.json").exists();
        tidy(&folder, later(4_000)).expect("tidy");
        assert!(there(&folder));
        folder.keep = Some(Duration::from_secs(7 * 86_400));
        tidy(&folder, later(6)).expect("tidy");
        assert!(there(&folder));
        tidy(&folder, later(8)).expect("tidy");
        assert!(!there(&folder));
    }
}
