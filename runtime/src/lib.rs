//! Concord: one answer per room night.
//!
//! Several systems claim the same hotel rooms. This library reads what they say from a partitioned
//! log, lets a WebAssembly plugin per source translate it, merges it by the business's rules and
//! writes one answer per room night to ClickHouse, with a record of every disagreement.
//!
//! The modules stand in the order in which data flows.

pub mod types;

pub mod config;

pub mod event;
pub mod log;

pub mod plugin;

pub mod deliver;
pub mod heartbeat;

pub mod change;
pub mod mapping;

pub mod merge;
pub mod policy;

pub mod audit;
pub mod engine;
pub mod rows;
pub mod store;

pub mod worker;

pub mod capture;
pub mod connect;
pub mod door;
pub mod gateway;
pub mod health;

pub mod kit;

pub mod cli;
