//! A certificate for a server, and the authority that has signed it, made anew.

use anyhow::Result;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

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
        let mut authority = CertificateParams::new(Vec::new())?;
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let signing = KeyPair::generate()?;
        let trusted = authority.self_signed(&signing)?;
        let key = KeyPair::generate()?;
        let issuer = Issuer::new(authority, signing);
        let chain = CertificateParams::new(vec![name.to_owned()])?.signed_by(&key, &issuer)?;
        Ok(Certificate { authority: trusted.pem(), chain: chain.pem(), key: key.serialize_pem() })
    }
}
