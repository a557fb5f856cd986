//! Requests at a fixed pace, however long answers take: as clients send them that do not know of
//! each other. A wait is counted from the instant at which its request was to be sent, so that a
//! server that stalls is not asked less meanwhile.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};

use super::Failure;
use super::load::{Connection, unexpected};
use super::spread::percentile;

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
    /// Whether these threads come before all others of this machine: what is measured is then
    /// what clients elsewhere would wait for, and not how the load generator and the server share
    /// processors. Needs a system that allows it; see [`may_come_first`].
    pub foremost: bool,
}

/// Clients whose connections are open, each in a runtime of its own.
pub struct Clients {
    pace: Pace,
    open: Vec<(Runtime, Connection)>,
}

/// How long each answer took.
pub struct Kept {
    /// Beside when its request was to be sent, from the begin on.
    waits: Vec<(Duration, Duration)>,
}

/// How much later than now something begins, that all its threads are there by then.
const LEAD: Duration = Duration::from_millis(50);

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
    pub async fn keep(&self, stop: Stop) -> Result<Kept, Failure> {
        self.clients().await?.keep(soon(), stop).await
    }

    /// Opens the connections.
    pub async fn clients(&self) -> Result<Clients, Failure> {
        let pace = self.clone();
        let open = move || {
            let each = |_| {
                let runtime = Builder::new_current_thread().enable_io().build()?;
                let connection = runtime.block_on(Connection::open(pace.address))?;
                Ok((runtime, connection))
            };
            let open: Result<Vec<_>, Failure> = (0..pace.connections).map(each).collect();
            Ok(Clients { open: open?, pace })
        };
        tokio::task::spawn_blocking(open).await?
    }

    fn on_one(
        &self,
        own: u32,
        (runtime, mut connection): (Runtime, Connection),
        begin: Instant,
        stop: &Stop,
    ) -> Result<Vec<(Duration, Duration)>, Failure> {
        if self.foremost {
            // Where the system refuses, the bench has said so.
            come_first();
        }
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
            let due = begin + intended;
            thread::sleep(due.saturating_duration_since(Instant::now()));
            let request = &self.requests[number as usize % self.requests.len()];
            let answer = runtime.block_on(connection.ask(request))?;
            if !self.statuses.contains(&answer.status) {
                return Err(unexpected(&answer).into());
            }
            waits.push((intended, due.elapsed()));
        }
        Ok(waits)
    }
}

impl Clients {
    /// Keeps the pace from then on until it is to stop.
    pub async fn keep(self, begin: Instant, stop: Stop) -> Result<Kept, Failure> {
        tokio::task::spawn_blocking(move || self.on_threads(begin, &stop)).await?
    }

    fn on_threads(self, begin: Instant, stop: &Stop) -> Result<Kept, Failure> {
        let pace = &self.pace;
        thread::scope(|scope| {
            let each =
                |(number, client)| scope.spawn(move || pace.on_one(number, client, begin, stop));
            let threads: Vec<_> = (0..).zip(self.open).map(each).collect();
            let mut waits = Vec::new();
            for thread in threads {
                let own = thread.join().map_err(|_| "a client panicked")??;
                waits.extend(own);
            }
            Ok(Kept { waits })
        })
    }
}

impl Kept {
    /// The wait that so many percent did not exceed.
    pub fn percentile(&self, percent: usize) -> Duration {
        let mut waits: Vec<_> = self.waits.iter().map(|(_, wait)| *wait).collect();
        percentile(&mut waits, percent)
    }

    /// The longest wait of those that were to be sent so soon after the begin.
    pub fn longest_within(&self, span: Duration) -> Duration {
        let within = self.waits.iter().filter(|(sent, _)| *sent < span);
        within.map(|(_, wait)| *wait).max().unwrap_or_default()
    }
}

/// When something begins for which everything is ready but its threads.
pub fn soon() -> Instant {
    Instant::now() + LEAD
}

/// Whether this system lets threads come before others, as Linux does those of root.
pub fn may_come_first() -> bool {
    thread::spawn(come_first).join().unwrap_or(false)
}

#[cfg(target_os = "linux")]
fn come_first() -> bool {
    use thread_priority::ThreadPriority;
    use thread_priority::unix::{
        RealtimeThreadSchedulePolicy, ThreadSchedulePolicy, set_thread_priority_and_policy,
        thread_native_id,
    };
    let fifo = ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::Fifo);
    set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, fifo).is_ok()
}

#[cfg(not(target_os = "linux"))]
fn come_first() -> bool {
    false
}
