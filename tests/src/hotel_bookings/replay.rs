//! The deliveries through the whole pipeline: split by the sources' plugins into an embedded log, then normalized, merged, decided and
//! written to the embedded ClickHouse.
//!
//! Knows the example's files. Does not know what the right tables are.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use concord::cli::open::check_proposal;
use concord::config::{Proposal, Tuning};
use concord::deliver::Deliverer;
use concord::log::{Log, NewRecord, Partition};
use concord::plugin;
use concord::store::Store;
use concord::worker::checkpoint::Counts;
use tempfile::TempDir;
use tokio::runtime::Handle;

use super::{Bookings, Delivery, Desk, Source};
use crate::pipeline::{
    self, Database, Lease, OwnLog, host, plugins_dir, process, proposal_records, read_pipeline, until_idle,
};

/// As the example's pipeline has it; each hotel is on one of its own.
const PARTITIONS: u32 = 2;
const HOTELS: [&str; 2] = ["Resort Hotel", "City Hotel"];
/// Records appended at once.
const AT_ONCE: usize = 2_000;

/// What a replay left behind.
pub struct Replayed {
    pub store: Store,
    pub own: OwnLog,
    /// What became of the log's records.
    pub counts: Counts,
    /// Deliveries in the log.
    pub records: u64,
    /// Splitting and appending.
    pub delivered: Took,
    /// Normalizing, merging, deciding, writing.
    pub decided: Took,
}

/// How long something took: on the clock, and of this process's processor time. The second says more where others are at work.
#[derive(Clone, Copy, Debug)]
pub struct Took {
    pub elapsed: Duration,
    pub processor: Duration,
}

impl Took {
    /// Both, and what they are per record.
    pub fn shown(&self, records: u64) -> String {
        let (elapsed, processor) = (self.elapsed.as_secs_f64(), self.processor.as_secs_f64());
        let records = records.max(1) as f64;
        format!(
            "{elapsed:.1} s ({:.0} records/s), {processor:.1} s of processor time ({:.0} us per record)",
            records / elapsed,
            processor / records * 1e6
        )
    }
}

/// A clock that runs.
struct Clock(Instant, Duration);

impl Clock {
    fn start() -> Clock {
        Clock(Instant::now(), processor_time())
    }

    fn stop(self) -> Took {
        Took { elapsed: self.0.elapsed(), processor: processor_time().saturating_sub(self.1) }
    }
}

/// Of all threads of this process, in user and kernel mode.
fn processor_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call writes into a variable of its type and keeps nothing of it.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    Duration::new(time.tv_sec.try_into().unwrap_or(0), time.tv_nsec.try_into().unwrap_or(0))
}

/// Delivers everything in its order, and works until all of it is written. `properties` is the example's file of that name.
///
/// # Panics
/// Where the pipeline does what it must not do.
pub async fn replay(lease: &Lease, bookings: &Bookings, properties: &str, desk: Desk) -> Replayed {
    let folder = example(properties);
    let file = read_pipeline(&folder.path().join("pipeline.toml"));
    let proposal = Proposal::read(&file).expect("files that can be applied");
    check_proposal(&host(), &proposal, &file).expect("plugins and rules that can be applied");
    let own = OwnLog::new(PARTITIONS);
    own.log.append(0, proposal_records(&proposal, None, 0)).await.expect("append");
    let clock = Clock::start();
    let records = deliver(&own, &proposal, bookings, desk);
    let delivered = clock.stop();
    let database = Database::fresh(lease);
    let clock = Clock::start();
    let shared = process(own.log.clone(), &database, "replay", Tuning::default()).await;
    until_idle(&shared).await.expect("a run to the end");
    let decided = clock.stop();
    let mut counts = Counts::default();
    shared.all_progress().iter().for_each(|progress| counts.add(&progress.counts()));
    Replayed { store: database.store().await, own, counts, records, delivered, decided }
}

/// The example's files in a folder of their own, with the plugins.
fn example(properties: &str) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the repository");
    let from = repository.join("examples/hotel-booking-demand");
    pipeline::copy_folder(&from, folder.path());
    std::fs::copy(from.join(properties), folder.path().join("properties.toml")).expect("properties");
    std::fs::create_dir_all(folder.path().join("plugins")).expect("a folder");
    for plugin in ["opera", "booking-com", "website", "precedence"] {
        let name = format!("{plugin}.wasm");
        std::fs::copy(plugins_dir().join(&name), folder.path().join("plugins").join(&name))
            .unwrap_or_else(|error| panic!("{name}: {error}; `cargo xtask guests` makes it"));
    }
    folder
}

/// Splits and appends, both hotels at a time: nothing is promised between two partitions.
fn deliver(own: &OwnLog, proposal: &Proposal, bookings: &Bookings, desk: Desk) -> u64 {
    let deliveries = bookings.deliveries(desk);
    let runtime = Handle::current();
    let of_hotel = |hotel: &str| {
        let mut deliverers = deliverers(proposal);
        let mut gathered: BTreeMap<Partition, Vec<NewRecord>> = BTreeMap::new();
        let mut records = 0_u64;
        let append = |partition, records| runtime.block_on(own.log.append(partition, records)).expect("append");
        for delivery in deliveries.iter().filter(|delivery| bookings.rows[delivery.row].hotel == hotel) {
            let deliverer = deliverers.get_mut(&delivery.source).expect("a deliverer");
            for (partition, record) in split(deliverer, bookings, delivery, desk) {
                let waiting = gathered.entry(partition).or_default();
                waiting.push(record);
                records += 1;
                if waiting.len() >= AT_ONCE {
                    append(partition, std::mem::take(waiting));
                }
            }
        }
        gathered.into_iter().for_each(|(partition, records)| {
            append(partition, records);
        });
        records
    };
    let of_hotel = &of_hotel;
    let both = || {
        std::thread::scope(|scope| {
            let threads = HOTELS.map(|hotel| scope.spawn(move || of_hotel(hotel)));
            threads.into_iter().map(|thread| thread.join().expect("a hotel's deliveries")).sum()
        })
    };
    tokio::task::block_in_place(both)
}

fn deliverers(proposal: &Proposal) -> BTreeMap<Source, Deliverer> {
    let deliverer = |source: Source| {
        let component = &proposal.plugin_bytes[&proposal.document.sources[source.name()].plugin.digest];
        let made = Deliverer::new(&host(), &proposal.document, source.name(), component, PARTITIONS).expect("plugin");
        (source, made.expect("a source"))
    };
    Source::ALL.into_iter().map(deliverer).collect()
}

fn split(
    deliverer: &mut Deliverer,
    bookings: &Bookings,
    delivery: &Delivery,
    desk: Desk,
) -> Vec<(Partition, NewRecord)> {
    let message = plugin::Delivery {
        content_type: delivery.source.content_type().to_owned(),
        attributes: vec![],
        body: Bytes::from(bookings.body(delivery, desk)),
    };
    let delivered = deliverer.deliver(message, Some(&delivery.id()), delivery.at * 60_000).expect("host");
    assert!(delivered.refused.is_empty() && delivered.rejected.is_none(), "{delivery:?}: {delivered:?}");
    delivered.records
}

impl Replayed {
    /// A query's rows as texts.
    ///
    /// # Panics
    /// Where ClickHouse does not answer.
    pub async fn rows(&self, sql: &str) -> Vec<Vec<String>> {
        let mut answer = self.store.query_raw(sql, "TSV").expect("a query");
        let mut text = Vec::new();
        while let Some(chunk) = answer.next().await.unwrap_or_else(|error| panic!("{sql}\n{error}")) {
            text.extend_from_slice(&chunk);
        }
        let text = String::from_utf8(text).expect("text");
        text.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect()
    }

    /// The one number that a query answers.
    ///
    /// # Panics
    /// Where it is none.
    pub async fn number(&self, sql: &str) -> u64 {
        self.rows(sql).await[0][0].parse().expect("a number")
    }

    /// How long it took, and what came out.
    pub async fn report(&self) -> String {
        let Counts { merged, stale, duplicate, rerouted, control, dead_letters } = self.counts;
        let mut text = format!(
            "split and appended in {}\nnormalized, merged, decided and written in {}\n\
             {} deliveries: {merged} merged, {stale} stale, {duplicate} duplicates, {rerouted} re-routed, {dead_letters} dead letters \
             (and {control} control records)\n",
            self.delivered.shown(self.records),
            self.decided.shown(self.records),
            self.records,
        );
        for (what, sql) in [
            ("stays", "SELECT property, outcome, uniqExact(stay) FROM reservations FINAL GROUP BY ALL ORDER BY ALL"),
            ("conflict rows", "SELECT kind, decision, count() FROM conflicts GROUP BY ALL ORDER BY ALL"),
        ] {
            for row in self.rows(sql).await {
                text.push_str(&format!("  {what}: {}\n", row.join(" ")));
            }
        }
        text
    }
}
