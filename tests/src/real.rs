//! The one place where the tests touch the real merge: a log in, tables out.
//!
//! Everything that knows how the real merge is fed and how its rows are collected belongs here.

use crate::fixed_rules::FixedRules;
use crate::model::{Input, Setup};
use crate::tables::Tables;

/// Runs the real merge over a log. A batch ends before each position in `cuts` (positions in `log`, ascending), and
/// after each batch the merge's memory is dropped and loaded again from the state that it wrote.
///
/// `None` until the real merge is there.
pub fn run(_setup: &Setup, _rules: &FixedRules, _log: &[Input], _cuts: &[usize]) -> Option<Tables> {
    None
}
