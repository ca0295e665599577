//! A terminal that a program draws on, as a person sees it.

use crate::program::{Environment, command};
use crate::wait::eventually;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::process::{Child, ExitStatus};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Wide enough that no line of `signals top` is cut where a test looks.
const SIZE: Winsize = Winsize { ws_row: 40, ws_col: 220, ws_xpixel: 0, ws_ypixel: 0 };
const WITHIN: Duration = Duration::from_secs(60);

/// A program and its screen; killed when dropped.
pub struct Terminal {
    child: Child,
    keys: File,
    screen: Arc<Mutex<vt100::Parser>>,
}

impl Terminal {
    /// Starts `signals` with these arguments on a terminal of its own.
    pub fn start(arguments: &[&str], environment: &Environment) -> Self {
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&ours).unwrap();
        unlockpt(&ours).unwrap();
        let name = ptsname(&ours, Vec::new()).unwrap();
        let path = std::ffi::OsStr::from_bytes(name.as_bytes());
        let theirs = File::options().read(true).write(true).open(path).unwrap();
        tcsetwinsize(&theirs, SIZE).unwrap();
        let mut command = command(arguments, environment);
        command.env("TERM", "xterm-256color").stdin(theirs.try_clone().unwrap());
        let child = command.stdout(theirs.try_clone().unwrap()).stderr(theirs).spawn().unwrap();
        let [rows, columns] = [SIZE.ws_row, SIZE.ws_col].map(|size| size.try_into().unwrap());
        let screen = Arc::new(Mutex::new(vt100::Parser::new(rows, columns, 0)));
        let (keys, drawn) = (File::from(ours), Arc::clone(&screen));
        let mut output = keys.try_clone().unwrap();
        std::thread::spawn(move || {
            let mut bytes = [0; 4_096];
            // An error is the end: the program has closed its side.
            while let Ok(length @ 1..) = output.read(&mut bytes) {
                drawn.lock().unwrap().process(&bytes[..length]);
            }
        });
        Self { child, keys, screen }
    }

    /// What a person sees now.
    pub fn text(&self) -> String {
        self.screen.lock().unwrap().screen().contents()
    }

    /// Waits until all of these can be read on it; returns the screen.
    pub async fn shows(&self, wanted: &[&str]) -> String {
        eventually("the screen", WITHIN, async || {
            let text = self.text();
            match wanted.iter().find(|wanted| !text.contains(**wanted)) {
                None => Ok(text),
                Some(missing) => Err(format!("`{missing}` is not on\n{text}")),
            }
        })
        .await
    }

    pub fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    /// How the program ends by itself, and what it leaves on the screen.
    pub async fn ended(mut self) -> (ExitStatus, String) {
        let status = eventually("the end of the program", WITHIN, async || {
            self.child.try_wait().unwrap().ok_or_else(|| self.text())
        })
        .await;
        (status, self.text())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Both fail only for a program that has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
