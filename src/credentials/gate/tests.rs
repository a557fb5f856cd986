//! How the gate lets work through.

use std::sync::atomic::AtomicUsize;
use std::sync::mpsc;

use super::*;

impl Shared {
    /// Takes runs to take so long.
    fn takes(&self, long: Duration) {
        let long = u64::try_from(long.as_micros()).unwrap();
        self.run_micros.store(long, Ordering::Relaxed);
        self.runs.store(16, Ordering::Relaxed);
    }
}

/// Takes the place of one run, until what is given back is dropped.
async fn hold(gate: &Gate) -> mpsc::Sender<()> {
    let (open, closed) = mpsc::channel::<()>();
    let (hold, held) = oneshot::channel();
    let run = gate.in_turn(None, move || {
        hold.send(()).unwrap();
        let _ = closed.recv();
    });
    held.await.unwrap();
    // It has begun: whoever stops waiting does not end it.
    assert!(!run.leave());
    open
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_run_at_once_than_the_gate_is_wide() {
    let gate = Arc::new(Gate::of_width(2));
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let runs: Vec<_> = (0..20)
        .map(|_| {
            let (gate, now, most) = (Arc::clone(&gate), Arc::clone(&now), Arc::clone(&most));
            tokio::spawn(async move {
                gate.run(None, move || {
                    most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    thread::sleep(Duration::from_millis(2));
                    now.fetch_sub(1, Ordering::SeqCst);
                })
                .await
            })
        })
        .collect();
    for run in runs {
        assert_eq!(run.await.unwrap(), Ok(()));
    }
    assert_eq!(most.load(Ordering::SeqCst), 2);
}

/// A line of so many runs that are taken to take `run`. The first has ended, the second goes on until
/// what is given back is dropped.
async fn line_of(gate: &Gate, count: usize, run: Duration) -> (Vec<Run<()>>, mpsc::Sender<()>) {
    gate.shared.takes(run);
    let held = hold(gate).await;
    // However long the one before was held is learnt as well, and forgotten here.
    let shared = Arc::clone(&gate.shared);
    let mut runs = vec![gate.in_turn(None, move || shared.takes(run))];
    let (open, closed) = mpsc::channel::<()>();
    let (begun, begins) = oneshot::channel();
    runs.push(gate.in_turn(None, move || {
        begun.send(()).unwrap();
        let _ = closed.recv();
    }));
    runs.extend((2..count).map(|_| gate.in_turn(None, || ())));
    assert!(gate.is_long());
    drop(held);
    begins.await.unwrap();
    (runs, open)
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_in_a_long_line_of_short_runs_is_told_together_with_the_next_the_last_as_well() {
    // The gate's thread may be interrupted for so long that whoever waits has to be told: not each time.
    for _ in 0..10 {
        let gate = Gate::of_width(1);
        let (mut runs, open) = line_of(&gate, 1_000, Duration::from_micros(100)).await;
        let first = tokio::time::timeout(Duration::from_millis(50), runs[0].done()).await;
        drop(open);
        let told_at_once = usize::from(first.is_ok());
        assert_eq!(first.unwrap_or(Ok(())), Ok(()));
        for run in &mut runs[told_at_once..] {
            let done = tokio::time::timeout(Duration::from_secs(10), run.done());
            assert_eq!(done.await.unwrap(), Ok(()));
        }
        if told_at_once == 0 {
            return;
        }
    }
    panic!("the first is always told at once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_long_keeps_nobody_waiting_whose_own_has_ended() {
    let gate = Gate::of_width(1);
    let (mut runs, open) = line_of(&gate, 20, Duration::from_millis(100)).await;
    assert_eq!(runs[0].done().await, Ok(()));
    drop(open);
    for run in &mut runs[1..] {
        assert_eq!(run.done().await, Ok(()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_too_long_turns_newcomers_away_at_once() {
    let gate = Arc::new(Gate::of_width(1));
    gate.shared.takes(Duration::from_secs(2));
    let (open, closed) = mpsc::channel::<()>();
    let busy = tokio::spawn({
        let gate = Arc::clone(&gate);
        async move { gate.run(None, move || closed.recv().is_ok()).await }
    });
    while gate.shared.lock().busy == 0 {
        tokio::task::yield_now().await;
    }
    let queued: Vec<_> = (0..3)
        .map(|_| {
            let gate = Arc::clone(&gate);
            tokio::spawn(async move { gate.run(None, || ()).await })
        })
        .collect();
    while gate.waiting() < 3 {
        tokio::task::yield_now().await;
    }
    assert_eq!(gate.run(None, || ()).await, Err(Overloaded));
    open.send(()).unwrap();
    assert_eq!(busy.await.unwrap(), Ok(true));
    for one in queued {
        assert_eq!(one.await.unwrap(), Ok(()));
    }
    assert_eq!(gate.waiting(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_gives_up_waiting_can_come_again_and_finds_what_was_made() {
    let gate = Gate::of_width(1);
    let open = hold(&gate).await;
    let mut run = gate.in_turn(None, || 1);
    let soon = Duration::from_millis(20);
    assert!(tokio::time::timeout(soon, run.done()).await.is_err());
    assert_eq!(gate.waiting(), 1, "its place is kept");
    drop(open);
    assert_eq!(run.done().await, Ok(1));
    let open = hold(&gate).await;
    drop(gate.in_turn(None, || 2));
    assert_eq!(gate.waiting(), 0, "whoever is gone has left");
    drop(open);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_however_long_it_takes_takes_turns_by_organization() {
    let gate = Gate::of_width(1);
    let open = hold(&gate).await;
    let order = Arc::new(Mutex::new(Vec::new()));
    let runs = ["flood", "flood", "flood", "acme"].map(|name| {
        let order = Arc::clone(&order);
        let organization: OrganizationId = name.parse().unwrap();
        gate.in_turn(Some(&organization), move || {
            order.lock().unwrap().push(name);
        })
    });
    drop(open);
    for mut run in runs {
        assert_eq!(run.done().await, Ok(()));
    }
    assert_eq!(*order.lock().unwrap(), ["flood", "acme", "flood", "flood"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_organization_cannot_keep_another_waiting() {
    let gate = Arc::new(Gate::of_width(1));
    gate.shared.takes(Duration::from_secs(1));
    let open = hold(&gate).await;
    let order = Arc::new(Mutex::new(Vec::new()));
    let run = |name: &'static str| {
        let (gate, order) = (Arc::clone(&gate), Arc::clone(&order));
        let organization: OrganizationId = name.parse().unwrap();
        tokio::spawn(async move {
            let work = move || order.lock().unwrap().push(name);
            gate.run(Some(&organization), work).await
        })
    };
    let mut flood = Vec::new();
    for waiting in 1..=6 {
        flood.push(run("flood"));
        while gate.waiting() < waiting {
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(
        run("flood").await.unwrap(),
        Err(Overloaded),
        "five seconds of it wait"
    );
    let other = run("acme");
    let cut = flood.pop().unwrap();
    assert_eq!(cut.await.unwrap(), Err(Overloaded), "room for another");
    drop(open);
    assert_eq!(other.await.unwrap(), Ok(()));
    for one in flood {
        assert_eq!(one.await.unwrap(), Ok(()));
    }
    let order = order.lock().unwrap();
    assert_eq!(order[..2], ["flood", "acme"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_hangs_up_leaves_the_line_and_work_that_panics_breaks_off_alone() {
    let gate = Arc::new(Gate::of_width(1));
    let open = hold(&gate).await;
    let hung_up = {
        let gate = Arc::clone(&gate);
        tokio::spawn(async move { gate.run(None, || ()).await })
    };
    while gate.waiting() == 0 {
        tokio::task::yield_now().await;
    }
    hung_up.abort();
    assert!(hung_up.await.is_err());
    assert_eq!(gate.waiting(), 0);
    drop(open);
    let breaks_off = gate.run(None, || -> u8 { unreachable!("on purpose") });
    assert_eq!(breaks_off.await, Err(Overloaded));
    assert_eq!(gate.run(None, || 1).await, Ok(1));
}
