//! A client as lean as can be: HTTP/1.1, one kept connection, requests that were rendered before.
//!
//! A load generator takes its part of the cores that it measures; this one takes little.

use anyhow::Context;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// An answer's head ends with it.
const END: &[u8] = b"\r\n\r\n";
const LENGTH: &str = "content-length:";

/// A kept connection.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    bytes: Vec<u8>,
}

/// What was answered.
#[derive(Debug)]
pub struct Answer<'a> {
    /// Status.
    pub status: u16,
    /// Body.
    pub body: &'a [u8],
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// If nobody listens.
    pub async fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, bytes: Vec::with_capacity(4_096) })
    }

    /// Sends a rendered request and reads its answer to the end.
    ///
    /// # Errors
    /// If the connection breaks, or the answer is not one of ours: without a length.
    pub async fn exchange(&mut self, request: &[u8]) -> anyhow::Result<Answer<'_>> {
        self.stream.write_all(request).await?;
        self.bytes.clear();
        let head = loop {
            self.fill().await?;
            if let Some(end) = self.bytes.windows(END.len()).position(|bytes| bytes == END) {
                break end + END.len();
            }
        };
        let (status, length) = read_head(self.bytes.get(..head).unwrap_or_default())?;
        while self.bytes.len() < head + length {
            self.fill().await?;
        }
        Ok(Answer { status, body: self.bytes.get(head..).unwrap_or_default() })
    }

    async fn fill(&mut self) -> anyhow::Result<()> {
        let read = self.stream.read_buf(&mut self.bytes).await?;
        anyhow::ensure!(read > 0, "the server closed the connection");
        Ok(())
    }
}

fn read_head(head: &[u8]) -> anyhow::Result<(u16, usize)> {
    let text = std::str::from_utf8(head)?;
    let status = text.split(' ').nth(1).context("an answer without a status")?.parse()?;
    let line = text.lines().find(|line| line.get(..LENGTH.len()).is_some_and(|name| name.eq_ignore_ascii_case(LENGTH)));
    let length = line.and_then(|line| line.get(LENGTH.len()..)).context("an answer without a length")?;
    Ok((status, length.trim().parse()?))
}

/// A rendered `POST` of JSON.
pub fn post(path: &str, key: &str, body: &[u8]) -> Vec<u8> {
    let mut request = format!(
        "POST {path} HTTP/1.1\r\nhost: bench\r\nx-api-key: {key}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(body);
    request
}

/// A rendered `GET`.
pub fn get(path: &str, key: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: bench\r\nx-api-key: {key}\r\n\r\n").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_tells_status_and_length_however_it_is_spelt() {
        let head = b"HTTP/1.1 202 Accepted\r\nContent-Length: 17\r\nx: y\r\n\r\n";
        assert_eq!(read_head(head).unwrap(), (202, 17));
        assert!(read_head(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }
}
