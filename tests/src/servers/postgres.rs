//! A private PostgreSQL.

use std::path::PathBuf;
use std::process::{Child, Command};

use anyhow::{Context, Result};

use super::{Certificate, Console, Home, PASSWORD, USER, free_port, program, signal};

/// A server with a database `cloud`, ended when dropped.
pub struct Postgres {
    home: Home,
    port: u16,
    child: Option<Child>,
}

/// Distributions keep the server's programs by its version.
fn folders() -> Vec<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = versions.map(|entry| entry.path().join("bin")).collect();
    folders.sort();
    folders.reverse();
    folders
}

fn find(name: &str) -> Result<PathBuf> {
    program(name, &folders()).with_context(|| format!("{name} is not installed (Debian: postgresql)"))
}

impl Postgres {
    /// Whether it is there to be started.
    pub fn is_installed() -> bool {
        ["initdb", "postgres", "psql"].iter().all(|name| find(name).is_ok())
    }

    /// Starts one with these further settings (`name = 'value'` lines).
    pub fn start(settings: &str) -> Result<Postgres> {
        Postgres::started(Home::new("pg-")?, settings, "host")
    }

    /// Starts one that takes no unencrypted connection from the network.
    pub fn start_secured(certificate: &Certificate) -> Result<Postgres> {
        let home = Home::new("pg-")?;
        let [chain, key] = home.certify(certificate)?.map(|path| path.display().to_string());
        Postgres::started(home, &format!("ssl = on\nssl_cert_file = '{chain}'\nssl_key_file = '{key}'"), "hostssl")
    }

    fn started(home: Home, settings: &str, network: &str) -> Result<Postgres> {
        let data = home.path("data");
        let mut init = home.command(&find("initdb")?);
        init.arg("-D").arg(&data).args(["-U", "owner", "--auth=trust", "-E", "UTF8", "--locale=C", "--no-sync"]);
        home.run(&mut init)?;
        let port = free_port()?;
        let socket = home.folder.path().display();
        let configuration = format!(
            "listen_addresses = '127.0.0.1'\nport = {port}\nunix_socket_directories = '{socket}'\nshared_buffers = '32MB'\n\
             wal_level = 'logical'\nmax_connections = 30\n{settings}\n"
        );
        std::fs::write(data.join("postgresql.auto.conf"), configuration)?;
        let access = format!(
            "local all owner trust\nlocal all all scram-sha-256\n{network} all all 127.0.0.1/32 scram-sha-256\n"
        );
        std::fs::write(data.join("pg_hba.conf"), access)?;
        let mut server = Postgres { home, port, child: None };
        server.up()?;
        let mut console = server.console_of("postgres")?;
        console.run(&format!("CREATE ROLE {USER} LOGIN REPLICATION PASSWORD '{PASSWORD}'; CREATE DATABASE cloud;"))?;
        Ok(server)
    }

    /// Starts it where it is stopped.
    pub fn up(&mut self) -> Result<()> {
        let mut command = self.home.command(&find("postgres")?);
        command.arg("-D").arg(self.home.path("data"));
        let mut child = self.home.serve(&mut command)?;
        self.home.wait(&mut child, || {
            let ask = self.client("postgres", &["-c", "SELECT 1"]).and_then(|mut client| Ok(client.output()?));
            ask.is_ok_and(|output| output.status.success())
        })?;
        self.child = Some(child);
        Ok(())
    }

    /// Stops it: connections end at once.
    pub fn stop(&mut self) -> Result<()> {
        if let Some(mut child) = self.child.take() {
            signal(&child, libc::SIGINT);
            child.wait()?;
        }
        Ok(())
    }

    /// The folder of its socket.
    pub fn host(&self) -> String {
        self.home.folder.path().display().to_string()
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// A console of the owner, on the database `cloud`.
    pub fn console(&self) -> Result<Console> {
        self.console_of("cloud")
    }

    fn console_of(&self, database: &str) -> Result<Console> {
        Console::open(&mut self.client(database, &[])?)
    }

    fn client(&self, database: &str, words: &[&str]) -> Result<Command> {
        let mut command = Command::new(find("psql")?);
        command
            .args(["-X", "-q", "-A", "-t", "-F", "\t", "-v", "ON_ERROR_STOP=1", "-U", "owner", "-h"])
            .arg(self.host());
        command.args(["-p", &self.port.to_string(), "-d", database]).args(words);
        Ok(command)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Nobody needs its data any more.
            signal(&child, libc::SIGQUIT);
            let _ = child.wait();
        }
    }
}
