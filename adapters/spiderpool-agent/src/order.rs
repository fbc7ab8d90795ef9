//! The order of verbs: one at a time for each container, each with the number of its arrival.
//!
//! A DEL carries a number that is higher than those of all requests of its container before it, so that
//! an ADD that is still under way somewhere is refused, and none that comes after it.
//!
//! Invariants:
//! 1. Numbers grow, across restarts of the agent too, since they begin at the clock
//!    (`numbers_grow`).
//! 2. Verbs of one container take turns in the order of their numbers; those of others do not wait
//!    (`turns_are_taken_in_order`).
//! 3. What nobody waits for takes no memory (`nothing_stays`).

use spiderpool_core::name::Name;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::OwnedMutexGuard;

/// The turns of all containers.
#[derive(Debug, Default)]
pub struct Order {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    last: u64,
    queues: BTreeMap<Name, Arc<tokio::sync::Mutex<()>>>,
}

/// The right to serve one verb of a container; the next one waits until it is dropped.
#[derive(Debug)]
#[must_use = "the turn ends when it is dropped"]
pub struct Turn<'a> {
    /// Grows with each verb that arrives.
    pub ticket: u64,
    order: &'a Order,
    container: Name,
    held: Option<OwnedMutexGuard<()>>,
}

impl Order {
    /// Takes the next number, and waits for the container's turn. `now_us` is the clock in microseconds
    /// since the Unix epoch.
    pub async fn turn(&self, container: &Name, now_us: u64) -> Turn<'_> {
        let (ticket, queue) = {
            let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
            inner.last = now_us.max(inner.last.saturating_add(1));
            let queue = Arc::clone(inner.queues.entry(container.clone()).or_default());
            (inner.last, queue)
        };
        // The queue of this lock is first come, first served.
        let mut turn = Turn { ticket, order: self, container: container.clone(), held: None };
        turn.held = Some(queue.lock_owned().await);
        turn
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.held = None;
        let mut inner = self.order.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.queues.get(&self.container).is_some_and(|queue| Arc::strong_count(queue) == 1) {
            inner.queues.remove(&self.container);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn name(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    #[tokio::test]
    async fn numbers_grow() {
        let order = Order::default();
        let first = order.turn(&name("a"), 100).await.ticket;
        let second = order.turn(&name("b"), 50).await.ticket;
        assert_eq!((first, second), (100, 101));
        assert_eq!(order.turn(&name("a"), 7_000).await.ticket, 7_000);
    }

    #[tokio::test]
    async fn turns_are_taken_in_order() {
        let order = Arc::new(Order::default());
        let first = order.turn(&name("a"), 1).await;
        let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
        for _ in 0..8 {
            let (order, sender) = (Arc::clone(&order), sender.clone());
            tokio::spawn(async move {
                let turn = order.turn(&name("a"), 1).await;
                sender.send(turn.ticket).unwrap();
            });
            // Each one stands in the queue before the next comes.
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        drop(sender);
        assert_eq!(order.turn(&name("b"), 1).await.ticket, 10, "others do not wait");
        assert!(receiver.try_recv().is_err());
        drop(first);
        let mut seen = Vec::new();
        while let Some(ticket) = receiver.recv().await {
            seen.push(ticket);
        }
        assert_eq!(seen, [2, 3, 4, 5, 6, 7, 8, 9]);
    }

    #[tokio::test]
    async fn nothing_stays() {
        let order = Order::default();
        let container = name("a");
        let held = order.turn(&container, 1).await;
        let waiting = tokio::time::timeout(Duration::from_millis(5), order.turn(&container, 1));
        assert!(waiting.await.is_err());
        drop(held);
        assert!(order.inner.lock().unwrap().queues.is_empty());
    }
}
