//! A pipeline with one captured source, and short words for what the tests do with it.

use std::path::PathBuf;

use concord::capture::check::{Checked, State, check};
use concord::capture::{CaptureError, Captures};
use concord::config::{PipelineFile, Proposal, Tuning};
use concord::connect::beat;
use concord::event::{Control, Parsed, parse};
use concord::log::Log;
use concord::log::partitioner::partition as home;
use concord::worker::checkpoint::Counts;
use concord_tests::pipeline::{
    Database, Lease, OwnLog, key, plugins_dir, process, proposal_records, read_pipeline, until_idle,
};
use concord_tests::servers::PASSWORD;
use tempfile::TempDir;

/// A pipeline whose only source is captured.
pub struct Stage {
    folder: TempDir,
    pub file: PipelineFile,
    pub own: OwnLog,
    database: Database,
}

const PIPELINE: &str = r#"
[pipeline]
name = "capture"
[properties]
file = "properties.toml"
[fields]
price = "money"
[rules]
file = "rules.toml"
plugin = "plugins/precedence.wasm"
[[source]]
name = "db"
plugin = "plugins/debezium.wasm"
mapping = "mapping.toml"
"#;

const RULES: &str = r#"
[ruleset]
name = "one-source"
version = "1"
[[field]]
id = "all"
fields = ["*"]
order = ["*"]
[[stay.status]]
id = "status"
order = ["*@*"]
[[stay.field]]
id = "details"
fields = ["placement", "money", "guests"]
order = ["*"]
[[capacity]]
id = "bookings"
order = ["*@*"]
overbook = 0
"#;

impl Stage {
    /// With the source's `[source.capture]` and its settings. Hotel 12 is H1 and 13 is H2, DZ is DBL.
    pub async fn new(lease: &Lease, capture: &str) -> Stage {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect(name);
        let capture =
            format!("{PIPELINE}\n[source.capture]\nuser = \"concord\"\npassword_file = \"secret\"\n{capture}");
        write("pipeline.toml", &capture);
        write("secret", &format!("{PASSWORD}\n"));
        write("rules.toml", RULES);
        let property = |id: &str| {
            format!("[[property]]\nid = \"{id}\"\nroom_types = {{ DBL = \"unlimited\", SGL = \"unlimited\" }}\n")
        };
        write("properties.toml", &(property("H1") + &property("H2")));
        write("mapping.toml", "[properties]\n12 = \"H1\"\n13 = \"H2\"\n[room_types]\nDZ = \"DBL\"\nEZ = \"SGL\"\n");
        std::fs::create_dir(folder.path().join("plugins")).expect("a folder");
        for plugin in ["debezium.wasm", "precedence.wasm"] {
            std::fs::copy(plugins_dir().join(plugin), folder.path().join("plugins").join(plugin)).expect(plugin);
        }
        let file = read_pipeline(&folder.path().join("pipeline.toml"));
        let own = OwnLog::new(2);
        let proposal = Proposal::read(&file).expect("files that can be applied");
        own.log.append(0, proposal_records(&proposal, None, 0)).await.expect("append");
        Stage { folder, file, own, database: Database::fresh(lease) }
    }

    /// A new process captures what the database has, merges it, and ends: what `run --until-idle` does.
    pub async fn catch_up(&self) -> Result<(), CaptureError> {
        let shared = process(self.own.log.clone(), &self.database, "capture", Tuning::default()).await;
        let mut captures =
            Captures::start(&self.file.sources, self.folder.path(), &shared, true).map_err(|(_, error)| error)?;
        let ended = tokio::select! {
            ended = until_idle(&shared) => { ended.expect("workers"); Ok(()) }
            (_, error) = captures.failed() => Err(error),
        };
        captures.close().await;
        ended
    }

    /// The same, and what the capture's heartbeats say then: one round of them, as `concord run` appends them.
    pub async fn catch_up_and_beat(&self) -> Vec<(Option<String>, u32)> {
        let shared = process(self.own.log.clone(), &self.database, "capture", Tuning::default()).await;
        let mut captures =
            Captures::start(&self.file.sources, self.folder.path(), &shared, true).map_err(|(_, error)| error).unwrap();
        tokio::select! {
            ended = until_idle(&shared) => ended.expect("workers"),
            (_, error) = captures.failed() => panic!("{error}"),
        }
        let mut ends = Vec::new();
        for partition in 0..2 {
            ends.push(self.own.log.bounds(partition).await.expect("bounds").1);
        }
        let every = std::time::Duration::from_millis(10);
        let beat = beat(self.own.log.clone(), key(), "capture".to_owned(), captures.pulses(), every);
        let read = async {
            let mut said = Vec::new();
            // The connector's own stands on partition 0, one about a property on the property's partition.
            let homes = [0, home(b"H1", 2), home(b"H2", 2)];
            for partition in 0..2 {
                let count = homes.iter().filter(|home| **home == partition).count();
                let mut at = ends[partition as usize];
                for _ in 0..count {
                    let record = self.own.log.read(partition, at, 1, 1).await.expect("a heartbeat").remove(0);
                    at = record.offset + 1;
                    let Parsed::Control(signed) = parse(&record.value, &key()) else { panic!("{:?}", record.value) };
                    let Control::Heartbeat { property, .. } = signed.control else { panic!("{:?}", signed.control) };
                    said.push((property, partition));
                }
            }
            said
        };
        let said = tokio::select! {
            () = beat => unreachable!("it never ends"),
            said = read => said,
        };
        captures.close().await;
        said
    }

    /// What became of the log's records.
    pub async fn counts(&self) -> Counts {
        let shared = process(self.own.log.clone(), &self.database, "counts", Tuning::default()).await;
        until_idle(&shared).await.expect("workers");
        let mut counts = Counts::default();
        shared.all_progress().iter().for_each(|progress| counts.add(&progress.counts()));
        counts
    }

    /// A query's rows, each with blanks between its values.
    pub async fn rows(&self, query: &str) -> Vec<String> {
        let store = self.database.store().await;
        let mut answer = store.query_raw(query, "TabSeparated").expect("a query");
        let mut text = Vec::new();
        while let Some(chunk) = answer.next().await.expect("an answer") {
            text.extend_from_slice(&chunk);
        }
        String::from_utf8(text).expect("text").lines().map(|line| line.replace('\t', " ")).collect()
    }

    /// Every room night that is claimed: property, date, room type, capacity, what is available (0 where it is closed), price.
    pub async fn nights(&self) -> Vec<String> {
        self.rows(
            "SELECT property, date, room_type, capacity, available, price FROM room_nights FINAL \
             WHERE notEmpty(sources) ORDER BY ALL",
        )
        .await
    }

    /// Why records became dead letters.
    pub async fn dead_letters(&self) -> Vec<String> {
        self.rows("SELECT kind, reason FROM dead_letters ORDER BY partition, offset, seq").await
    }

    /// Records in the log.
    pub async fn records(&self) -> u64 {
        let mut count = 0;
        for partition in 0..self.own.log.identity().partitions {
            count += self.own.log.bounds(partition).await.expect("bounds").1;
        }
        count
    }

    /// What the capture remembers.
    pub fn memory(&self) -> PathBuf {
        self.folder.path().join("capture/db.json")
    }

    /// What `capture check` finds that has to be repaired: the finding and the statements.
    pub async fn findings(&self) -> Vec<(String, Vec<String>)> {
        let source = &self.file.sources[0];
        let capture = source.capture.as_ref().expect("a captured source");
        let all = check(capture, &source.settings).await.expect("a server that answers");
        let found = |checked: Checked| (checked.state == State::Finding).then_some((checked.what, checked.repair));
        all.into_iter().filter_map(found).collect()
    }
}
