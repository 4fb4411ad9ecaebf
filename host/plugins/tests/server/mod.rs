//! A device that a test plays: HTTP on a port of this machine, a thread a connection.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

/// A request that came in.
#[derive(Debug, Clone)]
pub struct Seen {
    pub line: String,
    pub authorization: String,
    pub body: String,
}

#[derive(Default)]
struct Shared {
    seen: Mutex<Vec<Seen>>,
    off: AtomicBool,
    ended: AtomicBool,
    /// Connections that are open; they are cut when the server ends.
    open: Mutex<Vec<TcpStream>>,
}

/// The device; it ends when dropped.
pub struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::<Shared>::default();
        let state = Arc::clone(&shared);
        let thread = thread::spawn(move || {
            let mut served = Vec::new();
            for stream in listener.incoming() {
                if state.ended.load(Ordering::Acquire) {
                    break;
                }
                let (stream, state) = (stream.unwrap(), Arc::clone(&state));
                let twin = stream.try_clone().unwrap();
                state.open.lock().unwrap().push(twin);
                served.push(thread::spawn(move || serve(stream, &state)));
            }
            for thread in served {
                thread.join().unwrap();
            }
        });
        Self {
            address,
            shared,
            thread: Some(thread),
        }
    }

    /// `127.0.0.1:PORT`.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Release);
        for stream in self.shared.open.lock().unwrap().iter() {
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.address);
        let ended = self.thread.take().unwrap().join();
        assert!(ended.is_ok() || thread::panicking());
    }
}

/// Requests of one connection, until it ends.
fn serve(stream: TcpStream, state: &Shared) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut stream = stream;
    while let Some(seen) = request(&mut reader) {
        let path = seen.line.split(' ').nth(1).unwrap().to_owned();
        let posted = seen.line.starts_with("POST");
        state.seen.lock().unwrap().push(seen);
        if posted {
            state.off.store(true, Ordering::Release);
        }
        if answer(&mut stream, &path, state).is_err() {
            return;
        }
    }
}

/// Nothing at the connection's end.
fn request(reader: &mut impl BufRead) -> Option<Seen> {
    let mut line = String::new();
    let (mut authorization, mut length) = (String::new(), 0);
    if reader.read_line(&mut line).ok()? == 0 {
        return None;
    }
    let line = line.rsplit_once(' ')?.0.to_owned();
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let Some((name, value)) = header.trim_end().split_once(": ") else {
            break;
        };
        match name.to_ascii_lowercase().as_str() {
            "authorization" => authorization = value.to_owned(),
            "content-length" => length = value.parse().ok()?,
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Seen {
        line,
        authorization,
        body: String::from_utf8(body).ok()?,
    })
}

fn answer(stream: &mut TcpStream, path: &str, state: &Shared) -> std::io::Result<()> {
    if let Some(to) = path.strip_prefix("/redirect?") {
        let head = format!("HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n");
        return stream.write_all(head.as_bytes());
    }
    match path {
        // Until the other side has gone.
        "/endless" => {
            stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")?;
            let chunk = [b"10000\r\n".as_slice(), &[b'x'; 65_536], b"\r\n"].concat();
            loop {
                stream.write_all(&chunk)?;
            }
        }
        // The next read ends with the connection.
        "/silent" => Ok(()),
        _ => {
            let off = state.off.load(Ordering::Acquire);
            let word = if off { "off" } else { "on" };
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", word.len());
            stream.write_all(format!("{head}{word}").as_bytes())
        }
    }
}
