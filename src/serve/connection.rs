//! One connection, from its first byte to its last.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::IntoResponse;
use hyper::body::{Body as _, Incoming};
use hyper::header::HOST;
use hyper::service::service_fn;
use hyper::{Request, StatusCode, Version};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Semaphore, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until};
use tokio_io_timeout::TimeoutWriter;
use tracing::debug;

use super::Limits;
use super::body::Arriving;
use super::orders::{Heard, Order, Orders};
use super::pulse::{Pulse, Verdict};
use crate::http::{Answers, Peer};

/// Requests one HTTP/2 connection may have under way.
const HTTP2_STREAMS: u32 = 100;

/// What an HTTP/2 peer may send ahead of a handler's reading, in bytes. For the connection as for
/// a stream, because it is connections that memory is multiplied by; request bodies are small.
const HTTP2_WINDOW: u32 = 64 * 1024;

/// Streams an HTTP/2 peer may open and reset before we have looked at them, and streams it may
/// make us reset; beyond, the connection is closed. This is what answers "rapid reset".
const HTTP2_RESETS: (usize, usize) = (20, 100);

/// How often an HTTP/2 peer is pinged, and how long it has for its answer: a peer that vanished
/// without a word is noticed, even when it is owed nothing.
const HTTP2_PING: (Duration, Duration) = (Duration::from_secs(20), Duration::from_secs(20));

/// What all connections share.
pub(super) struct Service<A> {
    answers: A,
    limits: Limits,
    http: Builder<TokioExecutor>,
    slots: Arc<Semaphore>,
}

impl<A: Answers> Service<A> {
    /// Shares `answers` under `limits`, which must be within bounds; `slots` tells how many
    /// connections can still be accepted.
    pub(super) fn new(answers: A, limits: Limits, slots: Arc<Semaphore>) -> Self {
        Self {
            answers,
            http: http(&limits),
            limits,
            slots,
        }
    }

    /// How long a connection may take until its first request's head is complete.
    pub(super) const fn first_request_timeout(&self) -> Duration {
        self.limits.first_request_timeout
    }

    /// Whether the accept loop has taken the last slot: none is free, or one at best.
    fn is_crowded(&self) -> bool {
        self.slots.available_permits() == 0
    }
}

/// Serves one connection of a peer, accepted then, until it ends, or its time is up. A message on
/// `closing` asks it to finish what it is doing; the end of `closing` cuts it.
pub(super) async fn serve<A: Answers>(
    stream: impl AsyncRead + AsyncWrite + Send + 'static,
    (peer, accepted): (SocketAddr, Instant),
    service: &Arc<Service<A>>,
    closing: watch::Receiver<()>,
) {
    let pulse = Pulse::new(accepted);
    let mut stream = TimeoutWriter::new(stream);
    stream.set_timeout(Some(service.limits.io_timeout));

    let answer = service_fn(|request: Request<Incoming>| {
        let turn = pulse.begin(Instant::now());
        let request = request.map(|incoming| {
            if incoming.is_end_stream() {
                Body::empty()
            } else {
                Body::new(Arriving::new(incoming, Arc::clone(&pulse)))
            }
        });
        let answer = names_its_host(&request).then(|| service.answers.answer(Peer(peer), request));
        async move {
            let answer = match answer {
                Some(answer) => answer.await,
                None => StatusCode::BAD_REQUEST.into_response(),
            };
            drop(turn);
            Ok::<_, Infallible>(answer)
        }
    });
    let io = TokioIo::new(Box::pin(stream));
    let mut connection = pin!(service.http.serve_connection(io, answer));
    let mut watched = Watched::by(peer, &pulse, service, closing);

    loop {
        let order = tokio::select! {
            biased;
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    // Names what was wrong with the bytes, never the bytes.
                    debug!(%peer, error, "connection failed");
                }
                return;
            }
            order = &mut watched.orders => order,
        };
        match order {
            Order::Finish => connection.as_mut().graceful_shutdown(),
            Order::Cut => return,
        }
    }
}

/// The task that looks after a connection, until this is dropped.
struct Watched {
    orders: Heard,
    task: AbortHandle,
}

impl Watched {
    fn by<A: Answers>(
        peer: SocketAddr,
        pulse: &Arc<Pulse>,
        service: &Arc<Service<A>>,
        closing: watch::Receiver<()>,
    ) -> Self {
        let given = Arc::new(Orders::default());
        let orders = given.hear();
        let (pulse, service) = (Arc::clone(pulse), Arc::clone(service));
        let watch = async move {
            watch(peer, &pulse, &service, closing, &given).await;
            given.give(Order::Cut);
        };
        Self {
            orders,
            task: tokio::spawn(watch).abort_handle(),
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Looks after a connection; when this returns, it is to be cut.
async fn watch<A: Answers>(
    peer: SocketAddr,
    pulse: &Pulse,
    service: &Service<A>,
    mut closing: watch::Receiver<()>,
    orders: &Orders,
) {
    let tick = service.limits.tick();
    let mut look = pin!(sleep_until(Instant::now() + tick));
    loop {
        tokio::select! {
            biased;
            asked = closing.changed() => {
                if asked.is_err() {
                    return;
                }
            }
            () = look.as_mut() => {
                let crowded = service.is_crowded();
                match pulse.verdict(Instant::now(), &service.limits, crowded) {
                    Verdict::LookAgain(at) => {
                        look.as_mut().reset(at);
                        continue;
                    }
                    Verdict::Finish => look.as_mut().reset(Instant::now() + tick),
                    Verdict::Cut(why) => {
                        debug!(%peer, why, "connection cut");
                        return;
                    }
                }
            }
        }
        pulse.finishing(Instant::now());
        orders.give(Order::Finish);
    }
}

/// RFC 9112 §3.2: a request names one host. Of two, a proxy before us may have taken the other.
fn names_its_host<B>(request: &Request<B>) -> bool {
    let mut hosts = request.headers().get_all(HOST).iter();
    let named = hosts.next().is_some();
    hosts.next().is_none() && (named || request.version() != Version::HTTP_11)
}

/// The protocols, with everything in them bounded that the peer has a say in.
fn http(limits: &Limits) -> Builder<TokioExecutor> {
    let mut http = Builder::new(TokioExecutor::new());
    let mut http1 = http.http1();
    http1
        // `Pulse` keeps this deadline, for both protocols and without a timer per request.
        .header_read_timeout(None)
        // The builder has no limit on the head as such: a head must fit the buffer.
        .max_buf_size(limits.max_header_bytes);
    if limits.max_headers != Limits::PARSER_HEADERS {
        http1.max_headers(limits.max_headers);
    }
    http.http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(HTTP2_STREAMS)
        .max_header_list_size(u32::try_from(limits.max_header_bytes).unwrap_or(u32::MAX))
        .initial_stream_window_size(HTTP2_WINDOW)
        .initial_connection_window_size(HTTP2_WINDOW)
        .max_pending_accept_reset_streams(HTTP2_RESETS.0)
        .max_local_error_reset_streams(HTTP2_RESETS.1)
        .keep_alive_interval(HTTP2_PING.0)
        .keep_alive_timeout(HTTP2_PING.1);
    http
}
