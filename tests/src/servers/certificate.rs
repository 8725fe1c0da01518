//! A certificate for a server, and the authority that has signed it, made anew.

use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Result;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

/// All of it in PEM.
pub struct Certificate {
    /// Whom its clients have to trust.
    pub authority: String,
    pub(super) chain: String,
    pub(super) key: String,
}

impl Certificate {
    /// For a server that is called so by its clients.
    pub fn of(name: &str) -> Result<Certificate> {
        static AUTHORITIES: AtomicU32 = AtomicU32::new(1);
        let mut authority = CertificateParams::new(Vec::new())?;
        let number = AUTHORITIES.fetch_add(1, Ordering::Relaxed);
        authority.distinguished_name.push(DnType::CommonName, format!("test authority {number}"));
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let signing = KeyPair::generate()?;
        let trusted = authority.self_signed(&signing)?;
        let key = KeyPair::generate()?;
        let issuer = Issuer::new(authority, signing);
        let chain = CertificateParams::new(vec![name.to_owned()])?.signed_by(&key, &issuer)?;
        Ok(Certificate { authority: trusted.pem(), chain: chain.pem(), key: key.serialize_pem() })
    }
}
