//! The real `concord` on the example's pipeline, as a process that may be killed.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::latency::Watch;
use crate::program::concord;
use crate::servers::PASSWORD;

/// Until the process has said or done what is waited for.
const PATIENCE: Duration = Duration::from_secs(120);

/// A pipeline's folder, and the process that runs it.
pub struct Runner {
    folder: PathBuf,
    child: Option<Child>,
    /// Where the present process's words begin in the log.
    begin: usize,
}

impl Runner {
    pub fn new(folder: &Path) -> Runner {
        Runner { folder: folder.to_owned(), child: None, begin: 0 }
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(concord());
        command.args(words).current_dir(&self.folder).stdin(Stdio::null()).env("LEGACY_PASSWORD", PASSWORD);
        command.env("CONCORD_CONFIG", "pipeline.toml").env_remove("CONCORD_LOG").env_remove("CONCORD_LOG_FORMAT");
        command
    }

    fn log(&self) -> PathBuf {
        self.folder.join("concord.log")
    }

    fn words(&self) -> String {
        let all = std::fs::read(self.log()).unwrap_or_default();
        String::from_utf8_lossy(all.get(self.begin..).unwrap_or_default()).into_owned()
    }

    /// Starts `concord run`; returns when it is up.
    pub fn start(&mut self) -> Result<()> {
        self.begin = std::fs::metadata(self.log()).map_or(0, |log| usize::try_from(log.len()).unwrap_or(0));
        let log = std::fs::File::options().create(true).append(true).open(self.log())?;
        let mut run = self.command(&["run"]);
        self.child = Some(run.stdout(Stdio::null()).stderr(log).spawn().context("concord run")?);
        self.wait_for(&[" runs"])
    }

    /// Waits until the process has said each of these.
    pub fn wait_for(&mut self, words: &[&str]) -> Result<()> {
        let started = Instant::now();
        loop {
            let said = self.words();
            if words.iter().all(|words| said.contains(words)) {
                return Ok(());
            }
            let child = self.child.as_mut().context("concord does not run")?;
            if let Some(status) = child.try_wait()? {
                bail!("concord run ended with {status}:\n{said}");
            }
            ensure!(started.elapsed() < PATIENCE, "concord has not said {words:?}:\n{said}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// kill -9.
    pub fn kill(&mut self) -> Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// Ctrl-C.
    pub fn stop(&mut self) -> Result<()> {
        if let Some(mut child) = self.child.take() {
            let pid = libc::pid_t::try_from(child.id())?;
            // SAFETY: a signal to a child that has not been waited for.
            unsafe { libc::kill(pid, libc::SIGINT) };
            let status = child.wait()?;
            ensure!(status.success(), "concord run ended with {status}:\n{}", self.words());
        }
        Ok(())
    }

    /// `concord run --until-idle`.
    pub fn until_idle(&self) -> Result<()> {
        self.said(&["run", "--until-idle"]).map(drop)
    }

    /// A command's exit status, and what it printed.
    pub fn asked(&self, words: &[&str]) -> Result<(i32, String)> {
        let output = self.command(words).output()?;
        Ok((output.status.code().unwrap_or(-1), String::from_utf8_lossy(&output.stdout).into_owned()))
    }

    /// What a command printed, if it found nothing wrong.
    pub fn said(&self, words: &[&str]) -> Result<String> {
        let output = self.command(words).output()?;
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        ensure!(output.status.success(), "concord {words:?} ended with {}:\n{out}\n{err}", output.status);
        Ok(out.into_owned())
    }

    /// The rows of a query, with tabs between their values.
    pub fn rows(&self, query: &str) -> Result<Vec<String>> {
        Ok(self.said(&["sql", "--format", "TabSeparated", query])?.lines().map(str::to_owned).collect())
    }

    /// A way to ask the running process's ClickHouse quickly.
    pub fn watch(&self) -> Result<Watch> {
        let file = self.folder.join("data/run.json");
        let text = std::fs::read(&file).with_context(|| file.display().to_string())?;
        Watch::new(&serde_json::from_slice(&text)?)
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        // Where something failed; else it has ended.
        let _ = self.kill();
    }
}
