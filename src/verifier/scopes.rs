//! What a route needs: scopes, as a layer behind the verifier's.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tower_layer::Layer;
use tower_service::Service;

use crate::domain::scope::Scope;

use super::claims::Verified;
use super::refused::{Cause, Refused};

/// Scopes that a request's token must cover, all of them. A layer for routes that stand behind
/// [`VerifierLayer`](super::VerifierLayer); for what depends on the path, see [`Verified::require`].
#[derive(Clone, Debug)]
pub struct Scopes(Arc<[Scope]>);

/// What the layer makes of a service.
#[derive(Clone)]
pub struct ScopesGuard<S> {
    inner: S,
    scopes: Scopes,
}

impl Scopes {
    /// This scope, such as `read:projects/42`.
    ///
    /// # Panics
    /// When it is not a scope, at start, as routers do with paths that are none. What is only
    /// known at run time is for [`Scopes::all`].
    #[must_use]
    pub fn require(scope: &str) -> Self {
        let scope = scope.parse().expect("a scope is required that is none");
        Self::all([scope])
    }

    /// And this one.
    ///
    /// # Panics
    /// As [`Scopes::require`] does.
    #[must_use]
    pub fn and(&self, scope: &str) -> Self {
        let scope = scope.parse().expect("a scope is required that is none");
        Self::all(self.0.iter().cloned().chain([scope]))
    }

    /// All of these.
    #[must_use]
    pub fn all(scopes: impl IntoIterator<Item = Scope>) -> Self {
        Self(scopes.into_iter().collect())
    }

    /// Refuses a token that does not cover them.
    ///
    /// # Errors
    /// [`Cause::Scope`] with the first that it lacks.
    pub fn check(&self, caller: &Verified) -> Result<(), Refused> {
        self.0
            .iter()
            .try_for_each(|scope| caller.require_scope(scope))
    }
}

impl<S> Layer<S> for Scopes {
    type Service = ScopesGuard<S>;

    fn layer(&self, inner: S) -> ScopesGuard<S> {
        ScopesGuard {
            inner,
            scopes: self.clone(),
        }
    }
}

impl<S, B, R> Service<http::Request<B>> for ScopesGuard<S>
where
    S: Service<http::Request<B>, Response = http::Response<R>>,
    S::Future: Send + 'static,
    R: From<String> + Send + 'static,
    S::Error: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let checked = match request.extensions().get::<Verified>() {
            Some(caller) => self.scopes.check(caller),
            None => Err(no_layer()),
        };
        match checked {
            Ok(()) => Box::pin(self.inner.call(request)),
            Err(refused) => Box::pin(async move { Ok(refused.answer()) }),
        }
    }
}

/// The program is wrong, not the request: nobody gets through.
pub(super) fn no_layer() -> Refused {
    tracing::error!("a route asks for a verified token outside the verifier's layer");
    Refused::new(Cause::NoLayer, &Arc::default())
}
