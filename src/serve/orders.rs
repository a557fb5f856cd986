//! What a connection is told from outside, by whoever looks after it.
//!
//! A connection is polled several times with each request and told something once in its life. So
//! what looks after it (a timer, the server's end) is a task of its own, and costs the connection a
//! glance at one flag.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, Waker};

use futures_util::task::AtomicWaker;

/// What a connection is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// To end after what it is doing.
    Finish,
    /// To end at once.
    Cut,
}

/// Where orders are given.
#[derive(Default)]
pub(super) struct Orders {
    given: AtomicU8,
    waker: AtomicWaker,
}

/// The other end, which is one connection's.
pub(super) struct Heard {
    orders: Arc<Orders>,
    /// Who is woken by the next order.
    woken: Option<Waker>,
}

const NONE: u8 = 0;
const FINISH: u8 = 1;
const CUT: u8 = 2;

impl Orders {
    /// Gives an order; to be cut is not taken back by one to finish.
    pub(super) fn give(&self, order: Order) {
        let order = match order {
            Order::Finish => FINISH,
            Order::Cut => CUT,
        };
        self.given.fetch_max(order, Ordering::SeqCst);
        self.waker.wake();
    }

    /// Hears of the orders.
    pub(super) fn hear(self: &Arc<Self>) -> Heard {
        Heard {
            orders: Arc::clone(self),
            woken: None,
        }
    }
}

impl Future for Heard {
    type Output = Order;

    /// May be polled again after an order, for the next one.
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Order> {
        let waker = context.waker();
        if !self
            .woken
            .as_ref()
            .is_some_and(|woken| woken.will_wake(waker))
        {
            self.orders.waker.register(waker);
            self.woken = Some(waker.clone());
        }
        // Looked at after the waker is there: an order is seen now, or wakes.
        if self.orders.given.load(Ordering::SeqCst) == NONE {
            return Poll::Pending;
        }
        self.woken = None;
        match self.orders.given.swap(NONE, Ordering::SeqCst) {
            FINISH => Poll::Ready(Order::Finish),
            _ => Poll::Ready(Order::Cut),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    #[tokio::test]
    async fn each_order_is_heard_once_and_wakes_whoever_waits() {
        let orders = Arc::new(Orders::default());
        let mut heard = orders.hear();
        for order in [Order::Finish, Order::Finish, Order::Cut] {
            let giver = Arc::clone(&orders);
            let (waits, waiting) = tokio::sync::oneshot::channel();
            let given = tokio::spawn(async move {
                waiting.await.unwrap();
                giver.give(order);
            });
            let mut waits = Some(waits);
            let next = poll_fn(|context| {
                let polled = Pin::new(&mut heard).poll(context);
                if let Some(waits) = waits.take() {
                    assert!(polled.is_pending());
                    waits.send(()).unwrap();
                }
                polled
            });
            assert_eq!(next.await, order);
            given.await.unwrap();
        }
    }

    #[tokio::test]
    async fn an_order_that_nobody_waited_for_is_heard_all_the_same() {
        let orders = Arc::new(Orders::default());
        orders.give(Order::Cut);
        orders.give(Order::Finish);
        assert_eq!(orders.hear().await, Order::Cut);
    }
}
