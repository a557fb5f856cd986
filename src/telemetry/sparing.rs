//! A log that a flood cannot fill: of lines alike, so many a second are written and the others
//! counted.
//!
//! Strangers can cause lines as fast as they can send requests. Each would cost more than the
//! refusal that it tells of, and a disk full of them hides what else happened.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread;
use std::time::{Duration, Instant};

use tracing::callsite::Identifier;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// Lines of one kind, which is a place in the program, that are written in one second.
const ALIKE: u32 = 100;

/// How often it is told what was left out.
const NEWS: Duration = Duration::from_secs(1);

/// Leaves out what is too much. Whoever asks for details, at `debug` or `trace`, gets all of them.
#[derive(Clone)]
pub(super) struct Sparing(Arc<Kinds>);

struct Kinds {
    start: Instant,
    seen: RwLock<HashMap<Identifier, Kind>>,
}

struct Kind {
    of: &'static Metadata<'static>,
    /// The second in which lines were last written, and how many were.
    second: AtomicU64,
    written: AtomicU32,
    left_out: AtomicU64,
}

impl Sparing {
    /// Nothing left out yet.
    pub(super) fn new() -> Self {
        Self(Arc::new(Kinds {
            start: Instant::now(),
            seen: RwLock::default(),
        }))
    }

    /// Tells of it from now on, in a thread that ends soon after this does.
    pub(super) fn tell_regularly(&self) {
        let held = Arc::downgrade(&self.0);
        // Should there be no thread, lines are left out untold; the log goes on.
        let _ = thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || {
                while let Some(kinds) = held.upgrade() {
                    kinds.tell();
                    drop(kinds);
                    thread::sleep(NEWS);
                }
            });
    }

    /// Tells what was left out since it was last told.
    pub(super) fn tell(&self) {
        self.0.tell();
    }
}

impl<S: Subscriber> Layer<S> for Sparing {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        let of = event.metadata();
        *of.level() > Level::INFO || self.0.has_room(of)
    }
}

impl Kinds {
    fn has_room(&self, of: &'static Metadata<'static>) -> bool {
        let second = self.start.elapsed().as_secs();
        let seen = self.seen.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(kind) = seen.get(&of.callsite()) {
            return kind.has_room(second);
        }
        drop(seen);
        let mut seen = self.seen.write().unwrap_or_else(PoisonError::into_inner);
        let kind = seen.entry(of.callsite()).or_insert_with(|| Kind {
            of,
            second: AtomicU64::new(second),
            written: AtomicU32::new(0),
            left_out: AtomicU64::new(0),
        });
        kind.has_room(second)
    }

    fn tell(&self) {
        let mut told = Vec::new();
        for kind in self
            .seen
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .values()
        {
            let lines = kind.left_out.swap(0, Ordering::Relaxed);
            if lines > 0 {
                told.push((kind.of, lines));
            }
        }
        // Not while the lock is held: this is a line like any other.
        for (of, lines) in told {
            let place = of.target();
            tracing::warn!(lines, place, "lines alike were left out of the log");
        }
    }
}

impl Kind {
    fn has_room(&self, second: u64) -> bool {
        // Not written where it stays the same: processors would take it from each other.
        if self.second.load(Ordering::Relaxed) != second
            && self.second.swap(second, Ordering::Relaxed) != second
        {
            self.written.store(0, Ordering::Relaxed);
        }
        let written = self.written.load(Ordering::Relaxed);
        if written < ALIKE {
            self.written.store(written + 1, Ordering::Relaxed);
            return true;
        }
        self.left_out.fetch_add(1, Ordering::Relaxed);
        false
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tracing::subscriber::with_default;
    use tracing_subscriber::fmt::MakeWriter;
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Lines {
        type Writer = Self;
        fn make_writer(&'a self) -> Self {
            self.clone()
        }
    }

    #[test]
    fn a_flood_leaves_room_for_other_lines_and_is_counted() {
        let (lines, sparing) = (Lines::default(), Sparing::new());
        let log = tracing_subscriber::fmt()
            .with_max_level(Level::DEBUG)
            .with_ansi(false)
            .with_writer(lines.clone())
            .finish();
        with_default(log.with(sparing.clone()), || {
            for _ in 0..100_000 {
                tracing::info!("a refusal");
            }
            tracing::info!("something else");
            for _ in 0..500 {
                tracing::debug!("a detail");
            }
            sparing.tell();
        });
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        let count = |what| text.lines().filter(|line| line.ends_with(what)).count();
        let (written, others) = (count("a refusal"), count("something else"));
        // It may have taken some seconds.
        assert!((100..5_000).contains(&written), "{written}");
        assert_eq!(others, 1);
        assert_eq!(count("a detail"), 500);
        let told = format!("lines={}", 100_000 - written);
        assert!(text.contains(&told), "{told} in {text}");
    }
}
