//! What the integration tests share: a suite that every log passes, guests for the plugin host, the
//! reference model of the merge with random logs and comparable tables, the whole pipeline in a process, and as a process
//! that is killed.

pub mod crash;
pub mod fixed_rules;
pub mod generate;
pub mod guests;
pub mod hotel_bookings;
pub mod invariants;
pub mod log_suite;
pub mod model;
pub mod pipeline;
pub mod program;
pub mod real;
pub mod servers;
pub mod tables;
pub mod two_systems;
