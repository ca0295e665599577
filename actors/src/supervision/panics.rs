//! What a panic said. The message is known only inside the panic hook, the actor that dies of it is told later.

use std::cell::RefCell;
use std::sync::Once;

thread_local! {
    static LAST: RefCell<Option<String>> = const { RefCell::new(None) };
}

static HOOK: Once = Once::new();

/// Makes panics leave their message for [`last_message`], besides what the hook before did. Can be called again.
pub fn install_hook() {
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            before(info);
            let message = info.payload_as_str().unwrap_or("a panic without words").to_owned();
            LAST.with_borrow_mut(|last| *last = Some(message));
        }));
    });
}

/// Takes the message of this thread's last panic.
pub fn last_message() -> String {
    LAST.with_borrow_mut(Option::take).unwrap_or_else(|| "a panic without words".to_owned())
}
