//! The configuration as it travels in the log: one JSON document, under which every later decision is taken.
//!
//! Holds everything that a decision depends on and nothing else: addresses, batch sizes and caches are not in it.
//! Equal configurations give equal bytes. Does not know the files it was made of.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

use crate::types::FieldType;

use super::mapping::Mapping;
use super::master::MasterData;

/// A SHA-256 digest. Prints, and travels, as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// The digest of some bytes.
    pub fn of(bytes: &[u8]) -> Digest {
        Digest(Sha256::digest(bytes).into())
    }

    /// Reads 64 hexadecimal digits.
    pub fn parse(hex: &str) -> Option<Digest> {
        let (digits, rest) = hex.as_bytes().as_chunks::<2>();
        if digits.len() != 32 || !rest.is_empty() {
            return None;
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits) {
            let [high, low] = pair.map(|digit| char::from(digit).to_digit(16));
            *byte = u8::try_from(high? * 16 + low?).ok()?;
        }
        Some(Digest(bytes))
    }

    /// The first 12 digits: enough for a person.
    pub fn short(&self) -> String {
        self.to_string()[..12].to_owned()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        Digest::parse(&text).ok_or_else(|| serde::de::Error::custom("a SHA-256 digest has 64 hexadecimal digits"))
    }
}

/// A plugin by its content; its bytes travel in records of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PluginRef {
    pub digest: Digest,
    /// In bytes.
    pub size: u64,
}

impl PluginRef {
    pub fn of(bytes: &[u8]) -> PluginRef {
        PluginRef { digest: Digest::of(bytes), size: bytes.len() as u64 }
    }
}

/// The rule set: what the precedence plugin is configured with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleSet {
    /// The file's name without its folder, for messages.
    pub file: String,
    pub text: String,
}

impl RuleSet {
    /// SHA-256 of the text.
    pub fn digest(&self) -> Digest {
        Digest::of(self.text.as_bytes())
    }

    /// `name` and `version` of the `[ruleset]` table as far as the text has them. The plugin's own summary has the
    /// last word: rules need not be TOML.
    pub fn header(&self) -> (String, String) {
        let table = toml::de::DeTable::parse_recoverable(&self.text).0.into_inner();
        let word = |name: &str| {
            let entry = table.get("ruleset").and_then(|header| header.get_ref().get(name));
            entry.and_then(|value| value.get_ref().as_str()).unwrap_or_default().to_owned()
        };
        (word("name"), word("version"))
    }
}

/// One source as decisions see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    pub plugin: PluginRef,
    /// A JSON object with sorted keys, as text: it goes to the plugin as it is.
    pub settings: Arc<str>,
    pub mapping: Mapping,
    /// With `false`, inventory from this source is rejected.
    pub inventory: bool,
}

/// Bounds that decide what becomes of a delivery or a record. All of them travel, also those left at their defaults:
/// another default in a later build changes no decision of the past.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// WebAssembly instructions, roughly, for one record or one question; 10 million are about 10 ms.
    pub fuel_per_record: u64,
    /// The same for one `split`.
    pub fuel_per_delivery: u64,
    /// The same for `describe`, `configure` and the start of an instance.
    pub fuel_to_start: u64,
    /// Linear memory of one plugin instance, in bytes.
    pub memory: u64,
    /// What a plugin may answer to one record, in bytes as the host keeps it.
    pub output_per_record: u64,
    /// The same for one `split`.
    pub output_per_delivery: u64,
    /// Value of a record of the log, in bytes.
    pub max_record_bytes: u64,
    /// Nights of one stay.
    pub max_stay_nights: u32,
    /// Changes in one record.
    pub changes_per_record: u32,
    /// Reservation lines, over all changes of one record.
    pub lines_per_record: u32,
    /// References of one line.
    pub references_per_line: u32,
    /// Room nights that one record may set, of inventory and of stays together.
    pub room_nights_per_record: u32,
    /// Parts that one delivery may be split into.
    pub parts_per_delivery: u32,
    /// The longest code, name or id, in bytes.
    pub code_bytes: u32,
    /// The longest value of a text field and the longest reason, in bytes.
    pub text_bytes: u32,
    /// How long delivery ids are kept, in milliseconds of partition time.
    pub duplicate_span_ms: u64,
}

impl Default for Limits {
    /// Generous for a plugin in Rust (a booking of 600 bytes takes some 20,000 instructions), enough for one in JavaScript,
    /// and for records of 1 MiB.
    fn default() -> Self {
        Limits {
            fuel_per_record: 100_000_000,
            fuel_per_delivery: 2_000_000_000,
            fuel_to_start: 2_000_000_000,
            memory: 128 << 20,
            output_per_record: 4 << 20,
            output_per_delivery: 64 << 20,
            max_record_bytes: 1 << 20,
            max_stay_nights: 365,
            changes_per_record: 4_096,
            lines_per_record: 1_024,
            references_per_line: 64,
            room_nights_per_record: 20_000,
            parts_per_delivery: 100_000,
            code_bytes: 256,
            text_bytes: 4_096,
            duplicate_span_ms: 30 * 86_400_000,
        }
    }
}

/// What `sellable` says where all sources of a property are stale.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StaleData {
    /// Nothing is sold.
    #[default]
    StopSelling,
    /// The last known rooms are sold; freshness is shown beside them.
    Warn,
}

impl StaleData {
    /// As it stands in the pipeline file.
    pub fn as_str(self) -> &'static str {
        match self {
            StaleData::StopSelling => "stop-selling",
            StaleData::Warn => "warn",
        }
    }
}

/// Decisions about the pipeline as a whole that are no rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policies {
    pub stale_data: StaleData,
}

/// The document. Field order is byte order of the wire: keep it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// [`Document::FORMAT`]; a reader refuses a higher one.
    pub format: u32,
    pub pipeline: Arc<str>,
    pub rules: RuleSet,
    pub precedence: PluginRef,
    /// By name.
    pub sources: BTreeMap<Arc<str>, Source>,
    /// Declared inventory fields by name; the built-in ones are not listed.
    pub fields: BTreeMap<Arc<str>, FieldType>,
    pub master: MasterData,
    pub limits: Limits,
    pub policies: Policies,
}

/// Why a document from the log cannot be taken.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    #[error("the configuration in the log has format {0}, this build reads up to {max}; run a newer Concord", max = Document::FORMAT)]
    Newer(u64),
    #[error("the configuration in the log cannot be read: {0}")]
    Malformed(#[from] serde_json::Error),
}

impl Document {
    /// What this build writes. Whatever changes the meaning of a document raises it.
    pub const FORMAT: u32 = 1;

    /// The bytes that go into the log. Equal documents give equal bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.to_json().into_bytes()
    }

    /// The same as text.
    pub fn to_json(&self) -> String {
        // Strings, numbers and maps with string keys only: there is nothing that could fail.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads what [`Document::to_bytes`] wrote, of this format or an older one.
    pub fn from_bytes(bytes: &[u8]) -> Result<Document, DocumentError> {
        #[derive(Deserialize)]
        struct Format {
            format: u64,
        }
        let Format { format } = serde_json::from_slice(bytes)?;
        if format > u64::from(Document::FORMAT) {
            return Err(DocumentError::Newer(format));
        }
        Ok(serde_json::from_slice(bytes)?)
    }

    /// SHA-256 of [`Document::to_bytes`].
    pub fn digest(&self) -> Digest {
        Digest::of(&self.to_bytes())
    }

    /// Every plugin the document needs, each once, in the order of their digests.
    pub fn plugins(&self) -> BTreeMap<Digest, PluginRef> {
        let all = self.sources.values().map(|source| source.plugin).chain([self.precedence]);
        all.map(|plugin| (plugin.digest, plugin)).collect()
    }

    /// The type of an inventory field, built-in or declared.
    pub fn field_type(&self, name: &str) -> Option<FieldType> {
        match name {
            "capacity" | "availability" => Some(FieldType::Integer),
            "closed" => Some(FieldType::Boolean),
            _ => self.fields.get(name).copied(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_print_and_read() {
        let digest = Digest::of(b"");
        assert_eq!(digest.to_string(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert_eq!(digest.short(), "e3b0c44298fc");
        assert_eq!(Digest::parse(&digest.to_string()), Some(digest));
        assert_eq!(Digest::parse("e3"), None);
        assert_eq!(Digest::parse(&"é".repeat(32)), None);
    }

    #[test]
    fn the_header_of_a_rule_set() {
        let set = |text: &str| RuleSet { file: "r.toml".into(), text: text.into() }.header();
        assert_eq!(set("[ruleset]\nname = \"n\"\nversion = \"1\"\n"), ("n".into(), "1".into()));
        assert_eq!(set("no toml at all"), (String::new(), String::new()));
    }

    #[test]
    fn a_newer_format_is_refused_by_name() {
        let error = Document::from_bytes(br#"{"format":2,"novelty":true}"#).unwrap_err();
        assert!(matches!(error, DocumentError::Newer(2)));
        assert!(matches!(Document::from_bytes(b"{}"), Err(DocumentError::Malformed(_))));
    }
}
