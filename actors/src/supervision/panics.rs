//! What a panic said. The message is known only inside the panic hook, the actor that dies of it is told later.

use std::cell::{Cell, RefCell};
use std::panic::PanicHookInfo;
use std::sync::Once;
use std::time::{Duration, Instant};

/// On a thread of actors, so long between two reports of the hook before ours: it may print a backtrace, which costs
/// milliseconds, and a poison fingerprint panics again and again. Each death is logged by the parent in any case.
const REPORT_EVERY: Duration = Duration::from_secs(1);

thread_local! {
    static LAST: RefCell<Option<String>> = const { RefCell::new(None) };
    /// Whether actors of this thread have told their parents of a death.
    static HAS_ACTORS: Cell<bool> = const { Cell::new(false) };
    static REPORTED: Cell<Option<Instant>> = const { Cell::new(None) };
}

static HOOK: Once = Once::new();

/// Makes panics leave their message for [`last_message`], besides what the hook before did. Can be called again.
pub fn install_hook() {
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if is_report_due() {
                before(info);
            }
            LAST.with_borrow_mut(|last| *last = Some(words(info)));
        }));
    });
}

fn is_report_due() -> bool {
    let is_due = !HAS_ACTORS.get() || REPORTED.get().is_none_or(|at| at.elapsed() >= REPORT_EVERY);
    if is_due {
        REPORTED.set(Some(Instant::now()));
    }
    is_due
}

fn words(info: &PanicHookInfo<'_>) -> String {
    let message = info.payload_as_str().unwrap_or("a panic without words");
    info.location().map_or_else(|| message.to_owned(), |at| format!("{message} ({}:{})", at.file(), at.line()))
}

/// Takes the message of this thread's last panic, and the place in the source that it came from.
pub fn last_message() -> String {
    HAS_ACTORS.set(true);
    LAST.with_borrow_mut(Option::take).unwrap_or_else(|| "a panic without words".to_owned())
}
