//! Connections to Fluvio: plain or TLS, with small packets sent and acknowledged at once.
//!
//! A broker that waits for an acknowledgement before it sends the rest (Nagle) and a kernel that delays the
//! acknowledgement cost 40 ms per record at the tail. So TCP_NODELAY is set, and TCP_QUICKACK after every read: the
//! kernel forgets it. Does not know what is sent.

use std::future::Future;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use fluvio::FluvioClusterConfig;
use fluvio::config::{TlsCerts, TlsConfig, TlsPolicy};
use fluvio_future::net::{BoxReadConnection, BoxWriteConnection, ConnectionFd, DomainConnector, TcpDomainConnector};
use futures::io::{AsyncRead, AsyncWrite};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio_rustls::TlsConnector;

use super::OpenError;

/// For a connection and its TLS handshake.
pub(super) const CONNECT: Duration = Duration::from_secs(5);

/// How connections are made, with or without TLS.
#[derive(Clone)]
pub(super) struct Connector {
    tls: Option<Tls>,
    /// Ends the one connection that is made with this.
    ended: Arc<Mutex<Option<oneshot::Receiver<()>>>>,
}

#[derive(Clone)]
struct Tls {
    connector: TlsConnector,
    /// The name that the other side has to prove.
    domain: String,
}

impl Connector {
    /// As a Fluvio profile says.
    pub fn new(config: &FluvioClusterConfig) -> Result<Connector, OpenError> {
        let bad = |why: String| OpenError::Tls { why };
        let tls = match &config.tls {
            TlsPolicy::Disabled => None,
            TlsPolicy::Anonymous => {
                let why = "a profile with `anonymous` TLS trusts whoever answers; give the cluster's authority, or disable TLS";
                return Err(bad(why.into()));
            }
            TlsPolicy::Verified(TlsConfig::Inline(certs)) => Some(client(certs).map_err(bad)?),
            TlsPolicy::Verified(TlsConfig::Files(paths)) => {
                let certs = TlsCerts::try_from(paths.clone()).map_err(|error| bad(error.to_string()))?;
                Some(client(&certs).map_err(bad)?)
            }
        };
        Ok(Connector { tls, ended: Arc::default() })
    }

    /// For one connection, which ends when the sender of `ended` goes.
    pub fn for_one(&self, ended: oneshot::Receiver<()>) -> DomainConnector {
        Box::new(Connector { tls: self.tls.clone(), ended: Arc::new(Mutex::new(Some(ended))) })
    }
}

fn client(certs: &TlsCerts) -> Result<Tls, String> {
    let mut roots = rustls::RootCertStore::empty();
    for authority in CertificateDer::pem_slice_iter(certs.ca_cert.as_bytes()) {
        let authority = authority.map_err(|e| format!("the authority's certificate cannot be read: {e}"))?;
        roots.add(authority).map_err(|e| format!("the authority's certificate is of no use: {e}"))?;
    }
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(certs.cert.as_bytes()).collect();
    let chain = chain.map_err(|e| format!("the client's certificate cannot be read: {e}"))?;
    let key = PrivateKeyDer::from_pem_slice(certs.key.as_bytes());
    let key = key.map_err(|e| format!("the client's key cannot be read: {e}"))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)
        .map_err(|e| format!("the client's certificate and key do not belong together: {e}"))?;
    Ok(Tls { connector: TlsConnector::from(Arc::new(config)), domain: certs.domain.clone() })
}

#[async_trait]
impl TcpDomainConnector for Connector {
    async fn connect(&self, address: &str) -> io::Result<(BoxWriteConnection, BoxReadConnection, ConnectionFd)> {
        let connected = tokio::time::timeout(CONNECT, async {
            let tcp = TcpStream::connect(address).await?;
            tcp.set_nodelay(true)?;
            let fd = tcp.as_raw_fd();
            let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner).take();
            Ok(match &self.tls {
                None => halves(tcp, fd, ended),
                Some(tls) => {
                    let name = ServerName::try_from(tls.domain.clone())
                        .map_err(|e| io::Error::new(io::ErrorKind::InvalidInput, e))?;
                    halves(tls.connector.connect(name, tcp).await?, fd, ended)
                }
            })
        });
        connected.await.map_err(|_| io::Error::new(io::ErrorKind::TimedOut, format!("{address} does not answer")))?
    }

    fn new_domain(&self, domain: String) -> DomainConnector {
        let mut other = self.clone();
        if let Some(tls) = &mut other.tls {
            tls.domain = domain;
        }
        Box::new(other)
    }

    fn domain(&self) -> &str {
        self.tls.as_ref().map_or("localhost", |tls| &tls.domain)
    }

    fn clone_box(&self) -> DomainConnector {
        Box::new(self.clone())
    }
}

fn halves<T>(
    stream: T,
    fd: RawFd,
    ended: Option<oneshot::Receiver<()>>,
) -> (BoxWriteConnection, BoxReadConnection, ConnectionFd)
where
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Sync + Unpin + 'static,
{
    let (read, write) = tokio::io::split(stream);
    (Box::new(Writer(write)), Box::new(Reader { half: read, fd, ended }), fd)
}

/// The half that reads; the descriptor stays open as long as one of the halves is there.
struct Reader<T> {
    half: ReadHalf<T>,
    fd: RawFd,
    ended: Option<oneshot::Receiver<()>>,
}

struct Writer<T>(WriteHalf<T>);

impl<T: tokio::io::AsyncRead + Unpin> AsyncRead for Reader<T> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &mut [u8]) -> Poll<io::Result<usize>> {
        if let Some(ended) = &mut self.ended
            && Pin::new(ended).poll(context).is_ready()
        {
            // As if the other side had closed.
            return Poll::Ready(Ok(0));
        }
        let mut buffer = ReadBuf::new(bytes);
        let read = std::task::ready!(Pin::new(&mut self.half).poll_read(context, &mut buffer));
        acknowledge_at_once(self.fd);
        Poll::Ready(read.map(|()| buffer.filled().len()))
    }
}

impl<T: tokio::io::AsyncWrite + Unpin> AsyncWrite for Writer<T> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

/// Where the system has the option; elsewhere records only come later. A failure is no reason to stop reading.
fn acknowledge_at_once(fd: RawFd) {
    #[cfg(target_os = "linux")]
    {
        let on: libc::c_int = 1;
        let size = libc::socklen_t::try_from(size_of_val(&on)).unwrap_or(0);
        // SAFETY: the descriptor belongs to a half that is alive; the kernel copies the value during the call.
        unsafe { libc::setsockopt(fd, libc::IPPROTO_TCP, libc::TCP_QUICKACK, (&raw const on).cast(), size) };
    }
    #[cfg(not(target_os = "linux"))]
    let _ = fd;
}
