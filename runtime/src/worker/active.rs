//! The configuration in force on a partition: its document and the plugins that it names, loaded.
//!
//! Knows how a document becomes plugins and settings for the merge. Does not know when it changes.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;

use crate::config::{Digest, Document, Limits};
use crate::log::Partition;
use crate::merge::{Bounds, MasterData, Setup};
use crate::plugin::{self, Diagnostic, Host, LoadError, Normalizer, Precedence, Summary, Vocabulary};

/// What one record may change at most: room for the stays that this displaces remains in a block.
pub const ENTITIES_PER_RECORD: usize = 30_000;

/// Why a configuration cannot come into force here.
#[derive(Debug, thiserror::Error)]
pub enum ActivateError {
    #[error("source {name}: plugin {digest} is not in the log before its configuration; apply the configuration again")]
    Missing { name: String, digest: Digest },
    #[error("the precedence plugin {digest} is not in the log before its configuration; apply the configuration again")]
    NoPrecedence { digest: Digest },
    #[error("source {name}: {error}")]
    Normalizer { name: String, error: LoadError },
    #[error("rules.plugin: {0}")]
    Precedence(LoadError),
    #[error("{}", rules_message(file, list))]
    Rules { file: String, list: Vec<Diagnostic> },
}

fn rules_message(file: &str, list: &[Diagnostic]) -> String {
    let lines = list.iter().map(|d| {
        let proposal = d.proposal.as_ref().map(|p| format!("; {p}")).unwrap_or_default();
        format!("{file}:{}:{}: {}{proposal}", d.line, d.column, d.message)
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Limits as the plugin host takes them.
pub fn plugin_limits(limits: &Limits) -> plugin::Limits {
    let size = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
    plugin::Limits {
        fuel_per_record: limits.fuel_per_record,
        fuel_per_delivery: limits.fuel_per_delivery,
        fuel_to_start: limits.fuel_to_start,
        memory_bytes: size(limits.memory),
        output_bytes: size(limits.output_per_record),
        split_output_bytes: size(limits.output_per_delivery),
        changes_per_record: limits.changes_per_record as usize,
        lines_per_record: limits.lines_per_record as usize,
        references_per_line: limits.references_per_line as usize,
        room_nights_per_record: limits.room_nights_per_record as usize,
        parts_per_delivery: limits.parts_per_delivery as usize,
        nights_per_stay: limits.max_stay_nights,
        code_bytes: limits.code_bytes as usize,
        text_bytes: limits.text_bytes as usize,
    }
}

/// What rules may speak about in this configuration.
pub fn vocabulary(document: &Document) -> Vocabulary {
    let built_in = crate::config::BUILT_IN_FIELDS.iter().map(|f| (*f).to_owned());
    Vocabulary {
        sources: document.sources.keys().map(ToString::to_string).collect(),
        fields: built_in.chain(document.fields.keys().map(ToString::to_string)).collect(),
    }
}

/// A normalizer for one source of the configuration.
pub fn normalizer(host: &Host, document: &Document, component: &[u8]) -> Result<Normalizer, LoadError> {
    let mut normalizer = host.normalizer(component, plugin_limits(&document.limits))?;
    let mut fields: HashMap<Arc<str>, crate::types::FieldType> = HashMap::new();
    let built_in = crate::config::BUILT_IN_FIELDS.iter().map(|f| Arc::from(*f));
    for name in built_in.chain(document.fields.keys().cloned()) {
        fields.extend(document.field_type(&name).map(|t| (name, t)));
    }
    normalizer.set_fields(&fields);
    Ok(normalizer)
}

/// The configuration's precedence plugin with its rule set.
pub fn precedence(host: &Host, document: &Document, component: &[u8]) -> Result<Precedence, ActivateError> {
    host.precedence(component, plugin_limits(&document.limits), &document.rules.text, &vocabulary(document))
        .map_err(ActivateError::Precedence)?
        .map_err(|list| ActivateError::Rules { file: document.rules.file.clone(), list })
}

/// A configuration with its plugins, ready to decide.
pub struct Active {
    /// Offset of its control record on partition 0.
    pub sequence: u64,
    pub document: Document,
    /// By source name.
    pub normalizers: BTreeMap<Arc<str>, Normalizer>,
    pub precedence: Precedence,
    pub setup: Setup,
}

impl Active {
    /// Loads the plugins of a document.
    pub fn load(
        host: &Host,
        sequence: u64,
        document: Document,
        partition: Partition,
        plugin: impl Fn(&Digest) -> Option<Bytes>,
    ) -> Result<Active, ActivateError> {
        let mut normalizers = BTreeMap::new();
        for (name, source) in &document.sources {
            let digest = source.plugin.digest;
            let bytes = plugin(&digest).ok_or_else(|| ActivateError::Missing { name: name.to_string(), digest })?;
            let loaded = normalizer(host, &document, &bytes)
                .map_err(|error| ActivateError::Normalizer { name: name.to_string(), error })?;
            normalizers.insert(name.clone(), loaded);
        }
        let digest = document.precedence.digest;
        let bytes = plugin(&digest).ok_or(ActivateError::NoPrecedence { digest })?;
        let precedence = precedence(host, &document, &bytes)?;
        let setup = setup(&document, precedence.summary(), precedence.id(), partition);
        Ok(Active { sequence, document, normalizers, precedence, setup })
    }
}

/// `name@version#hash`, the hash's first 12 digits.
pub fn rule_set_label(document: &Document, summary: &Summary) -> Arc<str> {
    format!("{}@{}#{}", summary.name, summary.version, document.rules.digest().short()).into()
}

fn setup(document: &Document, summary: &Summary, plugin: Arc<str>, partition: Partition) -> Setup {
    Setup {
        partition,
        rule_set: rule_set_label(document, summary),
        plugin,
        bounds: Bounds { stay_nights: document.limits.max_stay_nights as usize, entities: ENTITIES_PER_RECORD },
        dedup_span: i64::try_from(document.limits.duplicate_span_ms).unwrap_or(i64::MAX),
    }
}

impl MasterData for crate::config::MasterData {
    fn default_capacity(&self, property: &str, room_type: &str) -> Option<u32> {
        crate::config::MasterData::default_capacity(self, property, room_type)
    }

    fn room_type_of(&self, property: &str, room: &str) -> Option<Arc<str>> {
        crate::config::MasterData::room_type_of(self, property, room)
    }
}
