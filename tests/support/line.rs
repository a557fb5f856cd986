//! A line to the database that can be cut: bytes stop on their way, and nobody is told.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use url::Url;

/// A line between one node and its database.
pub struct Line {
    whole: watch::Sender<bool>,
    /// The database's URL by way of this line.
    pub url: String,
}

impl Line {
    /// A whole line to the database of this URL.
    pub async fn to(url: &str) -> Self {
        let mut url = Url::parse(url).unwrap();
        let host = url.host_str().unwrap().to_owned();
        let database = (host, url.port().unwrap_or(5432));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let SocketAddr::V4(address) = listener.local_addr().unwrap() else {
            unreachable!("it was bound to an IPv4 address")
        };
        url.set_host(Some(&address.ip().to_string())).unwrap();
        url.set_port(Some(address.port())).unwrap();
        let (whole, look) = watch::channel(true);
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let (database, look) = (database.clone(), look.clone());
                tokio::spawn(async move {
                    let far = TcpStream::connect(database).await.unwrap();
                    let (near, far) = (near.into_split(), far.into_split());
                    tokio::join!(
                        carry(near.0, far.1, look.clone()),
                        carry(far.0, near.1, look)
                    );
                });
            }
        });
        Self {
            whole,
            url: url.into(),
        }
    }

    /// From here on nothing passes.
    pub fn cut(&self) {
        self.whole.send_replace(false);
    }

    /// What was held up passes, and everything after it.
    pub fn mend(&self) {
        self.whole.send_replace(true);
    }
}

async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut whole: watch::Receiver<bool>) {
    let mut buffer = [0; 8192];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        if whole.wait_for(|whole| *whole).await.is_err() {
            return;
        }
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
