//! `cargo xtask demo two-systems`: the example on real servers, to watch.
//!
//! Plays the story and says what came of it, then goes on changing both systems until Ctrl-C (`--exit` ends it). What the story is,
//! the library knows; exit status 1: something was not as it must be.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use concord_tests::servers::{MariaDb, Postgres};
use concord_tests::two_systems::{Figure, Options, Outcome, Stage};

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

const HELP: &str = "Usage: two-systems FOLDER [--exit] [--port N] [--seed N]
  FOLDER     an empty folder for the pipeline
  --exit     end when the story is over
  --port N   where ClickHouse listens on 127.0.0.1 (0: a free port)
  --seed N   of the changes";

struct Arguments {
    folder: PathBuf,
    exit: bool,
    port: u16,
    seed: u64,
}

fn main() -> ExitCode {
    match arguments().and_then(|arguments| run(&arguments)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("two-systems: {error:#}");
            ExitCode::from(1)
        }
    }
}

fn arguments() -> Result<Arguments> {
    let mut words = std::env::args().skip(1);
    let mut arguments = Arguments { folder: PathBuf::new(), exit: false, port: 0, seed: 2_026 };
    while let Some(word) = words.next() {
        let mut number = || words.next().and_then(|word| word.parse::<u64>().ok()).context(HELP);
        match word.as_str() {
            "--exit" => arguments.exit = true,
            "--port" => arguments.port = u16::try_from(number()?)?,
            "--seed" => arguments.seed = number()?,
            folder if !folder.starts_with('-') => arguments.folder = folder.into(),
            _ => bail!(HELP),
        }
    }
    if arguments.folder.as_os_str().is_empty() { bail!(HELP) } else { Ok(arguments) }
}

fn run(arguments: &Arguments) -> Result<()> {
    if !(Postgres::is_installed() && MariaDb::is_installed()) {
        bail!("this demo needs PostgreSQL and MariaDB (Debian: apt-get install postgresql mariadb-server)");
    }
    let begin = Instant::now();
    println!("seed {}", arguments.seed);
    let options = Options { seed: arguments.seed, transactions: 300, probes: 100, port: arguments.port };
    let mut stage = Stage::new(&arguments.folder, options)?;
    println!(
        "A private MariaDB and a private PostgreSQL are up, each with the same 720 room nights in its own shape.\n"
    );
    let mut tell = |line: &str| println!("{:6.1} s  {line}", begin.elapsed().as_secs_f64());
    let outcome = stage.play(&mut tell)?;
    report(&outcome);
    if arguments.exit {
        return Ok(());
    }
    go_on(&mut stage)
}

fn report(outcome: &Outcome) {
    let Outcome { transactions, found, legacy, cloud } = outcome;
    println!(
        "\n{transactions} transactions on both systems. Compared with what the rules say, by SQL on the two databases:"
    );
    println!("  {} room nights are what they must be, each value, its source and what may be sold", found.room_nights);
    println!(
        "  {} fields are contested at the end, and `conflicts` says so ({} rows in all)",
        found.contested, found.conflicts
    );
    println!("  {} prices of single transactions were looked for in `conflicts`, and are there", found.prices);
    println!("From commit to visible in ClickHouse, under this load:");
    println!("  MariaDB     {legacy}");
    println!("  PostgreSQL  {cloud}");
}

/// Both systems go on, until somebody has seen enough.
fn go_on(stage: &mut Stage) -> Result<()> {
    extern "C" fn interrupted(_: libc::c_int) {
        INTERRUPTED.store(true, Ordering::Release);
    }
    let handler: extern "C" fn(libc::c_int) = interrupted;
    // SAFETY: the handler only stores an atomic, which is allowed in a signal handler.
    unsafe { libc::signal(libc::SIGINT, handler as libc::sighandler_t) };
    println!("\nBoth systems go on changing; Ctrl-C ends it. Meanwhile, in the pipeline's folder:");
    println!("  concord sql \"SELECT * FROM room_nights_now WHERE property = 'MAD001' AND date = '2027-03-01'\"");
    println!("  concord why MAD001 2027-03-01\n");
    stage.up()?;
    for round in 1.. {
        if INTERRUPTED.load(Ordering::Acquire) {
            break;
        }
        let (legacy, cloud, _): (Figure, Figure, _) = match stage.watch(round) {
            Ok(figures) => figures,
            // The terminal's Ctrl-C ends all that runs in it.
            Err(_) if INTERRUPTED.load(Ordering::Acquire) => break,
            Err(error) => return Err(error),
        };
        println!("commit to visible: MariaDB {legacy}\n                   PostgreSQL {cloud}");
    }
    stage.down()
}
