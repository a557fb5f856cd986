//! The tower layer: lets requests with a good token through, and answers the others.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::request::Parts;
use http::{HeaderMap, header};
use tower_layer::Layer;
use tower_service::Service;

use super::refused::Cause;
use super::{Request, Verifier};

/// A layer that puts a [`Verified`](super::Verified) into the extensions of each request that it
/// lets through. One header counts, `Authorization: Bearer …` (RFC 6750 §2.1): never the query
/// string, never a form.
#[derive(Clone)]
pub struct VerifierLayer {
    verifier: Verifier,
    address: Address,
}

type Address = Arc<dyn Fn(&Parts) -> Option<IpAddr> + Send + Sync>;

/// What the layer makes of a service.
#[derive(Clone)]
pub struct Guard<S> {
    inner: S,
    layer: VerifierLayer,
}

impl VerifierLayer {
    pub(super) fn new(verifier: Verifier) -> Self {
        Self {
            verifier,
            address: Arc::new(peer),
        }
    }

    /// Where a request comes from, for servers behind proxies. Without it, the peer's address as
    /// axum's `ConnectInfo<SocketAddr>` has it (with the feature `axum`), and no header is
    /// believed: whoever may write it would choose the address.
    #[must_use]
    pub fn address(
        mut self,
        of: impl Fn(&Parts) -> Option<IpAddr> + Send + Sync + 'static,
    ) -> Self {
        self.address = Arc::new(of);
        self
    }
}

#[cfg(feature = "axum")]
fn peer(parts: &Parts) -> Option<IpAddr> {
    use axum::extract::ConnectInfo;
    use std::net::SocketAddr;

    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
    peer.map(|ConnectInfo(address)| address.ip())
}

#[cfg(not(feature = "axum"))]
fn peer(_: &Parts) -> Option<IpAddr> {
    None
}

impl<S> Layer<S> for VerifierLayer {
    type Service = Guard<S>;

    fn layer(&self, inner: S) -> Guard<S> {
        Guard {
            inner,
            layer: self.clone(),
        }
    }
}

impl<S, B, R> Service<http::Request<B>> for Guard<S>
where
    S: Service<http::Request<B>, Response = http::Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    B: Send + 'static,
    R: From<String>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        // The service that was polled ready is the one to call; the clone waits for its turn.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        let layer = self.layer.clone();
        Box::pin(async move {
            let (mut parts, body) = request.into_parts();
            let VerifierLayer { verifier, address } = layer;
            let verified = match bearer(&parts.headers) {
                Ok(token) => {
                    let ip = address(&parts);
                    verifier.verify(token, &Request { ip }).await
                }
                Err(cause) => Err(verifier.refused(cause)),
            };
            match verified {
                Ok(verified) => {
                    parts.extensions.insert(verified);
                    inner.call(http::Request::from_parts(parts, body)).await
                }
                Err(refused) => Ok(refused.answer()),
            }
        })
    }
}

/// The one token in the one header. Another scheme is no token; two headers are one too many, and
/// which counts is not ours to guess.
fn bearer(headers: &HeaderMap) -> Result<&str, Cause> {
    let mut lines = headers.get_all(header::AUTHORIZATION).iter();
    let line = lines.next().ok_or(Cause::NoToken)?;
    if lines.next().is_some() {
        return Err(Cause::Header);
    }
    let line = line.to_str().map_err(|_| Cause::Header)?;
    let (scheme, token) = line.split_once(' ').unwrap_or((line, ""));
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Cause::NoToken);
    }
    let token = token.trim_matches(' ');
    // RFC 6750 §2.1.
    let of_a_token = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
    if token.is_empty() || !token.bytes().all(of_a_token) {
        return Err(Cause::Header);
    }
    Ok(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&[u8]]) -> Result<String, Cause> {
        let mut headers = HeaderMap::new();
        for line in lines {
            let line = http::HeaderValue::from_bytes(line).unwrap();
            headers.append(header::AUTHORIZATION, line);
        }
        bearer(&headers).map(str::to_owned)
    }

    #[test]
    fn one_header_counts_and_two_do_not() {
        assert_eq!(read(&[b"Bearer a.b.c"]).unwrap(), "a.b.c");
        assert_eq!(read(&[b"bEARER  a.b.c "]).unwrap(), "a.b.c");
        assert_eq!(read(&[]), Err(Cause::NoToken));
        assert_eq!(read(&[b"Basic YTpi"]), Err(Cause::NoToken));
        assert_eq!(read(&[b"Bearerx a"]), Err(Cause::NoToken));
        for lines in [
            &[&b"Bearer a"[..], b"Bearer a"][..],
            &[b"Basic YTpi", b"Bearer a"],
            &[b"Bearer a, Bearer b"],
            &[b"Bearer a b"],
            &[b"Bearer"],
            &[b"Bearer "],
            &[b"Bearer a\tb"],
            &[b"Bearer \xff"],
        ] {
            assert_eq!(read(lines), Err(Cause::Header), "{lines:?}");
        }
    }
}
