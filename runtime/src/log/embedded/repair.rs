//! What a loss of power may leave: a last append that is only partly on the disk.
//!
//! The storage crate drops a tail that breaks off, but refuses to open when pages in the middle of
//! the last batch are missing. Such a batch was never acknowledged (its fsync did not return), so it
//! is cut off here, and a copy is kept. Knows the journal's outer grammar, format 3 of the storage
//! crate; whether a batch is sound, only the storage crate can say: the caller opens again.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Tags of the journal's entries.
const START: u8 = 1;
const ITEM: u8 = 2;
const END: u8 = 3;
const CLEAR: u8 = 4;
/// Bytes after the tag: count and sequence; keyspace; checksum and trailer.
const START_BYTES: usize = 4 + 8;
const CLEAR_BYTES: usize = 8;
const END_BYTES: usize = 8 + 4;
/// Type, compression, keyspace, lengths of key, value and stored value.
const ITEM_BYTES: usize = 1 + 1 + 8 + 2 + 4 + 4;

/// A journal without its last batch.
pub(super) struct Cut {
    journal: PathBuf,
    copy: PathBuf,
    /// Bytes taken away.
    pub bytes: usize,
}

impl Cut {
    /// The copy that was kept.
    pub fn copy(&self) -> &Path {
        &self.copy
    }

    /// Puts the journal back as it was.
    pub fn undo(self) -> io::Result<()> {
        fs::rename(&self.copy, &self.journal)
    }
}

/// Cuts the last batch off the newest journal in `folder`. `None` when there is none.
pub(super) fn cut_last_batch(folder: &Path) -> io::Result<Option<Cut>> {
    let Some(journal) = newest_journal(folder)? else { return Ok(None) };
    let bytes = fs::read(&journal)?;
    let Some((start, end)) = last_batch(&bytes) else { return Ok(None) };
    let copy = journal.with_extension("damaged");
    fs::rename(&journal, &copy)?;
    let cut = Cut { journal, copy, bytes: end - start };
    let written = fs::write(&cut.journal, &bytes[..start]).and_then(|()| fs::File::open(&cut.journal)?.sync_all());
    match written {
        Ok(()) => Ok(Some(cut)),
        Err(e) => cut.undo().and(Err(e)),
    }
}

fn newest_journal(folder: &Path) -> io::Result<Option<PathBuf>> {
    let mut newest = None;
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let number = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(".jnl"));
        if let Some(number) = number.and_then(|number| number.parse::<u64>().ok()) {
            newest = newest.max(Some((number, path)));
        }
    }
    Ok(newest.map(|(_, path)| path))
}

/// Where the last batch stands, or the first that is no batch by its grammar: start and end.
fn last_batch(journal: &[u8]) -> Option<(usize, usize)> {
    let (mut at, mut last) = (0, None);
    while journal.get(at) == Some(&START) {
        let end = batch_end(journal, at);
        last = Some((at, end.unwrap_or(journal.len())));
        match end {
            Some(end) => at = end,
            None => break,
        }
    }
    last
}

/// The end of the batch that starts here; `None` when the grammar is broken or the bytes end.
fn batch_end(journal: &[u8], start: usize) -> Option<usize> {
    let mut at = start + 1 + START_BYTES;
    loop {
        match *journal.get(at)? {
            ITEM => at = item_end(journal, at)?,
            CLEAR => at += 1 + CLEAR_BYTES,
            END => return Some(at + 1 + END_BYTES).filter(|end| *end <= journal.len()),
            _ => return None,
        }
    }
}

fn item_end(journal: &[u8], at: usize) -> Option<usize> {
    let head = journal.get(at + 1..at + 1 + ITEM_BYTES)?;
    let key = u16::from_le_bytes(*head.get(10..)?.first_chunk()?);
    let value = u32::from_le_bytes(*head.get(16..)?.first_chunk()?);
    Some(at + 1 + ITEM_BYTES + usize::from(key) + usize::try_from(value).ok()?)
}
