//! Compiled plugins, kept in memory and on disk.
//!
//! An artefact on disk is native code that this process will run, so it is taken only from a
//! directory and a file that nobody else can write, and only if it is whole. Knows files and
//! digests; does not know what a plugin is.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::hash::{Hash, Hasher};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

use super::error::HostError;

type Sum = [u8; 32];

pub(super) struct Cache {
    directory: PathBuf,
    /// Of the engine's settings and version.
    engine: String,
    loaded: Mutex<HashMap<Sum, Component>>,
}

impl Cache {
    /// Opens the directory, making it (mode 0700) where it does not exist.
    pub(super) fn open(directory: &Path, engine: &Engine) -> Result<Cache, HostError> {
        let io = |source| HostError::Io { path: directory.to_owned(), source };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(io)?;
        let meta = fs::symlink_metadata(directory).map_err(io)?;
        let not_private = |what: String| HostError::NotPrivate { path: directory.to_owned(), what };
        if !meta.is_dir() {
            return Err(not_private("it is no directory".into()));
        }
        private(&meta).map_err(not_private)?;
        let mut hasher = Sha(Sha256::new());
        engine.precompile_compatibility_hash().hash(&mut hasher);
        let engine = hex(&hasher.0.finalize()[..8]);
        Ok(Cache { directory: directory.to_owned(), engine, loaded: Mutex::default() })
    }

    /// The compiled component: from memory, else from disk, else compiled now and kept.
    pub(super) fn component(&self, engine: &Engine, bytes: &[u8]) -> wasmtime::Result<Component> {
        let sum: Sum = Sha256::digest(bytes).into();
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(component) = loaded.get(&sum) {
            return Ok(component.clone());
        }
        let path = self.directory.join(format!("{}-{}.cwasm", hex(&sum), self.engine));
        let component = match self.read(engine, &path) {
            Some(component) => component,
            None => self.compile(engine, bytes, &path)?,
        };
        loaded.insert(sum, component.clone());
        Ok(component)
    }

    /// The artefact, if it is there, ours, whole and made by this engine.
    fn read(&self, engine: &Engine, path: &Path) -> Option<Component> {
        let artefact = match trusted(path) {
            Ok(artefact) => artefact,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "a compiled plugin is not usable; compiling it again");
                return None;
            }
        };
        // SAFETY: the bytes are what this program wrote, unchanged: file and directory belong to this
        // user and nobody else can write them, and the checksum holds. Another version's or another
        // engine's artefact is refused by wasmtime itself.
        #[allow(unsafe_code)]
        match unsafe { Component::deserialize(engine, &artefact) } {
            Ok(component) => Some(component),
            Err(error) => {
                tracing::warn!(path = %path.display(), error = %format!("{error:#}"), "a compiled plugin does not fit; compiling it again");
                None
            }
        }
    }

    fn compile(&self, engine: &Engine, bytes: &[u8], path: &Path) -> wasmtime::Result<Component> {
        let component = Component::from_binary(engine, bytes)?;
        // A cache that cannot be written costs time, nothing else.
        if let Err(error) = component.serialize().map_err(io::Error::other).and_then(|a| write(path, &a)) {
            tracing::warn!(path = %path.display(), %error, "cannot keep a compiled plugin");
        }
        Ok(component)
    }
}

/// Reads a file of ours: checksum, then artefact.
fn trusted(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW).open(path)?;
    let meta = file.metadata()?;
    if !meta.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    private(&meta).map_err(io::Error::other)?;
    let mut sum = Sum::default();
    file.read_exact(&mut sum)?;
    let mut artefact = Vec::new();
    file.read_to_end(&mut artefact)?;
    if Sum::from(Sha256::digest(&artefact)) != sum {
        return Err(io::Error::other("its checksum does not hold"));
    }
    Ok(artefact)
}

/// Writes beside the place and renames, so that a reader finds all of it or nothing.
fn write(path: &Path, artefact: &[u8]) -> io::Result<()> {
    let mut unique = [0_u8; 8];
    getrandom::fill(&mut unique).map_err(io::Error::other)?;
    let draft = path.with_extension(format!("{}.part", hex(&unique)));
    let written = (|| {
        let mut file: File = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
        file.write_all(&Sum::from(Sha256::digest(artefact)))?;
        file.write_all(artefact)?;
        file.sync_all()?;
        fs::rename(&draft, path)
    })();
    if written.is_err() {
        let _ = fs::remove_file(&draft);
    }
    written
}

/// Whether only this user can write it.
fn private(meta: &fs::Metadata) -> Result<(), String> {
    // SAFETY: geteuid reads one number of this process and cannot fail.
    #[allow(unsafe_code)]
    let me = unsafe { libc::geteuid() };
    if meta.uid() != me {
        return Err(format!("it belongs to user {}, not to {me}", meta.uid()));
    }
    match meta.mode() & 0o077 {
        0 => Ok(()),
        _ => Err(format!("its mode is {:03o}", meta.mode() & 0o777)),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Lets what only knows [`Hash`] be hashed the same in every process.
struct Sha(Sha256);

impl Hasher for Sha {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        0
    }
}
