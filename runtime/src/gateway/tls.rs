//! The gateway's certificate: read from its files, and again when they are renewed.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use crate::config::TlsFiles;

/// Why there is no TLS, with the remedy.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("{}: no certificate in PEM can be read from it: {why}", path.display())]
    Certificate { path: PathBuf, why: String },
    #[error("{}: no private key in PEM can be read from it: {why}", path.display())]
    Key { path: PathBuf, why: String },
    #[error("{} and {} do not make a server's identity: {why}", certificate.display(), key.display())]
    Pair { certificate: PathBuf, key: PathBuf, why: rustls::Error },
}

/// TLS as a server.
pub struct Tls {
    files: TlsFiles,
    current: RwLock<(Vec<CertificateDer<'static>>, Arc<ServerConfig>)>,
}

impl Tls {
    pub fn read(files: &TlsFiles) -> Result<Tls, TlsError> {
        Ok(Tls { files: files.clone(), current: RwLock::new(configuration(files)?) })
    }

    /// For the next connection.
    pub fn acceptor(&self) -> TlsAcceptor {
        self.current.read().unwrap_or_else(PoisonError::into_inner).1.clone().into()
    }

    /// Reads the files again; says whether the certificate is another now. If they cannot be read, the known one goes on.
    pub fn again(&self) -> Result<bool, TlsError> {
        let fresh = configuration(&self.files)?;
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        let changed = current.0 != fresh.0;
        if changed {
            *current = fresh;
        }
        Ok(changed)
    }
}

fn configuration(files: &TlsFiles) -> Result<(Vec<CertificateDer<'static>>, Arc<ServerConfig>), TlsError> {
    let TlsFiles { certificate, key } = files;
    let chain = chain(certificate).map_err(|why| TlsError::Certificate { path: certificate.clone(), why })?;
    let private =
        PrivateKeyDer::from_pem_file(key).map_err(|why| TlsError::Key { path: key.clone(), why: why.to_string() })?;
    let pair = |why| TlsError::Pair { certificate: certificate.clone(), key: key.clone(), why };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(pair)?
        .with_no_client_auth()
        .with_single_cert(chain.clone(), private)
        .map_err(pair)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok((chain, Arc::new(config)))
}

fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates = CertificateDer::pem_file_iter(path).map_err(|why| why.to_string())?;
    let chain: Vec<_> = certificates.collect::<Result<_, _>>().map_err(|why| why.to_string())?;
    if chain.is_empty() { Err("it holds none".to_owned()) } else { Ok(chain) }
}
