//! What is kept of an endpoint over restarts: how far it has told, in a file of its own.
//!
//! Written whole or not at all, and durable before the next question. Knows no HTTP.

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::PollError;
use crate::event::sha256_hex;

/// What the next question depends on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Remembered {
    /// Where the endpoint goes on.
    pub cursor: Option<String>,
    /// Validators of the last answer to the same question.
    pub etag: Option<String>,
    pub last_modified: Option<String>,
    /// SHA-256 of that answer's body.
    pub body: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Kept {
    /// SHA-256 of the address: another one is another endpoint. The address itself may hold what is nobody's business.
    endpoint: String,
    #[serde(flatten)]
    remembered: Remembered,
}

/// One endpoint's file.
#[derive(Debug)]
pub(super) struct Memory {
    path: PathBuf,
    endpoint: String,
    known: Remembered,
}

impl Memory {
    /// Reads what is kept of this source's endpoint; nothing, if it was another one.
    pub fn open(dir: &Path, source: &str, url: &str) -> Result<Memory, PollError> {
        std::fs::create_dir_all(dir)
            .map_err(|why| PollError::Memory { path: dir.into(), why: format!("it cannot be made: {why}") })?;
        let (path, endpoint) = (dir.join(format!("{source}.json")), sha256_hex(url.as_bytes()));
        let wrong = |why: String| PollError::Memory { path: path.clone(), why };
        let kept = match std::fs::read(&path) {
            Ok(bytes) => Some(serde_json::from_slice::<Kept>(&bytes).map_err(|error| {
                wrong(format!("it is damaged ({error}); delete it, and the endpoint is asked from its beginning"))
            })?),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(wrong(format!("it cannot be read: {error}"))),
        };
        let known = match kept {
            Some(kept) if kept.endpoint == endpoint => kept.remembered,
            Some(_) => {
                tracing::warn!(source, "the endpoint is another one than before: it is asked from its beginning");
                Remembered::default()
            }
            None => Remembered::default(),
        };
        Ok(Memory { path, endpoint, known })
    }

    pub fn known(&self) -> &Remembered {
        &self.known
    }

    /// From now on this holds, also after a crash.
    pub fn keep(&mut self, next: Remembered) -> Result<(), PollError> {
        if next == self.known {
            return Ok(());
        }
        let kept = Kept { endpoint: self.endpoint.clone(), remembered: next };
        let wrong = |why: String| PollError::Memory { path: self.path.clone(), why };
        let text = serde_json::to_vec(&kept).map_err(|error| wrong(error.to_string()))?;
        write(&self.path, &text).map_err(|error| wrong(format!("it cannot be written: {error}")))?;
        self.known = kept.remembered;
        Ok(())
    }
}

fn write(path: &Path, text: &[u8]) -> std::io::Result<()> {
    let beside = path.with_extension("json.new");
    let mut file = std::fs::File::create(&beside)?;
    file.write_all(text)?;
    file.sync_all()?;
    std::fs::rename(&beside, path)?;
    match path.parent() {
        Some(dir) => std::fs::File::open(dir)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_comes_back_for_the_same_endpoint_only() {
        let dir = tempfile::tempdir().expect("a folder");
        let open = |url: &str| Memory::open(&dir.path().join("poll"), "pms", url).expect("open");
        let next = Remembered { cursor: Some("17".into()), etag: Some("\"a\"".into()), ..Remembered::default() };
        let mut memory = open("http://one/?key=hidden");
        assert_eq!(memory.known(), &Remembered::default());
        memory.keep(next.clone()).expect("kept");
        assert_eq!(open("http://one/?key=hidden").known(), &next);
        assert_eq!(open("http://two/").known(), &Remembered::default());
        let file = dir.path().join("poll/pms.json");
        assert!(!std::fs::read_to_string(&file).expect("a file").contains("hidden"));
        std::fs::write(&file, "{").expect("written");
        let error = Memory::open(&dir.path().join("poll"), "pms", "x").expect_err("damaged").to_string();
        assert!(error.contains("pms.json") && error.contains("delete it"), "{error}");
    }
}
