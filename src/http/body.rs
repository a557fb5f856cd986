//! Request bodies: bounded in size and in time.

use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use http_body_util::{BodyExt, LengthLimitError, Limited};
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

/// Reads a body of at most `limit` bytes.
///
/// # Errors
/// See [`BodyError`].
pub async fn read(mut body: Body, limit: usize) -> Result<Bytes, BodyError> {
    let deadline = Instant::now() + PATIENCE;
    let collected = Limited::new(&mut body, limit).collect();
    match timeout_at(deadline, collected).await {
        Err(_) => Err(BodyError::TooSlow),
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            // Boxed: every request would carry room for it otherwise.
            let _ = Box::pin(timeout_at(deadline, discard(body))).await;
            Err(BodyError::TooLarge)
        }
        Ok(Err(_)) => Err(BodyError::BrokenOff),
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
