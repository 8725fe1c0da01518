//! Whom a capture trusts, and what is said when a database's certificate is not to be trusted.

use std::path::Path;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{CertificateError, RootCertStore};

use super::CaptureError;
use super::check::Checked;
use crate::config::{Capture, CaptureTls, is_here};

/// The authorities in a PEM file; without one, those that browsers trust.
pub(super) fn authorities(ca_cert: Option<&Path>) -> Result<RootCertStore, CaptureError> {
    let mut roots = RootCertStore::empty();
    let Some(path) = ca_cert else {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        return Ok(roots);
    };
    let bad = |why: String| CaptureError::setup(format!("ca_cert {}: {why}", path.display()), "name a PEM file");
    for authority in CertificateDer::pem_file_iter(path).map_err(|error| bad(error.to_string()))? {
        let authority = authority.map_err(|error| bad(error.to_string()))?;
        roots.add(authority).map_err(|error| bad(error.to_string()))?;
    }
    if roots.is_empty() { Err(bad("there is no certificate in it".to_owned())) } else { Ok(roots) }
}

/// There is no trusted way to a server, if that is why its connection failed.
pub(super) fn refused(server: &str, settings: &Capture, error: &std::io::Error) -> Option<CaptureError> {
    let rustls::Error::InvalidCertificate(why) = error.get_ref()?.downcast_ref()? else {
        return Some(failed(server, settings, error));
    };
    Some(match why {
        // A name that an authority shares with the one that was named, and another key.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            failed(server, settings, &"its certificate is by an authority that is not trusted here")
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            failed(server, settings, &format!("its certificate is for another name ({why})"))
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            failed(server, settings, &"its certificate has expired")
        }
        _ => failed(server, settings, error),
    })
}

/// The connection could not be secured.
pub(super) fn failed(server: &str, settings: &Capture, why: &dyn std::fmt::Display) -> CaptureError {
    let authority = match &settings.tls {
        CaptureTls::Verify { ca_cert: Some(path) } => {
            format!("{} has to be its authority's certificate", path.display())
        }
        _ => "name its authority's certificate with ca_cert = \"...\"".to_owned(),
    };
    let remedy = format!("{authority}, and host one of the names in the server's certificate");
    CaptureError::setup(format!("no TLS with {server}: {why}"), remedy)
}

/// A server that speaks no TLS.
pub(super) fn absent(server: &str) -> CaptureError {
    let remedy = "switch it on there (PostgreSQL: ssl = on; MariaDB: ssl_cert, ssl_key), or write tls = \"off\" where nobody \
                  listens on the way";
    CaptureError::setup(format!("{server} has no TLS"), remedy)
}

/// How the connection is, for who checks it.
pub(super) fn checked(settings: &Capture) -> Checked {
    match &settings.tls {
        _ if settings.host.starts_with('/') => Checked::fine("the connection is a socket of this machine"),
        CaptureTls::Verify { .. } => {
            Checked::fine("the connection is encrypted, and the server's certificate verified")
        }
        CaptureTls::Off if is_here(&settings.host) => Checked::fine("the connection stays on this machine"),
        CaptureTls::Off => Checked::note("the connection is not encrypted (tls = \"off\")"),
    }
}
