//! `tenmint serve`.

use std::future::pending;
use std::io::{IsTerminal, stderr};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use tokio::net::TcpListener;

use super::Failure;
use crate::app::{App, Role};
use crate::clock::Clock;
use crate::serve::Hangup;
use crate::serve::tls::Tls;
use crate::settings::{Listen, Settings};
use crate::{http, serve};

/// Most connections to the listener for metrics.
const METRICS_CONNECTIONS: usize = 64;

/// Serves until the process is asked to stop.
pub(super) async fn run(settings: &Settings) -> Result<(), Failure> {
    let opened = open(settings, settings.metrics_listen).await?;
    if let Some(metrics) = &opened.metrics {
        tracing::info!(address = %metrics.local_addr()?, "metrics are told");
    }
    tracing::info!(
        listen = %opened.listener.local_addr()?,
        issuer = opened.app.mint.base.as_str(),
        node = opened.app.usage.node(),
        version = env!("CARGO_PKG_VERSION"),
        "serving"
    );
    until_stopped(settings, opened).await
}

/// A server that is ready to serve.
pub(super) struct Opened {
    listener: TcpListener,
    metrics: Option<TcpListener>,
    tls: Option<Arc<Tls>>,
    pub(super) app: Arc<App>,
    limits: serve::Limits,
    stop: Pin<Box<dyn Future<Output = ()>>>,
    hangup: Hangup,
}

/// Takes the ports and the certificate, then opens the deployment: a port that is taken leaves
/// nothing half made. From here on signals are heard, also while the database keeps it waiting:
/// the first process of a container does not die of them by itself.
pub(super) async fn open(settings: &Settings, metrics: Listen) -> Result<Opened, Failure> {
    let listener = bind(settings.listen, "another address with --listen")?;
    let metrics = match metrics {
        Listen::At(address) => {
            let other = "another address with --metrics-listen, or off";
            Some(bind(address, other)?)
        }
        Listen::Off => None,
    };
    let base = settings.base(listener.local_addr()?)?;
    let tls = match settings.tls_files()? {
        Some(files) => Some(Tls::open(files, Clock::system())?),
        None => None,
    };
    // Whoever leaves the terminal at which it runs ends it, unless there is something to read anew.
    let hangup = if tls.is_some() || !stderr().is_terminal() {
        Hangup::heard()
    } else {
        Hangup::left_alone()
    };
    // How many connections there can be, before anything is shared out by their number.
    let settings = &Settings {
        max_connections: serve::allowed_connections(settings.max_connections),
        ..settings.clone()
    };
    let mut stop: Pin<Box<dyn Future<Output = ()>>> = Box::pin(serve::shutdown_signal());
    let app = tokio::select! {
        biased;
        () = &mut stop => return Err("asked to stop before it served".into()),
        app = App::open(settings, base, Clock::system(), Role::Server) => app?,
    };
    if let Some(tls) = &tls {
        app.metrics.tls.get_or_init(|| tls.counts());
    }
    Ok(Opened {
        listener,
        metrics,
        tls,
        app,
        limits: settings.into(),
        stop,
        hangup,
    })
}

/// Serves until the process is asked to stop, then lets go in order: requests, jobs, database.
pub(super) async fn until_stopped(
    settings: &Settings,
    Opened {
        listener,
        metrics,
        tls,
        app,
        limits,
        stop: asked,
        hangup,
    }: Opened,
) -> Result<(), Failure> {
    let jobs = app.start_jobs();
    let (leave, left) = tokio::sync::oneshot::channel();
    let stop = async {
        asked.await;
        tracing::info!("stopping");
        app.begin_draining();
        tokio::time::sleep(settings.shutdown_delay).await;
        let _ = leave.send(());
    };
    let insist = async {
        let _ = left.await;
        serve::shutdown_signal().await;
    };
    // Told to the end, so that what a shutdown waits for can be seen.
    let watched = metrics.map(|listener| {
        let router = http::metrics::router(Arc::clone(&app));
        let limits = serve::Limits {
            max_connections: METRICS_CONNECTIONS,
            ..limits
        };
        tokio::spawn(serve::run(listener, router, limits, pending()))
    });
    let renewing = tokio::spawn(read_anew(tls.clone(), hangup));
    let surface = http::surface(Arc::clone(&app));
    let busy = tokio::select! {
        drained = serve::run_behind(listener, tls, surface, limits, stop) => drained.left,
        () = insist => {
            tracing::warn!("asked again: cutting what is under way");
            0
        }
    };
    jobs.stop().await;
    if let Some(watched) = watched {
        watched.abort();
    }
    renewing.abort();
    app.close().await;
    if busy > 0 {
        tracing::warn!(connections = busy, "cut connections that were still busy");
    }
    tracing::info!("stopped");
    Ok(())
}

/// Keeps up with the certificate's files; without any, SIGHUP asks for nothing, and ends nothing.
async fn read_anew(tls: Option<Arc<Tls>>, mut hangup: Hangup) {
    let Some(tls) = tls else {
        loop {
            hangup.received().await;
            tracing::info!("SIGHUP: there is no certificate to read anew");
        }
    };
    tls.keep_up(hangup).await;
}

fn bind(address: SocketAddr, other: &str) -> Result<TcpListener, Failure> {
    serve::bind(address)
        .map_err(|error| format!("cannot listen on {address}: {error}. Choose {other}").into())
}
