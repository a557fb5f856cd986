//! Serves whatever answers on a listener: a cap on connections, a bound on every wait, a graceful end.
//!
//! Every connection holds one slot. What a peer may do with its slot is bounded in time whatever it
//! does, because a slot held for nothing is what a stranger could take from everybody else:
//!
//! | the connection                                | may stay so for         | then           |
//! |-----------------------------------------------|-------------------------|----------------|
//! | is fresh, its first request head not complete | `first_request_timeout` | is cut         |
//! | idles, or sends its next request head         | `header_timeout`        | is closed      |
//! | the same, while hardly a slot is free         | `first_request_timeout` | is closed      |
//! | owes the rest of a body and sends nothing     | `io_timeout`            | is cut         |
//! | does not take what it is sent                 | `io_timeout`            | is cut         |
//! | has a request under way, body included        | `request_timeout`       | is cut         |
//!
//! When every slot is taken nothing is accepted: newcomers wait in the kernel's backlog, where they
//! cost no descriptor, no memory and no work of ours, and are served as slots come free. Accepting
//! them only to answer 503 would spend all three on whoever is flooding us, would need a parser
//! for what they speak, and would turn a peak of a second into errors.

mod body;
mod connection;
mod limits;
mod listener;
mod orders;
mod pulse;
mod signals;
#[cfg(test)]
mod tests;
pub mod tls;

pub use limits::{Limits, allowed_connections};
pub use listener::bind;
pub use signals::{Hangup, shutdown_signal};

use std::io::{Error, ErrorKind};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, warn};

use crate::http::Answers;
use connection::Service;
use tls::Tls;

/// How long to leave a failing listener alone: at first, and at most.
const ACCEPT_PAUSE: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// How often to say that every slot is taken, while that goes on.
const CROWDED_NEWS: Duration = Duration::from_mins(1);

/// How long `run` waits for connections it has cut to let go of what they hold.
const LETTING_GO: Duration = Duration::from_secs(1);

/// How a server ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "connections may have been cut"]
pub struct Drained {
    /// Connections still busy when [`Limits::drain`] had passed, and so cut: 0 is a clean end.
    pub left: usize,
}

/// Serves what `answers` to `listener`, over HTTP/1.1 and over HTTP/2 with prior knowledge, until
/// `shutdown` completes; then stops accepting, lets requests under way finish, and returns.
///
/// At `shutdown` the listener closes and idle connections end at once; the others end after the
/// answer they are at. Those that have not when [`Limits::drain`] has passed are cut, and counted
/// in [`Drained::left`]. Dropping the future instead cuts every connection.
///
/// There is no error to return: one that concerns a single connection ends that connection, and
/// when accepting itself fails (out of descriptors, say) it is logged and tried again.
pub async fn run(
    listener: TcpListener,
    answers: impl Answers,
    limits: Limits,
    shutdown: impl Future<Output = ()>,
) -> Drained {
    run_behind(listener, None, answers, limits, shutdown).await
}

/// The same over TLS, unless `tls` is `None`; by ALPN a client chooses between HTTP/2 and HTTP/1.1.
///
/// The handshake counts as part of a connection's first request, whose deadline it shares.
pub async fn run_behind(
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    answers: impl Answers,
    limits: Limits,
    shutdown: impl Future<Output = ()>,
) -> Drained {
    let limits = limits.within_bounds();
    let cap = limits.max_connections;
    let slots = Arc::new(Semaphore::new(cap));
    let service = Arc::new(Service::new(answers, limits, Arc::clone(&slots)));
    // A message asks every connection to finish; the sender's end, however it comes, cuts them.
    let (closing, _) = watch::channel(());

    let mut shutdown = pin!(shutdown);
    let mut told = None;
    loop {
        let (slot, stream, peer) = tokio::select! {
            biased;
            () = &mut shutdown => break,
            newcomer = admit(&listener, &slots, &mut told) => newcomer,
        };
        let newcomer = Newcomer {
            stream,
            peer,
            accepted: Instant::now(),
            service: Arc::clone(&service),
            closing: closing.subscribe(),
            _slot: slot,
        };
        // Two tasks rather than one for both: it is as large as the larger, and memory is
        // multiplied by connections.
        match &tls {
            None => tokio::spawn(newcomer.serve()),
            Some(tls) => tokio::spawn(newcomer.serve_behind(Arc::clone(tls))),
        };
    }
    drop(listener);
    closing.send_replace(());

    // All slots in hand: every connection has ended.
    let all = u32::try_from(cap).expect("`within_bounds` caps the cap");
    let _ = timeout(limits.drain, slots.acquire_many(all)).await;
    let left = cap - slots.available_permits();
    drop(closing);
    // They end at their next poll. One whose handler blocks its thread never gets there.
    let _ = timeout(LETTING_GO, slots.acquire_many(all)).await;
    Drained { left }
}

/// A connection that was accepted.
struct Newcomer<A> {
    stream: TcpStream,
    peer: SocketAddr,
    accepted: Instant,
    service: Arc<Service<A>>,
    closing: watch::Receiver<()>,
    _slot: OwnedSemaphorePermit,
}

impl<A: Answers> Newcomer<A> {
    async fn serve(self) {
        let told = (self.peer, self.accepted);
        connection::serve(self.stream, told, &self.service, self.closing).await;
    }

    async fn serve_behind(mut self, tls: Arc<Tls>) {
        let patience = self.service.first_request_timeout();
        let stream = tokio::select! {
            biased;
            stream = tls.shake_hands(self.stream, patience) => stream,
            // It has asked for nothing yet.
            _ = self.closing.changed() => None,
        };
        drop(tls);
        if let Some(stream) = stream {
            let told = (self.peer, self.accepted);
            connection::serve(stream, told, &self.service, self.closing).await;
        }
    }
}

/// Waits for a free slot, then for a connection to put in it.
async fn admit(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
    told: &mut Option<Instant>,
) -> (OwnedSemaphorePermit, TcpStream, SocketAddr) {
    let now = Instant::now();
    if slots.available_permits() == 0 && told.is_none_or(|then| now - then >= CROWDED_NEWS) {
        // From outside this looks like a server that hangs.
        warn!("every connection slot is taken: newcomers wait for one to come free");
        *told = Some(now);
    }
    let slot = Arc::clone(slots)
        .acquire_owned()
        .await
        .expect("nobody closes the semaphore");
    let (mut pause, longest) = ACCEPT_PAUSE;
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                // Answers are written whole: there is nothing to gather and so nothing to wait for.
                // It fails only when the peer has already gone.
                let _ = stream.set_nodelay(true);
                return (slot, stream, peer);
            }
            Err(error) if is_the_peers_doing(&error) => debug!(%error, "a connection went away"),
            Err(error) => {
                // Most likely out of descriptors. The connection stays in the backlog, so asking
                // again at once would fail at once: a busy loop.
                warn!(%error, retry_in = ?pause, "cannot accept connections");
                sleep(pause).await;
                pause = (pause * 2).min(longest);
            }
        }
    }
}

/// Whether accepting failed for that one connection, and the next may well succeed.
fn is_the_peers_doing(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted
            | ErrorKind::ConnectionRefused
            | ErrorKind::ConnectionReset
            | ErrorKind::Interrupted
            | ErrorKind::TimedOut
    )
}
