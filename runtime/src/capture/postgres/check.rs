//! What PostgreSQL needs for being captured.
//!
//! Source: PostgreSQL's documentation, "Logical Replication" (configuration settings, security, publication). Only looks.

use super::super::check::{Checked, Mapped};
use super::super::{CaptureError, tls};
use super::connection::{Connection, Purpose, identifier, literal};
use crate::config::{Capture, TableName};

/// Looks at everything.
pub(in super::super) async fn check(
    settings: &Capture,
    password: &str,
    database: &str,
    publication_name: &str,
    slot_name: &str,
    mapped: &Mapped,
) -> Result<Vec<Checked>, CaptureError> {
    let mut connection = Connection::open(settings, database, password, Purpose::Queries).await?;
    let mut all = vec![Checked::fine(format!("{} answers {}", super::connection::place(settings), settings.user))];
    all.push(tls::checked(settings));
    server(&mut connection, slot_name, &mut all).await?;
    all.push(role(&mut connection, settings).await?);
    match Connection::open(settings, database, password, Purpose::Replication).await {
        Ok(replication) => {
            replication.close().await;
            all.push(Checked::fine("connections for replication are let in"));
        }
        // The role's right is told above.
        Err(error) if all.iter().all(|checked| !checked.what.contains("REPLICATION")) => {
            let line = format!(
                "host {database} {} ADDRESS-OF-CONCORD/32 scram-sha-256   # in pg_hba.conf, then:",
                settings.user
            );
            let what = format!("no connection for replication: {error}");
            all.push(Checked::finding(what, &[&line, "SELECT pg_reload_conf();"]));
        }
        Err(_) => {}
    }
    for table in &settings.tables {
        readable(&mut connection, settings, table, mapped, &mut all).await?;
    }
    all.extend(publication(&mut connection, settings, publication_name).await?);
    slot(&mut connection, slot_name, &mut all).await?;
    connection.close().await;
    Ok(all)
}

async fn setting(connection: &mut Connection, name: &str) -> Result<String, CaptureError> {
    let value = connection.value(&format!("SELECT current_setting({}, true)", literal(name))).await?;
    Ok(value.unwrap_or_default())
}

async fn server(connection: &mut Connection, slot: &str, all: &mut Vec<Checked>) -> Result<(), CaptureError> {
    let version = super::version(connection).await?;
    all.push(match version {
        130_000.. => Checked::fine(format!("version {}", setting(connection, "server_version").await?)),
        _ => Checked::finding("PostgreSQL is older than 13", &["-- upgrade the server"]),
    });
    let level = setting(connection, "wal_level").await?;
    let repair = ["ALTER SYSTEM SET wal_level = 'logical';", "-- then restart the server"];
    all.push(Checked::setting("wal_level", &level, "logical", &repair));
    let used = "SELECT count(*) FROM pg_replication_slots WHERE slot_name <> ";
    let used = connection.value(&format!("{used}{}", literal(slot))).await?;
    all.push(room(connection, "max_replication_slots", used).await?);
    let senders = connection.value("SELECT count(*) FROM pg_stat_replication").await?;
    all.push(room(connection, "max_wal_senders", senders).await?);
    let kept = setting(connection, "max_slot_wal_keep_size").await?;
    all.push(match kept.as_str() {
        "-1" => Checked::note(
            "max_slot_wal_keep_size is -1: while Concord is stopped the server keeps all of its log. \
             A bound keeps the disk free; beyond it the next start reads everything anew",
        ),
        _ => Checked::fine(format!("the server keeps at most {kept} for a slot (max_slot_wal_keep_size)")),
    });
    Ok(())
}

async fn room(connection: &mut Connection, name: &str, used: Option<String>) -> Result<Checked, CaptureError> {
    let limit = setting(connection, name).await?.parse().unwrap_or(0_u64);
    let used = used.and_then(|used| used.parse().ok()).unwrap_or(0_u64);
    if used < limit {
        return Ok(Checked::fine(format!("{name} is {limit}, others use {used}")));
    }
    let repair = format!("ALTER SYSTEM SET {name} = {};", used + 10);
    Ok(Checked::finding(format!("{name} is {limit}, others use all of them"), &[&repair, "-- then restart the server"]))
}

async fn role(connection: &mut Connection, settings: &Capture) -> Result<Checked, CaptureError> {
    let may = "SELECT rolreplication OR rolsuper FROM pg_roles WHERE rolname = current_user";
    Ok(match connection.value(may).await?.as_deref() {
        Some("t") => Checked::fine(format!("{} may replicate", settings.user)),
        _ => {
            let repair = format!("ALTER ROLE {} REPLICATION;", identifier(&settings.user));
            Checked::finding(format!("{} may not replicate (the right REPLICATION)", settings.user), &[&repair])
        }
    })
}

async fn readable(
    connection: &mut Connection,
    settings: &Capture,
    table: &TableName,
    mapped: &Mapped,
    all: &mut Vec<Checked>,
) -> Result<(), CaptureError> {
    let (schema, name) = (identifier(&table.schema), identifier(&table.name));
    let user = identifier(&settings.user);
    let about = format!(
        "SELECT c.relreplident, has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT'), c.relkind \
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = {} AND c.relname = {}",
        literal(&table.schema),
        literal(&table.name)
    );
    let row = connection.query(&about).await?.into_iter().next().unwrap_or_default();
    let [Some(identity), Some(may), Some(_)] = &row[..] else {
        let repair = "-- look at `tables` in [source.capture], and at `database`";
        all.push(Checked::finding(format!("there is no table {table}"), &[repair]));
        return Ok(());
    };
    if may != "t" {
        let rights = [
            format!("GRANT USAGE ON SCHEMA {schema} TO {user};"),
            format!("GRANT SELECT ON {schema}.{name} TO {user};"),
        ];
        all.push(Checked::finding(format!("{} may not read {table}", settings.user), &[&rights[0], &rights[1]]));
    }
    let repair = format!("ALTER TABLE {schema}.{name} REPLICA IDENTITY FULL;");
    all.push(match (identity.as_str(), mapped.is_still(table)) {
        ("f", _) => Checked::fine(format!("{table} tells what was before (REPLICA IDENTITY FULL)")),
        (_, true) => Checked::note(format!(
            "{table} tells only the key of deleted rows, so that deletions become dead letters; {repair} changes that"
        )),
        (_, false) => Checked::finding(
            format!("{table} does not tell what was before: updates and deletions become dead letters"),
            &[&repair],
        ),
    });
    Ok(())
}

/// Whether the publication has every table and every change.
pub(super) async fn publication(
    connection: &mut Connection,
    settings: &Capture,
    publication: &str,
) -> Result<Vec<Checked>, CaptureError> {
    let quoted = identifier(publication);
    let full = |table: &TableName| format!("{}.{}", identifier(&table.schema), identifier(&table.name));
    let about = "SELECT pubinsert AND pubupdate AND pubdelete, pubtruncate FROM pg_publication WHERE pubname = ";
    let row = connection.query(&format!("{about}{}", literal(publication))).await?.into_iter().next();
    let Some(row) = row else {
        let list: Vec<String> = settings.tables.iter().map(full).collect();
        let repair = format!("CREATE PUBLICATION {quoted} FOR TABLE {};", list.join(", "));
        return Ok(vec![Checked::finding(format!("there is no publication {publication}"), &[&repair])]);
    };
    let mut all = Vec::new();
    if row.first().and_then(Option::as_deref) != Some("t") {
        let repair = format!("ALTER PUBLICATION {quoted} SET (publish = 'insert, update, delete, truncate');");
        all.push(Checked::finding(format!("the publication {publication} leaves out changes"), &[&repair]));
    }
    let list = "SELECT schemaname, tablename FROM pg_publication_tables WHERE pubname = ";
    let published = connection.query(&format!("{list}{}", literal(publication))).await?;
    for table in &settings.tables {
        let is = |row: &Vec<Option<String>>| matches!(&row[..], [Some(schema), Some(name)] if *schema == table.schema && *name == table.name);
        if !published.iter().any(is) {
            let repair = format!("ALTER PUBLICATION {quoted} ADD TABLE {};", full(table));
            all.push(Checked::finding(format!("the publication {publication} does not have {table}"), &[&repair]));
        }
    }
    if all.is_empty() {
        all.push(Checked::fine(format!("the publication {publication} has every table and every change")));
    }
    Ok(all)
}

async fn slot(connection: &mut Connection, slot: &str, all: &mut Vec<Checked>) -> Result<(), CaptureError> {
    let about = format!(
        "SELECT plugin, coalesce(database = current_database(), false), active, coalesce(wal_status, ''), \
         pg_size_pretty(pg_wal_lsn_diff(pg_current_wal_lsn(), confirmed_flush_lsn)) \
         FROM pg_replication_slots WHERE slot_name = {}",
        literal(slot)
    );
    let drop = format!("SELECT pg_drop_replication_slot({});", literal(slot));
    let Some(row) = connection.query(&about).await?.into_iter().next() else {
        all.push(Checked::note(format!("there is no slot {slot} yet: the first start makes it")));
        return Ok(());
    };
    let text = |at: usize| row.get(at).and_then(Option::as_deref).unwrap_or_default();
    all.push(match (text(0), text(1), text(3)) {
        ("pgoutput", "t", "lost") => Checked::note(format!(
            "the slot {slot} has lost changes (max_slot_wal_keep_size): the next start reads everything anew"
        )),
        ("pgoutput", "t", _) => {
            let used = if text(2) == "t" { "is followed" } else { "waits for Concord" };
            Checked::fine(format!("the slot {slot} {used}, {} behind", text(4)))
        }
        _ => Checked::finding(
            format!("the slot {slot} is somebody else's"),
            &["-- write another slot = \"...\" into [source.capture], or, if nobody needs it:", &drop],
        ),
    });
    Ok(())
}
