//! Control records: configuration, plugin pieces, owners, ticks and resets.
//!
//! Partition 0 gives configurations and resets their sequence number, its offset, and copies them to
//! all partitions; each applies ascending numbers only, so copies may come twice. Does not know how
//! records are merged.

use std::sync::Arc;

use bytes::Bytes;

use super::active::{ActivateError, Active};
use super::checkpoint::{self, ActiveRecord, Piece};
use super::partition::Worker;
use super::prepare::{Dead, Prepared, Work};
use super::{Shared, WorkerError};
use crate::config::{Digest, Document};
use crate::event::{self, Control, Signed};
use crate::log::{Log, NewRecord, Partition};
use crate::merge::row_version;
use crate::plugin::LoadError;
use crate::policy::Policy;
use crate::rows::{DeadLetterKind, PropertyRow, RuleChangeRow};
use crate::store::{Backoff, with_retry};

impl<L: Log> Worker<L> {
    /// Applies one control record and moves past it.
    pub(super) async fn control(&mut self, prepared: Prepared) -> Result<(), WorkerError> {
        let Work::Control(signed) = &prepared.work else { return Ok(()) };
        let offset = prepared.offset;
        match &signed.control {
            Control::Plugin { digest, part, parts, bytes } => {
                let piece = Piece { parts: *parts, bytes: bytes.clone() };
                let row = checkpoint::piece_row(digest, *part, &piece).map_err(|what| self.state_error(what))?;
                self.pending.state.push(row);
                self.state.pieces.insert((digest.clone(), *part), piece);
            }
            Control::Configuration { sequence, follows, document, .. } => {
                if self.partition == 0 && *follows != self.checkpoint.configuration {
                    let why = "it was made while another configuration was in force, or is an old record repeated; \
                               look at what is in force and apply again";
                    return self.refuse(signed, &prepared, why);
                }
                let Some(sequence) = self.sequence(*sequence, offset) else {
                    return self.refuse(signed, &prepared, "a copy of a configuration needs its sequence number");
                };
                if self.checkpoint.configuration.is_none_or(|applied| sequence > applied) {
                    return self.configure(sequence, document.clone(), signed, &prepared).await;
                }
            }
            Control::Reset { source, sequence } => {
                let Some(sequence) = self.sequence(*sequence, offset) else {
                    return self.refuse(signed, &prepared, "a copy of a reset needs its sequence number");
                };
                if self.checkpoint.reset_sequence.is_none_or(|applied| sequence > applied) {
                    self.checkpoint.reset_sequence = Some(sequence);
                    self.checkpoint.resets.insert(source.as_str().into(), offset);
                    let copy = Control::Reset { source: source.clone(), sequence: Some(sequence) };
                    self.copy_to_all(&[copy], signed, prepared.log_time).await?;
                }
            }
            Control::Owner { instance } => {
                self.checkpoint.owner = Some(offset);
                if self.epoch.is_some_and(|own| offset > own) && *instance != self.shared.instance {
                    return Err(WorkerError::Lost { partition: self.partition, to: instance.clone(), offset });
                }
            }
            Control::Tick { millis } => self.checkpoint.tick(*millis),
            Control::Heartbeat { .. } | Control::Retry { .. } | Control::Copy { .. } => {}
        }
        self.pass(&prepared);
        Ok(())
    }

    /// On partition 0 the offset is the sequence number; elsewhere the copy names it.
    fn sequence(&self, named: Option<u64>, offset: u64) -> Option<u64> {
        if self.partition == 0 { Some(offset) } else { named }
    }

    pub(super) fn state_error(&self, what: String) -> WorkerError {
        WorkerError::State { partition: self.partition, what }
    }

    /// A control record that cannot be applied is kept as a dead letter; what held before still holds.
    fn refuse(&mut self, signed: &Signed, prepared: &Prepared, reason: &str) -> Result<(), WorkerError> {
        tracing::error!(partition = self.partition, offset = prepared.offset, "control record refused: {reason}");
        let dead = Dead {
            source: signed.author.as_str().into(),
            id: signed.id.clone(),
            kind: DeadLetterKind::Rejected,
            reason: reason.to_owned(),
            plugin: "".into(),
        };
        self.dead_letter(dead, prepared.offset, prepared.log_time, prepared.value.clone());
        self.advance(prepared.offset, prepared.log_time, prepared.print);
        Ok(())
    }

    /// A new configuration: its plugins are loaded, its columns made, and from the next record on it holds.
    async fn configure(
        &mut self,
        sequence: u64,
        bytes: Bytes,
        signed: &Signed,
        prepared: &Prepared,
    ) -> Result<(), WorkerError> {
        let document = match Document::from_bytes(&bytes) {
            Ok(document) => document,
            Err(why) => return self.refuse(signed, prepared, &why.to_string()),
        };
        let (host, partition, state) = (&self.shared.host, self.partition, &self.state);
        let loaded = tokio::task::block_in_place(|| {
            Active::load(host, sequence, document, partition, |digest| state.plugin(&digest.to_string()))
        });
        let active = match loaded {
            Ok(active) => active,
            Err(ActivateError::Normalizer { error: LoadError::Host(error), .. })
            | Err(ActivateError::Precedence(LoadError::Host(error))) => {
                return Err(WorkerError::Plugin { partition, error });
            }
            Err(why) => return self.refuse(signed, prepared, &why.to_string()),
        };
        declare_fields(&self.shared, &active.document, self.partition).await?;
        self.shared.applied(sequence, &active.document, |digest| self.state.plugin(&digest.to_string()));
        let before = std::mem::replace(&mut self.active, active);
        let first = self.checkpoint.configuration.is_none();
        self.checkpoint.configuration = Some(sequence);
        self.keep_active(ActiveRecord {
            sequence,
            document: bytes.to_vec(),
            author: signed.author.clone(),
            log_time: prepared.log_time,
        })?;
        if self.partition == 0 {
            self.note_rule_change((!first).then_some(&before.document), sequence, signed, prepared.log_time);
            self.note_properties(sequence);
            let mut copies = Vec::new();
            for digest in self.active.document.plugins().keys() {
                copies.extend(self.pieces(digest));
            }
            copies.push(Control::Configuration {
                sequence: Some(sequence),
                follows: None,
                reason: reason_of(signed),
                document: bytes,
            });
            self.copy_to_all(&copies, signed, prepared.log_time).await?;
        }
        self.drop_old_pieces();
        let rule_set = &self.active.setup.rule_set;
        // Every partition applies it; one line is enough for people.
        if self.partition == 0 {
            tracing::info!(sequence, %rule_set, "configuration applied");
        } else {
            tracing::debug!(partition = self.partition, sequence, %rule_set, "configuration applied");
        }
        self.pass(prepared);
        Ok(())
    }

    /// The plugin's pieces as control records again.
    fn pieces(&self, digest: &Digest) -> Vec<Control> {
        let digest = digest.to_string();
        let of_it = self.state.pieces.iter().filter(|((d, _), _)| *d == digest);
        of_it
            .map(|((digest, part), piece)| Control::Plugin {
                digest: digest.clone(),
                part: *part,
                parts: piece.parts,
                bytes: piece.bytes.clone(),
            })
            .collect()
    }

    /// Plugins that the configuration in force does not name are not kept in the state.
    fn drop_old_pieces(&mut self) {
        let needed: Vec<String> = self.active.document.plugins().keys().map(ToString::to_string).collect();
        let old: Vec<(String, u32)> =
            self.state.pieces.keys().filter(|(digest, _)| !needed.contains(digest)).cloned().collect();
        for (digest, part) in old {
            self.state.pieces.remove(&(digest.clone(), part));
            self.pending.state.push(checkpoint::no_piece_row(&digest, part));
        }
    }

    /// Partition 0 copies what holds for all; durable there before this partition moves on.
    async fn copy_to_all(&self, controls: &[Control], signed: &Signed, log_time: i64) -> Result<(), WorkerError> {
        if self.partition != 0 {
            return Ok(());
        }
        let records = sign(&self.shared, controls, &signed.id, &signed.author, log_time)
            .map_err(|why| self.state_error(format!("a control record cannot be copied: {why}")))?;
        for target in 1..self.checkpoint.log.partitions {
            let appended = self.shared.append(target, records.clone()).await;
            appended.map_err(|error| self.log_error(error))?;
        }
        Ok(())
    }

    fn note_rule_change(&mut self, before: Option<&Document>, sequence: u64, signed: &Signed, log_time: i64) {
        let rules = &self.active.document.rules;
        if before.is_some_and(|b| b.rules == *rules) {
            return;
        }
        let old = before.map_or("", |b| &b.rules.text);
        let diff = similar::TextDiff::from_lines(old, &rules.text);
        let summary = self.active.precedence.summary();
        self.pending.rule_changes.push(RuleChangeRow {
            sequence,
            name: summary.name.clone(),
            version: summary.version.clone(),
            hash: rules.digest().to_string(),
            text: rules.text.clone(),
            diff: diff.unified_diff().context_radius(3).header("before", "after").to_string(),
            author: signed.author.clone(),
            reason: reason_of(signed).unwrap_or_default(),
            log_time,
        });
    }

    fn note_properties(&mut self, sequence: u64) {
        for (id, property) in &self.active.document.master.properties {
            let class = self.active.precedence.terms(id).map(|t| t.class.to_string()).unwrap_or_default();
            self.pending.properties.push(PropertyRow {
                property: id.to_string(),
                name: property.name.clone(),
                region: property.region.clone(),
                class,
                time_zone: property.time_zone.clone(),
                version: row_version(sequence),
            });
        }
    }
}

fn reason_of(signed: &Signed) -> Option<String> {
    match &signed.control {
        Control::Configuration { reason, .. } => reason.clone(),
        _ => None,
    }
}

/// Makes the columns that the configuration's fields need.
pub(super) async fn declare_fields<L: Log>(
    shared: &Arc<Shared<L>>,
    document: &Document,
    partition: Partition,
) -> Result<(), WorkerError> {
    let fields: Vec<(&str, crate::types::FieldType)> = document.fields.iter().map(|(n, t)| (&**n, *t)).collect();
    let store = &shared.store;
    with_retry("prepare the tables in ClickHouse", Backoff::default(), || store.declare_fields(&fields))
        .await
        .map_err(|error| WorkerError::Store { partition, error })
}

/// Control records as log records.
pub(super) fn sign<L>(
    shared: &Shared<L>,
    controls: &[Control],
    id: &str,
    author: &str,
    log_time: i64,
) -> Result<Vec<NewRecord>, event::Invalid> {
    controls
        .iter()
        .map(|control| {
            let value = event::sign_and_write(control, &shared.key, id, author, log_time.saturating_mul(1000))?;
            Ok(NewRecord { key: None, value, timestamp: log_time })
        })
        .collect()
}
