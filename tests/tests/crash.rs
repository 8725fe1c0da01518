//! kill -9 of the real process at random points: the tables are those of a run that nobody disturbed (invariant 5).
//!
//! `CONCORD_CRASH_ROUNDS` sets the number of rounds, `CONCORD_CRASH_SEED` repeats one. No kill point is asserted on:
//! any is fine. Needs libchdb and the built plugins, as `cargo xtask test` brings them.

use std::io::Write;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use concord::engine;
use concord_tests::crash::feed::{Feed, SOURCES};
use concord_tests::crash::{Place, Process, Sent};

const PROGRAM: &str = env!("CARGO_BIN_EXE_concord-under-test");

/// How a round ends the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// kill -9 after so many milliseconds: often before it is up.
    Instant(usize),
    /// kill -9 when it has moved so many times.
    Commits(usize),
    /// kill -9 while another configuration is on its way.
    Applying,
    /// kill -9 of `concord append`, then of the process.
    Appending,
    /// Ctrl-C.
    Interrupt,
    /// Ctrl-C twice.
    TwoInterrupts,
}

struct Run {
    place: Place,
    feed: Feed,
    sent: Sent,
    rule_sets: usize,
    kills: usize,
}

#[test]
fn a_killed_process_gives_the_same_tables() {
    if let Err(absent) = engine::find_library(None) {
        return println!("skipped: {absent}");
    }
    let rounds = number("CONCORD_CRASH_ROUNDS").unwrap_or(60);
    let seed = number("CONCORD_CRASH_SEED").unwrap_or_else(|| std::process::id() as usize);
    println!("seed {seed} (CONCORD_CRASH_SEED repeats it)");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("threads");
    runtime.block_on(rounds_of(rounds, seed));
}

fn number(variable: &str) -> Option<usize> {
    std::env::var(variable).ok()?.parse().ok()
}

async fn rounds_of(rounds: usize, seed: usize) {
    let started = Instant::now();
    let folder = tempfile::tempdir().expect("temporary directory");
    let place = Place::new(&folder.path().join("killed"), Path::new(PROGRAM));
    let mut run = Run { place, feed: Feed::new(seed as u64), sent: Sent::default(), rule_sets: 0, kills: 0 };
    for round in 0..rounds {
        let end = run.end_of(round);
        run.round(end).await;
    }
    let killed = run.place.finish().await;
    let (found, records) = run.place.read_log().await;
    run.sent.assert_in(&found);
    let undisturbed = run.place.only_the_log(&folder.path().join("undisturbed")).finish().await;
    killed.assert_same(&undisturbed, &format!("seed {seed}"));
    assert!(
        killed.conflicts() > 0 && run.kills * 4 >= rounds * 3,
        "{} kills in {rounds} rounds show little",
        run.kills
    );
    println!(
        "crash: {rounds} rounds, {} kills, {} rule sets, {records} records, {} conflict rows, seed {seed}, {:.0} s",
        run.kills,
        run.rule_sets + 1,
        killed.conflicts(),
        started.elapsed().as_secs_f64()
    );
}

impl Run {
    /// Each kind comes, however few rounds there are.
    fn end_of(&mut self, round: usize) -> End {
        match round % 10 {
            3 => End::Applying,
            5 => End::Appending,
            7 if round % 20 == 7 => End::Interrupt,
            7 => End::TwoInterrupts,
            // The very first start is among them.
            0 | 1 | 8 => End::Instant(self.feed.random.below(700)),
            _ => End::Commits(1 + self.feed.random.below(12)),
        }
    }

    async fn round(&mut self, end: End) {
        let mut process = self.place.spawn(&["run"], Stdio::null());
        if let End::Instant(millis) = end {
            tokio::time::sleep(Duration::from_millis(millis as u64)).await;
            return self.kill(process);
        }
        let Some((door, _)) = self.place.door(&mut process).await else {
            panic!("concord run ended by itself: {}\n{}", process.wait(), self.place.said());
        };
        let batches = 10 + self.feed.random.below(20);
        // What moves is watched while deliveries still come in.
        let watch = async {
            let End::Commits(wanted) = end else { return true };
            let (mut moves, mut last) = (0, None);
            while moves < wanted {
                let Ok(status) = door.status().await else { return false };
                let next: Vec<_> = status.partitions.iter().map(|partition| partition.next).collect();
                moves += usize::from(last.as_ref().is_some_and(|last| *last != next));
                last = Some(next);
                tokio::task::yield_now().await;
            }
            true
        };
        let (sent, feed) = (&mut self.sent, &mut self.feed);
        match end {
            End::Commits(_) => {
                tokio::select! {
                    _ = watch => process.signal(libc::SIGKILL),
                    () = sent.through(&door, feed, batches) => {}
                }
                // Whatever had no answer yet may be there or not.
                return self.kill(process);
            }
            _ => sent.through(&door, feed, batches).await,
        }
        match end {
            End::Applying => self.apply(&process).await,
            End::Appending => self.append().await,
            End::Interrupt => {
                process.signal(libc::SIGINT);
                let status = process.wait();
                assert_eq!(status.code(), Some(0), "one Ctrl-C: {status}\n{}", self.place.said());
                return;
            }
            End::TwoInterrupts => {
                process.signal(libc::SIGINT);
                process.signal(libc::SIGINT);
                let status = process.wait();
                assert!(matches!(status.code(), Some(0 | 130)), "two Ctrl-Cs: {status}\n{}", self.place.said());
                return;
            }
            End::Instant(_) | End::Commits(_) => {}
        }
        self.kill(process);
    }

    fn kill(&mut self, mut process: Process) {
        process.signal(libc::SIGKILL);
        process.wait();
        self.kills += 1;
    }

    /// Another rule set on its way; the process is killed while it is brought to the partitions, or before, or after.
    async fn apply(&mut self, running: &Process) {
        self.rule_sets += 1;
        self.place.rules(self.rule_sets);
        let mut apply = self.place.spawn(&["apply", "--reason", "crash"], Stdio::null());
        let pause = Duration::from_millis(self.feed.random.below(400) as u64);
        if self.feed.random.percent(30) {
            tokio::time::sleep(pause).await;
            apply.signal(libc::SIGKILL);
            self.kills += 1;
        } else {
            apply.wait();
            tokio::time::sleep(pause / 4).await;
        }
        running.signal(libc::SIGKILL);
        apply.wait();
    }

    /// `concord append` with more than it sends at once, killed somewhere on its way, or left to its end.
    async fn append(&mut self) {
        let source = *self.feed.random.pick(&SOURCES);
        let (lines, ids) = self.sent.lines(&mut self.feed, source, 300);
        let mut append = self.place.spawn(&["append", "--lines", "--source", source], Stdio::piped());
        let mut input = append.input().expect("standard input");
        let writing = std::thread::spawn(move || input.write_all(lines.as_bytes()));
        let killed = self.feed.random.percent(60);
        if killed {
            tokio::time::sleep(Duration::from_millis(self.feed.random.below(120) as u64)).await;
            append.signal(libc::SIGKILL);
            self.kills += 1;
        }
        let status = append.wait();
        // A killed reader ends the writing with an error, as it should.
        let _ = writing.join().expect("the writing thread");
        // 1: some of the deliveries were rejected, and are in the log.
        let acknowledged = matches!(status.code(), Some(0 | 1));
        assert!(acknowledged || killed, "concord append: {status}\n{}", self.place.said());
        self.sent.note(&ids, acknowledged);
    }
}
