//! The beginning of a TLS connection, in its own task and within a deadline.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::Tls;
use crate::app::metrics::tls::Handshake;

/// What somebody is told who speaks HTTP in the clear.
const USE_HTTPS: &str = "This port speaks TLS: use https. Whatever this request carried crossed the \
    network unencrypted; if that was an API key, rotate it.\n";

/// How long, and for how many bytes, to listen on after that answer. Closed with bytes unread, a
/// connection is reset, and the answer lost.
const LINGER: (Duration, u64) = (Duration::from_secs(1), 64 * 1024);

impl Tls {
    /// Does the handshake, within `patience`; counts how it ended, and gives what can be spoken on.
    pub(in crate::serve) async fn shake_hands(
        &self,
        stream: TcpStream,
        patience: Duration,
    ) -> Option<TlsStream<TcpStream>> {
        let (handshake, stream) = match timeout(patience, self.begin(stream)).await {
            Ok(Ok(Some(stream))) => (Handshake::Completed, Some(stream)),
            Ok(Ok(None)) => (Handshake::NotTls, None),
            Ok(Err(error)) => {
                // Scanners, and clients that do not trust the certificate: nothing to act upon.
                tracing::debug!(%error, "a TLS handshake failed");
                (Handshake::Failed, None)
            }
            Err(_) => (Handshake::TimedOut, None),
        };
        self.counts.count(handshake);
        stream
    }

    /// `None`: it was no TLS, and was told so.
    async fn begin(&self, mut stream: TcpStream) -> io::Result<Option<TlsStream<TcpStream>>> {
        let mut first = [0];
        if stream.peek(&mut first).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        // A method's first letter; TLS begins with 22.
        if first[0].is_ascii_alphabetic() {
            refuse_plain_http(&mut stream).await?;
            return Ok(None);
        }
        let acceptor = TlsAcceptor::from(self.config());
        acceptor.accept(stream).await.map(Some)
    }
}

async fn refuse_plain_http(stream: &mut TcpStream) -> io::Result<()> {
    let length = USE_HTTPS.len();
    let answer = format!(
        "HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\ncontent-length: {length}\r\n\
         cache-control: no-store\r\nconnection: close\r\n\r\n{USE_HTTPS}"
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await?;
    let (time, bytes) = LINGER;
    let mut rest = stream.take(bytes);
    let _ = timeout(time, tokio::io::copy(&mut rest, &mut tokio::io::sink())).await;
    Ok(())
}
