//! A private MariaDB.

use std::path::PathBuf;
use std::process::{Child, Command};

use anyhow::{Context, Result};

use super::{Certificate, Console, Home, PASSWORD, USER, free_port, program, signal};

/// A server with a database `hotel`, ended when dropped.
pub struct MariaDb {
    home: Home,
    port: u16,
    settings: Vec<String>,
    child: Option<Child>,
}

fn find(name: &str) -> Result<PathBuf> {
    program(name, &[]).with_context(|| format!("{name} is not installed (Debian: mariadb-server)"))
}

impl MariaDb {
    /// Whether it is there to be started.
    pub fn is_installed() -> bool {
        ["mariadb-install-db", "mariadbd", "mariadb"].iter().all(|name| find(name).is_ok())
    }

    /// Starts one with these further settings (`--name=value`).
    pub fn start(settings: &[&str]) -> Result<MariaDb> {
        let settings = settings.iter().map(|setting| (*setting).to_owned()).collect();
        MariaDb::started(Home::new("my-")?, settings)
    }

    /// Starts one that takes no unencrypted connection from the network.
    pub fn start_secured(certificate: &Certificate) -> Result<MariaDb> {
        let home = Home::new("my-")?;
        let [chain, key] = home.certify(certificate)?.map(|path| path.display().to_string());
        let secured =
            [format!("--ssl-cert={chain}"), format!("--ssl-key={key}"), "--require-secure-transport=ON".into()];
        MariaDb::started(home, secured.into())
    }

    fn started(home: Home, settings: Vec<String>) -> Result<MariaDb> {
        let mut init = home.command(&find("mariadb-install-db")?);
        init.arg("--no-defaults").arg(format!("--datadir={}", home.path("data").display()));
        init.args(["--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve"]);
        home.run(&mut init)?;
        let mut server = MariaDb { home, port: free_port()?, settings, child: None };
        server.up()?;
        let mut console = server.console_of("mysql")?;
        console.run(&format!(
            "CREATE DATABASE hotel CHARACTER SET latin1; CREATE USER '{USER}'@'127.0.0.1' IDENTIFIED BY '{PASSWORD}'; \
             GRANT REPLICATION SLAVE, BINLOG MONITOR ON *.* TO '{USER}'@'127.0.0.1'; \
             GRANT SELECT ON hotel.* TO '{USER}'@'127.0.0.1';"
        ))?;
        Ok(server)
    }

    /// Starts it where it is stopped.
    pub fn up(&mut self) -> Result<()> {
        let mut command = self.home.command(&find("mariadbd")?);
        command.arg("--no-defaults").arg(format!("--datadir={}", self.home.path("data").display()));
        command.arg(format!("--socket={}", self.socket())).arg(format!("--port={}", self.port));
        command.args([
            "--bind-address=127.0.0.1",
            "--server-id=1",
            "--log-bin=bin",
            "--binlog-format=ROW",
            "--binlog-row-image=FULL",
            "--binlog-row-metadata=FULL",
            "--innodb-buffer-pool-size=32M",
            "--innodb-log-file-size=16M",
            "--skip-name-resolve",
        ]);
        command.args(&self.settings);
        let mut child = self.home.serve(&mut command)?;
        self.home.wait(&mut child, || {
            let ask = self.client("mysql", &["-e", "SELECT 1"]).and_then(|mut client| Ok(client.output()?));
            ask.is_ok_and(|output| output.status.success())
        })?;
        self.child = Some(child);
        Ok(())
    }

    /// Stops it: connections end at once.
    pub fn stop(&mut self) -> Result<()> {
        if let Some(mut child) = self.child.take() {
            signal(&child, libc::SIGTERM);
            child.wait()?;
        }
        Ok(())
    }

    fn socket(&self) -> String {
        self.home.path("s").display().to_string()
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// A console of the owner, on the database `hotel`.
    pub fn console(&self) -> Result<Console> {
        self.console_of("hotel")
    }

    fn console_of(&self, database: &str) -> Result<Console> {
        Console::open(&mut self.client(database, &[])?)
    }

    fn client(&self, database: &str, words: &[&str]) -> Result<Command> {
        let mut command = Command::new(find("mariadb")?);
        command.arg("--no-defaults").arg(format!("--socket={}", self.socket()));
        command.args(["--user=root", "--batch", "--skip-column-names", "--unbuffered"]);
        command.arg("--default-character-set=utf8mb4").args(words).arg(database);
        Ok(command)
    }
}

impl Drop for MariaDb {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Nobody needs its data any more.
            signal(&child, libc::SIGKILL);
            let _ = child.wait();
        }
    }
}
