//! Request bodies: bounded in size and in time.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll::{self, Pending, Ready};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use http_body_util::BodyExt;
use hyper::body::Frame;
use tokio::time::{Instant, timeout_at};

/// How long a client may take to send a body.
const PATIENCE: Duration = Duration::from_secs(10);

/// How much of a body that is too long is read for nothing but good manners, in bytes.
const DISCARDED: usize = 2 * 1024 * 1024;

/// Why a body was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyError {
    /// Longer than allowed here.
    TooLarge,
    /// It did not come in time.
    TooSlow,
    /// The client broke off.
    BrokenOff,
}

/// A piece of a body; `None` at its end, and pending until it comes.
type Piece = Poll<Option<Result<Frame<Bytes>, axum::Error>>>;

/// Reads a body of at most `limit` bytes.
///
/// # Errors
/// See [`BodyError`].
pub async fn read(mut body: Body, limit: usize) -> Result<Bytes, BodyError> {
    // Most bodies have come with their heads, in one piece.
    let first = poll_fn(|context| Ready(Pin::new(&mut body).poll_frame(context))).await;
    let fits = |data: &Bytes| data.len() <= limit;
    match first {
        Ready(None) => Ok(Bytes::new()),
        Ready(Some(Ok(frame))) if body.is_end_stream() && frame.data_ref().is_some_and(fits) => {
            Ok(frame.into_data().unwrap_or_default())
        }
        // Boxed: every request would carry room for it otherwise.
        first => Box::pin(gather(first, body, limit)).await,
    }
}

/// Reads what comes in pieces, or later.
async fn gather(first: Piece, mut body: Body, limit: usize) -> Result<Bytes, BodyError> {
    let deadline = Instant::now() + PATIENCE;
    let mut whole = Vec::new();
    let mut next = first;
    loop {
        let piece = match next {
            Ready(piece) => piece,
            Pending => timeout_at(deadline, body.frame())
                .await
                .map_err(|_| BodyError::TooSlow)?,
        };
        let Some(piece) = piece else {
            return Ok(whole.into());
        };
        let piece = piece.map_err(|_| BodyError::BrokenOff)?;
        let data = piece.data_ref().map_or(&[][..], |data| data);
        if whole.len() + data.len() > limit {
            let _ = timeout_at(deadline, discard(body)).await;
            return Err(BodyError::TooLarge);
        }
        whole.extend_from_slice(data);
        next = Pending;
    }
}

/// Does without a body that is of no interest, so that its connection can go on.
pub async fn ignore(body: Body) {
    if !body.is_end_stream() {
        let _ = Box::pin(timeout_at(Instant::now() + PATIENCE, discard(body))).await;
    }
}

/// Reads on for a while and keeps nothing. Many clients read no answer before they have
/// written their body: a connection closed meanwhile would take the answer with it.
async fn discard(mut body: Body) {
    let mut left = DISCARDED;
    while let Some(Ok(frame)) = body.frame().await {
        let length = frame.data_ref().map_or(0, Bytes::len);
        match left.checked_sub(length) {
            Some(less) => left = less,
            None => return,
        }
    }
}
