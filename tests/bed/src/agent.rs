//! The host's end of a machine's agent: commands and files over a virtio-serial port, which work
//! whatever a test does to the network. What goes over it: image/guest/vmagent.py.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::limits::AGENT_SILENCE_S;
use crate::place::Output;
use crate::wait::seconds;

type Answer = Result<Output, String>;
/// Who waits for which answer. `None` once the connection has ended.
type Waiting = Arc<Mutex<Option<HashMap<u64, Sender<Answer>>>>>;

/// One connection to an agent; answers are matched to requests by number.
#[derive(Debug)]
pub(crate) struct Agent {
    stream: Mutex<UnixStream>,
    waiting: Waiting,
    next: AtomicU64,
}

/// An answer that is still to come.
pub(crate) struct Pending {
    answer: Receiver<Answer>,
    waiting: Waiting,
    id: u64,
}

impl Agent {
    pub(crate) fn connect(socket: &Path) -> Result<Agent> {
        let mut stream = UnixStream::connect(socket)?;
        // Ends what an earlier connection may have left half sent.
        stream.write_all(b"\n")?;
        let waiting: Waiting = Arc::new(Mutex::new(Some(HashMap::new())));
        let (reader, answers) = (stream.try_clone()?, Arc::clone(&waiting));
        std::thread::Builder::new()
            .name("agent".to_owned())
            .spawn(move || listen(reader, &answers))?;
        Ok(Agent {
            stream: Mutex::new(stream),
            waiting,
            next: AtomicU64::new(1),
        })
    }

    /// Runs a command; `stdin` names a file of the machine's that the agent removes.
    pub(crate) fn run(&self, script: &str, stdin: Option<&str>, limit: Duration) -> Result<Output> {
        let mut arguments = vec![script.as_bytes()];
        arguments.extend(stdin.map(str::as_bytes));
        self.send("run", &arguments, limit)?
            .wait(limit + seconds(AGENT_SILENCE_S))
    }

    /// Sends a request. `limit` is how long the agent lets a command run.
    pub(crate) fn send(&self, op: &str, arguments: &[&[u8]], limit: Duration) -> Result<Pending> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, answer) = channel();
        match lock(&self.waiting).as_mut() {
            Some(waiting) => drop(waiting.insert(id, sender)),
            None => bail!("the machine is off"),
        }
        let mut line = format!("{id} {} {op}", limit.as_secs_f32());
        for argument in arguments {
            line.push(' ');
            BASE64.encode_string(argument, &mut line);
        }
        line.push('\n');
        lock(&self.stream)
            .write_all(line.as_bytes())
            .context("the machine went off")?;
        Ok(Pending {
            answer,
            waiting: Arc::clone(&self.waiting),
            id,
        })
    }

    /// Ends the connection; all who wait for an answer are told.
    pub(crate) fn close(&self) {
        // Not by way of the lock: a writer may hold it, stuck at a machine that doesn't read.
        *lock(&self.waiting) = None;
        let _ = self.shutdown();
    }

    fn shutdown(&self) -> std::io::Result<()> {
        match self.stream.try_lock() {
            Ok(stream) => stream.shutdown(Shutdown::Both),
            // QEMU closes its end as it goes, and that frees the writer.
            Err(_) => Ok(()),
        }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.close();
    }
}

impl Pending {
    /// The answer, or an error if there is none within `limit`.
    pub(crate) fn wait(self, limit: Duration) -> Result<Output> {
        match self.answer.recv_timeout(limit) {
            Ok(answer) => answer.map_err(|message| anyhow::anyhow!("the agent failed: {message}")),
            Err(RecvTimeoutError::Disconnected) => bail!("the machine went off"),
            Err(RecvTimeoutError::Timeout) => {
                bail!(
                    "no answer of the machine's agent in {} s",
                    limit.as_secs_f32()
                )
            }
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if let Some(waiting) = lock(&self.waiting).as_mut() {
            waiting.remove(&self.id);
        }
    }
}

fn listen(stream: UnixStream, waiting: &Waiting) {
    let mut reader = BufReader::new(stream);
    let mut line = Vec::new();
    while reader
        .read_until(b'\n', &mut line)
        .is_ok_and(|count| count > 0)
    {
        // A line that can't be read was cut short by a reconnect; who waits for it asks again.
        if let Some((id, answer)) = parse(&line) {
            let sender = lock(waiting)
                .as_mut()
                .and_then(|waiting| waiting.remove(&id));
            if let Some(sender) = sender {
                let _ = sender.send(answer);
            }
        }
        line.clear();
    }
    *lock(waiting) = None;
}

fn parse(line: &[u8]) -> Option<(u64, Answer)> {
    let mut words = std::str::from_utf8(line).ok()?.split_ascii_whitespace();
    let id = words.next()?.parse().ok()?;
    let status = words.next()?;
    let (stdout, stderr) = (bytes(words.next()?)?, bytes(words.next()?)?);
    if status == "!" {
        return Some((id, Err(String::from_utf8_lossy(&stdout).into_owned())));
    }
    let status = status.parse().ok()?;
    Some((
        id,
        Ok(Output {
            status,
            stdout,
            stderr,
        }),
    ))
}

fn bytes(word: &str) -> Option<Vec<u8>> {
    if word == "-" {
        Some(Vec::new())
    } else {
        BASE64.decode(word).ok()
    }
}

/// The lock; a thread that panicked with it has left nothing half done in here.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_answer_has_both_outputs_apart() {
        let (id, answer) = parse(b"7 3 b3V0 ZXJy\n").unwrap();
        let expected = Output {
            status: 3,
            stdout: b"out".to_vec(),
            stderr: b"err".to_vec(),
        };
        assert_eq!((id, answer), (7, Ok(expected)));
    }

    #[test]
    fn nothing_is_a_dash_and_failure_an_exclamation_mark() {
        let (_, answer) = parse(b"1 0 - -\n").unwrap();
        assert_eq!(answer.unwrap().stdout, b"");
        assert_eq!(parse(b"1 ! bm8= -\n").unwrap().1, Err("no".to_owned()));
    }

    #[test]
    fn a_line_cut_short_is_no_answer() {
        for line in [
            "",
            "\n",
            "7",
            "7 0",
            "7 0 b3V0",
            "7 x - -",
            "x 0 - -",
            "7 0 b3V -",
        ] {
            assert!(parse(line.as_bytes()).is_none(), "{line:?}");
        }
    }
}
