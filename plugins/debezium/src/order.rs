//! How far the database had come: positions as revisions.
//!
//! | sender | position | revision |
//! |---|---|---|
//! | Debezium, MySQL without GTID, and every snapshot | `file`, `pos`, `row` | 0, file number, pos, row |
//! | Debezium, MySQL with GTID | `gtid` `server:number`, `pos`, `row` | 1 + place of the server in `gtid_servers`, number, pos, row |
//! | Debezium, MariaDB with GTID | `gtid` `domain-server-number` | 1, number, pos, row |
//! | Debezium, PostgreSQL | `sequence` [last commit, lsn], else `lsn` | last commit, lsn |
//! | Maxwell | `position` `file:pos`, `xoffset` | 0, file number, pos, xoffset |
//! | wal2json 1 | `nextlsn` and the place in the transaction | lsn, place |
//! | wal2json 2 | `lsn` | lsn |
//!
//! Concord's own capture adds `concord_epoch`, which stands before all others: it rises with every initial load.
//!
//! A snapshot's rows come before every row with a GTID. Where a source has none of these, the log's order counts.

use concord_plugin::json::{self, At, Value};
use concord_plugin::{Rejection, Revision};

use crate::settings::Settings;

/// Of Debezium's `source` block.
pub fn debezium(source: At<'_>, settings: &Settings) -> Result<Option<Revision>, Rejection> {
    let epoch = source.find("concord_epoch").map(position).transpose()?;
    let place = place(source, settings)?;
    Ok(place.map(|place| sequence(&epoch.into_iter().chain(place).collect::<Vec<_>>())))
}

fn place(source: At<'_>, settings: &Settings) -> Result<Option<Vec<u64>>, Rejection> {
    if let Some(file) = source.find("file") {
        let row = source.find("row").map(position).transpose()?.unwrap_or(0);
        let place = [source.find("pos").map(position).transpose()?.unwrap_or(0), row];
        let (era, number) = match source.find("gtid") {
            Some(gtid) => transaction(gtid, settings)?,
            None => (0, file_number(file, file.text()?)?),
        };
        return Ok(Some(vec![era, number, place[0], place[1]]));
    }
    let Some(lsn) = source.find("lsn") else { return Ok(None) };
    let lsn = position(lsn)?;
    let Some(told) = source.find("sequence") else { return Ok(Some(vec![lsn, lsn])) };
    // A list, written into a string: the last commit before this change, and the change itself.
    let text = told.text()?;
    let document = json::parse(text.as_bytes()).map_err(|_| told.is_not("a list of two positions"))?;
    let Ok(positions) = document.root().list() else { return Err(told.is_not("a list of two positions")) };
    let number = |at: At<'_>| match at.value() {
        Value::Null => Ok(0),
        _ => position(at).map_err(|_| told.is_not("a list of two positions")),
    };
    let positions: Vec<u64> = positions.map(number).collect::<Result<_, _>>()?;
    match positions[..] {
        [commit, own] => Ok(Some(vec![commit, own])),
        _ => Err(told.is_not("a list of two positions")),
    }
}

/// Of a row of Maxwell, where it is told to write positions.
pub fn maxwell(root: At<'_>) -> Result<Option<Revision>, Rejection> {
    let Some(told) = root.find("position") else { return Ok(None) };
    let (file, place) =
        told.text()?.rsplit_once(':').ok_or_else(|| told.is_not("a position such as master.000006:800911"))?;
    let place = place.parse().map_err(|_| told.is_not("a position such as master.000006:800911"))?;
    let row = root.find("xoffset").map(position).transpose()?.unwrap_or(0);
    Ok(Some(sequence(&[0, file_number(told, file)?, place, row])))
}

/// Of an LSN as PostgreSQL writes it, `16/B374D848`, and the places within its transaction.
pub fn wal(lsn: Option<At<'_>>, place: &[u64]) -> Result<Option<Revision>, Rejection> {
    let Some(told) = lsn else { return Ok(None) };
    let halves = told.text()?.split_once('/').and_then(|(high, low)| {
        let half = |text: &str| u32::from_str_radix(text, 16).ok().filter(|_| !text.starts_with('+'));
        Some((u64::from(half(high)?) << 32) | u64::from(half(low)?))
    });
    let lsn = halves.ok_or_else(|| told.is_not("an LSN such as 16/B374D848"))?;
    Ok(Some(sequence(&[&[lsn], place].concat())))
}

fn sequence(positions: &[u64]) -> Revision {
    Revision::Sequence(positions.to_vec())
}

/// A position, also in a string.
pub fn position(at: At<'_>) -> Result<u64, Rejection> {
    u64::try_from(at.whole()?).map_err(|_| at.is_not("a position from 0 on"))
}

/// The number at the end of a binlog's file name: `mysql-bin.000003` is 3.
fn file_number(at: At<'_>, name: &str) -> Result<u64, Rejection> {
    let number = name.rsplit('.').next().and_then(|digits| digits.parse().ok());
    number.ok_or_else(|| at.is_not("a binlog file with its number, such as mysql-bin.000003"))
}

/// The era of a GTID's server and the transaction's number.
fn transaction(at: At<'_>, settings: &Settings) -> Result<(u64, u64), Rejection> {
    let text = at.text()?.trim();
    let number = |digits: &str| digits.parse().map_err(|_| at.is_not("a GTID of one transaction"));
    // MariaDB counts on over all servers of a domain.
    if let ([_, _, last], false) = (&text.split('-').collect::<Vec<_>>()[..], text.contains(':')) {
        return Ok((1, number(last)?));
    }
    let (server, last) = text.rsplit_once(':').ok_or_else(|| at.is_not("a GTID of one transaction"))?;
    if settings.servers.is_empty() {
        return Ok((1, number(last)?));
    }
    let server = server.split(':').next().unwrap_or(server);
    let place = settings.servers.iter().position(|known| known.eq_ignore_ascii_case(server));
    let place = place.ok_or_else(|| {
        at.reject(format_args!(
            "the server {server:?} is not among \"gtid_servers\"; add it behind those that led before"
        ))
    })?;
    Ok((1 + u64::try_from(place).unwrap_or(0), number(last)?))
}
