//! How the gate lets work through.

use std::sync::atomic::AtomicUsize;

use super::*;

impl Shared {
    /// Takes runs to take so long.
    fn takes(&self, long: Duration) {
        let long = u64::try_from(long.as_micros()).unwrap();
        self.run_micros.store(long, Ordering::Relaxed);
        self.runs.store(16, Ordering::Relaxed);
    }
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

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_too_long_turns_newcomers_away_at_once() {
    let gate = Arc::new(Gate::of_width(1));
    gate.shared.takes(Duration::from_secs(2));
    let (open, closed) = std::sync::mpsc::channel::<()>();
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
async fn what_cannot_be_done_at_once_is_not_waited_for() {
    let gate = Gate::of_width(1);
    let patience = Duration::from_mins(1);
    assert_eq!(gate.run_at_once(patience, || 1).await, Some(1));
    let (open, closed) = std::sync::mpsc::channel::<()>();
    let busy = gate.run_at_once(Duration::ZERO, move || closed.recv().is_ok());
    assert_eq!(busy.await, None);
    assert_eq!(gate.run_at_once(patience, || 2).await, None, "it is held");
    open.send(()).unwrap();
    assert_eq!(gate.run_in_turn(|| 3).await, Ok(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_organization_cannot_keep_another_waiting() {
    let gate = Arc::new(Gate::of_width(1));
    gate.shared.takes(Duration::from_secs(1));
    let (open, closed) = std::sync::mpsc::channel::<()>();
    let busy = gate.run_at_once(Duration::ZERO, move || closed.recv().is_ok());
    assert_eq!(busy.await, None);
    while gate.waiting() > 0 {
        tokio::task::yield_now().await;
    }
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
    open.send(()).unwrap();
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
    let (open, closed) = std::sync::mpsc::channel::<()>();
    let busy = gate.run_at_once(Duration::ZERO, move || closed.recv().is_ok());
    assert_eq!(busy.await, None);
    while gate.waiting() > 0 {
        tokio::task::yield_now().await;
    }
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
    open.send(()).unwrap();
    let breaks_off = gate.run(None, || -> u8 { unreachable!("on purpose") });
    assert_eq!(breaks_off.await, Err(Overloaded));
    assert_eq!(gate.run(None, || 1).await, Ok(1));
}
