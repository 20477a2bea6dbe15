//! A terminal of a given size, with a program in it.

use std::io::{Read, Write};
use std::num::NonZero;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A running program, and what its terminal shows. Dropping the value ends the program.
pub struct Screen {
    child: Child,
    terminal: Arc<Mutex<vt100::Parser>>,
}

impl Screen {
    /// Starts a program. Its arguments must not contain spaces.
    pub fn start(columns: u16, rows: u16, program: &Path, arguments: &str) -> Self {
        // `script` gives it a terminal, `stty` the size.
        let command = format!("stty cols {columns} rows {rows}; exec {} {arguments}", program.display());
        let mut child = Command::new("script")
            .args(["--quiet", "--flush", "--return", "--command", &command, "/dev/null"])
            .env("TERM", "xterm-256color")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("script(1) of util-linux");
        let mut output = child.stdout.take().unwrap();
        let terminal =
            Arc::new(Mutex::new(vt100::Parser::new(NonZero::new(rows).unwrap(), NonZero::new(columns).unwrap(), 0)));
        let shown = Arc::clone(&terminal);
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = output.read(&mut bytes) {
                shown.lock().unwrap().process(&bytes[..count]);
            }
        });
        Self { child, terminal }
    }

    /// Presses keys.
    pub fn press(&mut self, keys: &str) {
        self.child.stdin.as_mut().unwrap().write_all(keys.as_bytes()).unwrap();
    }

    /// The lines on the screen, as soon as they fulfil a condition.
    pub fn wait(&self, what: &str, is_there: impl Fn(&str) -> bool) -> String {
        let end = Instant::now() + Duration::from_secs(20);
        loop {
            let contents = self.terminal.lock().unwrap().screen().contents();
            if is_there(&contents) {
                return contents;
            }
            assert!(Instant::now() < end, "{what}:\n{contents}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The exit status of the program, once it has ended.
    pub fn status(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // That fails only if it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
