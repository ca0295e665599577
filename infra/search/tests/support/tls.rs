//! A real TLS listener before the real server, with a certificate of an authority that only the test knows. It also looks
//! whether each request brings user and password.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use url::Url;

/// The listener.
pub struct TlsFront {
    pub url: String,
    /// The authority's certificate as PEM.
    pub authority: String,
    /// Connections whose first request named this user and password.
    pub greeted: Arc<AtomicUsize>,
}

impl TlsFront {
    /// Before `server`; `basic` is what the Authorization header must say after `Basic `.
    pub async fn start(server: &str, basic: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
        let config =
            rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(vec![leaf.der().clone()], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
                .unwrap();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
        let behind = Url::parse(server).unwrap();
        let behind = (behind.host_str().unwrap().to_owned(), behind.port().unwrap());
        let greeted = Arc::new(AtomicUsize::new(0));
        let (counter, wanted) = (Arc::clone(&greeted), format!("basic {}", basic.to_lowercase()));
        tokio::spawn(async move {
            let acceptor = TlsAcceptor::from(Arc::new(config));
            while let Ok((socket, _)) = listener.accept().await {
                let (acceptor, behind) = (acceptor.clone(), behind.clone());
                let (counter, wanted) = (Arc::clone(&counter), wanted.clone());
                tokio::spawn(async move {
                    // A client that does not trust us hangs up.
                    let Ok(mut client) = acceptor.accept(socket).await else { return };
                    let mut head = Vec::new();
                    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
                        if client.read_buf(&mut head).await.unwrap_or(0) == 0 {
                            return;
                        }
                    }
                    if String::from_utf8_lossy(&head).to_lowercase().contains(&wanted) {
                        counter.fetch_add(1, Ordering::Relaxed);
                    }
                    let mut server = TcpStream::connect(behind).await.unwrap();
                    server.write_all(&head).await.unwrap();
                    // Either side may hang up first.
                    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                });
            }
        });
        Self { url, authority: issuer.pem(), greeted }
    }
}
