//! The key that makes control records this pipeline's own.
//!
//! Knows the key's file and how to sign. Never prints the key.

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::{Event, Framed, MAC_ATTRIBUTE, hex, unhex};

/// Bytes of a key that is made here, and the least that is accepted.
const KEY_BYTES: usize = 32;
/// No key file is larger.
const MAX_FILE_BYTES: u64 = 4096;

/// A pipeline's secret: whoever has it can write control records.
#[derive(Clone)]
pub struct ControlKey(Box<[u8]>);

/// Why a key file could not be used, with the remedy.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    #[error(
        "there is no key file {}: the first `concord run` makes one; if another machine has it, copy it here \
         (without it this pipeline's control records cannot be read)", .0.display()
    )]
    Absent(PathBuf),
    #[error("cannot {what} the key file {}: {source}", path.display())]
    Io { path: PathBuf, what: &'static str, source: io::Error },
    #[error(
        "the key file {} can be read or written by everyone (mode {mode:03o}): run `chmod 600` on it, and make a new key \
         if others may have seen it", path.display()
    )]
    Exposed { path: PathBuf, mode: u32 },
    #[error(
        "the key file {} is empty: if another start is just making it, try again; otherwise delete it", .0.display()
    )]
    Empty(PathBuf),
    #[error("the key file {} holds no key: it needs at least 32 bytes in hexadecimal or Base64", .0.display())]
    NoKey(PathBuf),
}

impl ControlKey {
    /// From at least 32 bytes; `None` when there are fewer.
    pub fn from_bytes(bytes: &[u8]) -> Option<ControlKey> {
        (bytes.len() >= KEY_BYTES).then(|| ControlKey(bytes.into()))
    }

    /// Reads a key file: at least 32 bytes in hexadecimal or Base64, white space around it ignored.
    pub fn load(path: &Path) -> Result<ControlKey, KeyFileError> {
        let failed = |what| move |source| KeyFileError::Io { path: path.into(), what, source };
        let file = match File::open(path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(KeyFileError::Absent(path.into())),
            Err(e) => return Err(failed("open")(e)),
        };
        let mode = file.metadata().map_err(failed("look at"))?.permissions().mode() & 0o777;
        if mode & 0o007 != 0 {
            return Err(KeyFileError::Exposed { path: path.into(), mode });
        }
        let mut text = String::new();
        file.take(MAX_FILE_BYTES).read_to_string(&mut text).map_err(failed("read"))?;
        let text = text.trim();
        if text.is_empty() {
            return Err(KeyFileError::Empty(path.into()));
        }
        // 64 hexadecimal digits are Base64, too: then they are hexadecimal.
        let bytes = unhex(text).or_else(|| STANDARD.decode(text).ok());
        bytes.and_then(|bytes| ControlKey::from_bytes(&bytes)).ok_or_else(|| KeyFileError::NoKey(path.into()))
    }

    /// Reads the key file, or makes it: 32 random bytes in hexadecimal, mode 0600. An existing file is
    /// never written to. Missing folders are made.
    pub fn load_or_create(path: &Path) -> Result<ControlKey, KeyFileError> {
        let failed = |what| move |source| KeyFileError::Io { path: path.into(), what, source };
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(failed("make the folder of"))?;
        }
        let mut file = match File::options().write(true).create_new(true).mode(0o600).open(path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => return ControlKey::load(path),
            Err(e) => return Err(failed("make")(e)),
        };
        let mut bytes = [0; KEY_BYTES];
        getrandom::fill(&mut bytes).map_err(|e| failed("make")(io::Error::other(e.to_string())))?;
        let text = format!("{}\n", hex(&bytes));
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed("write"))?;
        // The name is durable only with its folder: a lost key would orphan the log.
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed("write"))?;
        Ok(ControlKey(bytes.into()))
    }

    /// The signature of an event, in hexadecimal. Whatever a reader gets to see of the event is signed.
    pub(super) fn sign(&self, event: &Event) -> String {
        hex(&self.mac(event).finalize().into_bytes())
    }

    /// Whether the signature is this key's; takes as long for a wrong one as for the right one.
    pub(super) fn verify(&self, event: &Event, signature: &str) -> bool {
        unhex(signature).is_some_and(|signature| self.mac(event).verify_slice(&signature).is_ok())
    }

    fn mac(&self, event: &Event) -> Hmac<Sha256> {
        let mac = Hmac::<Sha256>::new_from_slice(&self.0);
        // HMAC takes keys of any length.
        let mut mac = Framed(mac.unwrap_or_else(|_| Hmac::<Sha256>::new(&Default::default())));
        mac.put(b"concord control 1");
        mac.put(event.r#type.as_bytes());
        mac.put(event.id.as_bytes());
        mac.put(event.source.as_bytes());
        mac.put_option(event.time.map(i64::to_le_bytes).as_ref().map(<[u8; 8]>::as_slice));
        mac.put_option(event.subject.as_deref().map(str::as_bytes));
        mac.put_option(event.datacontenttype.as_deref().map(str::as_bytes));
        let signed: Vec<_> = event.attributes.iter().filter(|(name, _)| name != MAC_ATTRIBUTE).cloned().collect();
        mac.put_pairs(&signed);
        mac.put(&event.data);
        mac.0
    }
}

impl fmt::Debug for ControlKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ControlKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_file_is_made_once_and_for_its_owner() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("data/control.key");
        assert!(matches!(ControlKey::load(&path), Err(KeyFileError::Absent(_))));
        let made = ControlKey::load_or_create(&path).expect("made");
        assert_eq!(std::fs::metadata(&path).expect("a file").permissions().mode() & 0o777, 0o600);
        let again = ControlKey::load_or_create(&path).expect("loaded");
        assert_eq!(made.0, again.0);
        assert_eq!(format!("{made:?}"), "ControlKey(..)");
    }

    #[test]
    fn other_key_files_are_refused_with_the_remedy() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("key");
        let write = |text: &str, mode: u32| {
            std::fs::write(&path, text).expect("written");
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("mode set");
            ControlKey::load(&path)
        };
        assert!(matches!(write("", 0o600), Err(KeyFileError::Empty(_))));
        assert!(matches!(write("secret", 0o600), Err(KeyFileError::NoKey(_))));
        assert!(matches!(write(&hex(&[7; 31]), 0o600), Err(KeyFileError::NoKey(_))));
        assert!(matches!(write(&hex(&[7; 32]), 0o644), Err(KeyFileError::Exposed { mode: 0o644, .. })));
        assert_eq!(write(&format!(" {}\n", hex(&[7; 32])), 0o640).expect("hexadecimal").0, [7; 32].into());
        assert_eq!(write(&STANDARD.encode([9; 40]), 0o600).expect("Base64").0, [9; 40].into());
    }
}
