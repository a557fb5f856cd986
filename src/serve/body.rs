//! A request body that notes when a handler waits for it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use tokio::time::Instant;

use super::pulse::Pulse;

/// A request body as it arrives. Only the wait of a handler is noted, so that a handler which is
/// slow to ask for the body is not taken for a peer that is slow to send it.
pub(super) struct Arriving {
    incoming: Incoming,
    pulse: Arc<Pulse>,
    awaited: bool,
}

impl Arriving {
    pub(super) fn new(incoming: Incoming, pulse: Arc<Pulse>) -> Self {
        Self {
            incoming,
            pulse,
            awaited: false,
        }
    }

    fn no_longer_awaited(&mut self) {
        if self.awaited {
            self.awaited = false;
            self.pulse.body_moved(Instant::now());
        }
    }
}

impl Body for Arriving {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = Pin::new(&mut self.incoming).poll_frame(context);
        if polled.is_pending() && !self.awaited {
            self.awaited = true;
            self.pulse.await_body(Instant::now());
        }
        let frame = ready!(polled);
        self.no_longer_awaited();
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

impl Drop for Arriving {
    fn drop(&mut self) {
        self.no_longer_awaited();
    }
}
