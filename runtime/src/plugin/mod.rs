//! The plugin host: loads guests, holds them in, asks them, checks what they answer.
//!
//! A plugin is a WebAssembly component of one of the two worlds in `wit/`. It computes and nothing
//! else: equal input, equal output, within its [`Limits`]. Guest rejection, guest fault and host
//! failure are three different things ([`Normalized::Rejected`], [`Normalized::Fault`], [`HostError`]).
//! Knows the plugin interface; does not know where records come from or what becomes of answers.

mod bindings;
mod cache;
mod convert;
mod error;
mod limits;
mod load;
mod memo;
mod normalizer;
mod pool;
mod precedence;
mod sandbox;
mod wasi;

use std::path::Path;
use std::sync::Arc;

use serde::Serialize;
use sha2::{Digest, Sha256};
use wasmtime::Engine;

pub use error::{HostError, LoadError};
pub use limits::Limits;
pub use normalizer::{Delivery, Description, Event, Normalized, Normalizer, Routed, Split};
pub use precedence::{Diagnostic, Precedence, Summary, Vocabulary};

use bindings::normalizer::NormalizerPre;
use bindings::precedence::PrecedencePre;
use cache::Cache;

/// What a component looks like from outside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Inspection {
    /// `normalizer` or `precedence`.
    pub world: &'static str,
    /// Of its bytes, hexadecimal.
    pub sha256: String,
    /// Its size.
    pub bytes: usize,
    /// Interfaces that it imports; all of them are offered.
    pub imports: Vec<String>,
}

/// One WebAssembly engine and the plugins compiled for it. Cheap to clone; shared by all threads.
#[derive(Clone)]
pub struct Host {
    engine: Engine,
    cache: Arc<Cache>,
}

impl Host {
    /// Opens or makes the directory for compiled plugins. It has to be the user's alone (mode 0700).
    ///
    /// # Errors
    /// [`HostError::NotPrivate`] and [`HostError::Io`] for the directory, [`HostError::Engine`] if this
    /// machine cannot run WebAssembly.
    pub fn new(cache_dir: &Path) -> Result<Host, HostError> {
        let engine = sandbox::engine()?;
        let cache = Arc::new(Cache::open(cache_dir, &engine)?);
        Ok(Host { engine, cache })
    }

    /// What a component is and imports, without running it.
    ///
    /// # Errors
    /// Whatever makes the component unfit, in words for who built or configured it.
    pub fn inspect(&self, component: &[u8]) -> Result<Inspection, LoadError> {
        let (world, imports) = load::inspect(&self.engine, &self.cache, component)?;
        let sha256 = Sha256::digest(component).iter().map(|b| format!("{b:02x}")).collect();
        Ok(Inspection { world: world.name, sha256, bytes: component.len(), imports })
    }

    /// Loads a normalizer and lets it describe itself.
    ///
    /// # Errors
    /// Whatever makes the component unfit, in words for who built or configured it.
    pub fn normalizer(&self, component: &[u8], limits: Limits) -> Result<Normalizer, LoadError> {
        let linked = load::link(&self.engine, &self.cache, component, load::NORMALIZER)?;
        let pre = NormalizerPre::new(linked).map_err(|e| load::interface(&e))?;
        Normalizer::load(&self.engine, pre, limits)
    }

    /// Loads a precedence plugin and gives it a rule set. The inner error is what is wrong with the
    /// rules.
    ///
    /// # Errors
    /// Whatever makes the component unfit, in words for who built or configured it.
    pub fn precedence(
        &self,
        component: &[u8],
        limits: Limits,
        rule_set: &str,
        vocabulary: &Vocabulary,
    ) -> Result<Result<Precedence, Vec<Diagnostic>>, LoadError> {
        let linked = load::link(&self.engine, &self.cache, component, load::PRECEDENCE)?;
        let pre = PrecedencePre::new(linked).map_err(|e| load::interface(&e))?;
        let digest: String = Sha256::digest(component)[..6].iter().map(|b| format!("{b:02x}")).collect();
        let id = format!("precedence@{digest}").into();
        Precedence::load(&self.engine, pre, id, limits, rule_set, vocabulary)
    }
}
