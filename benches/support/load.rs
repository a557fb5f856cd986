//! The load generator: prebuilt requests over kept-alive HTTP/1.1, answers read no further than
//! they must be. One thread, so that on two cores the server has the other.

use std::io::{Error, ErrorKind, Result};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::spread::percentile;

/// No load takes longer than it should by more than this.
const PATIENCE: Duration = Duration::from_mins(2);

/// Requests to one server, sent in turn.
pub struct Load {
    /// The server.
    pub address: SocketAddr,
    /// Whole requests.
    pub requests: Vec<Vec<u8>>,
    /// The status that every answer must have.
    pub status: u16,
}

/// When a load ends.
#[derive(Clone, Copy)]
pub enum Until {
    /// After so many requests.
    Count(usize),
    /// After so long.
    Time(Duration),
}

/// What became of a load.
pub struct Outcome {
    /// How long it took.
    pub took: Duration,
    /// How long each answer took.
    pub waits: Vec<Duration>,
}

/// One answer.
pub struct Answer<'a> {
    /// Its status.
    pub status: u16,
    /// Its body.
    pub body: &'a [u8],
}

impl Load {
    /// Sends the requests over so many connections at once.
    pub async fn run(self: &Arc<Self>, connections: usize, until: Until) -> Result<Outcome> {
        let (count, span) = match until {
            Until::Count(count) => (count, PATIENCE),
            Until::Time(span) => (usize::MAX, span),
        };
        let mut open = Vec::new();
        for _ in 0..connections.min(count) {
            open.push(Connection::open(self.address).await?);
        }
        let next = Arc::new(AtomicUsize::new(0));
        let began = Instant::now();
        let mut tasks = JoinSet::new();
        for mut connection in open {
            let (load, next) = (Arc::clone(self), Arc::clone(&next));
            tasks.spawn(async move {
                let mut waits = Vec::new();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let sent = Instant::now();
                    if number >= count || sent - began >= span {
                        return Ok(waits);
                    }
                    let request = &load.requests[number % load.requests.len()];
                    let answer = connection.ask(request).await?;
                    if answer.status != load.status {
                        return Err(unexpected(&answer));
                    }
                    waits.push(sent.elapsed());
                }
            });
        }
        let mut waits = Vec::new();
        let all = async {
            while let Some(done) = tasks.join_next().await {
                waits.append(&mut done??);
            }
            Result::Ok(())
        };
        tokio::time::timeout(span + PATIENCE, all)
            .await
            .map_err(|_| Error::from(ErrorKind::TimedOut))??;
        let took = began.elapsed();
        match until {
            Until::Count(count) if waits.len() < count => Err(ErrorKind::TimedOut.into()),
            _ => Ok(Outcome { took, waits }),
        }
    }
}

impl Outcome {
    /// Answers per second.
    pub fn rate(&self) -> f64 {
        let answers = u32::try_from(self.waits.len()).unwrap_or(u32::MAX);
        f64::from(answers) / self.took.as_secs_f64()
    }

    /// The wait that so many percent did not exceed.
    pub fn percentile(&mut self, percent: usize) -> Duration {
        percentile(&mut self.waits, percent)
    }
}

/// A kept-alive connection.
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    /// Opens one.
    pub async fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            buffer: Vec::with_capacity(16 * 1024),
        })
    }

    /// Sends one request and reads its answer.
    pub async fn ask(&mut self, request: &[u8]) -> Result<Answer<'_>> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        let body = loop {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            let Some(head) = find(&self.buffer, b"\r\n\r\n") else {
                continue;
            };
            let body = head + 4..head + 4 + content_length(&self.buffer[..head])?;
            if self.buffer.len() >= body.end {
                break body;
            }
        };
        let status = self.buffer.get(9..12).and_then(number);
        Ok(Answer {
            status: status.ok_or_else(|| Error::other("an answer has a status"))?,
            body: &self.buffer[body],
        })
    }
}

/// Says what a server answered instead of what it should have.
pub fn unexpected(answer: &Answer<'_>) -> Error {
    let body = String::from_utf8_lossy(answer.body);
    Error::other(format!("a server answered {}: {body}", answer.status))
}

fn content_length(head: &[u8]) -> Result<usize> {
    const NAME: &[u8] = b"\r\ncontent-length: ";
    let length = find(head, NAME).and_then(|at| {
        let rest = &head[at + NAME.len()..];
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        number(&rest[..digits])
    });
    length.ok_or_else(|| Error::other("an answer has a content-length"))
}

fn number<T: std::str::FromStr>(digits: &[u8]) -> Option<T> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes
        .windows(wanted.len())
        .position(|window| window == wanted)
}
