//! What the tests share: the reference model, random logs, comparable tables.

pub mod fixed_rules;
pub mod generate;
pub mod model;
pub mod real;
pub mod tables;
