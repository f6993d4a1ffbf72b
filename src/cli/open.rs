//! Shows a page in the user's browser.

use std::path::Path;
use std::process::{Command, Stdio};

/// Programs that know which browser is the user's: freedesktop's and macOS's.
const OPENERS: [&str; 2] = ["xdg-open", "open"];

/// Hands a page to `$BROWSER`, or to whatever opens pages here; where nothing does, says where it is.
pub fn page(page: &Path) {
    let named = std::env::var_os("BROWSER").filter(|named| !named.is_empty());
    let mut openers = named.into_iter().chain(OPENERS.map(Into::into));
    let opened = openers.any(|opener| {
        // Nobody waits for it: it may live as long as its window.
        let mut command = Command::new(opener);
        command.arg(page).stdin(Stdio::null());
        let command = command.stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().is_ok()
    });
    if !opened {
        let shown = page.display();
        eprintln!("hint: nothing opens pages here (set BROWSER); look at {shown}");
    }
}
