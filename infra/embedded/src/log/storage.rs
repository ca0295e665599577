//! Opens the broker's storage: one SQLite file.

use super::LogError;
use crate::file::{AtFile, FileError};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use tansu_broker::NODE_ID;
use tansu_storage::{BrokerRegistrationRequest, Storage, StorageContainer};
use tempfile::TempDir;
use url::Url;
use uuid::Uuid;

const CLUSTER: &str = "signals";
const FILE: &str = "log.sqlite";

/// An open storage.
#[derive(Debug)]
pub(super) struct LogStorage {
    pub(super) storage: StorageContainer,
    /// The file that it keeps.
    pub(super) file: PathBuf,
    /// Kept as long as the storage may open connections through it.
    _detour: Option<TempDir>,
}

impl LogStorage {
    /// Opens, or creates, the file in `folder`; clients will be told to connect to `address`.
    pub(super) async fn open(folder: &Path, address: SocketAddr) -> Result<Self, LogError> {
        let file = folder.join(FILE);
        let (url, detour) = url_of(folder)?;
        let listener = Url::parse(&format!("tcp://{address}")).map_err(tansu_broker::Error::from)?;
        let storage = StorageContainer::builder()
            .cluster_id(CLUSTER)
            .node_id(NODE_ID)
            .advertised_listener(listener)
            .storage(url)
            .silent(true)
            .build()
            .await?;
        let registration = BrokerRegistrationRequest {
            broker_id: NODE_ID,
            cluster_id: CLUSTER.into(),
            incarnation_id: Uuid::new_v4(),
            rack: None,
        };
        storage.register_broker(registration).await?;
        Ok(Self { storage, file, _detour: detour })
    }
}

/// The URL by which the storage finds the file in `folder`, an absolute path.
///
/// It takes the path of the URL for one below the current folder, unless a second slash makes it absolute again; and
/// it takes the path as it is escaped. A folder whose name needs escapes is reached by a link that needs none.
fn url_of(folder: &Path) -> Result<(Url, Option<TempDir>), LogError> {
    if let Some(url) = plain_url(folder) {
        return Ok((url, None));
    }
    let detour = tempfile::Builder::new().prefix("signals-log-").tempdir().at("create a link to", folder)?;
    let link = detour.path().join("log");
    std::os::unix::fs::symlink(folder, &link).at("create", &link)?;
    let url = plain_url(&link).ok_or_else(|| FileError {
        verb: "use",
        path: link.clone(),
        source: std::io::Error::new(std::io::ErrorKind::InvalidFilename, "its name needs escapes in a URL"),
    })?;
    Ok((url, Some(detour)))
}

fn plain_url(folder: &Path) -> Option<Url> {
    let path = format!("/{}/{FILE}", folder.to_str()?);
    let url = Url::parse(&format!("sqlite://{path}")).ok()?;
    (url.path() == path && url.query().is_none() && url.fragment().is_none()).then_some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_file_is_where_it_was_asked_for_whatever_the_folder_is_called() {
        for name in ["plain", "with space", "ünïcode#?%20", "a{b}c"] {
            let parent = tempfile::tempdir().unwrap();
            let folder = parent.path().join(name);
            std::fs::create_dir(&folder).unwrap();
            let storage = LogStorage::open(&folder, "127.0.0.1:1".parse().unwrap()).await.unwrap();
            assert_eq!(storage.file, folder.join(FILE), "{name}");
            assert!(std::fs::metadata(&storage.file).unwrap().len() > 0, "{name}");
            storage.storage.ping().await.unwrap();
        }
    }
}
