//! A copy of an example with its plugins, and the `concord` commands on it.
//!
//! Knows the command line and the file that a running pipeline leaves for others. Does not know what is shown.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::Options;
use crate::setup::Ready;

/// A pipeline that `concord` can run.
pub struct Pipeline {
    concord: PathBuf,
    /// The copy of the example.
    pub folder: PathBuf,
    ready: Ready,
}

/// `concord run`, ended with whoever started it.
pub struct Running {
    child: Child,
    /// What it wrote for other commands, as JSON.
    pub run_file: Value,
}

impl Pipeline {
    /// Copies the example afresh; what an earlier demo left in `folder` goes.
    pub fn prepare(concord: &Path, example: &Path, folder: &Path, ready: Ready, options: Options) -> Result<Pipeline> {
        if let Some(pid) = running_in(folder) {
            bail!("a demo is still up (process {pid}); end it with Ctrl-C where it runs, or with `kill {pid}`");
        }
        match fs::remove_dir_all(folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("the last demo's {} cannot be removed", folder.display()));
            }
            _ => {}
        }
        copy(example, folder)?;
        let plugins = folder.join("plugins");
        fs::create_dir_all(&plugins)?;
        for entry in fs::read_dir(ready.plugins()).context("the built plugins")? {
            let path = entry?.path();
            if path.extension().is_some_and(|ending| ending == "wasm") {
                fs::copy(&path, plugins.join(path.file_name().unwrap_or_default()))?;
            }
        }
        choose_port(&folder.join("pipeline.toml"), options)?;
        Ok(Pipeline { concord: concord.to_owned(), folder: folder.to_owned(), ready })
    }

    /// The pipeline file.
    pub fn file(&self) -> PathBuf {
        self.folder.join("pipeline.toml")
    }

    /// A file that the running process writes its log to.
    pub fn log_file(&self) -> PathBuf {
        self.folder.join("concord.log")
    }

    /// A command of the program on this pipeline.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.concord);
        command.args(words).arg("-c").arg(self.file());
        self.ready.tell(&mut command);
        command
    }

    /// Starts `concord run` and waits until others can reach it.
    pub fn start(&self) -> Result<Running> {
        let log = fs::File::create(self.log_file())?;
        let mut command = self.command(&["run"]);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn();
        let mut running = Running { child: child.context("concord cannot be started")?, run_file: Value::Null };
        let file = self.folder.join("data/run.json");
        let started = Instant::now();
        loop {
            if let Ok(text) = fs::read(&file)
                && let Ok(found) = serde_json::from_slice(&text)
            {
                running.run_file = found;
                return Ok(running);
            }
            self.still_up(&mut running)?;
            ensure!(started.elapsed() < Duration::from_secs(60), "concord run does not come up; {}", self.said());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Fails with its last words if the running process has ended.
    pub fn still_up(&self, running: &mut Running) -> Result<()> {
        match running.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("concord run ended with {status}; {}", self.said()),
        }
    }

    fn said(&self) -> String {
        let text = fs::read_to_string(self.log_file()).unwrap_or_default();
        let last: Vec<&str> = text.lines().rev().take(5).collect();
        let last: Vec<&str> = last.into_iter().rev().collect();
        format!("its log says:\n{}", last.join("\n"))
    }

    /// `concord append` of deliveries, one per line, or of one delivery. Returns how many deliveries there were and how
    /// many records they made.
    pub fn append(&self, source: &str, text: &str, content_type: &str, lines: bool) -> Result<Appended> {
        let mut command = self.command(&["append", "--json", "--source", source, "--content-type", content_type]);
        command.args(lines.then_some("--lines"));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let mut input = child.stdin.take().context("no standard input")?;
        input.write_all(text.as_bytes())?;
        drop(input);
        let output = child.wait_with_output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        // 1: some of the deliveries were rejected.
        ensure!(matches!(output.status.code(), Some(0 | 1)), "concord append failed: {}", said.trim());
        let tally: Value = serde_json::from_slice(&output.stdout).context("the answer of concord append")?;
        let number = |name: &str| tally[name].as_u64().unwrap_or(0);
        Ok(Appended { deliveries: number("deliveries"), records: number("records") })
    }

    /// The rows of a query, each a JSON object.
    pub fn rows(&self, query: &str) -> Result<Vec<Value>> {
        let text = crate::steps::output(self.command(&["sql", "--json"]).arg(query))?;
        text.lines().map(|line| serde_json::from_str(line).context("the answer of concord sql")).collect()
    }

    /// A query's answer as ClickHouse draws it.
    pub fn table(&self, query: &str) -> Result<String> {
        crate::steps::output(self.command(&["sql", "--format", "PrettyCompactNoEscapes"]).arg(query))
    }
}

/// What `concord append` did.
#[derive(Clone, Copy, Debug, Default)]
pub struct Appended {
    pub deliveries: u64,
    pub records: u64,
}

impl Running {
    /// What the process says of its log.
    pub fn status(&self) -> Result<Value> {
        let text = |pointer: &str| self.run_file.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let address = text("/door/address").trim_start_matches("http://");
        let mut stream = TcpStream::connect(address).context("the running process does not answer")?;
        let token = text("/door/token");
        write!(
            stream,
            "GET /v1/log HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (_, body) = answer.split_once("\r\n\r\n").context("the running process answers no HTTP")?;
        serde_json::from_str(body).context("the running process answers no JSON")
    }

    /// Waits for the process's own end, which Ctrl-C brings: only the process shall hear it, not its watcher.
    pub fn wait(mut self) -> Result<()> {
        // SAFETY: ignoring a signal installs no code.
        unsafe { libc::signal(libc::SIGINT, libc::SIG_IGN) };
        let status = self.child.wait()?;
        ensure!(status.success(), "concord run ended with {status}");
        Ok(())
    }

    /// Ends the process cleanly, as Ctrl-C does.
    pub fn stop(mut self) -> Result<()> {
        self.interrupt();
        let status = self.child.wait()?;
        ensure!(status.success(), "concord run ended with {status}");
        Ok(())
    }

    fn interrupt(&self) {
        if let Ok(pid) = i32::try_from(self.child.id()) {
            // SAFETY: the process is our child and not waited for yet, so the number is still its own.
            unsafe { libc::kill(pid, libc::SIGINT) };
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.interrupt();
            // Its end is all that is wanted here; how it ended does not matter any more.
            let _ = self.child.wait();
        }
    }
}

/// The process of an earlier demo in this folder, if it still runs.
fn running_in(folder: &Path) -> Option<i32> {
    let run_file: Value = serde_json::from_slice(&fs::read(folder.join("data/run.json")).ok()?).ok()?;
    let pid = i32::try_from(run_file["pid"].as_i64()?).ok()?;
    // The number may be somebody else's by now.
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    // SAFETY: signal 0 sends nothing; the call only asks whether the process exists.
    (name.trim() == "concord" && unsafe { libc::kill(pid, 0) } == 0).then_some(pid)
}

/// Takes the port that is wanted, and says early when somebody else has it.
fn choose_port(file: &Path, options: Options) -> Result<()> {
    let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let (before, rest) = text.split_once("listen = \"127.0.0.1:").context("the example's pipeline names no port")?;
    let (own, after) = rest.split_once('"').context("the example's pipeline names no port")?;
    let own: u16 = own.parse().context("the example's port")?;
    let wanted = options.port.unwrap_or(own);
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, wanted)).is_ok();
    let port = match (free, options) {
        (true, _) => wanted,
        (false, Options { exit: true, port: None }) => {
            eprintln!(
                "    something else listens on 127.0.0.1:{wanted}; this demo ends by itself and takes a free port"
            );
            0
        }
        _ => bail!(
            "something else listens on 127.0.0.1:{wanted}: a ClickHouse server, or another demo; stop it, or choose \
             another port: `cargo xtask demo -- --port {}`",
            wanted.saturating_add(1)
        ),
    };
    if port != own {
        fs::write(file, format!("{before}listen = \"127.0.0.1:{port}\"{after}"))?;
    }
    Ok(())
}

/// A folder with all that is in it; but not what somebody left who ran the example where it lies.
fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| to.display().to_string())?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            if entry.file_name() != "data" && entry.file_name() != "plugins" {
                copy(&entry.path(), &target)?;
            }
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
