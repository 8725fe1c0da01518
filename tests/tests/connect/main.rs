//! Connectors against real files and a real HTTP server: what is taken, when it is put away, and what a crash costs.
//!
//! No ClickHouse: connectors answer for what is in the log. Nothing waits for the clock: a test waits for a record, or for a
//! question.

mod folder;
mod poll;
mod support;
