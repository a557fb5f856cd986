//! Tests that do not end: named aloud, and the process ended with them. Whoever waits for all tests
//! would wait for ever otherwise, or give up without knowing for which.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, Once, PoisonError};
use std::time::{Duration, Instant};

use super::left_out::say;

/// How long a test may take, also on a slow machine beside others.
const LONGEST: Duration = Duration::from_mins(15);

/// How often to look.
const LOOK: Duration = Duration::from_secs(10);

/// The tests that run, and since when.
static RUNNING: Mutex<BTreeMap<String, Instant>> = Mutex::new(BTreeMap::new());

thread_local! {
    /// Of the test that this thread runs; libtest gives each a thread, which ends with it.
    static TEST: Option<Test> = Test::begin();
}

struct Test(String);

/// Has the calling test looked after from here on, if this is its own thread.
pub fn look_out() {
    static WATCH: Once = Once::new();
    WATCH.call_once(|| drop(std::thread::spawn(watch)));
    TEST.with(|_| {});
}

impl Test {
    fn begin() -> Option<Self> {
        // Others have names without a path, or none.
        let name = std::thread::current().name()?.to_owned();
        let is_test = name.contains("::");
        is_test.then(|| {
            running().insert(name.clone(), Instant::now());
            Self(name)
        })
    }
}

impl Drop for Test {
    fn drop(&mut self) {
        running().remove(&self.0);
    }
}

fn watch() {
    loop {
        std::thread::sleep(LOOK);
        let running = running();
        let unending = running
            .iter()
            .filter(|(_, since)| since.elapsed() > LONGEST);
        let unending: Vec<_> = unending.map(|(name, _)| name.as_str()).collect();
        if !unending.is_empty() {
            let minutes = LONGEST.as_secs() / 60;
            say(&format!(
                "tenmint: not at its end after {minutes} minutes: {}",
                unending.join(", ")
            ));
            std::process::abort();
        }
    }
}

fn running() -> MutexGuard<'static, BTreeMap<String, Instant>> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}
