//! Whether Concord says what the rules say, computed from the two databases by plain SQL.
//!
//! Three things are compared: every room night of the unified view; the last word about every field on which the systems differ, in
//! `conflicts`; and that every price which either system committed for a double room stands there, as it was contested when it came.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use super::load::{Price, day};
use super::runner::Runner;
use crate::servers::Console;

/// What was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Room nights that are what they must be.
    pub room_nights: u64,
    /// Fields of room nights on which the systems differ at the end, all of them in `conflicts`.
    pub contested: u64,
    /// Rows of `conflicts` in all.
    pub conflicts: u64,
    /// Prices of single commits that were looked for and found there.
    pub prices: u64,
}

/// Columns of `expected.sql` that say what a room night is.
const COLUMNS: usize = 9;
/// The fields whose contests its last columns tell.
const FIELDS: [&str; 3] = ["capacity", "price", "closed"];
/// The room type whose nights neither system ever withdraws, so that every price meets another.
pub(super) const ALWAYS: &str = "DBL";

/// Compares; an error says what differs.
pub(super) fn compare(
    folder: &Path,
    runner: &Runner,
    legacy: &mut Console,
    cloud: &mut Console,
    prices: &[Price],
) -> Result<Found> {
    let expected = expected(folder, legacy, cloud)?;
    let mut found = Found::default();
    room_nights(runner, &expected, &mut found)?;
    let conflicts = conflicts(runner, &mut found)?;
    last_words(&expected, &conflicts, &mut found)?;
    every_price(prices, &conflicts, &mut found)?;
    let refused = runner.rows("SELECT source, kind, reason FROM dead_letters LIMIT 5")?;
    ensure!(refused.is_empty(), "there are dead letters:\n{}", refused.join("\n"));
    runner.said(&["audit", "verify"]).context("the chain of conflicts")?;
    Ok(found)
}

/// The rows of `expected.sql`.
fn expected(folder: &Path, legacy: &mut Console, cloud: &mut Console) -> Result<Vec<Vec<String>>> {
    let sql = |name: &str| std::fs::read_to_string(folder.join("sql").join(name));
    let nights = legacy.run(&sql("legacy-nights.sql")?)?;
    cloud.run(
        "CREATE TEMP TABLE legacy (property text, room_type text, night date, rooms int, cents int, closed boolean);",
    )?;
    let quoted = |row: &String| {
        let values: Vec<String> = row.split('\t').map(|value| format!("'{value}'")).collect();
        format!("({})", values.join(","))
    };
    for rows in nights.chunks(500) {
        let rows: Vec<String> = rows.iter().map(quoted).collect();
        cloud.run(&format!("INSERT INTO legacy VALUES {};", rows.join(",")))?;
    }
    let rows = cloud.run(&sql("expected.sql")?)?;
    Ok(rows.iter().map(|row| row.split('\t').map(str::to_owned).collect()).collect())
}

fn room_nights(runner: &Runner, expected: &[Vec<String>], found: &mut Found) -> Result<()> {
    let told = runner.rows(
        "SELECT property, date, room_type, capacity, available, price, ifNull(toString(min_stay), '-'), \
         sources['price'], sources['closed'] FROM room_nights_now \
         WHERE capacity IS NOT NULL OR price IS NOT NULL ORDER BY property, date, room_type",
    )?;
    let wanted: BTreeSet<String> =
        expected.iter().map(|row| row.iter().take(COLUMNS).cloned().collect::<Vec<_>>().join("\t")).collect();
    let told: BTreeSet<String> = told.into_iter().collect();
    let first = |rows: &BTreeSet<String>, others: &BTreeSet<String>| {
        rows.difference(others).take(5).cloned().collect::<Vec<_>>().join("\n")
    };
    let (missing, extra) = (first(&wanted, &told), first(&told, &wanted));
    ensure!(missing.is_empty() && extra.is_empty(), "the rules say:\n{missing}\nConcord says:\n{extra}");
    ensure!(!wanted.is_empty(), "nothing was compared");
    found.room_nights = wanted.len() as u64;
    Ok(())
}

/// A row of `conflicts`.
struct Conflict {
    decision: String,
    winner: String,
    /// `source=value`, in the order of the sources.
    claims: Vec<String>,
}

/// By property, day, room type and field, in the order of the log.
type Conflicts = BTreeMap<[String; 4], Vec<Conflict>>;

fn conflicts(runner: &Runner, found: &mut Found) -> Result<Conflicts> {
    let rows = runner.rows(
        "SELECT property, date, room_type, field, decision, winner_source, \
         arrayStringConcat(arrayMap(c -> concat(c.1, '=', c.2), claims), ';') FROM conflicts WHERE kind = 'field' \
         ORDER BY property, date, room_type, field, offset, seq",
    )?;
    found.conflicts = rows.len() as u64;
    let mut conflicts = Conflicts::new();
    for row in rows {
        let values: Vec<&str> = row.split('\t').collect();
        let [property, date, room_type, field, decision, winner, claims] = values[..] else { bail!("what is {row}?") };
        let all = conflicts.entry([property, date, room_type, field].map(str::to_owned)).or_default();
        let claims: Vec<String> = claims.split(';').map(str::to_owned).collect();
        let again = |last: &Conflict| last.decision == decision && last.winner == winner && last.claims == claims;
        ensure!(!all.last().is_some_and(again), "decided twice: {row}");
        all.push(Conflict { decision: decision.to_owned(), winner: winner.to_owned(), claims });
    }
    Ok(conflicts)
}

/// Where the systems differ the last row is the contest, with the winner whom the view names; elsewhere none, or their agreement.
fn last_words(expected: &[Vec<String>], conflicts: &Conflicts, found: &mut Found) -> Result<()> {
    for row in expected {
        let (place, contested) = (&row[..3], &row[COLUMNS..]);
        for (field, contested) in FIELDS.iter().zip(contested) {
            let key = [&place[0], &place[1], &place[2], &(*field).to_owned()].map(Clone::clone);
            let last = conflicts.get(&key).and_then(|all| all.last());
            match (contested.as_str(), last) {
                ("t", Some(last)) if last.decision == "contest" => {
                    let winner = match *field {
                        "price" => Some(row[COLUMNS - 2].as_str()),
                        "closed" => Some(row[COLUMNS - 1].as_str()),
                        _ => Some("legacy"),
                    };
                    ensure!(winner.is_none_or(|winner| winner == last.winner), "{key:?}: {} has won", last.winner);
                    found.contested += 1;
                }
                ("f", None) => {}
                ("f", Some(last)) if last.decision == "agreement" => {}
                (_, last) => {
                    let last = last.map(|last| format!("{} of {:?}", last.decision, last.claims));
                    bail!("{key:?}: contested by the databases: {contested}; the last row of conflicts: {last:?}");
                }
            }
        }
    }
    Ok(())
}

/// No price of the other system is ever near, so each was contested when it came.
fn every_price(prices: &[Price], conflicts: &Conflicts, found: &mut Found) -> Result<()> {
    let mut told: BTreeSet<(&str, &str, &str)> = BTreeSet::new();
    for (key, all) in conflicts.iter().filter(|(key, _)| key[2] == ALWAYS && key[3] == "price") {
        told.extend(
            all.iter()
                .flat_map(|conflict| &conflict.claims)
                .map(|claim| (key[0].as_str(), key[1].as_str(), claim.as_str())),
        );
    }
    for price in prices.iter().filter(|price| price.room_type == ALWAYS) {
        for night in price.first..price.first + price.nights {
            let claim = format!("{}={} EUR", price.source, shown(price.cents));
            let date = day(night);
            ensure!(
                told.contains(&(price.property, date.as_str(), claim.as_str())),
                "not in conflicts: {} {date} {claim}",
                price.property
            );
        }
        found.prices += 1;
    }
    ensure!(found.prices > 0, "no price was looked for");
    Ok(())
}

/// Cents as Concord prints an amount.
fn shown(cents: u32) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}
