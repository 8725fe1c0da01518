//! Tests
pub mod log_suite;
