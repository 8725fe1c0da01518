//! The configuration: what the files propose, and the document that travels in the log.
//!
//! ```text
//! pipeline.toml --PipelineFile::read--> PipelineFile --Proposal::read--> Proposal { document, plugin_bytes }
//!                                                                              | concord apply
//!                                                       control record in the log: Document::to_bytes
//! ```
//!
//! The files are proposals. What holds is the last document before a record in the log; this module neither reads the
//! log nor runs a plugin. `difference` tells a person what an `apply` would change.

mod capture;
mod connect;
mod diagnostic;
mod difference;
mod document;
mod gateway;
mod json;
mod mapping;
mod master;
mod names;
mod pipeline;
mod proposal;
mod quantity;
mod raw;
mod run_file;
mod run_lock;

#[cfg(test)]
mod tests;

pub use capture::{Capture, CaptureTls, CapturedDatabase, TableName, is_here};
pub use connect::{Cursor, CursorPlace, Folder, Poll, PollAuth};
pub use diagnostic::{ConfigErrors, Diagnostic, Place as TextPlace};
pub use difference::difference;
pub use document::{Digest, Document, DocumentError, Limits, PluginRef, Policies, RuleSet, Source, StaleData};
pub use gateway::{
    Algorithm, Auth, Encoding, Gateway, GatewayLimits, PathPattern, ReplyStyle, SecretPlace, SourceDoor, TlsFiles,
};
pub use mapping::{Codes, Collision, Kind as CollisionKind, Mapping, Own, Table};
pub use master::{MasterData, Property};
pub use names::{BUILT_IN_FIELDS, MAX_CODE, MAX_SOURCE, is_code, is_property, is_source};
pub use pipeline::{
    ClickHouse, DEFAULT_PARTITIONS, FluvioPlace, FluvioSettings, FluvioTls, LogKind, LogSettings, PipelineFile,
    Place as ClickHousePlace, Retention, RuleFiles, SourceSettings, Tuning,
};
pub use proposal::Proposal;
pub use quantity::{parse_duration, parse_size};
pub use run_file::{Door, RunFile, RunFileError, RunGuard, Running};
pub use run_lock::{RunLock, settled};
