//! From a commit in a database to a row that a SELECT finds: the example `two-systems` on private servers, under its load.
//!
//! What the load is and how a change is timed, the library knows. Blocks.

use std::path::Path;

use anyhow::Result;
use concord_tests::servers::{MariaDb, Postgres};
use concord_tests::two_systems::{Figure, Options, Stage};
use serde_json::{Value, json};

use crate::flow::Size;

/// Whether there are servers to start.
pub fn possible() -> bool {
    Postgres::is_installed() && MariaDb::is_installed()
}

/// `probes` changes of each database while both change all the time.
pub fn captured(dir: &Path, size: Size, probes: usize) -> Result<Value> {
    let options = Options { seed: size.seed, transactions: 300, probes: u32::try_from(probes)?, port: 0 };
    let mut stage = Stage::new(dir, options)?;
    stage.up()?;
    let before = stage.transactions();
    let (legacy, cloud, took) = stage.watch(1)?;
    let per_second = (stage.transactions() - before) as f64 / took.as_secs_f64();
    stage.down()?;
    Ok(json!({ "mariadb": figures(&legacy), "postgresql": figures(&cloud), "transactions_per_second": per_second }))
}

fn figures(figure: &Figure) -> Value {
    let millis = |share: f64| figure.quantile(share).as_secs_f64() * 1000.0;
    let question = figure.question().as_secs_f64() * 1000.0;
    json!({ "probes": figure.changes(), "p50": millis(0.5), "p99": millis(0.99), "question": question })
}
