//! The store over TLS: to a server with user and password, behind a certificate that is trusted or not.
//!
//! The server is the embedded engine behind a TLS front: it speaks ClickHouse's HTTP interface, here without what the
//! store does for an engine of its own (no syncing, packed bodies). One test, for what is trusted is said by
//! the environment.

use std::sync::Arc;

use concord::rows::{Decided, StateRow};
use concord::store::{Options, Store, StoreError};
use concord::{engine, engine::Engine};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// Listens with a new certificate of its own and passes on to `target`; gives address and certificate.
async fn front(target: String) -> (std::net::SocketAddr, String) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
    let chain = vec![CertificateDer::from(made.cert.der().to_vec())];
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("a server's configuration");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("listen");
    let address = listener.local_addr().expect("address");
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (acceptor, target) = (acceptor.clone(), target.clone());
            tokio::spawn(async move {
                // A client that does not trust the certificate hangs up here.
                let Ok(mut client) = acceptor.accept(client).await else { return };
                let mut server = TcpStream::connect(&target).await.expect("engine");
                let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    (address, made.cert.pem())
}

fn options(port: u16, password: &str) -> Options {
    Options {
        url: format!("https://localhost:{port}"),
        user: engine::WRITER.to_owned(),
        password: password.to_owned(),
        database: "concord".to_owned(),
        ..Options::default()
    }
}

#[test]
fn a_server_behind_tls_takes_user_and_password_and_only_a_trusted_certificate_is_spoken_to() {
    let library = match engine::find_library(None) {
        Ok(library) => library,
        Err(absent) => return println!("not run: {absent}"),
    };
    let directory = tempfile::tempdir().expect("temporary directory");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("runtime");
    let started = engine::Options {
        library,
        path: directory.path().join("engine"),
        listen: "127.0.0.1:0".parse().expect("address"),
        database: "concord".to_owned(),
        writer_password: "correct".to_owned(),
        reader_password: "reader".to_owned(),
    };
    runtime.block_on(async {
        let engine = Engine::start(started).await.expect("engine");
        let (address, certificate) = front(engine.address().to_string()).await;
        let (stranger, _) = front(engine.address().to_string()).await;
        let trusted = directory.path().join("trusted.pem");
        std::fs::write(&trusted, certificate).expect("the trusted certificate");
        // SAFETY: nothing else in this process reads the environment now: the engine is up and idle.
        unsafe { std::env::set_var("SSL_CERT_FILE", &trusted) };

        let store = Store::connect(options(address.port(), "correct")).await.expect("a trusted server");
        store.migrate(&[]).await.expect("tables");
        let entry = StateRow { property: "H1".into(), key: b"k".to_vec(), value: b"v".to_vec() };
        let decided = Decided { partition: 2, next: 1, state: vec![entry], state_version: 1, ..Decided::default() };
        store.write(&[decided]).await.expect("write");
        let loaded = store.load_property(2, "H1").await.expect("read");
        assert_eq!(loaded.entries, [(b"k".to_vec(), b"v".to_vec())]);

        let refused = Store::connect(options(address.port(), "wrong")).await.err().expect("a wrong password");
        assert!(!refused.retryable(), "{refused}");
        assert!(refused.to_string().contains("password"), "{refused}");
        let refused = Store::connect(options(stranger.port(), "correct")).await.err().expect("a stranger");
        assert!(!matches!(refused, StoreError::Timeout(_)), "{refused}");
        assert!(refused.to_string().to_lowercase().contains("certificate"), "{refused}");
        drop(store);
        engine.stop().await;
    });
}
