//! A client that writes bytes as they are: what no HTTP library would send.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Longer than anything takes that works.
pub const AGES: Duration = Duration::from_mins(1);

/// Sends bytes, then reads until the server closes. The bytes must make it do so.
pub async fn talk(address: SocketAddr, bytes: &[u8]) -> Answers {
    let (mut reader, mut writer) = TcpStream::connect(address).await.unwrap().into_split();
    let mut heard = Vec::new();
    let speak = async {
        // The server may have had enough before the end.
        let _ = writer.write_all(bytes).await;
        std::future::pending::<()>().await;
    };
    timeout(AGES, async {
        tokio::select! {
            // A reset ends the conversation as well as a proper close does.
            _ = reader.read_to_end(&mut heard) => {}
            () = speak => {}
        }
    })
    .await
    .expect("the server closes");
    Answers(String::from_utf8_lossy(&heard).into_owned())
}

/// All that a server said on one connection.
#[derive(Debug)]
pub struct Answers(pub String);

impl Answers {
    /// The status codes, in order.
    pub fn statuses(&self) -> Vec<u16> {
        let lines = self.0.split("HTTP/1.").skip(1);
        lines
            .map(|line| line[2..5].parse().expect("a status line"))
            .collect()
    }

    /// What follows the first empty line.
    pub fn body(&self) -> &str {
        self.0.split_once("\r\n\r\n").map_or("", |(_, body)| body)
    }
}
