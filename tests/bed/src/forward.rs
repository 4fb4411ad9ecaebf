//! Ports of a machine on 127.0.0.1 of this one.

use std::fs::File;
use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};

use anyhow::Result;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::agent::lock;
use crate::limits::CONNECT_LIMIT_S;
use crate::wait::seconds;

/// A listener that passes connections on into a network namespace, until dropped.
#[derive(Debug)]
pub(crate) struct Forward {
    shared: Arc<Shared>,
    address: SocketAddr,
}

#[derive(Debug)]
struct Shared {
    network: PathBuf,
    target: SocketAddr,
    ended: AtomicBool,
    /// Sockets in use. One left open would keep the namespace alive.
    open: Mutex<Vec<Weak<TcpStream>>>,
}

impl Forward {
    /// Passes connections to a free port of this machine on to `target` in the namespace.
    pub(crate) fn start(network: PathBuf, target: SocketAddr) -> Result<Forward> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let address = listener.local_addr()?;
        let open = Mutex::new(Vec::new());
        let shared = Arc::new(Shared {
            network,
            target,
            ended: AtomicBool::new(false),
            open,
        });
        let serving = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("forward".to_owned())
            .spawn(move || serve(&listener, &serving))?;
        Ok(Forward { shared, address })
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts.
        drop(TcpStream::connect(self.address));
        for stream in lock(&self.shared.open)
            .drain(..)
            .filter_map(|stream| stream.upgrade())
        {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn serve(listener: &TcpListener, shared: &Arc<Shared>) {
    for client in listener.incoming().map_while(Result::ok) {
        if shared.ended.load(Ordering::SeqCst) {
            return;
        }
        let shared = Arc::clone(shared);
        // A client whose thread can't start sees its connection closed.
        let _ = std::thread::Builder::new().spawn(move || join(client, &shared));
    }
}

/// Carries bytes both ways until both sides have ended. A client that can't be passed on sees
/// its connection closed.
fn join(client: TcpStream, shared: &Shared) {
    // This thread alone enters the namespace; the socket it makes there stays there.
    let server = connect(&shared.network, shared.target);
    let Ok(server) = server else { return };
    let (client, server) = (Arc::new(client), Arc::new(server));
    {
        let mut open = lock(&shared.open);
        open.retain(|stream| stream.strong_count() > 0);
        open.extend([Arc::downgrade(&client), Arc::downgrade(&server)]);
        if shared.ended.load(Ordering::SeqCst) {
            return;
        }
    }
    let (from, to) = (Arc::clone(&server), Arc::clone(&client));
    let back = std::thread::Builder::new().spawn(move || pump(&from, &to));
    pump(&client, &server);
    if let Ok(back) = back {
        let _ = back.join();
    }
}

fn pump(mut from: &TcpStream, mut to: &TcpStream) {
    // How a stream ended, by an error or in order, is passed on as its end.
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
}

fn connect(network: &Path, target: SocketAddr) -> io::Result<TcpStream> {
    let network = File::open(network)?;
    move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network))?;
    TcpStream::connect_timeout(&target, seconds(CONNECT_LIMIT_S))
}
