//! What the integration tests share: a suite that every log passes, guests for the plugin host, the
//! reference model of the merge.

pub mod guests;
pub mod log_suite;
