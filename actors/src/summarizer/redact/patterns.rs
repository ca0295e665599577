//! The rules for text, in the order in which they are applied: what is framed first, what is only shaped last.

use super::{Kind, Marks, checks, is_mark, names};
use crate::summarizer::pattern::pattern;
use crate::summarizer::text::visible;
use regex::{Captures, Regex};
use std::borrow::Cow;
use std::sync::LazyLock;

/// PEM, also in one line with written line ends, also cut.
static PRIVATE_KEY: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"-----BEGIN [A-Z ]*PRIVATE KEY(?: BLOCK)?-----(?s:.*?)(?:-----END [A-Z ]*PRIVATE KEY(?: BLOCK)?-----|\z)")
});
/// `scheme://user:password@host`.
static USER_PASSWORD: LazyLock<Regex> =
    LazyLock::new(|| pattern(r#"(?i)\b(?P<before>[a-z][a-z0-9+.-]*://[^\s:/@?#"'<>]*:)(?P<secret>[^\s/?#"'<>]+)@"#));
/// The same of databases and queues, whose passwords may hold a slash.
static STORE_PASSWORD: LazyLock<Regex> = LazyLock::new(|| {
    pattern(concat!(
        r"(?i)\b(?P<before>(?:postgres(?:ql)?|mysql|mariadb|mongodb(?:\+srv)?|rediss?|amqps?|kafka|mssql|sqlserver|ldaps?|smtps?|ftps?|clickhouse)",
        r#"(?:\+\w+)?://[^\s:/@?#"'<>]*:)(?P<secret>[^\s"'<>]+)@"#
    ))
});
/// `scheme://token@host`.
static USER_ALONE: LazyLock<Regex> =
    LazyLock::new(|| pattern(r#"(?i)\b(?P<before>[a-z][a-z0-9+.-]*://)(?P<secret>[^\s:/@?#"'<>]{4,})@"#));
/// Headers whose whole value is secret.
static HEADER: LazyLock<Regex> = LazyLock::new(|| {
    let between = r#"\\*["']?\s*[:=]\s*\\*["']?"#;
    let value = r#"(?:(?:digest|aws4-hmac-sha256|signature|hawk|oauth)\s[^\r\n]+|(?:[a-z]+\s+)?[^\s"'\\<>,;]+)"#;
    let (login, cookie) = (format!("(?:proxy-)?authorization{between}"), format!("(?:set-)?cookie{between}"));
    pattern(&format!(
        r#"(?i)\b(?:(?P<before>{login})(?P<secret>{value})|(?P<cookie>{cookie})(?P<crumbs>[^\r\n"'\\<>]+))"#
    ))
});
/// `Bearer xyz` without its header.
static SCHEME: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"(?i)\b(?P<before>(?:bearer|basic|token|apikey|digest)\s+)(?P<secret>[A-Za-z0-9._~+/=-]{8,})")
});
/// `name=value`, `name: value`, `"name":"value"`, `--name value`; the value with or without quotes, also escaped ones.
static PAIR: LazyLock<Regex> = LazyLock::new(|| {
    let names = concat!(
        r"[\w.-]*(?:password|passwd|pwd|pass[_-]?(?:phrase|code|word)|secret|token|api[_-]?key|credential|creds|jwt|csrf|xsrf",
        r"|(?:access|private|secret|session|encryption|signing|auth|master|account|storage|service)[_-]?key",
        r"|session[_-]?id|signature|cvv|cvc|ssn|otp)[\w.-]*|\b(?:auth|pass|pin|sid|sig|dsn)"
    );
    let between = r#"(?:\\*["'])?\s*(?:=>|:=|=|:)\s*"#;
    let value = concat!(
        r#"(?:(?P<open>\\+["'])(?P<in_escaped>.*?)(?P<close>\\+["'])|"(?P<in_double>(?:[^"\\]|\\.)*)"?"#,
        r#"|'(?P<in_single>(?:[^'\\]|\\.)*)'?|(?P<bare>[^\s,;&"'<>(){}\[\]]+))"#
    );
    pattern(&format!(r"(?is)(?P<name>{names})(?P<between>{between}){value}"))
});
/// `--name value`.
static FLAG: LazyLock<Regex> =
    LazyLock::new(|| pattern(r#"(?P<before>--(?P<name>[a-z][a-z0-9-]*)\s+["']?)(?P<secret>[^\s"'<>-][^\s"'<>]*)"#));
/// `?key=value` of a URL, of names that mean nothing elsewhere.
static QUERY: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r#"(?i)(?P<before>[?&](?:key|code|sig|hash|auth|sid|pass|pw|pwd)=)(?P<secret>[^\s&"'<>#]+)"#)
});
/// Keys that say whose they are.
static PROVIDER: LazyLock<Regex> = LazyLock::new(|| {
    let prefixes = [
        r"(?:AKIA|ASIA|ABIA|ACCA)[0-9A-Z]{16}",
        r"gh[pousr]_[0-9A-Za-z]{20,}",
        r"github_pat_[0-9A-Za-z_]{20,}",
        r"gl(?:pat|ptt|dt|rt|cbt|soat|ffct|imt|agent)-[0-9A-Za-z_-]{16,}",
        r"xox[abeoprs]-[0-9A-Za-z-]{8,}",
        r"xapp-[0-9A-Za-z-]{10,}",
        r"(?:sk|rk|pk)_(?:live|test)_[0-9A-Za-z]{10,}",
        r"whsec_[0-9A-Za-z+/=]{10,}",
        r"sk-(?:ant|proj|do|or|svcacct|admin)?-?[0-9A-Za-z_-]{16,}",
        r"AIza[0-9A-Za-z_-]{30,}",
        r"ya29\.[0-9A-Za-z_-]{10,}",
        r"GOCSPX-[0-9A-Za-z_-]{10,}",
        r"do[opr]_v1_[0-9a-f]{32,}",
        r"npm_[0-9A-Za-z]{30,}",
        r"pypi-[0-9A-Za-z_-]{20,}",
        r"SG\.[0-9A-Za-z_-]{10,}\.[0-9A-Za-z_-]{10,}",
        r"(?:AC|SK)[0-9a-f]{32}",
        r"key-[0-9a-f]{32}",
        r"hf_[0-9A-Za-z]{20,}",
        r"dapi[0-9a-f]{32}",
        r"shp(?:at|ca|pa|ss)_[0-9a-fA-F]{20,}",
        r"lin_api_[0-9A-Za-z]{20,}",
        r"NRAK-[0-9A-Z]{20,}",
        r"sntry[su]_[0-9A-Za-z+/=_-]{20,}",
        r"dp\.(?:pt|st|ct|sa)\.[0-9A-Za-z.]{20,}",
        r"hv[sbr]\.[0-9A-Za-z_-]{20,}",
        r"AGE-SECRET-KEY-1[0-9A-Z]{20,}",
        r"\d{8,10}:AA[0-9A-Za-z_-]{30,}",
        r"sq0(?:atp|csp)-[0-9A-Za-z_-]{20,}",
        r"EAAC[0-9A-Za-z]{20,}",
        r"gsk_[0-9A-Za-z]{20,}",
        r"xai-[0-9A-Za-z]{20,}",
        r"r8_[0-9A-Za-z]{20,}",
        r"PMAK-[0-9a-f]{20,}-[0-9a-f]{20,}",
        r"figd_[0-9A-Za-z_-]{20,}",
        r"glsa_[0-9A-Za-z_]{20,}",
        r"sgp_[0-9A-Za-z_]{20,}",
        r"ATATT3[0-9A-Za-z_=-]{20,}",
        r"sk_signals_[0-9A-Za-z_]{8,}",
    ];
    pattern(&format!(r"\b(?P<secret>{})", prefixes.join("|")))
});
/// Web hooks, whose address is the secret.
static HOOK: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?i)(?P<before>https://(?:hooks\.slack\.com/(?:services|workflows)|(?:\w+\.)?discord(?:app)?\.com/api/webhooks)/)(?P<secret>[\w/-]+)",
    )
});
static WEB_TOKEN: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"\b(?P<secret>eyJ[0-9A-Za-z_-]{6,}\.[0-9A-Za-z_-]{4,}(?:\.[0-9A-Za-z_-]*)*)"));
static EMAIL: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"[\p{L}\p{N}._%+'-]*[\p{L}\p{N}_%+-](?:@|%40)(?:[\p{L}\p{N}](?:[\p{L}\p{N}-]*[\p{L}\p{N}])?\.)+\p{L}{2,}")
});
static DIGITS: LazyLock<Regex> = LazyLock::new(|| pattern(r"\d(?:[ -]?\d){11,}"));
static IPV4: LazyLock<Regex> = LazyLock::new(|| pattern(r"\d{1,3}(?:\.\d{1,3}){3}"));
static IPV6: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}(?:\.\d{1,3}){0,3}"));

/// Names of which every value is secret, however it looks.
const HARD: &[&str] = &["password", "passwd", "pwd", "passphrase", "passcode", "secret", "pass"];
/// What follows a colon after such a name in a sentence.
const PROSE: &[&str] = &[
    "must",
    "is",
    "was",
    "are",
    "not",
    "cannot",
    "can",
    "too",
    "does",
    "has",
    "have",
    "may",
    "should",
    "incorrect",
    "wrong",
    "error",
    "failed",
    "failure",
    "unknown",
    "unexpected",
    "no",
    "and",
    "or",
    "for",
    "the",
    "a",
    "an",
    "to",
    "of",
    "in",
    "on",
    "with",
    "from",
    "by",
    "authentication",
];

/// What to write in the place of a find; none leaves it.
type Hide<'a> = dyn FnMut(&Captures<'_>, &mut Marks) -> Option<String> + 'a;

/// The text without its secrets and without characters that cannot be seen.
pub(super) fn apply(text: &str, marks: &mut Marks) -> String {
    let mut text = visible(text);
    let mut run = |rule: &Regex, hide: &mut Hide<'_>| {
        let keep = |found: &Captures<'_>| found.get(0).map_or(String::new(), |whole| whole.as_str().to_owned());
        let replaced =
            rule.replace_all(&text, |found: &Captures<'_>| hide(found, marks).unwrap_or_else(|| keep(found)));
        if let Cow::Owned(replaced) = replaced {
            text = replaced;
        }
    };
    run(&PRIVATE_KEY, &mut |found, marks| Some(marks.mark(Kind::PrivateKey, found.get(0)?.as_str())));
    run(&HOOK, &mut framed);
    for rule in [&*STORE_PASSWORD, &*USER_PASSWORD, &*USER_ALONE] {
        run(rule, &mut |found, marks| Some(framed(found, marks)? + "@"));
    }
    run(&HEADER, &mut |found, marks| match found.name("cookie") {
        Some(cookie) => {
            Some(format!("{}{}", cookie.as_str(), marks.mark(Kind::Secret, found.name("crumbs")?.as_str())))
        }
        None => framed(found, marks),
    });
    run(&SCHEME, &mut |found, marks| {
        found.name("secret").filter(|secret| is_random(secret.as_str()))?;
        framed(found, marks)
    });
    run(&PAIR, &mut pair);
    run(&FLAG, &mut |found, marks| {
        found.name("name").filter(|name| names::is_secret(name.as_str()))?;
        framed(found, marks)
    });
    for rule in [&*QUERY, &*PROVIDER, &*WEB_TOKEN] {
        run(rule, &mut framed);
    }
    run(&EMAIL, &mut |found, marks| Some(marks.mark(Kind::Email, found.get(0)?.as_str())));
    let text = shaped(&text, &DIGITS, |run| cards(run, marks));
    let text = shaped(&text, &IPV4, |address| checks::is_ipv4(address).then(|| marks.mark(Kind::Ip, address)));
    shaped(&text, &IPV6, |address| ipv6(address, marks))
}

/// What stood before the secret, and its mark.
fn framed(found: &Captures<'_>, marks: &mut Marks) -> Option<String> {
    let secret = found.name("secret")?.as_str();
    let before = found.name("before").map_or("", |before| before.as_str());
    (!is_mark(secret)).then(|| format!("{before}{}", marks.mark(Kind::Secret, secret)))
}

/// A name and its value, if the name says that it is secret and the value is not a mere word of a sentence.
fn pair(found: &Captures<'_>, marks: &mut Marks) -> Option<String> {
    let part = |name: &str| found.name(name).map(|part| part.as_str());
    let (name, between) = (part("name")?, part("between")?);
    if !names::is_secret(name) {
        return None;
    }
    let (open, value, close) = match (part("in_escaped"), part("in_double"), part("in_single"), part("bare")) {
        (Some(value), ..) => (part("open")?, value, part("close")?),
        (_, Some(value), ..) => ("\"", value, "\""),
        (_, _, Some(value), _) => ("'", value, "'"),
        // In a sentence its mark is no part of the value.
        (.., value) if between.trim() == ":" => ("", value?.trim_end_matches(['.', '!', '?', ':']), ""),
        (.., value) => ("", value?, ""),
    };
    let is_sentence = open.is_empty() && between.trim() == ":" && !is_said(name, value);
    if value.is_empty() || is_sentence || is_mark(value) || names::is_harmless(value) {
        return None;
    }
    let rest = part("bare").and_then(|bare| bare.strip_prefix(value)).unwrap_or_default();
    Some(format!("{name}{between}{open}{}{close}{rest}", marks.mark(Kind::Secret, value)))
}

/// Whether `name: value` tells a secret: "password: hunter2" and "token: 9f3a77c1", but not "invalid token: expired yesterday".
fn is_said(name: &str, value: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let is_hard = HARD.iter().any(|hard| name.contains(hard));
    if is_hard { !PROSE.contains(&value.to_ascii_lowercase().as_str()) } else { is_random(value) }
}

/// Whether it looks made up by a machine rather than written by a person.
fn is_random(value: &str) -> bool {
    let has_digit = value.bytes().any(|byte| byte.is_ascii_digit());
    let is_mixed = value.bytes().skip(1).any(|byte| byte.is_ascii_uppercase())
        && value.bytes().any(|byte| byte.is_ascii_lowercase());
    value.len() >= 24 || (value.len() >= 8 && (has_digit || is_mixed || value.ends_with('=')))
}

/// Replaces what has the shape and stands by itself, not within a longer word or number.
fn shaped(text: &str, rule: &Regex, mut hide: impl FnMut(&str) -> Option<String>) -> String {
    let mut result = String::with_capacity(text.len());
    let mut end = 0;
    for found in rule.find_iter(text) {
        let before = text.get(..found.start()).and_then(|before| before.chars().next_back());
        let mut after = text.get(found.end()..).unwrap_or_default().chars();
        let (next, second) = (after.next(), after.next());
        let joins = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        let is_part = joins(before)
            || before == Some('.')
            || joins(next)
            || (next == Some('.') && second.is_some_and(|c| c.is_ascii_digit()));
        if let Some(hidden) = (!is_part).then(|| hide(found.as_str())).flatten() {
            result.push_str(text.get(end..found.start()).unwrap_or_default());
            result.push_str(&hidden);
            end = found.end();
        }
    }
    result.push_str(text.get(end..).unwrap_or_default());
    result
}

/// A run of digit groups without the card numbers in it.
fn cards(run: &str, marks: &mut Marks) -> Option<String> {
    let mut result = String::new();
    let mut rest = run;
    let mut has_card = false;
    while !rest.is_empty() {
        // The longest number that begins here and ends with a group.
        let ends = rest.char_indices().filter(|(_, c)| !c.is_ascii_digit()).map(|(at, _)| at).chain([rest.len()]);
        let found = ends
            .take_while(|end| *end <= 40)
            .filter_map(|end| rest.get(..end))
            .filter(|part| checks::is_card(part))
            .last();
        let taken = match found {
            Some(card) => {
                has_card = true;
                let digits: String = card.chars().filter(char::is_ascii_digit).collect();
                result.push_str(&marks.mark(Kind::Card, &digits));
                card.len()
            }
            None => {
                let group = rest.find(|c: char| !c.is_ascii_digit()).map_or(rest.len(), |end| end + 1);
                result.push_str(rest.get(..group).unwrap_or_default());
                group
            }
        };
        rest = rest.get(taken..).unwrap_or_default();
    }
    has_card.then_some(result)
}

/// An address, perhaps with a colon that belongs to the sentence.
fn ipv6(found: &str, marks: &mut Marks) -> Option<String> {
    let without = |text: &str| (text.to_owned(), checks::is_ipv6(text));
    let shorter = [
        ("", without(found), ""),
        ("", without(found.strip_suffix(':').unwrap_or_default()), ":"),
        (":", without(found.strip_prefix(':').unwrap_or_default()), ""),
    ];
    let (before, (address, _), after) = shorter.into_iter().find(|(_, (_, is_address), _)| *is_address)?;
    Some(format!("{before}{}{after}", marks.mark(Kind::Ip, &address)))
}
