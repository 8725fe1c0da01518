//! Capture from real databases: private PostgreSQL and MariaDB servers, an embedded log and the embedded ClickHouse.
//!
//! Each catching-up is a process of its own as far as Concord can tell: it knows what log, tables and the capture's file hold. Where the
//! servers are not installed the tests say "skipped".

mod mariadb;
mod postgres;
mod stage;
mod status;
mod tls;
