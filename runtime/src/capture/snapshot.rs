//! An initial load: what all databases' have in common.
//!
//! Around its rows stand a beginning and an end for each property, so that the merge takes back what the source claimed before and
//! is there no more. A load that is cut off stays begun in the log; the next one goes on with it, so that nothing is taken back
//! for a moment, and is followed by another one: only that one tells what went between the two.

use std::collections::BTreeSet;

use super::Job;
use super::envelope::{Edge, edge};
use super::intake::{self, Captured};
use super::memory::{Memory, Stage};
use super::progress::CaptureState;
use super::{CaptureError, memory};
use crate::config::{Document, TableName};
use crate::log::Log;

/// Rows that are taken at once.
pub(super) const ROWS: usize = 1_000;

/// An initial load that goes on.
pub(super) struct Load<'a, L> {
    job: &'a mut Job<L>,
    memory: Memory,
    document: Document,
    /// Whether another load has to follow.
    unfinished: bool,
    documents: Vec<Captured>,
    rows: u64,
    /// The table's columns are known.
    columns_of: Option<TableName>,
}

impl<'a, L: Log> Load<'a, L> {
    /// Begins it in the log, for every property that is known.
    pub async fn begin(job: &'a mut Job<L>, server: &str) -> Result<Load<'a, L>, CaptureError> {
        job.progress.works(CaptureState::Loading);
        let before = Memory::read(&job.memory);
        let memory = Memory::loading(before.as_ref(), server, job.intake.log());
        let Stage::Loading { begun } = &memory.stage else {
            return Err(CaptureError::Protocol("an initial load that does not load".to_owned()));
        };
        let unfinished = !begun.is_empty();
        let document = job.intake.configuration().await?.document.clone();
        let properties = intake::properties(&document, &job.name);
        let mut load = Load { job, memory, document, unfinished, documents: vec![], rows: 0, columns_of: None };
        load.open(properties).await?;
        Ok(load)
    }

    /// The number of this load.
    pub fn epoch(&self) -> u64 {
        self.memory.epoch
    }

    /// The source's name.
    pub fn name(&self) -> String {
        self.job.name.to_string()
    }

    /// Begins properties that have not begun yet.
    async fn open(&mut self, properties: BTreeSet<String>) -> Result<(), CaptureError> {
        let Stage::Loading { begun } = &mut self.memory.stage else { return Ok(()) };
        let new: Vec<String> = properties.into_iter().filter(|property| begun.insert(property.clone())).collect();
        if new.is_empty() && self.rows > 0 {
            return Ok(());
        }
        // First here: a beginning that is not in the log costs a dead letter, one that nobody remembers a wrong answer.
        self.memory.write(&self.job.memory)?;
        let edges = edges(Edge::Begin, &new, self.memory.epoch)?;
        self.job.intake.take(&edges).await
    }

    /// One row of a table; what is gathered is taken from time to time.
    pub async fn row(&mut self, table: &TableName, columns: &[String], row: Captured) -> Result<(), CaptureError> {
        if self.columns_of.as_ref() != Some(table) {
            self.table(table, columns);
        }
        self.documents.push(row);
        self.rows += 1;
        if self.documents.len() >= ROWS { self.take().await } else { Ok(()) }
    }

    /// A table is read, perhaps without a row.
    pub fn table(&mut self, table: &TableName, columns: &[String]) {
        self.memory.columns(table, columns.to_vec());
        self.columns_of = Some(table.clone());
    }

    async fn take(&mut self) -> Result<(), CaptureError> {
        let gathered = self.job.intake.gather(&self.documents).await?;
        let own = |property: &String| intake::own_code(&self.document, &self.job.name, property);
        let properties: BTreeSet<String> = gathered.properties.iter().filter_map(own).collect();
        self.open(properties).await?;
        self.documents.clear();
        self.job.intake.append(gathered).await?;
        self.job.progress.loads(self.job.intake.records);
        Ok(())
    }

    /// Ends it; everything is durable when it returns. `position` is where changes begin. `false` if another one has to follow.
    pub async fn end(mut self, position: Option<memory::BinlogPosition>) -> Result<bool, CaptureError> {
        if !self.documents.is_empty() {
            self.take().await?;
        }
        let Stage::Loading { begun } = &self.memory.stage else { return Ok(true) };
        let begun: Vec<String> = begun.iter().cloned().collect();
        let edges = edges(Edge::End, &begun, self.memory.epoch)?;
        self.job.intake.take(&edges).await?;
        tracing::info!(source = %self.job.name, rows = self.rows, properties = begun.len(), "the initial load is in the log");
        // Nothing is open any more.
        self.memory.stage = match self.unfinished {
            true => Stage::Loading { begun: BTreeSet::new() },
            false => Stage::Following { position },
        };
        self.memory.write(&self.job.memory)?;
        Ok(!self.unfinished)
    }
}

fn edges(kind: Edge, properties: &[String], epoch: u64) -> Result<Vec<Captured>, CaptureError> {
    let word = match kind {
        Edge::Begin => "begin",
        Edge::End => "end",
    };
    let document = |property: &String| {
        let body = edge(kind, property, epoch).map_err(|why| CaptureError::Protocol(why.to_string()))?;
        Ok(Captured { id: format!("{epoch}:{word}:{property}"), body })
    };
    properties.iter().map(document).collect()
}
