//! Stands between a store and ClickHouse: turns it away for a while, or holds one insert back.
//!
//! The test says when; whoever waits here waits for the test. Knows so much of HTTP that it finds an insert's table.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::Lease;

/// A way to ClickHouse that can be closed.
pub struct Proxy {
    /// `127.0.0.1:port`.
    pub address: String,
    shared: Arc<Shared>,
}

struct Shared {
    open: watch::Sender<bool>,
    /// Connections turned away so far.
    refused: watch::Sender<u64>,
    /// The table whose next insert is to be held.
    hold: Mutex<Option<String>>,
    held: watch::Sender<bool>,
    released: watch::Sender<bool>,
}

impl Proxy {
    /// An open one.
    pub async fn before(lease: &Lease) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("listen");
        let address = listener.local_addr().expect("address").to_string();
        let shared = Arc::new(Shared {
            open: watch::Sender::new(true),
            refused: watch::Sender::new(0),
            hold: Mutex::default(),
            held: watch::Sender::new(false),
            released: watch::Sender::new(false),
        });
        let (target, state) = (lease.address.clone(), shared.clone());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if !*state.open.borrow() {
                    state.refused.send_modify(|refused| *refused += 1);
                    continue;
                }
                let Ok(server) = TcpStream::connect(&target).await else { continue };
                tokio::spawn(pass(client, server, state.clone()));
            }
        });
        Proxy { address, shared }
    }

    /// Breaks every connection and turns new ones away.
    pub fn shut(&self) {
        self.shared.open.send_replace(false);
    }

    pub fn open(&self) {
        self.shared.open.send_replace(true);
    }

    /// Waits until so many connections were turned away.
    pub async fn refused(&self, times: u64) {
        self.shared.refused.subscribe().wait_for(|refused| *refused >= times).await.expect("the proxy lives");
    }

    /// Holds the next insert into this table, before ClickHouse sees anything of it.
    pub fn hold(&self, table: &str) {
        *self.shared.hold.lock().unwrap_or_else(PoisonError::into_inner) = Some(table.to_owned());
    }

    /// Waits until one is held.
    pub async fn held(&self) {
        self.shared.held.subscribe().wait_for(|held| *held).await.expect("the proxy lives");
    }

    /// Lets it go on.
    pub fn release(&self) {
        self.shared.released.send_replace(true);
    }
}

async fn pass(client: TcpStream, server: TcpStream, shared: Arc<Shared>) {
    let mut open = shared.open.subscribe();
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let asking = async {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(read @ 1..) = from_client.read(&mut buffer).await {
            if is_held(&shared, &buffer[..read]) {
                shared.held.send_replace(true);
                shared.released.subscribe().wait_for(|released| *released).await.expect("the proxy lives");
            }
            if to_server.write_all(&buffer[..read]).await.is_err() {
                break;
            }
        }
    };
    let answering = async { tokio::io::copy(&mut from_server, &mut to_client).await };
    tokio::select! {
        _ = async { tokio::join!(asking, answering) } => {}
        _ = open.wait_for(|open| !open) => {}
    }
}

/// Whether these bytes begin the request that is to be held; it is held once.
fn is_held(shared: &Shared, bytes: &[u8]) -> bool {
    let mut hold = shared.hold.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(table) = &*hold else { return false };
    let head = String::from_utf8_lossy(&bytes[..bytes.len().min(1024)]);
    let head = head.lines().next().unwrap_or("").replace(['+'], " ").replace("%20", " ");
    let found = head.contains(&format!("INSERT INTO {table} "));
    if found {
        *hold = None;
    }
    found
}
