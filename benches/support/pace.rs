//! Requests at a fixed pace, however long answers take: as clients send them that do not know of
//! each other. A wait is counted from the instant at which its request was to be sent, so that a
//! server that stalls is not asked less meanwhile.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::Builder;

use super::Failure;
use super::load::{Connection, Outcome, unexpected};

/// Requests to one server, at a pace.
#[derive(Clone)]
pub struct Pace {
    /// The server.
    pub address: SocketAddr,
    /// Whole requests, sent in turn.
    pub requests: Arc<Vec<Vec<u8>>>,
    /// Which statuses answers may have.
    pub statuses: &'static [u16],
    /// How many in a second.
    pub per_second: f64,
    /// Over how many connections. Each waits on a thread of its own: a runtime's timers are no
    /// finer than what is measured.
    pub connections: u32,
}

/// When a pace ends.
#[derive(Clone)]
pub enum Stop {
    /// After so long.
    After(Duration),
    /// When somebody says so.
    When(Arc<AtomicBool>),
}

impl Pace {
    /// Keeps the pace until it is to stop.
    pub async fn keep(&self, stop: Stop) -> Result<Outcome, Failure> {
        let pace = self.clone();
        tokio::task::spawn_blocking(move || pace.on_threads(&stop)).await?
    }

    fn on_threads(&self, stop: &Stop) -> Result<Outcome, Failure> {
        let began = Instant::now();
        let waits = thread::scope(|scope| {
            let each = |number| scope.spawn(move || self.on_one(number, began, stop));
            let threads: Vec<_> = (0..self.connections).map(each).collect();
            let mut waits = Vec::new();
            for thread in threads {
                let own = thread.join().map_err(|_| "a client panicked")??;
                waits.extend(own);
            }
            Ok::<_, Failure>(waits)
        })?;
        Ok(Outcome {
            took: began.elapsed(),
            waits,
        })
    }

    fn on_one(&self, own: u32, began: Instant, stop: &Stop) -> Result<Vec<Duration>, Failure> {
        let runtime = Builder::new_current_thread().enable_io().build()?;
        let mut connection = runtime.block_on(Connection::open(self.address))?;
        let mut waits = Vec::new();
        for turn in 0.. {
            let number = turn * self.connections + own;
            let intended = Duration::from_secs_f64(f64::from(number) / self.per_second);
            let over = match stop {
                Stop::After(span) => intended >= *span,
                Stop::When(said) => said.load(Ordering::Relaxed),
            };
            if over {
                break;
            }
            let intended = began + intended;
            thread::sleep(intended.saturating_duration_since(Instant::now()));
            let request = &self.requests[number as usize % self.requests.len()];
            let answer = runtime.block_on(connection.ask(request))?;
            if !self.statuses.contains(&answer.status) {
                return Err(unexpected(&answer).into());
            }
            waits.push(intended.elapsed());
        }
        Ok(waits)
    }
}
