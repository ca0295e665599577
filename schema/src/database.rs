//! Connections to PostgreSQL: where it is, how far to trust it, and the pool.

use diesel::{ConnectionError, ConnectionResult};
use diesel_async::pooled_connection::deadpool::{BuildError, Pool};
use diesel_async::pooled_connection::{AsyncDieselConnectionManager, ManagerConfig};
use diesel_async::{AsyncPgConnection, SimpleAsyncConnection};
use futures_util::FutureExt;
use rustls::client::danger::ServerCertVerifier;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use serde::Deserialize;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Pooled connections to PostgreSQL.
pub type Database = Pool<AsyncPgConnection>;

/// How long a caller waits for a connection, and how long a connection may take to come up.
const PATIENCE: Duration = Duration::from_secs(5);

/// A connection that does nothing for so long in an open transaction is closed by the server. Without it an owner that is
/// stopped or cut off in the midst of a flush would keep its lock, and the next owner waiting, for as long as TCP believes
/// in it: hours. Shorter than the time after which the consumer group gives a partition to another one.
pub const FROZEN: Duration = Duration::from_secs(5);

/// How far a connection is protected; the values of libpq that make sense here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SslMode {
    /// Never encrypted.
    Disable,
    /// Encrypted if the server can, whoever it is.
    #[default]
    Prefer,
    /// Encrypted or not at all; its certificate is not looked at.
    Require,
    /// Encrypted, and the certificate must be valid for the host.
    VerifyFull,
}

/// The section of the environment that names the database.
#[derive(Clone, Default, Deserialize)]
pub struct DatabaseConfig {
    /// `DATABASE_URL`: `postgres://user:password@host:port/name`.
    #[serde(default)]
    pub database_url: String,
    /// `PG_SSLMODE`: `disable`, `prefer` (default), `require` or `verify-full`.
    #[serde(default)]
    pub pg_sslmode: SslMode,
    /// `PG_CA_CERT`: PEM text or the path of a PEM file; the system's roots if unset.
    #[serde(default)]
    pub pg_ca_cert: Option<String>,
}

impl DatabaseConfig {
    /// A database by its URL alone.
    pub fn at(url: impl Into<String>) -> Self {
        Self { database_url: url.into(), ..Self::default() }
    }
}

// The URL carries a password, so Debug shows where it leads and nothing else.
impl fmt::Debug for DatabaseConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.database_url.rsplit('@').next().unwrap_or_default();
        f.debug_struct("DatabaseConfig")
            .field("at", &host)
            .field("pg_sslmode", &self.pg_sslmode)
            .finish_non_exhaustive()
    }
}

/// Why no pool could be made.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// `PG_CA_CERT`.
    #[error("PG_CA_CERT is neither PEM text nor a readable PEM file: {0}")]
    Certificate(String),
    /// The TLS library refuses the settings.
    #[error("TLS towards PostgreSQL cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
    /// The pool.
    #[error("cannot build the connection pool: {0}")]
    Pool(#[from] BuildError),
}

/// A pool of at most `size` connections. Opens none yet.
///
/// # Errors
/// [`DatabaseError`].
pub fn pool(config: &DatabaseConfig, size: usize) -> Result<Database, DatabaseError> {
    let tls = client_config(config)?;
    let mode = config.pg_sslmode;
    let mut manager = ManagerConfig::default();
    manager.custom_setup = Box::new(move |url| connect(url.to_owned(), mode, tls.clone()).boxed());
    let manager = AsyncDieselConnectionManager::new_with_config(config.database_url.clone(), manager);
    Ok(Pool::builder(manager)
        .max_size(size)
        .wait_timeout(Some(PATIENCE))
        .create_timeout(Some(PATIENCE))
        .recycle_timeout(Some(PATIENCE))
        .runtime(deadpool::Runtime::Tokio1)
        .build()?)
}

/// One connection outside any pool, for migrations say.
///
/// # Errors
/// [`DatabaseError`] for the settings; the server's refusal comes as [`ConnectionError`] inside.
pub async fn connect_once(config: &DatabaseConfig) -> Result<ConnectionResult<AsyncPgConnection>, DatabaseError> {
    let tls = client_config(config)?;
    Ok(connect(config.database_url.clone(), config.pg_sslmode, tls).await)
}

async fn connect(url: String, mode: SslMode, tls: ClientConfig) -> ConnectionResult<AsyncPgConnection> {
    use tokio_postgres::config::SslMode as Wire;
    let bad = |error: tokio_postgres::Error| ConnectionError::BadConnection(sentence(&error));
    let mut target: tokio_postgres::Config = url.parse().map_err(bad)?;
    target.connect_timeout(PATIENCE).ssl_mode(match mode {
        SslMode::Disable => Wire::Disable,
        SslMode::Prefer => Wire::Prefer,
        SslMode::Require | SslMode::VerifyFull => Wire::Require,
    });
    if target.get_application_name().is_none() {
        target.application_name("signals");
    }
    let (client, connection) = target.connect(tokio_postgres_rustls::MakeRustlsConnect::new(tls)).await.map_err(bad)?;
    let mut connection = AsyncPgConnection::try_from_client_and_connection(client, connection).await?;
    // A statement, because poolers between us and the server refuse it among the options of a new connection.
    // The plans stay those for the values at hand: a list of one row and one of ten thousand want different ones.
    let settings = format!(
        "SET idle_in_transaction_session_timeout = {}; SET plan_cache_mode = force_custom_plan",
        FROZEN.as_millis()
    );
    connection.batch_execute(&settings).await.map_err(ConnectionError::CouldntSetupConfiguration)?;
    Ok(connection)
}

/// The error and its causes; tokio-postgres shows only its kind.
fn sentence(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}

fn client_config(config: &DatabaseConfig) -> Result<ClientConfig, DatabaseError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
    if config.pg_sslmode == SslMode::VerifyFull {
        return Ok(builder.with_root_certificates(roots(config.pg_ca_cert.as_deref())?).with_no_client_auth());
    }
    let anyone: Arc<dyn ServerCertVerifier> = Arc::new(trust::Anyone(provider));
    Ok(builder.dangerous().with_custom_certificate_verifier(anyone).with_no_client_auth())
}

fn roots(ca: Option<&str>) -> Result<RootCertStore, DatabaseError> {
    let bad = |error: &dyn fmt::Display| DatabaseError::Certificate(error.to_string());
    let mut roots = RootCertStore::empty();
    let Some(ca) = ca.filter(|ca| !ca.trim().is_empty()) else {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        return Ok(roots);
    };
    let pem = if ca.contains("-----BEGIN") {
        ca.as_bytes().to_vec()
    } else {
        std::fs::read(ca).map_err(|error| bad(&error))?
    };
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        roots.add(certificate.map_err(|error| bad(&error))?)?;
    }
    if roots.is_empty() {
        return Err(bad(&"it holds no certificate"));
    }
    Ok(roots)
}

mod trust {
    //! What `prefer` and `require` promise: privacy against listeners, no proof of who answers (as libpq has it).

    use rustls::DigitallySignedStruct;
    use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
    use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
    use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
    use std::sync::Arc;

    #[derive(Debug)]
    pub(super) struct Anyone(pub(super) Arc<CryptoProvider>);

    impl ServerCertVerifier for Anyone {
        fn verify_server_cert(
            &self,
            _: &CertificateDer<'_>,
            _: &[CertificateDer<'_>],
            _: &ServerName<'_>,
            _: &[u8],
            _: UnixTime,
        ) -> Result<ServerCertVerified, rustls::Error> {
            Ok(ServerCertVerified::assertion())
        }

        fn verify_tls12_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
        }

        fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
            self.0.signature_verification_algorithms.supported_schemes()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_never_shows_the_password() {
        let shown = format!("{:?}", DatabaseConfig::at("postgres://me:secret@host:5432/name"));
        assert!(shown.contains("host:5432/name") && !shown.contains("secret"), "{shown}");
    }

    #[test]
    fn a_certificate_that_is_none_is_named() {
        let config = DatabaseConfig {
            pg_ca_cert: Some("/nowhere.pem".into()),
            pg_sslmode: SslMode::VerifyFull,
            ..DatabaseConfig::default()
        };
        assert!(pool(&config, 1).is_err_and(|error| error.to_string().contains("PG_CA_CERT")));
    }
}
