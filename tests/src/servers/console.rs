//! A server's own console program, as a person would use it: SQL in, rows out.
//!
//! Knows how an answer ends. Does not know SQL.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail};

/// The row behind an answer.
const END: &str = "-- the answer ends --";

/// An open console.
pub struct Console {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Console {
    /// Of a program that reads statements from standard input and prints rows with tabs between their values.
    pub(super) fn open(command: &mut Command) -> Result<Console> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn()?;
        let input = child.stdin.take().context("no standard input")?;
        let output = BufReader::new(child.stdout.take().context("no standard output")?);
        Ok(Console { child, input, output })
    }

    /// Runs statements, each ended by `;`, and returns their rows.
    ///
    /// # Errors
    /// The server refused a statement or is away; what it said went to standard error. The console is of no use after it.
    pub fn run(&mut self, sql: &str) -> Result<Vec<String>> {
        let mut rows = Vec::new();
        self.input.write_all(format!("{sql}\nSELECT '{END}';\n").as_bytes()).context("the console has ended")?;
        self.input.flush()?;
        let mut line = String::new();
        loop {
            line.clear();
            if self.output.read_line(&mut line)? == 0 {
                bail!("the console has ended at: {sql}");
            }
            let row = line.trim_end_matches('\n');
            if row == END {
                return Ok(rows);
            }
            rows.push(row.to_owned());
        }
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        // It ends by itself when nothing comes any more; nobody waits for that.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
