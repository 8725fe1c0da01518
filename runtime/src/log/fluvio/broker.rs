//! A connection to a broker or to the controller, and questions over it.
//!
//! Dropping it ends it: the client's own multiplexer can miss that nobody uses it any more. Does not know what is
//! asked.

use std::sync::Arc;
use std::time::Duration;

use fluvio::dataplane::api::Request;
use fluvio_socket::{ClientConfig, MultiplexerSocket, VersionedSerialSocket};
use tokio::sync::oneshot;

use super::connect::{CONNECT, Connector};

/// For a small answer.
pub(super) const ANSWER: Duration = Duration::from_secs(5);
/// What the other side sees as the client's name.
const CLIENT: &str = "concord";

/// A connection.
pub(super) struct Broker {
    socket: Arc<VersionedSerialSocket>,
    pub address: String,
    /// Ends the connection when it goes.
    _alive: oneshot::Sender<()>,
}

/// Why there is no answer.
pub(super) enum NoAnswer {
    /// Nothing was sent.
    NotSent(String),
    /// The question may have arrived.
    Unknown(String),
}

impl NoAnswer {
    pub fn why(self) -> String {
        match self {
            NoAnswer::NotSent(why) | NoAnswer::Unknown(why) => why,
        }
    }
}

impl Broker {
    /// Connects. With TLS, `prefix` goes in front of the domain that the other side has to prove.
    pub async fn connect(connector: &Connector, address: &str, prefix: Option<&str>) -> Result<Broker, String> {
        let (alive, ended) = oneshot::channel();
        let client = ClientConfig::new(address, connector.for_one(ended), false);
        let mut client = prefix.map_or_else(|| client.recreate(), |prefix| client.with_prefix_sni_domain(prefix));
        client.set_client_id(CLIENT);
        match tokio::time::timeout(CONNECT + ANSWER, client.connect()).await {
            Ok(Ok(socket)) => {
                let (socket, config, versions) = socket.split();
                let socket = VersionedSerialSocket::new(MultiplexerSocket::shared(socket), config, versions);
                Ok(Broker { socket: Arc::new(socket), address: address.to_owned(), _alive: alive })
            }
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("no answer".into()),
        }
    }

    /// What to send requests with that have more than one answer.
    pub fn socket(&self) -> &VersionedSerialSocket {
        &self.socket
    }

    pub fn has_ended(&self) -> bool {
        self.socket.is_stale()
    }

    /// It is not to be used again.
    pub fn give_up(&self) {
        self.socket.set_stale();
    }

    /// Asks and waits. On a task of its own: whoever is not interested any more does not leave half a question on
    /// the connection.
    pub async fn ask<R>(&self, question: R, within: Duration) -> Result<R::Response, NoAnswer>
    where
        R: Request + Send + Sync + 'static,
        R::Response: Send + 'static,
    {
        if self.has_ended() {
            return Err(NoAnswer::NotSent(format!("the connection to {} has ended", self.address)));
        }
        let socket = Arc::clone(&self.socket);
        let asked = tokio::spawn(async move { socket.send_receive(question).await });
        let unknown = |why: String| NoAnswer::Unknown(format!("{} gave no answer: {why}", self.address));
        match tokio::time::timeout(within, asked).await {
            Ok(Ok(Ok(answer))) => Ok(answer),
            Ok(Ok(Err(error))) => {
                self.give_up();
                Err(unknown(error.to_string()))
            }
            Ok(Err(error)) => Err(unknown(error.to_string())),
            Err(_) => {
                self.give_up();
                Err(unknown(format!("not within {} s", within.as_secs())))
            }
        }
    }
}
