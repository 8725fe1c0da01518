//! `[source.capture]`: the database whose changes a source's records are.
//!
//! Of this machine, not of the configuration in the log: no decision depends on where a database is. Knows words, defaults and
//! bounds; connects to nothing, and holds no password, only where one is.
//!
//! ```toml
//! [source.capture]
//! kind          = "postgres"               # or "mysql", also for MariaDB
//! host          = "db.example.net"         # a path is the server's Unix socket (PostgreSQL: the folder of it)
//! port          = 5432                     # MySQL: 3306
//! user          = "concord"
//! password_file = "secrets/cloud"          # or password_env = "CLOUD_PASSWORD"
//! tables        = ["public.room_nights"]   # MySQL: "database.table"
//! tls           = "verify"                 # or "off"; without the line: off on this machine, else verify
//! ca_cert       = "secrets/ca.pem"         # else the authorities that browsers trust
//! heartbeat     = "10s"
//! database      = "pms"                    # PostgreSQL
//! publication   = "concord"                # PostgreSQL
//! slot          = "concord_cloud"          # PostgreSQL; without the line: concord_ and the source's name
//! server_id     = 7001                     # MySQL: of all replicas of a server each has its own
//! ```

use std::net::IpAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use super::gateway::SecretPlace;
use super::quantity::Period;

/// How the changes of a database come in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capture {
    pub database: CapturedDatabase,
    /// A name, an address, or the absolute path of a socket.
    pub host: String,
    pub port: u16,
    pub user: String,
    /// `None`: the server trusts by other means.
    pub password: Option<SecretPlace>,
    /// At least one; each once.
    pub tables: Vec<TableName>,
    pub tls: CaptureTls,
    /// How often both sides show that they are there; 1 s to 10 min.
    pub heartbeat: Duration,
}

/// What only one kind of database has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CapturedDatabase {
    Postgres { database: String, publication: String, slot: String },
    MySql { server_id: u32 },
}

/// A table: its schema (PostgreSQL) or database (MySQL), and its name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableName {
    pub schema: String,
    pub name: String,
}

impl std::fmt::Display for TableName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.schema, self.name)
    }
}

/// Whether and how the connection is encrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CaptureTls {
    Off,
    /// The certificate has to be for the host, by this authority or by one that browsers trust.
    Verify {
        ca_cert: Option<PathBuf>,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawCapture {
    kind: Spanned<String>,
    host: Option<Spanned<String>>,
    port: Option<u16>,
    user: Spanned<String>,
    password_file: Option<Spanned<PathBuf>>,
    password_env: Option<Spanned<String>>,
    tables: Spanned<Vec<Spanned<String>>>,
    tls: Option<Spanned<String>>,
    ca_cert: Option<Spanned<PathBuf>>,
    heartbeat: Option<Spanned<Period>>,
    database: Option<Spanned<String>>,
    publication: Option<Spanned<String>>,
    slot: Option<Spanned<String>>,
    server_id: Option<Spanned<i64>>,
}

/// Something wrong: where, what, and what to write instead.
pub(super) type Wrong = (Range<usize>, String, String);

/// Checks a section. `folder` is what its paths are relative to.
pub(super) fn read(raw: RawCapture, source: &str, folder: &Path) -> (Option<Capture>, Vec<Wrong>) {
    let mut reader = Reader { wrong: Vec::new() };
    let capture = reader.capture(raw, source, folder);
    (capture, reader.wrong)
}

struct Reader {
    wrong: Vec<Wrong>,
}

impl Reader {
    fn report(&mut self, at: Range<usize>, what: impl Into<String>, remedy: impl Into<String>) {
        self.wrong.push((at, what.into(), remedy.into()));
    }

    fn capture(&mut self, raw: RawCapture, source: &str, folder: &Path) -> Option<Capture> {
        let postgres = match raw.kind.get_ref().as_str() {
            "postgres" => true,
            "mysql" => false,
            other => {
                let remedy = "write kind = \"postgres\" or \"mysql\" (also for MariaDB)";
                self.report(raw.kind.span(), format!("unknown database `{other}`"), remedy);
                return None;
            }
        };
        let host = raw.host.as_ref().map_or("127.0.0.1", |host| host.get_ref().as_str()).to_owned();
        let tls = self.tls(&raw, &host, folder);
        let heartbeat = self.heartbeat(raw.heartbeat.as_ref());
        let password = self.password(&raw, folder);
        let tables = self.tables(&raw.tables, postgres);
        let database = if postgres { self.postgres(&raw, source)? } else { self.mysql(&raw, source) };
        Some(Capture {
            database,
            host,
            port: raw.port.unwrap_or(if postgres { 5432 } else { 3306 }),
            user: raw.user.into_inner(),
            password,
            tables,
            tls,
            heartbeat,
        })
    }

    fn stray<T>(&mut self, value: Option<&Spanned<T>>, name: &str, kind: &str) {
        if let Some(value) = value {
            self.report(value.span(), format!("`{name}` belongs to kind = \"{kind}\""), "remove the line");
        }
    }

    fn postgres(&mut self, raw: &RawCapture, source: &str) -> Option<CapturedDatabase> {
        self.stray(raw.server_id.as_ref(), "server_id", "mysql");
        let Some(database) = &raw.database else {
            let remedy = "write database = \"...\", the one that has the tables";
            self.report(raw.kind.span(), "kind = \"postgres\" needs `database`", remedy);
            return None;
        };
        let own = format!("concord_{}", source.replace('-', "_"));
        let slot = raw.slot.as_ref().map_or(own.as_str(), |slot| slot.get_ref());
        let letters = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        if slot.is_empty() || slot.len() > 63 || !slot.bytes().all(letters) {
            let at = raw.slot.as_ref().map_or_else(|| raw.kind.span(), Spanned::span);
            let remedy = "write slot = \"...\": lower-case letters, digits and `_`, at most 63";
            self.report(at, format!("`{slot}` is no name of a slot"), remedy);
        }
        let publication = raw.publication.as_ref().map_or("concord", |name| name.get_ref());
        Some(CapturedDatabase::Postgres {
            database: database.get_ref().clone(),
            publication: publication.to_owned(),
            slot: slot.to_owned(),
        })
    }

    fn mysql(&mut self, raw: &RawCapture, source: &str) -> CapturedDatabase {
        self.stray(raw.database.as_ref(), "database", "postgres");
        self.stray(raw.publication.as_ref(), "publication", "postgres");
        self.stray(raw.slot.as_ref(), "slot", "postgres");
        // Far from the small numbers that people give, and the same after every start.
        let usual = 0x4000_0000 | (crc(source.as_bytes()) & 0x3FFF_FFFF);
        let Some(given) = &raw.server_id else { return CapturedDatabase::MySql { server_id: usual } };
        let server_id = u32::try_from(*given.get_ref()).ok().filter(|id| *id > 0).unwrap_or_else(|| {
            self.report(given.span(), "the number is out of bounds", "1 to 4294967295, another one for each replica");
            usual
        });
        CapturedDatabase::MySql { server_id }
    }

    fn tables(&mut self, list: &Spanned<Vec<Spanned<String>>>, postgres: bool) -> Vec<TableName> {
        let mut tables: Vec<TableName> = Vec::new();
        for written in list.get_ref() {
            let table = match written.get_ref().split_once('.') {
                Some((schema, name)) if !schema.is_empty() && !name.is_empty() => {
                    TableName { schema: schema.to_owned(), name: name.to_owned() }
                }
                None if postgres && !written.get_ref().is_empty() => {
                    TableName { schema: "public".to_owned(), name: written.get_ref().clone() }
                }
                _ => {
                    let remedy = if postgres { "write \"schema.table\"" } else { "write \"database.table\"" };
                    self.report(written.span(), format!("`{}` is no table", written.get_ref()), remedy);
                    continue;
                }
            };
            if tables.contains(&table) {
                self.report(written.span(), format!("`{table}` stands twice"), "remove one of them");
                continue;
            }
            tables.push(table);
        }
        if list.get_ref().is_empty() {
            self.report(list.span(), "no tables", "name those that the source's settings map");
        }
        tables
    }

    fn password(&mut self, raw: &RawCapture, folder: &Path) -> Option<SecretPlace> {
        match (&raw.password_file, &raw.password_env) {
            (Some(file), None) => Some(SecretPlace::File(folder.join(file.get_ref()))),
            (None, Some(name)) => Some(SecretPlace::Env(name.get_ref().clone())),
            (None, None) => None,
            (Some(_), Some(name)) => {
                self.report(name.span(), "both `password_file` and `password_env`", "keep one of them");
                None
            }
        }
    }

    fn tls(&mut self, raw: &RawCapture, host: &str, folder: &Path) -> CaptureTls {
        let here = is_here(host);
        let wanted = match raw.tls.as_ref().map(|tls| tls.get_ref().as_str()) {
            None => !here || raw.ca_cert.is_some(),
            Some("verify") => true,
            Some("off") => false,
            Some(other) => {
                let at = raw.tls.as_ref().map_or(0..0, Spanned::span);
                self.report(at, format!("unknown word `{other}`"), "write tls = \"verify\" or \"off\"");
                true
            }
        };
        if let (false, Some(ca_cert)) = (wanted, &raw.ca_cert) {
            self.report(ca_cert.span(), "`ca_cert` goes with tls = \"verify\"", "remove one of the lines");
        }
        if !wanted {
            return CaptureTls::Off;
        }
        CaptureTls::Verify { ca_cert: raw.ca_cert.as_ref().map(|path| folder.join(path.get_ref())) }
    }

    fn heartbeat(&mut self, value: Option<&Spanned<Period>>) -> Duration {
        let usual = Duration::from_secs(10);
        let Some(value) = value else { return usual };
        let Period(period) = *value.get_ref();
        if (Duration::from_secs(1)..=Duration::from_secs(600)).contains(&period) {
            return period;
        }
        self.report(value.span(), "the period is out of bounds", "1s to 10m");
        usual
    }
}

/// Whether nothing leaves this machine on the way to a host.
pub fn is_here(host: &str) -> bool {
    host.starts_with('/') || host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// CRC-32 (IEEE 802.3): a number from a name, the same in every build.
fn crc(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg()))
    };
    !bytes.iter().fold(!0, step)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn capture(text: &str) -> (Option<Capture>, Vec<String>) {
        let raw: RawCapture = toml::from_str(text).unwrap();
        let (capture, wrong) = read(raw, "cloud-pms", Path::new("folder"));
        (capture, wrong.into_iter().map(|(_, what, remedy)| format!("{what}: {remedy}")).collect())
    }

    #[test]
    fn defaults_that_are_safe() {
        let text = "kind = \"postgres\"\nhost = \"db.example.net\"\nuser = \"concord\"\ndatabase = \"pms\"\n\
                    tables = [\"nights\", \"sales.rooms\"]\npassword_file = \"secret\"";
        let (Some(found), wrong) = capture(text) else { panic!("it is complete") };
        assert_eq!(wrong, [] as [String; 0]);
        assert_eq!(found.tls, CaptureTls::Verify { ca_cert: None }, "a password does not travel in the open");
        assert_eq!(found.port, 5432);
        assert_eq!(found.password, Some(SecretPlace::File("folder/secret".into())));
        assert_eq!(found.tables.iter().map(ToString::to_string).collect::<Vec<_>>(), ["public.nights", "sales.rooms"]);
        let CapturedDatabase::Postgres { publication, slot, .. } = found.database else { panic!("PostgreSQL") };
        assert_eq!((publication.as_str(), slot.as_str()), ("concord", "concord_cloud_pms"));
        let here = text.replace("db.example.net", "127.0.0.1");
        assert_eq!(capture(&here).0.unwrap().tls, CaptureTls::Off);
    }

    #[test]
    fn whatever_is_wrong_says_what_to_write() {
        let good = "kind = \"mysql\"\nuser = \"concord\"\ntables = [\"hotel.kontingente\"]";
        assert_eq!(capture(good).1, [] as [String; 0]);
        for (line, words) in [
            ("slot = \"x\"", "belongs to kind = \"postgres\""),
            ("server_id = 0", "out of bounds: 1 to 4294967295"),
            ("heartbeat = \"1h\"", "out of bounds: 1s to 10m"),
            ("tls = \"require\"", "write tls = \"verify\" or \"off\""),
            ("tls = \"off\"\nca_cert = \"ca.pem\"", "goes with tls = \"verify\""),
            ("password_env = \"A\"\npassword_file = \"b\"", "keep one of them"),
        ] {
            let (_, wrong) = capture(&format!("{good}\n{line}"));
            assert!(wrong.len() == 1 && wrong[0].contains(words), "{line}: {wrong:?}");
        }
        for (from, to, words) in [
            ("\"mysql\"", "\"oracle\"", "unknown database `oracle`"),
            ("\"mysql\"", "\"postgres\"", "needs `database`"),
            ("hotel.kontingente", "kontingente", "write \"database.table\""),
            ("[\"hotel.kontingente\"]", "[]", "no tables"),
            ("[\"hotel.kontingente\"]", "[\"a.b\", \"a.b\"]", "stands twice"),
        ] {
            let (_, wrong) = capture(&good.replace(from, to));
            assert!(wrong.len() == 1 && wrong[0].contains(words), "{to}: {wrong:?}");
        }
    }

    #[test]
    fn a_number_from_a_name_is_the_standards() {
        assert_eq!(crc(b"123456789"), 0xCBF4_3926);
    }
}
