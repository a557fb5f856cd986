//! First uses of keys, as many at once as there are connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::Failure;
use super::child::Child;
use super::load::{Connection, unexpected};
use super::requests::{Key, exchanges};

/// How long a client that was put off waits before it comes again, as it is told.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Keys that are to be used for the first time, and connections that are open for it.
pub struct Renewal {
    requests: Arc<Vec<Vec<u8>>>,
    connections: Vec<Connection>,
}

/// First uses of keys, each until it succeeded.
pub struct Renewed {
    /// Seconds until all had.
    pub took: f64,
    /// How many in a second.
    pub rate: f64,
    /// How often a client was told to come again, and did.
    pub put_off: usize,
}

impl Renewal {
    /// Of these keys, over so many connections.
    pub async fn of(server: &Child, keys: &[Key], connections: usize) -> Result<Self, Failure> {
        let mut open = Vec::new();
        for _ in 0..connections.min(keys.len()) {
            open.push(Connection::open(server.address).await?);
        }
        Ok(Self {
            requests: Arc::new(exchanges(keys)),
            connections: open,
        })
    }

    /// Uses all the keys, the first of each connection in the same instant.
    pub async fn run(self, begin: Instant) -> Result<Renewed, Failure> {
        tokio::time::sleep_until(begin.into()).await;
        let (next, put_off) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let began = Instant::now();
        let mut clients = JoinSet::new();
        for mut connection in self.connections {
            let (requests, next) = (Arc::clone(&self.requests), Arc::clone(&next));
            let put_off = Arc::clone(&put_off);
            clients.spawn(async move {
                while let Some(request) = requests.get(next.fetch_add(1, Ordering::Relaxed)) {
                    loop {
                        let answer = connection.ask(request).await?;
                        match answer.status {
                            200 => break,
                            503 => put_off.fetch_add(1, Ordering::Relaxed),
                            _ => return Err(unexpected(&answer)),
                        };
                        tokio::time::sleep(RETRY_AFTER).await;
                    }
                }
                Ok(())
            });
        }
        while let Some(client) = clients.join_next().await {
            client??;
        }
        let took = began.elapsed().as_secs_f64();
        Ok(Renewed {
            took,
            rate: f64::from(u32::try_from(self.requests.len())?) / took,
            put_off: put_off.load(Ordering::Relaxed),
        })
    }
}
