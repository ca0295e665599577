//! The progress bar on standard error; nothing where that is no terminal.

use crate::client::Progress;
use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use std::convert::Infallible;
use std::future::Future;
use std::time::Duration;
use tokio::time::{Instant, interval};

const REFRESH: Duration = Duration::from_millis(200);

/// Shows how far the work is, until it is done. `duration` is how long the sending is to last, if that is known.
pub(crate) async fn with_bar<T>(work: impl Future<Output = T>, progress: &Progress, duration: Option<Duration>) -> T {
    let bar = match duration {
        Some(duration) => ProgressBar::new(millis(duration)).with_style(style("{bar:40} {percent:>3} %  {msg}")),
        None => ProgressBar::new_spinner().with_style(style("{spinner} {elapsed}  {msg}")),
    };
    let done = tokio::select! {
        done = work => done,
        never = refresh(&bar, progress) => match never {},
    };
    bar.finish_and_clear();
    done
}

async fn refresh(bar: &ProgressBar, progress: &Progress) -> Infallible {
    let start = Instant::now();
    let mut interval = interval(REFRESH);
    loop {
        interval.tick().await;
        bar.set_position(millis(start.elapsed()).min(bar.length().unwrap_or(u64::MAX)));
        let (acknowledged, resent) = (HumanCount(progress.acknowledged()), HumanCount(progress.resent()));
        bar.set_message(format!("{acknowledged} acknowledged, {resent} sent again"));
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Shows what is being waited for, until the work is done.
pub(crate) async fn with_spinner<T>(work: impl Future<Output = T>, message: &'static str) -> T {
    let bar = ProgressBar::new_spinner().with_style(style("{spinner} {elapsed}  {msg}")).with_message(message);
    bar.enable_steady_tick(REFRESH);
    let done = work.await;
    bar.finish_and_clear();
    done
}
