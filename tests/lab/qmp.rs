//! QMP, the protocol in which QEMU takes orders: one JSON object per line (QEMU manual, "QEMU Machine Protocol").

use std::{
    io::{self, BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    path::Path,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use thiserror::Error;

/// QEMU answers at once; a loaded machine may keep it from doing so.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// How often a socket that is not there yet is tried.
const CONNECT_EVERY: Duration = Duration::from_millis(20);

#[derive(Debug, Error)]
pub enum QmpError {
    #[error("QMP: {0}")]
    Io(#[from] io::Error),
    #[error("QMP: not JSON: {0}")]
    Json(#[from] serde_json::Error),
    #[error("QMP: QEMU closed the connection")]
    Closed,
    #[error("QMP: {command} was refused: {reason}")]
    Refused { command: String, reason: String },
}

/// A connection on which QEMU takes commands.
#[derive(Debug)]
pub struct Qmp {
    stream: BufReader<UnixStream>,
}

impl Qmp {
    /// Connects as soon as QEMU listens on the socket `path`.
    pub fn connect(path: &Path, mut ended: impl FnMut() -> bool) -> Result<Qmp, QmpError> {
        let deadline = Instant::now() + ANSWER_TIMEOUT;
        let stream = loop {
            match UnixStream::connect(path) {
                Ok(stream) => break stream,
                Err(error) if ended() || Instant::now() >= deadline => return Err(error.into()),
                Err(_) => std::thread::sleep(CONNECT_EVERY),
            }
        };
        stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
        let mut qmp = Qmp { stream: BufReader::new(stream) };
        qmp.receive()?; // the greeting
        qmp.execute("qmp_capabilities", json!({}))?;
        Ok(qmp)
    }

    /// Has QEMU do something, and returns what it answers.
    pub fn execute(&mut self, command: &str, arguments: Value) -> Result<Value, QmpError> {
        let order = json!({ "execute": command, "arguments": arguments });
        writeln!(self.stream.get_mut(), "{order}")?;
        loop {
            let answer = self.receive()?;
            if let Some(result) = answer.get("return") {
                return Ok(result.clone());
            }
            if let Some(error) = answer.get("error") {
                let reason = error["desc"].as_str().unwrap_or("no reason given").to_owned();
                return Err(QmpError::Refused { command: command.to_owned(), reason });
            }
            // Anything else is an event: something happened, nobody asked.
        }
    }

    fn receive(&mut self) -> Result<Value, QmpError> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(QmpError::Closed);
        }
        Ok(serde_json::from_str(&line)?)
    }
}
