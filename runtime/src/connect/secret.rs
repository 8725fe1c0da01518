//! Secrets from where the pipeline file says that they are: environment variables and files.
//!
//! Files are read again while the process is up, so that a secret can follow another without a restart. Never prints one.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::config::{Auth, SecretPlace};

/// No secret is longer.
const MAX_BYTES: u64 = 4 << 10;

/// One secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<[u8]>);

impl Secret {
    pub fn new(bytes: Vec<u8>) -> Secret {
        Secret(bytes.into())
    }

    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Why a secret cannot be had, with the remedy.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    #[error("the environment variable {0} is not set, or is no text: it has to hold a secret")]
    Absent(String),
    #[error("{} cannot be read: {source}; it has to hold a secret", path.display())]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("{0} is empty: it has to hold a secret")]
    Empty(String),
    #[error("{0} holds more than 4 KiB: that is no secret")]
    TooLong(String),
    #[error("{0} holds no secret of Standard Webhooks: `whsec_` and the key in Base64")]
    NoKey(String),
    #[error("{0} holds what cannot stand in a header: it has to be visible ASCII")]
    NoHeader(String),
}

/// The secrets of one source.
#[derive(Debug)]
pub struct Secrets {
    auth: Auth,
    known: RwLock<Arc<[Secret]>>,
}

impl Secrets {
    /// Reads all of them.
    pub fn read(auth: &Auth) -> Result<Secrets, SecretError> {
        Ok(Secrets { auth: auth.clone(), known: RwLock::new(all(auth)?) })
    }

    /// Those that hold now.
    pub fn now(&self) -> Arc<[Secret]> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads them again; says whether there are others now. If one cannot be read, the known ones go on.
    pub fn again(&self) -> Result<bool, SecretError> {
        let fresh = all(&self.auth)?;
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let changed = *known != fresh;
        *known = fresh;
        Ok(changed)
    }
}

fn all(auth: &Auth) -> Result<Arc<[Secret]>, SecretError> {
    auth.secrets().iter().map(|place| one(place, matches!(auth, Auth::StandardWebhooks { .. }))).collect()
}

fn one(place: &SecretPlace, standard: bool) -> Result<Secret, SecretError> {
    let Secret(bytes) = read_secret(place)?;
    if !standard {
        return Ok(Secret(bytes));
    }
    let key = bytes.strip_prefix(b"whsec_").unwrap_or(&bytes);
    let key = STANDARD.decode(key).map_err(|_| SecretError::NoKey(place.to_string()))?;
    if key.is_empty() { Err(SecretError::Empty(place.to_string())) } else { Ok(Secret::new(key)) }
}

/// Reads a secret as it stands there, without line breaks at its end.
pub fn read_secret(place: &SecretPlace) -> Result<Secret, SecretError> {
    let mut bytes = match place {
        SecretPlace::Env(name) => std::env::var(name).map_err(|_| SecretError::Absent(name.clone()))?.into_bytes(),
        SecretPlace::File(path) => {
            let mut bytes = Vec::new();
            std::fs::File::open(path)
                .and_then(|file| std::io::Read::read_to_end(&mut std::io::Read::take(file, MAX_BYTES + 1), &mut bytes))
                .map_err(|source| SecretError::Unreadable { path: path.clone(), source })?;
            bytes
        }
    };
    if bytes.len() as u64 > MAX_BYTES {
        return Err(SecretError::TooLong(place.to_string()));
    }
    while bytes.last().is_some_and(|b| matches!(b, b'\n' | b'\r')) {
        bytes.pop();
    }
    if bytes.is_empty() { Err(SecretError::Empty(place.to_string())) } else { Ok(Secret::new(bytes)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_again_and_a_bad_one_changes_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("secret");
        let auth = Auth::Bearer { secrets: vec![SecretPlace::File(path.clone())] };
        assert!(matches!(Secrets::read(&auth), Err(SecretError::Unreadable { .. })));
        std::fs::write(&path, "first\n").expect("written");
        let secrets = Secrets::read(&auth).expect("read");
        assert_eq!(secrets.now()[0].bytes(), b"first");
        assert!(!secrets.again().expect("read"));
        std::fs::write(&path, "second").expect("written");
        assert!(secrets.again().expect("read"));
        for bad in ["", "\n", &"x".repeat(5000)] {
            std::fs::write(&path, bad).expect("written");
            assert!(secrets.again().is_err());
            assert_eq!(secrets.now()[0].bytes(), b"second");
        }
        assert!(!format!("{secrets:?}").contains("second"));
    }

    #[test]
    fn a_key_of_standard_webhooks_is_base64() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("secret");
        let auth = |path: &PathBuf| Auth::StandardWebhooks {
            prefix: "webhook".into(),
            secrets: vec![SecretPlace::File(path.clone())],
        };
        std::fs::write(&path, "whsec_c2VjcmV0\n").expect("written");
        assert_eq!(Secrets::read(&auth(&path)).expect("read").now()[0].bytes(), b"secret");
        std::fs::write(&path, "no Base64!").expect("written");
        let error = Secrets::read(&auth(&path)).expect_err("no key").to_string();
        assert!(error.contains("whsec_") && !error.contains("no Base64"), "{error}");
        let absent = Auth::Bearer { secrets: vec![SecretPlace::Env("CONCORD_TEST_NOT_SET".into())] };
        assert!(matches!(Secrets::read(&absent), Err(SecretError::Absent(_))));
    }
}
