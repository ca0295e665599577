//! Reads a request's body, never more than the bound of it, and decompresses it within the same bound.

use super::limits::{BODY_BYTES, BODY_WITHIN};
use super::split::Form;
use crate::error::Problem;
use actix_web::error::PayloadError;
use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use actix_web::{HttpRequest, web};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use std::io::{self, Read};
use std::pin::pin;
use std::task::Poll;
use tokio::time::timeout;

/// A body of this size is prepared on the worker's own thread: that is done before a hand-over would be.
pub(super) const SMALL_BYTES: usize = 64 * 1_024;

/// Largest window of a zstd stream, as a power of two: what RFC 8878 asks every decoder to support.
const ZSTD_WINDOW_LOG: u32 = 23;

/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Identity,
    Gzip,
    /// With or without zlib's frame: clients do both.
    Deflate,
    Brotli,
    Zstd,
}

/// How `/v1/events` is to be read by its Content-Type; one without a type is read as JSON.
///
/// # Errors
/// 415.
pub(super) fn form_of(request: &HttpRequest) -> Result<Form, Problem> {
    let Some(value) = request.headers().get(CONTENT_TYPE) else { return Ok(Form::Events) };
    let value = value.to_str().unwrap_or_default().to_ascii_lowercase();
    let mut parts = value.split(';').map(str::trim);
    let form = match parts.next().unwrap_or_default() {
        "application/json" | "text/json" => Form::Events,
        "application/x-ndjson" | "application/ndjson" | "application/jsonl" | "application/x-jsonlines" => Form::Lines,
        _ => return Err(Problem::unsupported_media_type("send application/json or application/x-ndjson")),
    };
    let charset = parts.find_map(|part| part.strip_prefix("charset="));
    match charset.map(|name| name.trim_matches('"')) {
        None | Some("utf-8" | "utf8" | "us-ascii") => Ok(form),
        Some(_) => Err(Problem::unsupported_media_type("send JSON as UTF-8")),
    }
}

/// # Errors
/// 415 for one that is not known, or several on top of each other.
pub(super) fn encoding_of(request: &HttpRequest) -> Result<Encoding, Problem> {
    let mut values = request.headers().get_all(CONTENT_ENCODING);
    let Some(value) = values.next() else { return Ok(Encoding::Identity) };
    let value = value.to_str().unwrap_or("not text").trim().to_ascii_lowercase();
    match (value.as_str(), values.next()) {
        ("identity" | "", None) => Ok(Encoding::Identity),
        ("gzip" | "x-gzip", None) => Ok(Encoding::Gzip),
        ("deflate", None) => Ok(Encoding::Deflate),
        ("br", None) => Ok(Encoding::Brotli),
        ("zstd", None) => Ok(Encoding::Zstd),
        _ => Err(Problem::unsupported_encoding("send the body as it is, or as one of gzip, deflate, br, zstd")),
    }
}

/// Bytes that are announced for a body that is not small.
///
/// # Errors
/// 413 if more are announced than [`BODY_BYTES`].
pub(super) fn large_body(request: &HttpRequest) -> Result<Option<usize>, Problem> {
    let announced = request.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    match announced.map(usize::try_from) {
        Some(Ok(length)) if length > BODY_BYTES => Err(too_large()),
        Some(Err(_)) => Err(too_large()),
        Some(Ok(length)) => Ok((length > SMALL_BYTES).then_some(length)),
        None => Ok(None),
    }
}

/// The body as it came. One that turns out to be large though nobody had said so takes `room` first, and holds it.
///
/// # Errors
/// 413 beyond [`BODY_BYTES`], 408 if it takes longer than [`BODY_WITHIN`], 400 if it breaks off; those of `room`.
pub(super) async fn read<R>(
    payload: web::Payload,
    held: Option<R>,
    room: impl AsyncFnOnce() -> Result<R, Problem>,
) -> Result<(Bytes, Option<R>), Problem> {
    let mut body = pin!(collect(payload, held, room));
    // Most bodies are there with their head: those need no clock.
    if let Poll::Ready(body) = futures_util::poll!(body.as_mut()) {
        return body;
    }
    match timeout(BODY_WITHIN, body).await {
        Ok(body) => body,
        Err(_) => Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "body_timeout", "the body took too long to arrive")),
    }
}

async fn collect<R>(
    mut payload: web::Payload,
    mut held: Option<R>,
    room: impl AsyncFnOnce() -> Result<R, Problem>,
) -> Result<(Bytes, Option<R>), Problem> {
    let broken = |error: PayloadError| Problem::malformed(format!("the body breaks off: {error}"));
    // Most bodies are one piece, which is not copied.
    let Some(first) = payload.next().await.transpose().map_err(broken)? else { return Ok((Bytes::new(), held)) };
    let mut room = Some(room);
    let mut rest = BytesMut::new();
    while let Some(piece) = payload.next().await.transpose().map_err(broken)? {
        let length = first.len() + rest.len() + piece.len();
        if length > BODY_BYTES {
            return Err(too_large());
        }
        if length > SMALL_BYTES
            && held.is_none()
            && let Some(room) = room.take()
        {
            // Rare, and large: it must not make every request's future as large.
            held = Some(Box::pin(room()).await?);
        }
        if rest.is_empty() {
            rest.extend_from_slice(&first);
        }
        rest.extend_from_slice(&piece);
    }
    if first.len() > BODY_BYTES {
        return Err(too_large());
    }
    Ok((if rest.is_empty() { first } else { rest.freeze() }, held))
}

/// The body without its compression. Takes time on the processor, so large ones belong on a blocking thread.
///
/// # Errors
/// 413 beyond [`BODY_BYTES`], however little it was before; 400 if it is not of that encoding or breaks off.
pub(super) fn decompress(body: &[u8], encoding: Encoding) -> Result<Vec<u8>, Problem> {
    let broken = |error: io::Error| Problem::malformed(format!("the body cannot be decompressed: {error}"));
    match encoding {
        Encoding::Identity => Ok(body.to_vec()),
        Encoding::Gzip => bounded(flate2::read::MultiGzDecoder::new(body)),
        Encoding::Deflate if has_zlib_frame(body) => bounded(flate2::read::ZlibDecoder::new(body)),
        Encoding::Deflate => bounded(flate2::read::DeflateDecoder::new(body)),
        Encoding::Brotli => bounded(brotli::Decompressor::new(body, 4_096)),
        Encoding::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(body).map_err(broken)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG).map_err(broken)?;
            bounded(decoder)
        }
    }
}

fn bounded(decoder: impl Read) -> Result<Vec<u8>, Problem> {
    let mut plain = Vec::new();
    let limit = u64::try_from(BODY_BYTES).unwrap_or(u64::MAX);
    decoder
        .take(limit.saturating_add(1))
        .read_to_end(&mut plain)
        .map_err(|error| Problem::malformed(format!("the body cannot be decompressed: {error}")))?;
    if plain.len() > BODY_BYTES { Err(too_large()) } else { Ok(plain) }
}

/// The two bytes at the start of RFC 1950.
fn has_zlib_frame(body: &[u8]) -> bool {
    matches!(body, [first, second, ..] if first & 0x0f == 8 && (u16::from(*first) << 8 | u16::from(*second)).is_multiple_of(31))
}

fn too_large() -> Problem {
    Problem::too_large(format!("a request may have {BODY_BYTES} bytes, also after decompression"))
}

#[cfg(test)]
#[path = "body_tests.rs"]
mod tests;
