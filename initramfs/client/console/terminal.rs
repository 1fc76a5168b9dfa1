//! The machine's own screen: the kernel's first virtual console, taken over as a whole.

use std::{
    fs::{self, File, OpenOptions},
    io, thread,
    time::{Duration, Instant},
};

use crossterm::{cursor::Hide, execute, terminal::size};
use nix::unistd::{dup2_stderr, dup2_stdin, dup2_stdout};
use ratatui::{Terminal, backend::CrosstermBackend};

use super::{draw::draw, screen::Screen};

/// The first virtual console, which the kernel shows.
const CONSOLE: &str = "/dev/tty1";

/// Four pictures a second are as many as a person reads, and cost an old PC nothing.
pub const REDRAW_EVERY: Duration = Duration::from_millis(250);

/// Takes the console over and keeps it drawn until the machine leaves. A machine without a screen does without: the
/// thread ends, and the log says why.
pub fn run(screen: &Screen) {
    let screen = screen.clone();
    thread::spawn(move || {
        if let Err(error) = show(&screen) {
            tracing::warn!(%error, "no console to show anything on");
        }
    });
}

fn show(screen: &Screen) -> io::Result<()> {
    let mut terminal = take_over()?;
    loop {
        let shown = screen.shown();
        terminal.draw(|frame| draw(frame, &shown, Instant::now()))?;
        thread::sleep(REDRAW_EVERY);
    }
}

fn take_over() -> io::Result<Terminal<CrosstermBackend<File>>> {
    // The kernel would write across the picture. What it says stays in its own log; a panic (level 0) still shows.
    fs::write("/proc/sys/kernel/printk", "1")?;
    let mut console = OpenOptions::new().read(true).write(true).open(CONSOLE)?;
    // The size of a terminal is asked of the standard output.
    dup2_stdin(&console)?;
    dup2_stdout(&console)?;
    dup2_stderr(&console)?;
    tracing::debug!(size = ?size()?, "console taken over");
    execute!(console, Hide)?;
    let mut terminal = Terminal::new(CrosstermBackend::new(console))?;
    terminal.clear()?;
    Ok(terminal)
}
