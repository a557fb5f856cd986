//! A tenmint that takes connections and answers nothing: gateways keep nobody waiting for it for long.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use tokio::net::TcpListener;

use crate::gateways::{
    Gateway, envoy, found, run_caddy, run_envoy, run_haproxy, run_nginx, service,
};

/// The five seconds that each is told, and what a busy machine takes beside; far from the next try.
const PATIENCE: Duration = Duration::from_secs(9);

/// Takes connections, and answers nothing.
async fn hanging() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            held.push(stream);
        }
    });
    address
}

/// A request is refused in time, with an answer that is none of the service's.
async fn refuses_in_time(
    name: &str,
    start: impl FnOnce(&Path, &dyn Fn(&str) -> String) -> Command,
) {
    let gateway = Gateway::start(hanging().await, service().await, start).await;
    let begun = Instant::now();
    let reply = gateway.get("tmsk_whatever").await;
    let took = begun.elapsed();
    assert!(reply.status.is_server_error(), "{name}: {}", reply.status);
    assert!(took < PATIENCE, "{name}: {took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_gateway_waits_long_for_a_tenmint_that_hangs() {
    let (nginx, caddy, haproxy) = (found("nginx"), found("caddy"), found("haproxy"));
    let (Some(nginx), Some(caddy), Some(haproxy), Some(envoy)) = (nginx, caddy, haproxy, envoy())
    else {
        return;
    };
    // At once: each takes the five seconds.
    tokio::join!(
        refuses_in_time("nginx", |folder, config| run_nginx(&nginx, folder, config)),
        refuses_in_time("Caddy", |folder, config| run_caddy(&caddy, folder, config)),
        refuses_in_time("HAProxy", |folder, config| run_haproxy(
            &haproxy, folder, config
        )),
        refuses_in_time("Envoy", |folder, config| {
            let path = folder.join("envoy.yaml");
            std::fs::write(&path, config("envoy.yaml")).unwrap();
            run_envoy(&envoy, &path)
        }),
    );
}
