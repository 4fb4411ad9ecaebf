//! A link that can fail: passes bytes on, until told to hang or to break.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Way {
    Open,
    /// Connections stand and nothing passes; new ones are taken and not answered.
    Hangs,
    /// Connections are cut and new ones closed at once.
    Broken,
}

pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    way: watch::Sender<Way>,
}

impl Proxy {
    pub(crate) async fn to(target: SocketAddr) -> Self {
        Self::with_delay(target, Duration::ZERO).await
    }

    /// A link that nobody prefers: half a tenth of a second each way.
    pub(crate) async fn slow_to(target: SocketAddr) -> Self {
        Self::with_delay(target, Duration::from_millis(50)).await
    }

    async fn with_delay(target: SocketAddr, delay: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let way = watch::Sender::new(Way::Open);
        let seen = way.clone();
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(pass(near, target, seen.subscribe(), delay));
            }
        });
        Self { address, way }
    }

    pub(crate) fn set(&self, way: Way) {
        self.way.send_replace(way);
    }
}

async fn pass(near: TcpStream, target: SocketAddr, mut way: watch::Receiver<Way>, delay: Duration) {
    if *way.borrow() == Way::Broken {
        return;
    }
    let Ok(far) = TcpStream::connect(target).await else {
        return;
    };
    let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
    let there = tokio::spawn(copy(near_in, far_out, way.clone(), delay));
    let back = tokio::spawn(copy(far_in, near_out, way.clone(), delay));
    tokio::select! {
        _ = way.wait_for(|way| *way == Way::Broken) => {}
        _ = async { (there.await, back.await) } => {}
    }
}

async fn copy(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    mut way: watch::Receiver<Way>,
    delay: Duration,
) {
    let mut bytes = vec![0; 16 * 1024];
    loop {
        if way.wait_for(|way| *way != Way::Hangs).await.is_err() || *way.borrow() == Way::Broken {
            return;
        }
        let read = tokio::select! {
            read = from.read(&mut bytes) => read,
            _ = way.changed() => continue,
        };
        let Ok(read @ 1..) = read else { return };
        tokio::time::sleep(delay).await;
        // What was read just before it hung doesn't get through either, until it opens.
        if way.wait_for(|way| *way != Way::Hangs).await.is_err() || *way.borrow() == Way::Broken {
            return;
        }
        if to.write_all(&bytes[..read]).await.is_err() {
            return;
        }
    }
}
