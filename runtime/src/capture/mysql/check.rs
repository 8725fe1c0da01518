//! What MySQL and MariaDB need for being captured.
//!
//! Source: the manuals of both, "Binary Logging Options and Variables", and the rights that a replica needs. Only looks.

use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use super::super::check::{Checked, State};
use super::super::{CaptureError, tls};
use super::{Server, failed, identifier};
use crate::config::{Capture, TableName};

/// Character sets that the binlog's texts are read in.
const CHARACTER_SETS: [&str; 6] = ["utf8", "utf8mb3", "utf8mb4", "ascii", "latin1", "binary"];

/// Looks at everything.
pub(in super::super) async fn check(settings: &Capture, password: &str) -> Result<Vec<Checked>, CaptureError> {
    let mut connection = super::open(settings, password).await?;
    let server = super::server(&mut connection).await?;
    let kind = if server.mariadb { "MariaDB" } else { "MySQL" };
    let mut all = vec![Checked::fine(format!("{kind} at {} answers {}", super::place(settings), settings.user))];
    all.push(tls::checked(settings));
    all.extend(binlog(&mut connection, &server).await?);
    all.push(kept(&mut connection).await?);
    rights(&mut connection, settings, &server, &mut all).await?;
    for table in &settings.tables {
        readable(&mut connection, settings, table, &mut all).await?;
    }
    // It is of no use any more; that it cannot be closed well harms nobody.
    let _ = connection.disconnect().await;
    Ok(all)
}

/// The first thing that keeps its binlog from being read, as an error.
pub(super) async fn ready(connection: &mut Conn, server: &Server) -> Result<(), CaptureError> {
    let all = binlog(connection, server).await?;
    match all.into_iter().find(|checked| checked.state == State::Finding) {
        Some(found) => Err(CaptureError::setup(found.what, found.repair.join(" "))),
        None => Ok(()),
    }
}

async fn variable(connection: &mut Conn, name: &str) -> Result<Option<String>, CaptureError> {
    let asked = |error| failed("is asked for its settings", &error);
    let row: Option<(String, String)> =
        connection.query_first(format!("SHOW GLOBAL VARIABLES LIKE '{name}'")).await.map_err(asked)?;
    Ok(row.map(|(_, value)| value))
}

async fn binlog(connection: &mut Conn, server: &Server) -> Result<Vec<Checked>, CaptureError> {
    if variable(connection, "log_bin").await?.as_deref() != Some("ON") {
        let repair = [
            "[mysqld]                        # in the server's configuration file, then restart the server:",
            "log_bin = bin",
            "server_id = 1",
            "binlog_format = ROW",
            "binlog_row_image = FULL",
            "binlog_row_metadata = FULL",
        ];
        return Ok(vec![Checked::finding("the server writes no binlog (log_bin)", &repair)]);
    }
    let mut all = vec![Checked::fine("the server writes a binlog (log_bin)")];
    for (name, wanted) in [("binlog_format", "ROW"), ("binlog_row_image", "FULL"), ("binlog_row_metadata", "FULL")] {
        let found = variable(connection, name).await?;
        let repair = format!("SET GLOBAL {name} = '{wanted}';");
        let lasting = format!("-- and in the server's configuration file: {name} = {wanted}");
        let sessions = "-- sessions that are open keep the old value until they end";
        let repair: &[&str] = match name {
            "binlog_row_metadata" => &[&repair, &lasting],
            _ => &[&repair, &lasting, sessions],
        };
        all.push(match found {
            Some(found) => Checked::setting(name, &found, wanted, repair),
            None => Checked::finding(
                format!("the server has no {name}: it is older than MariaDB 10.5 and MySQL 8.0.1"),
                &["-- upgrade the server: its binlog does not name columns"],
            ),
        });
    }
    if server.mariadb && variable(connection, "log_bin_compress").await?.as_deref() == Some("ON") {
        all.push(Checked::finding(
            "log_bin_compress is ON, its rows cannot be read",
            &[
                "SET GLOBAL log_bin_compress = OFF;",
                "-- and in the server's configuration file: log_bin_compress = OFF",
            ],
        ));
    }
    Ok(all)
}

/// How long the server keeps its binlog: as long Concord may be stopped.
async fn kept(connection: &mut Conn) -> Result<Checked, CaptureError> {
    let seconds = variable(connection, "binlog_expire_logs_seconds").await?;
    let seconds = seconds.and_then(|seconds| seconds.parse::<u64>().ok()).unwrap_or(0);
    Ok(match seconds {
        0 => Checked::note("the server keeps its binlog for ever (binlog_expire_logs_seconds = 0)"),
        _ if seconds < 86_400 => Checked::note(format!(
            "the server keeps its binlog for {} h (binlog_expire_logs_seconds): if Concord is stopped for longer, the next \
             start reads everything anew",
            seconds / 3_600
        )),
        _ => Checked::fine(format!("the server keeps its binlog for {} days", seconds / 86_400)),
    })
}

async fn rights(
    connection: &mut Conn,
    settings: &Capture,
    server: &Server,
    all: &mut Vec<Checked>,
) -> Result<(), CaptureError> {
    let asked = |error| failed("is asked for rights", &error);
    let grants: Vec<String> = connection.query("SHOW GRANTS").await.map_err(asked)?;
    let account: Option<String> = connection.query_first("SELECT CURRENT_USER()").await.map_err(asked)?;
    let account = account.unwrap_or_else(|| settings.user.clone());
    let account = account.rsplit_once('@').map_or(format!("'{account}'"), |(user, host)| format!("'{user}'@'{host}'"));
    let everywhere: Vec<&String> = grants.iter().filter(|grant| grant.contains(" ON *.*")).collect();
    let has = |words: &[&str]| {
        let all = std::iter::once(&"ALL PRIVILEGES").chain(words);
        all.into_iter().any(|words| everywhere.iter().any(|grant| grant.contains(words)))
    };
    // MariaDB 10.5 has split and renamed what MySQL calls REPLICATION CLIENT.
    let monitor = if server.mariadb { "BINLOG MONITOR" } else { "REPLICATION CLIENT" };
    for (name, words) in
        [("REPLICATION SLAVE", &["REPLICATION SLAVE"][..]), (monitor, &["BINLOG MONITOR", "REPLICATION CLIENT"][..])]
    {
        let repair = format!("GRANT {name} ON *.* TO {account};");
        all.push(match has(words) {
            true => Checked::fine(format!("{} has the right {name}", settings.user)),
            false => Checked::finding(format!("{} has not the right {name}", settings.user), &[&repair]),
        });
    }
    Ok(())
}

async fn readable(
    connection: &mut Conn,
    settings: &Capture,
    table: &TableName,
    all: &mut Vec<Checked>,
) -> Result<(), CaptureError> {
    let full = format!("{}.{}", identifier(&table.schema), identifier(&table.name));
    if let Err(error) = connection.query_drop(format!("SELECT 1 FROM {full} LIMIT 0")).await {
        let repair = match &error {
            mysql_async::Error::Server(error) if matches!(error.code, 1142 | 1044) => {
                format!("GRANT SELECT ON {full} TO '{}';   -- with the account's host", settings.user)
            }
            mysql_async::Error::Server(_) => "-- look at `tables` in [source.capture]".to_owned(),
            _ => return Err(failed("is asked for a table", &error)),
        };
        all.push(Checked::finding(format!("{} may not read {table}: {error}", settings.user), &[&repair]));
        return Ok(());
    }
    let asked = |error| failed("is asked for a table", &error);
    let about = "SELECT engine FROM information_schema.tables WHERE table_schema = ? AND table_name = ?";
    let key = (table.schema.clone(), table.name.clone());
    let engine: Option<Option<String>> = connection.exec_first(about, key.clone()).await.map_err(asked)?;
    let engine = engine.flatten().unwrap_or_default();
    all.push(match engine.as_str() {
        "InnoDB" | "RocksDB" => Checked::fine(format!("{table} can be read, and its engine has snapshots")),
        _ => {
            let repair = format!("ALTER TABLE {full} ENGINE = InnoDB;");
            Checked::finding(format!("the engine of {table} ({engine}) has no snapshots"), &[&repair])
        }
    });
    let about = "SELECT column_name, character_set_name FROM information_schema.columns \
                 WHERE table_schema = ? AND table_name = ? AND character_set_name IS NOT NULL";
    let columns: Vec<(String, String)> = connection.exec(about, key).await.map_err(asked)?;
    for (column, set) in columns.iter().filter(|(_, set)| !CHARACTER_SETS.contains(&set.as_str())) {
        all.push(Checked::note(format!(
            "{table}.{column} is in {set}: its changes are read as Windows-1252, which is right for ASCII alone"
        )));
    }
    Ok(())
}
