//! What black-box tests share: a real server on a real port, and a client that speaks to it.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    missing_docs,
    reason = "what fails here fails a test"
)]
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test binary uses its own part of the support"
)]

pub mod cables;
pub mod collector;
pub mod crowd;
pub mod database;
pub mod forged;
pub mod imports;
pub mod key_rows;
pub mod left_out;
pub mod line;
pub mod many_keys;
pub mod nodes;
pub mod older;
pub mod operations;
pub mod postgres;
pub mod private_keys;
pub mod process;
pub mod raw;
pub mod root_keys;
pub mod server;
pub mod shell;
pub mod shown;
pub mod snapshot;
pub mod tls;
pub mod unending;
pub mod verbatim;
pub mod watch;
pub mod wire;

/// Makes one test for each engine out of each `async fn name(server: Server)` that is named.
///
/// On a machine without PostgreSQL its half is counted as left out.
#[macro_export]
macro_rules! on_both_engines {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $name() {
                    super::$name($crate::support::server::Server::on_sqlite().await).await;
                }
            )*
        }
        mod postgres {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $name() {
                    if let Some(server) = $crate::support::server::Server::on_postgres().await {
                        super::$name(server).await;
                    }
                }
            )*
        }
    };
}
