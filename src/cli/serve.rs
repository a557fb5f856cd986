//! `tenmint serve`.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;

use super::Failure;
use crate::app::{App, Role};
use crate::clock::Clock;
use crate::settings::Settings;
use crate::{http, serve};

/// Serves until the process is asked to stop.
pub(super) async fn run(settings: &Settings) -> Result<(), Failure> {
    let (listener, app) = open(settings).await?;
    tracing::info!(
        listen = %listener.local_addr()?,
        issuer = app.mint.base.as_str(),
        version = env!("CARGO_PKG_VERSION"),
        "serving"
    );
    until_stopped(settings, listener, app).await
}

/// Takes the port, then opens the deployment: a port that is taken leaves nothing half made.
pub(super) async fn open(settings: &Settings) -> Result<(TcpListener, Arc<App>), Failure> {
    let listener = bind(settings.listen).await?;
    let base = settings.base(listener.local_addr()?)?;
    let app = App::open(settings, base, Clock::system(), Role::Server).await?;
    Ok((listener, app))
}

/// Serves until the process is asked to stop, then lets go in order: requests, jobs, database.
pub(super) async fn until_stopped(
    settings: &Settings,
    listener: TcpListener,
    app: Arc<App>,
) -> Result<(), Failure> {
    let jobs = app.start_jobs();
    let (leave, left) = tokio::sync::oneshot::channel();
    let stop = async {
        serve::shutdown_signal().await;
        tracing::info!("stopping");
        app.begin_draining();
        tokio::time::sleep(settings.shutdown_delay).await;
        let _ = leave.send(());
    };
    let insist = async {
        let _ = left.await;
        serve::shutdown_signal().await;
    };
    let router = http::router(Arc::clone(&app));
    let busy = tokio::select! {
        drained = serve::run(listener, router, settings.into(), stop) => drained.left,
        () = insist => {
            tracing::warn!("asked again: cutting what is under way");
            0
        }
    };
    jobs.stop().await;
    app.close().await;
    if busy > 0 {
        tracing::warn!(connections = busy, "cut connections that were still busy");
    }
    tracing::info!("stopped");
    Ok(())
}

async fn bind(address: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|error| {
        format!("cannot listen on {address}: {error}. Choose another address with --listen").into()
    })
}
