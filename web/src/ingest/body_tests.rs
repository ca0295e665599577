#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use super::*;
use actix_web::test::TestRequest;
use proptest::prelude::*;
use std::io::Write;

const ENCODINGS: [Encoding; 4] = [Encoding::Gzip, Encoding::Deflate, Encoding::Brotli, Encoding::Zstd];

fn compress(plain: &[u8], encoding: Encoding) -> Vec<u8> {
    let level = flate2::Compression::default();
    match encoding {
        Encoding::Identity => plain.to_vec(),
        Encoding::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
            encoder.write_all(plain).unwrap();
            encoder.finish().unwrap()
        }
        Encoding::Deflate => {
            let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), level);
            encoder.write_all(plain).unwrap();
            encoder.finish().unwrap()
        }
        Encoding::Brotli => {
            let mut out = Vec::new();
            brotli::CompressorWriter::new(&mut out, 4_096, 5, 22).write_all(plain).unwrap();
            out
        }
        Encoding::Zstd => zstd::encode_all(plain, 3).unwrap(),
    }
}

fn raw_deflate(plain: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn the_bound_holds_after_decompression_to_the_byte() {
    for encoding in ENCODINGS {
        let fits = compress(&vec![b' '; BODY_BYTES], encoding);
        assert_eq!(decompress(&fits, encoding).unwrap().len(), BODY_BYTES, "{encoding:?}");
        let bomb = compress(&vec![b' '; 8 * BODY_BYTES], encoding);
        assert!(bomb.len() < BODY_BYTES, "{encoding:?}");
        assert_eq!(decompress(&bomb, encoding).unwrap_err().status, 413, "{encoding:?}");
        let over = compress(&vec![b' '; BODY_BYTES + 1], encoding);
        assert_eq!(decompress(&over, encoding).unwrap_err().status, 413, "{encoding:?}");
    }
}

#[test]
fn a_stream_that_breaks_off_is_refused() {
    let plain: Vec<u8> = (0..20_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    for encoding in ENCODINGS {
        let whole = compress(&plain, encoding);
        for length in [0, 1, whole.len() / 2, whole.len() - 1] {
            let answer = decompress(&whole[..length], encoding);
            assert_eq!(answer.map_err(|problem| problem.status.as_u16()), Err(400), "{encoding:?} cut to {length}");
        }
    }
}

#[test]
fn a_zstd_window_larger_than_the_bound_is_refused() {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
    encoder.window_log(27).unwrap();
    encoder.write_all(&vec![b' '; 1 << 20]).unwrap();
    let wide = encoder.finish().unwrap();
    assert_eq!(decompress(&wide, Encoding::Zstd).unwrap_err().status, 400);
}

#[test]
fn deflate_is_read_with_and_without_its_frame() {
    let plain = b"{\"event_type\":\"error\"}".repeat(40);
    assert_eq!(decompress(&compress(&plain, Encoding::Deflate), Encoding::Deflate).unwrap(), plain);
    assert_eq!(decompress(&raw_deflate(&plain), Encoding::Deflate).unwrap(), plain);
}

#[test]
fn headers_decide_how_a_body_is_read() {
    let form = |value: &str| {
        form_of(&TestRequest::default().insert_header(("content-type", value)).to_http_request())
            .map_err(|problem| problem.code)
    };
    assert_eq!(form("application/json"), Ok(Form::Events));
    assert_eq!(form("Application/JSON; Charset=\"UTF-8\""), Ok(Form::Events));
    assert_eq!(form("application/x-ndjson"), Ok(Form::Lines));
    for bad in ["text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin1", "", "json"] {
        assert_eq!(form(bad), Err("unsupported_media_type"), "{bad}");
    }
    assert_eq!(form_of(&TestRequest::default().to_http_request()), Ok(Form::Events));

    let encoding = |value: &str| {
        encoding_of(&TestRequest::default().insert_header(("content-encoding", value)).to_http_request())
            .map_err(|problem| problem.code)
    };
    assert_eq!(encoding("GZIP"), Ok(Encoding::Gzip));
    assert_eq!(encoding("identity"), Ok(Encoding::Identity));
    for bad in ["gzip, br", "compress", "gzip,gzip", "\u{e9}"] {
        assert_eq!(encoding(bad), Err("unsupported_encoding"), "{bad}");
    }
    let twice = TestRequest::default()
        .append_header(("content-encoding", "gzip"))
        .append_header(("content-encoding", "gzip"))
        .to_http_request();
    assert!(encoding_of(&twice).is_err());
}

proptest! {
    #[test]
    fn what_was_compressed_comes_back(plain in prop::collection::vec(any::<u8>(), 0..5_000)) {
        for encoding in ENCODINGS {
            prop_assert_eq!(&decompress(&compress(&plain, encoding), encoding).unwrap(), &plain);
        }
        prop_assert_eq!(&decompress(&raw_deflate(&plain), Encoding::Deflate).unwrap(), &plain);
    }

    #[test]
    fn no_bytes_make_it_panic_or_grow(bytes in prop::collection::vec(any::<u8>(), 0..500)) {
        for encoding in ENCODINGS {
            if let Ok(plain) = decompress(&bytes, encoding) {
                prop_assert!(plain.len() <= BODY_BYTES);
            }
        }
    }
}
