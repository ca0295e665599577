//! A message without what differs from one event of a kind to the next.

use super::opaque;
use std::net::IpAddr;

/// Only so much of a message decides, in bytes: what follows is a stack or data, and a template costs time.
const DECIDES: usize = 1_024;
/// A quotation longer than this, in bytes, is taken for a stray quote and the text after it.
const LONGEST_QUOTATION: usize = 256;

/// The message with `<str>` for quoted values, `<id>` for UUIDs, ULIDs and long hex, `<addr>` for network
/// addresses, `<email>`, and `<n>` for every other run of digits. Runs of white space become one blank. Only
/// its first KiB counts. The result holds no ASCII digit.
pub fn template_message(message: &str) -> String {
    let mut end = message.len().min(DECIDES);
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    let mut rest = message.get(..end).unwrap_or(message).trim();
    let mut template = String::with_capacity(rest.len() + 16);
    let mut before = ' ';
    while let Some(next) = rest.chars().next() {
        let taken = if next.is_whitespace() {
            template.push(' ');
            rest.len() - rest.trim_start().len()
        } else if let Some(length) = quotation(before, rest) {
            template.push_str("<str>");
            length
        } else if is_delimiter(next) {
            template.push(next);
            next.len_utf8()
        } else {
            let end = rest.find(|c: char| c.is_whitespace() || is_delimiter(c)).unwrap_or(rest.len());
            word(rest.get(..end).unwrap_or(rest), &mut template);
            end
        };
        before = rest.get(..taken).and_then(|text| text.chars().next_back()).unwrap_or(' ');
        rest = rest.get(taken..).unwrap_or_default();
    }
    template
}

/// What ends a word and belongs to none.
fn is_delimiter(c: char) -> bool {
    matches!(c, '(' | ')' | '[' | ']' | '{' | '}' | '<' | '>' | '"' | '\'' | '`' | ',' | ';' | '=')
}

/// Length of the quoted value that `text` begins with. An apostrophe inside a word (`can't`) opens and closes none.
fn quotation(before: char, text: &str) -> Option<usize> {
    let quote = text.chars().next().filter(|c| matches!(c, '"' | '\'' | '`'))?;
    if before.is_alphanumeric() {
        return None;
    }
    let inside = text.get(1..)?;
    inside
        .char_indices()
        .take_while(|(at, c)| *at < LONGEST_QUOTATION && *c != '\n')
        .filter(|(_, c)| *c == quote)
        .map(|(at, _)| at + 2)
        .find(|end| !text.get(*end..).and_then(|after| after.chars().next()).is_some_and(char::is_alphanumeric))
}

fn word(word: &str, template: &mut String) {
    let core = word.trim_end_matches(['.', ':', '!', '?']);
    let tail = word.get(core.len()..).unwrap_or_default();
    if opaque::is_key(core) {
        template.push_str("<id>");
    } else if is_address(core) {
        template.push_str("<addr>");
    } else if is_email(core) {
        template.push_str("<email>");
    } else {
        pieces(core, template);
    }
    template.push_str(tail);
}

/// An IPv4 or IPv6 address, with or without a port.
fn is_address(word: &str) -> bool {
    let host = match word.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') && port.parse::<u16>().is_ok() => host,
        _ => word,
    };
    host.parse::<IpAddr>().is_ok()
}

fn is_email(word: &str) -> bool {
    word.split_once('@').is_some_and(|(name, host)| {
        !name.is_empty() && !word.contains("://") && host.contains('.') && !host.contains(['@', '/', ':'])
    })
}

/// The parts of a path, a URL, a time or an identifier, each on its own.
fn pieces(word: &str, template: &mut String) {
    for piece in word.split_inclusive(['/', ':', '?', '&', '#', '|', '@', '+', '%', '_']) {
        let core = piece.trim_end_matches(['/', ':', '?', '&', '#', '|', '@', '+', '%', '_']);
        if opaque::is_key(core) {
            template.push_str("<id>");
        } else {
            numbers(core, template);
        }
        template.push_str(piece.get(core.len()..).unwrap_or_default());
    }
}

/// `<n>` for every run of digits; a decimal point between digits belongs to the number.
fn numbers(text: &str, template: &mut String) {
    let mut characters = text.chars().peekable();
    let mut in_number = false;
    while let Some(c) = characters.next() {
        let continues = c == '.' && in_number && characters.peek().is_some_and(char::is_ascii_digit);
        if c.is_ascii_digit() {
            if !in_number {
                template.push_str("<n>");
            }
            in_number = true;
        } else if !continues {
            template.push(c);
            in_number = false;
        }
    }
}
