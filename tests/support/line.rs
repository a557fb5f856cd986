//! A line to the database that can be cut: bytes stop on their way, and nobody is told.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use url::Url;

/// A line between one node and its database.
pub struct Line {
    route: watch::Sender<Route>,
    /// The database's URL by way of this line.
    pub url: String,
}

/// Where the line leads to, and whether it does.
#[derive(Clone)]
struct Route {
    to: (String, u16),
    /// How often it was led elsewhere: what was connected before is cut for good.
    moves: u32,
    whole: bool,
}

impl Line {
    /// A whole line to the database of this URL.
    pub async fn to(url: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let SocketAddr::V4(address) = listener.local_addr().unwrap() else {
            unreachable!("it was bound to an IPv4 address")
        };
        let mut by_line = Url::parse(url).unwrap();
        by_line.set_host(Some(&address.ip().to_string())).unwrap();
        by_line.set_port(Some(address.port())).unwrap();
        let (route, look) = watch::channel(Route {
            to: server_of(url),
            moves: 0,
            whole: true,
        });
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let look = look.clone();
                let Route { to, moves, .. } = look.borrow().clone();
                tokio::spawn(async move {
                    // Nobody there: whoever called hears that the line is dead.
                    let Ok(far) = TcpStream::connect(to).await else {
                        return;
                    };
                    let (near, far) = (near.into_split(), far.into_split());
                    tokio::join!(
                        carry(near.0, far.1, look.clone(), moves),
                        carry(far.0, near.1, look, moves)
                    );
                });
            }
        });
        Self {
            route,
            url: by_line.into(),
        }
    }

    /// From here on nothing passes.
    pub fn cut(&self) {
        self.route.send_modify(|route| route.whole = false);
    }

    /// What was held up passes, and everything after it.
    pub fn mend(&self) {
        self.route.send_modify(|route| route.whole = true);
    }

    /// Leads to another server from here on, as an address that moves. What is connected to the one
    /// before hears nothing any more, and is not told.
    pub fn lead_to(&self, url: &str) {
        self.route.send_modify(|route| {
            route.to = server_of(url);
            route.moves += 1;
            route.whole = true;
        });
    }
}

fn server_of(url: &str) -> (String, u16) {
    let url = Url::parse(url).unwrap();
    let host = url.host_str().unwrap().to_owned();
    (host, url.port().unwrap_or(5432))
}

async fn carry(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut route: watch::Receiver<Route>,
    moves: u32,
) {
    let mut buffer = [0; 8192];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        let passes = |route: &Route| route.whole && route.moves == moves;
        if route.wait_for(passes).await.is_err() {
            return;
        }
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
