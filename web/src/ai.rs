//! `signals ai`: summaries, for those who run Signals.

use chrono::{DateTime, Utc};
use clap::Subcommand;
use schema::ai::Output;
use std::io::{self, Write};

/// What can be done about summaries.
#[derive(Debug, Subcommand)]
pub enum AiCommand {
    /// Explain an incident once more from its facts as they are now, and show how that differs from its summary. The
    /// summary stays as it is.
    Rerun {
        /// The incident's id.
        incident: String,
        /// Ask this model instead of the configured ones; `deterministic` asks none.
        #[arg(long)]
        model: Option<String>,
    },
}

/// Shows for a person how a summary differs from the one that is shown: lines that went with `-`, lines that came with `+`.
///
/// # Errors
/// Those of `out`.
pub fn show_difference(
    before: Option<&(Output, DateTime<Utc>)>,
    after: &Output,
    out: &mut impl Write,
) -> io::Result<()> {
    let Some((before, written_at)) = before else {
        writeln!(out, "the incident has no summary yet")?;
        return show(&Output { summary: Default::default(), dropped: Vec::new(), ..after.clone() }, after, out);
    };
    writeln!(out, "the summary of {}", written_at.format("%Y-%m-%d %H:%M:%S UTC"))?;
    figure("facts", &hash(before), &hash(after), out)?;
    show(before, after, out)
}

fn show(before: &Output, after: &Output, out: &mut impl Write) -> io::Result<()> {
    let tokens = |output: &Output| format!("{} in, {} out", output.tokens_in, output.tokens_out);
    figure("model", &before.model, &after.model, out)?;
    figure("prompt", &before.prompt_version, &after.prompt_version, out)?;
    figure("tokens", &tokens(before), &tokens(after), out)?;
    figure("latency", &format!("{} ms", before.latency_ms), &format!("{} ms", after.latency_ms), out)?;
    let (old, new) = (&before.summary, &after.summary);
    figure("confidence", &format!("{:.2}", old.confidence), &format!("{:.2}", new.confidence), out)?;
    lines("title", std::slice::from_ref(&old.title), std::slice::from_ref(&new.title), out)?;
    lines("impact", std::slice::from_ref(&old.impact), std::slice::from_ref(&new.impact), out)?;
    lines("likely causes", &old.likely_causes, &new.likely_causes, out)?;
    lines("evidence", &old.evidence, &new.evidence, out)?;
    lines("next steps", &old.next_steps, &new.next_steps, out)?;
    lines("cited events", &old.cited_event_ids, &new.cited_event_ids, out)?;
    lines("not believed", &before.dropped, &after.dropped, out)?;
    let same = old == new;
    writeln!(out, "\n{}", if same { "both say the same" } else { "they differ" })
}

/// Enough of a hash to tell two apart.
fn hash(output: &Output) -> String {
    output.input_hash.chars().take(12).collect()
}

fn figure(name: &str, before: &str, after: &str, out: &mut impl Write) -> io::Result<()> {
    match before == after {
        true => writeln!(out, "{name:<11} {before} (the same)"),
        false => writeln!(out, "{name:<11} {before} -> {after}"),
    }
}

/// What both have, what only the former has, what only the latter has.
fn lines(name: &str, before: &[String], after: &[String], out: &mut impl Write) -> io::Result<()> {
    let is_said = |text: &&String| !text.is_empty();
    if before.iter().chain(after).find(is_said).is_none() {
        return Ok(());
    }
    writeln!(out, "\n{name}")?;
    for line in before.iter().filter(is_said) {
        writeln!(out, "{} {line}", if after.contains(line) { ' ' } else { '-' })?;
    }
    for line in after.iter().filter(is_said).filter(|line| !before.contains(line)) {
        writeln!(out, "+ {line}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeZone;
    use schema::ai::Summary;

    fn output(model: &str, causes: &[&str], confidence: f64) -> Output {
        let summary = Summary {
            title: "Pool exhausted".into(),
            impact: format!("Orders fail, says {model}."),
            likely_causes: causes.iter().map(|cause| (*cause).to_owned()).collect(),
            confidence,
            ..Summary::default()
        };
        Output {
            id: "o".into(),
            summary,
            model: model.into(),
            prompt_version: "v1".into(),
            input_hash: "0123456789abcdef".into(),
            asked: model.into(),
            tokens_in: 1_000,
            tokens_out: 200,
            latency_ms: 812,
            dropped: Vec::new(),
        }
    }

    fn shown(before: Option<&(Output, DateTime<Utc>)>, after: &Output) -> String {
        let mut text = Vec::new();
        show_difference(before, after, &mut text).unwrap();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn what_went_and_what_came_is_shown() {
        let written = Utc.with_ymd_and_hms(2026, 11, 24, 3, 9, 48).unwrap();
        let before = (output("llama", &["A leak.", "A slow query."], 0.5), written);
        let mut after = output("other", &["A slow query.", "A deploy."], 0.75);
        after.dropped = vec!["title \"5000 lost\" quotes 5000, which is in none of the facts".into()];
        let expected = "\
the summary of 2026-11-24 03:09:48 UTC
facts       0123456789ab (the same)
model       llama -> other
prompt      v1 (the same)
tokens      1000 in, 200 out (the same)
latency     812 ms (the same)
confidence  0.50 -> 0.75

title
  Pool exhausted

impact
- Orders fail, says llama.
+ Orders fail, says other.

likely causes
- A leak.
  A slow query.
+ A deploy.

not believed
+ title \"5000 lost\" quotes 5000, which is in none of the facts

they differ
";
        assert_eq!(shown(Some(&before), &after), expected);
        let same = shown(Some(&before), &before.0);
        assert!(same.ends_with("\nboth say the same\n") && !same.contains("\n- ") && !same.contains("\n+ "), "{same}");
    }

    #[test]
    fn without_a_summary_everything_is_new() {
        let text = shown(None, &output("llama", &["A leak."], 0.5));
        assert!(text.starts_with("the incident has no summary yet\n"), "{text}");
        assert!(text.contains("\n+ Pool exhausted\n") && text.contains("\n+ A leak.\n"), "{text}");
    }
}
