//! The ClickHouse store: the only place that speaks to ClickHouse, embedded or not, over its HTTP interface.
//!
//! Knows the tables, how to write a decided batch so that it stands once, and how to read the worker's state back.
//! Does not know what the rows mean nor when to write them.

mod append;
mod disk;
mod error;
mod rowbinary;
mod schema;
mod tables;
mod write;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use clickhouse::Client;
use clickhouse::query::BytesCursor;
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use crate::audit::{Finding, Verifier};
use crate::log::Partition;
use crate::rows::{AuditHead, StateRow};
use crate::types::FieldType;
use append::Tails;
use disk::Disk;
use rowbinary::Rows;
use schema::{Column, Durability, FieldColumn, Layout};

pub use error::{Backoff, StoreError, with_retry};
pub use write::{STATE_BLOCK_BYTES, STATE_BLOCK_ROWS};

/// How to reach ClickHouse.
#[derive(Clone)]
pub struct Options {
    /// `http://host:port` or `https://host:port`.
    pub url: String,
    pub user: String,
    pub password: String,
    pub database: String,
    /// The cluster, by the name in the servers' `remote_servers`: replicas of one shard. Tables are then replicated,
    /// and what must be exact is written and read with a quorum.
    pub cluster: Option<String>,
    /// Concord runs the engine itself, and answers for it that what was written survives a power loss.
    pub embedded: bool,
    /// The embedded engine's data directory, where this process may sync it: then a commit costs two syncs of the file
    /// system (Linux) instead of one per file of each part, which halves the cost of inserts over many months.
    /// Without it, and on other systems, the engine syncs each insert.
    pub data_dir: Option<PathBuf>,
    /// How long one request may take without any answer. The default is a minute.
    pub timeout: Duration,
}

/// The statements that make the tables on a cluster, for administrators who want to see or run them themselves;
/// [`Store::migrate`] runs the same.
pub fn cluster_tables(database: &str, cluster: &str) -> Vec<String> {
    let layout =
        Layout { database: database.to_owned(), cluster: Some(cluster.to_owned()), durability: Durability::Servers };
    let mut statements = schema::foundation(&layout);
    // Of an empty database every migration is pending, and none is of a newer program.
    statements.extend(schema::pending(&layout, 0).unwrap_or_default());
    statements.retain(|statement| !statement.starts_with("INSERT "));
    statements
}

impl Default for Options {
    fn default() -> Self {
        Options {
            url: "http://127.0.0.1:8123".to_owned(),
            user: "default".to_owned(),
            password: String::new(),
            database: "concord".to_owned(),
            cluster: None,
            embedded: false,
            data_dir: None,
            timeout: Duration::from_secs(60),
        }
    }
}

/// A connection to ClickHouse. Clones share its connections and what it knows of the tables.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
}

struct Shared {
    /// Without a database: for what must work before there is one.
    server: Client,
    /// For queries of people and programs.
    reader: Client,
    /// For reads that must see every acknowledged row.
    exact: Client,
    writer: Client,
    layout: Layout,
    timeout: Duration,
    disk: Option<Disk>,
    /// The columns of `room_nights` for declared fields, as last seen.
    fields: RwLock<Arc<Vec<FieldColumn>>>,
    tails: Mutex<Tails>,
}

/// One entity of the worker's state: its key and its value.
pub type StateEntry = (Vec<u8>, Vec<u8>);

/// A part of the worker's state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    /// In byte order of their keys.
    pub entries: Vec<StateEntry>,
    /// The newest version among them, entities that are gone included; 0 if there never were any. Greater than
    /// what the reader itself has written or read in the checkpoint, it means that another worker is ahead: what was
    /// loaded belongs to a later place in the log, and the reader has to begin again from the new checkpoint.
    pub version: u64,
}

/// One insert statement's worth of rows.
pub(crate) struct Insert {
    statement: String,
    body: Bytes,
    token: Option<String>,
    exact: bool,
}

impl Insert {
    pub(crate) fn new(table: &str, columns: &str, body: Bytes) -> Insert {
        let statement = format!("INSERT INTO {table} ({columns}) FORMAT RowBinary");
        Insert { statement, body, token: None, exact: false }
    }

    /// Once acknowledged, the rows are seen by every read that asks for exactness, on every replica.
    pub(crate) fn exact(self) -> Insert {
        Insert { exact: true, ..self }
    }

    /// An exact insert that ClickHouse drops if it has seen the token before.
    pub(crate) fn with_token(self, token: String) -> Insert {
        Insert { token: Some(token), ..self }.exact()
    }
}

/// A stream of an answer's bytes.
pub struct Answer {
    cursor: BytesCursor,
    timeout: Duration,
}

impl Answer {
    /// The next bytes, `None` at the end. An error that ClickHouse meets half-way comes as an error, not as text.
    pub async fn next(&mut self) -> Result<Option<Bytes>, StoreError> {
        match tokio::time::timeout(self.timeout, self.cursor.next()).await {
            Ok(chunk) => chunk.map_err(StoreError::from_client),
            Err(_) => Err(StoreError::Timeout(self.timeout)),
        }
    }
}

/// Entities on their way from ClickHouse.
pub struct Entities(Rows);

impl Entities {
    /// The next one; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<StateRow>, StoreError> {
        let row = self.0.next(|row| Some((row.string()?, row.string()?, row.string()?))).await?;
        Ok(row.map(|(property, key, value)| StateRow {
            property: String::from_utf8_lossy(&property).into(),
            key,
            value,
        }))
    }
}

impl Store {
    /// Connects and checks that somebody answers who lets us in and is new enough. Creates nothing.
    pub async fn connect(options: Options) -> Result<Store, StoreError> {
        let server = client(&options)?;
        let reader = server.clone().with_database(&options.database);
        // A block is one insert and one insert one block, whatever its size: squashed to the end, never cut.
        let mut writer = reader
            .clone()
            .with_setting("async_insert", "0")
            .with_setting("max_insert_block_size", "16777216")
            .with_setting("min_insert_block_size_rows", "16777216")
            .with_setting("min_insert_block_size_bytes", "4294967296")
            .with_setting("input_format_parallel_parsing", "0")
            .with_setting("max_partitions_per_insert_block", "0")
            .with_setting("optimize_on_insert", "0");
        let mut exact = reader.clone();
        if options.cluster.is_some() {
            writer = writer.with_setting("insert_quorum", "auto");
            exact = exact.with_setting("select_sequential_consistency", "1");
        }
        let disk = match &options.data_dir {
            Some(directory) if options.embedded => Disk::open(directory)?,
            _ => None,
        };
        let durability = match (options.embedded, &disk) {
            (true, None) => Durability::EachInsert,
            (true, Some(_)) => Durability::EachCommit,
            (false, _) => Durability::Servers,
        };
        let store = Store {
            shared: Arc::new(Shared {
                server,
                reader,
                exact,
                writer,
                layout: Layout { database: options.database, cluster: options.cluster, durability },
                disk,
                timeout: options.timeout,
                fields: RwLock::default(),
                tails: Mutex::default(),
            }),
        };
        store.check_version().await?;
        Ok(store)
    }

    /// Creates the database and brings its tables, columns and views up to date with this program and the declared
    /// fields. May run at any time, also while others write; also again after a crash.
    ///
    /// # Errors
    /// [`StoreError::NewerSchema`] if a newer program was here, [`StoreError::Field`] if a field's column exists with
    /// another type; then nothing was changed for any field.
    pub async fn migrate(&self, fields: &[(&str, FieldType)]) -> Result<(), StoreError> {
        let layout = &self.shared.layout;
        for statement in schema::foundation(layout) {
            self.execute(&statement).await?;
        }
        for statement in schema::pending(layout, self.schema_version().await?)? {
            self.execute(&statement).await?;
        }
        for statement in schema::settings(layout, &self.engines().await?, &self.table_settings().await?) {
            self.execute(&statement).await?;
        }
        self.declare_fields(fields).await
    }

    /// Lets payloads of dead letters be kept for so long from their arrival in ClickHouse on (whole seconds); `None` keeps
    /// them for good. ClickHouse empties them some hours later, with its merges. The database has to be migrated.
    pub async fn keep_payloads(&self, keep: Option<Duration>) -> Result<(), StoreError> {
        let layout = &self.shared.layout;
        let sql = "SELECT create_table_query FROM system.tables WHERE database = ? AND name = 'dead_letters'";
        let mut rows = self.rows(self.shared.exact.query(sql).bind(&layout.database))?;
        let table = rows.next(|row| row.string()).await?.unwrap_or_default();
        match schema::payload_retention(layout, &String::from_utf8_lossy(&table), keep) {
            Some(statement) => self.execute(&statement).await,
            None => Ok(()),
        }
    }

    /// The newest migration that the database has; 0 for an empty one.
    pub async fn schema_version(&self) -> Result<u32, StoreError> {
        let mut rows = self.exact_rows("SELECT max(version) FROM schema_migrations")?;
        Ok(rows.next(|row| row.u32()).await?.unwrap_or(0))
    }

    /// Gives `room_nights` the columns of these fields. To be called before a batch is written that was decided under
    /// a configuration with new fields. Columns of fields no longer declared stay.
    pub async fn declare_fields(&self, fields: &[(&str, FieldType)]) -> Result<(), StoreError> {
        let layout = &self.shared.layout;
        let missing = schema::missing_columns(layout, &self.columns().await?, fields)?;
        for statement in &missing {
            self.execute(statement).await?;
        }
        for view in schema::views(layout) {
            self.execute(&view).await?;
        }
        let found = Arc::new(schema::field_columns(&self.columns().await?));
        *self.shared.fields.write().unwrap_or_else(PoisonError::into_inner) = found;
        Ok(())
    }

    /// What the worker remembers of one property. Reads a slice of the table, however large it is.
    pub async fn load_property(&self, partition: Partition, property: &str) -> Result<Loaded, StoreError> {
        let loaded = self.load_properties(partition, &[property]).await?;
        Ok(loaded.into_iter().next().unwrap_or_default())
    }

    /// The same for several properties at once, all as of one moment, in the given order.
    pub async fn load_properties(&self, partition: Partition, properties: &[&str]) -> Result<Vec<Loaded>, StoreError> {
        let places: HashMap<&[u8], usize> =
            properties.iter().zip(0..).map(|(name, at)| (name.as_bytes(), at)).collect();
        let query = self
            .shared
            .exact
            .query(
                "SELECT property, key, value, version FROM state FINAL WHERE partition = ? AND property IN ? \
                 ORDER BY property, key",
            )
            .bind(partition)
            .bind(properties);
        let mut rows = self.rows(query)?;
        let mut loaded: Vec<Loaded> = properties.iter().map(|_| Loaded::default()).collect();
        while let Some((property, entry, version)) =
            rows.next(|row| Some((row.string()?, (row.string()?, row.string()?), row.u64()?))).await?
        {
            let Some(&at) = places.get(property.as_slice()) else { continue };
            loaded[at].version = loaded[at].version.max(version);
            if !entry.1.is_empty() {
                loaded[at].entries.push(entry);
            }
        }
        Ok(loaded)
    }

    /// What belongs to the partition as a whole: the checkpoint and its company.
    pub async fn load_partition(&self, partition: Partition) -> Result<Loaded, StoreError> {
        self.load_property(partition, "").await
    }

    /// Single entries of every partition as a whole, by their keys.
    pub async fn load_partitions(&self, keys: &[&str]) -> Result<BTreeMap<Partition, Vec<StateEntry>>, StoreError> {
        let sql =
            "SELECT partition, key, value FROM state FINAL WHERE property = '' AND key IN ? ORDER BY partition, key";
        let mut rows = self.rows(self.shared.exact.query(sql).bind(keys))?;
        let mut loaded: BTreeMap<Partition, Vec<StateEntry>> = BTreeMap::new();
        while let Some((partition, entry)) = rows.next(|row| Some((row.u32()?, (row.string()?, row.string()?)))).await?
        {
            loaded.entry(partition).or_default().push(entry);
        }
        Ok(loaded)
    }

    /// Everything that a partition's worker remembers of properties, also what is gone, in the order of properties and
    /// keys, as of one moment.
    pub async fn entities(&self, partition: Partition) -> Result<Entities, StoreError> {
        let sql = "SELECT property, key, value FROM state FINAL WHERE partition = ? AND property != '' \
                   ORDER BY property, key";
        Ok(Entities(self.rows(self.shared.exact.query(sql).bind(partition))?))
    }

    /// Where an entity of a property is kept: partition and property, of all properties that have it.
    pub async fn find_entity(&self, key: &[u8]) -> Result<Vec<(Partition, String)>, StoreError> {
        let sql = "SELECT partition, property FROM state FINAL \
                   WHERE property != '' AND key = unhex(?) AND value != '' ORDER BY partition, property";
        let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut rows = self.rows(self.shared.exact.query(sql).bind(hex))?;
        let mut found = Vec::new();
        while let Some((partition, property)) = rows.next(|row| Some((row.u32()?, row.string()?))).await? {
            found.push((partition, String::from_utf8_lossy(&property).into_owned()));
        }
        Ok(found)
    }

    /// Runs any query; the answer comes in `format`, such as `JSONEachRow` or `PrettyCompact`.
    pub fn query_raw(&self, sql: &str, format: &str) -> Result<Answer, StoreError> {
        let cursor = self.shared.reader.query_raw(sql).fetch_bytes(format).map_err(StoreError::from_client)?;
        Ok(Answer { cursor, timeout: self.shared.timeout })
    }

    /// Runs a query and reads its rows as JSON objects by column name. Values go into the query's `{name:Type}`
    /// places, never into its text.
    pub async fn query_json(&self, sql: &str, values: &[(&str, &str)]) -> Result<Vec<serde_json::Value>, StoreError> {
        let mut query = self.shared.reader.query_raw(sql);
        for (name, value) in values {
            query = query.param(name, value);
        }
        let cursor = query.fetch_bytes("JSONEachRow").map_err(StoreError::from_client)?;
        let mut answer = Answer { cursor, timeout: self.shared.timeout };
        let mut text = Vec::new();
        while let Some(chunk) = answer.next().await? {
            text.extend_from_slice(&chunk);
        }
        serde_json::Deserializer::from_slice(&text)
            .into_iter()
            .collect::<Result<_, _>>()
            .map_err(|error| StoreError::Answer(error.to_string()))
    }

    /// The partitions that have conflict rows.
    pub async fn audited_partitions(&self) -> Result<Vec<Partition>, StoreError> {
        let mut rows = self.exact_rows("SELECT DISTINCT partition FROM conflicts ORDER BY partition")?;
        let mut partitions = Vec::new();
        while let Some(partition) = rows.next(|row| row.u32()).await? {
            partitions.push(partition);
        }
        Ok(partitions)
    }

    /// Checks the chain of a partition's conflict rows against the end that its checkpoint remembers: how many rows
    /// it has, and what is wrong. Memory is bounded here and in ClickHouse, which sorts on disk if it must.
    pub async fn verify_audit(
        &self,
        partition: Partition,
        expected: Option<AuditHead>,
    ) -> Result<(u64, Vec<Finding>), StoreError> {
        let sql = format!(
            "SELECT {} FROM conflicts WHERE partition = {partition} ORDER BY offset, seq, recorded_at",
            tables::CONFLICTS
        );
        let query = self.shared.exact.query(&sql).with_setting("max_bytes_before_external_sort", "268435456");
        let mut rows = self.rows(query)?;
        let mut verifier = Verifier::new(partition, expected);
        while let Some(row) = rows.next(tables::read_conflict).await? {
            verifier.row(&row);
        }
        Ok(verifier.finish())
    }

    async fn check_version(&self) -> Result<(), StoreError> {
        let query = self.shared.server.query_raw("SELECT version()");
        let version = self.rows(query)?.next(|row| row.string()).await?;
        let version = String::from_utf8_lossy(&version.unwrap_or_default()).into_owned();
        let mut parts = version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
        if (parts.next(), parts.next()) >= (Some(25), Some(8)) {
            return Ok(());
        }
        Err(StoreError::Refused(format!("its version is {version}")))
    }

    /// The columns of `room_nights`.
    async fn columns(&self) -> Result<Vec<Column>, StoreError> {
        let query = self
            .shared
            .exact
            .query("SELECT name, type, comment FROM system.columns WHERE database = ? AND table = 'room_nights'")
            .bind(&self.shared.layout.database);
        let mut rows = self.rows(query)?;
        let mut columns = Vec::new();
        while let Some(row) = rows.next(|row| Some([row.string()?, row.string()?, row.string()?])).await? {
            let [name, kind, comment] = row.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
            columns.push(Column { name, kind, comment });
        }
        Ok(columns)
    }

    /// Names and full engine clauses of our tables.
    async fn engines(&self) -> Result<Vec<(String, String)>, StoreError> {
        let query = self
            .shared
            .exact
            .query("SELECT name, engine_full FROM system.tables WHERE database = ? AND engine LIKE '%MergeTree'")
            .bind(&self.shared.layout.database);
        let mut rows = self.rows(query)?;
        let mut engines = Vec::new();
        while let Some((name, engine)) = rows.next(|row| Some((row.string()?, row.string()?))).await? {
            let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
            engines.push((text(name), text(engine)));
        }
        Ok(engines)
    }

    /// The settings that tables can have here.
    async fn table_settings(&self) -> Result<Vec<String>, StoreError> {
        let mut rows = self.exact_rows("SELECT name FROM system.merge_tree_settings")?;
        let mut names = Vec::new();
        while let Some(name) = rows.next(|row| row.string()).await? {
            names.push(String::from_utf8_lossy(&name).into_owned());
        }
        Ok(names)
    }

    /// Makes everything durable that the embedded engine has acknowledged, where that is this process's business.
    async fn sync(&self) -> Result<(), StoreError> {
        match &self.shared.disk {
            Some(disk) => disk.sync().await,
            None => Ok(()),
        }
    }

    async fn execute(&self, statement: &str) -> Result<(), StoreError> {
        let timeout = self.shared.timeout;
        match tokio::time::timeout(timeout, self.shared.server.query_raw(statement).execute()).await {
            Ok(done) => done.map_err(StoreError::from_client),
            Err(_) => Err(StoreError::Timeout(timeout)),
        }
    }

    /// Sends one insert as it is and waits until it is durable. Nothing is sent for no rows.
    async fn insert(&self, insert: Insert) -> Result<(), StoreError> {
        if insert.body.is_empty() {
            return Ok(());
        }
        let timeout = Some(self.shared.timeout);
        let mut request = self.shared.writer.insert_formatted_with(insert.statement).with_timeouts(timeout, timeout);
        if insert.exact && self.one_exact_insert_at_a_time() {
            request = request.with_setting("insert_quorum_parallel", "0");
        }
        if let Some(token) = insert.token {
            request = request.with_setting("insert_deduplication_token", token);
        }
        request.send(insert.body).await.map_err(|error| self.sent(error))?;
        request.end().await.map_err(|error| self.sent(error))
    }

    fn sent(&self, error: clickhouse::error::Error) -> StoreError {
        match error {
            clickhouse::error::Error::TimedOut => StoreError::Timeout(self.shared.timeout),
            error => StoreError::from_client(error),
        }
    }

    /// Rows of a query that must see every acknowledged row.
    pub(crate) fn exact_rows(&self, sql: &str) -> Result<Rows, StoreError> {
        self.rows(self.shared.exact.query_raw(sql))
    }

    fn rows(&self, query: clickhouse::query::Query) -> Result<Rows, StoreError> {
        let cursor = query.fetch_bytes("RowBinary").map_err(StoreError::from_client)?;
        Ok(Rows::new(Answer { cursor, timeout: self.shared.timeout }))
    }

    fn fields(&self) -> Arc<Vec<FieldColumn>> {
        Arc::clone(&self.shared.fields.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn tails(&self) -> MutexGuard<'_, Tails> {
        self.shared.tails.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// On replicas, a table that is to be read exactly takes one insert at a time.
    fn one_exact_insert_at_a_time(&self) -> bool {
        self.shared.layout.cluster.is_some()
    }
}

/// The HTTP client: without Nagle's algorithm, which would cost 40 ms per request, and with TLS where asked for.
fn client(options: &Options) -> Result<Client, StoreError> {
    /// Shorter than ClickHouse keeps an idle connection.
    const IDLE: Duration = Duration::from_secs(2);
    let mut tcp = HttpConnector::new();
    tcp.set_nodelay(true);
    tcp.set_keepalive(Some(Duration::from_secs(60)));
    tcp.set_connect_timeout(Some(options.timeout.min(Duration::from_secs(10))));
    tcp.enforce_http(false);
    let secure = options.url.starts_with("https://");
    if !secure && !options.url.starts_with("http://") {
        let detail = format!("{} is no http:// or https:// address", options.url);
        return Err(StoreError::Option { option: "url", detail });
    }
    let mut builder = HttpClient::builder(TokioExecutor::new());
    let builder = builder.pool_idle_timeout(IDLE).pool_timer(hyper_util::rt::TokioTimer::new());
    let client = if secure {
        let provider = rustls::crypto::ring::default_provider();
        let tls = hyper_rustls::HttpsConnectorBuilder::new()
            .with_provider_and_native_roots(provider)
            .map_err(|error| StoreError::Tls(error.to_string()))?;
        Client::with_http_client(builder.build(tls.https_only().enable_http1().wrap_connector(tcp)))
    } else {
        Client::with_http_client(builder.build(tcp))
    };
    let client = client.with_url(&options.url).with_user(&options.user).with_password(&options.password);
    // On one machine compressing costs more than it saves.
    Ok(if options.embedded { client.with_compression(clickhouse::Compression::None) } else { client })
}
