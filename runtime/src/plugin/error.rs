//! What can go wrong with a plugin, by whose fault it is.
//!
//! A [`LoadError`] is the plugin's or its configuration's, a [`HostError`] is ours or the machine's,
//! a [`Failure`] is what a guest did during a call. A guest's rejection of a record is no error.

use std::path::PathBuf;

/// The host itself failed: nothing that a plugin or a record could be blamed for.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    #[error("cannot set up the WebAssembly engine: {0}")]
    Engine(String),
    #[error("{path}: {source}", path = path.display())]
    Io { path: PathBuf, source: std::io::Error },
    /// Whoever can write into the cache can run code in this process.
    #[error("{path} is not private: {what}; compiled plugins are trusted code, so make it yours alone (chmod 700) or remove it", path = path.display())]
    NotPrivate { path: PathBuf, what: String },
    /// A plugin that ran before cannot be started again; most likely memory is short.
    #[error("cannot start another instance of the plugin {plugin}: {reason}")]
    Instance { plugin: String, reason: String },
}

/// Why a component is not taken as a plugin.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("this is not WebAssembly (it does not begin with `\\0asm`): name a component file (.wasm)")]
    NotWasm,
    #[error("this is a core module, not a component: encode it with `wasm-tools component new MODULE -o PLUGIN`")]
    CoreModule,
    #[error(
        "the component has {size} bytes; at most {limit} are taken: strip it and build it with `opt-level = 3`, `lto = true`"
    )]
    TooLarge { size: usize, limit: usize },
    #[error("the component is invalid: {0}")]
    Invalid(String),
    #[error("the component imports `{import}`, which plugins are not given: {remedy}")]
    ForbiddenImport { import: String, remedy: &'static str },
    #[error("this is a {found} plugin; a {wanted} plugin is needed here (one that exports `{export}`)")]
    WrongWorld { wanted: &'static str, found: &'static str, export: &'static str },
    #[error(
        "the component exports `{found}`; this Concord speaks `{wanted}`: build it against the `wit/` of this version"
    )]
    WrongVersion { wanted: &'static str, found: String },
    #[error("the component does not export `{export}`, as a {wanted} plugin does; it exports {found}")]
    NoPlugin { wanted: &'static str, export: &'static str, found: String },
    #[error(
        "the component's functions do not have the types of `{package}`: {reason}; build it against the `wit/` of this version"
    )]
    Interface { package: &'static str, reason: String },
    /// The guest failed while it was started, described or configured.
    #[error("the plugin fails when it is loaded: {0}")]
    Fault(String),
    #[error(transparent)]
    Host(#[from] HostError),
}

/// How a call into a guest failed. The instance is unusable afterwards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    /// Complete, with the guest's own last words.
    pub(super) message: String,
}
