//! `/metrics`, on a listener of its own: what is measured is nobody's business outside.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::app::App;
use crate::app::metrics::CONTENT_TYPE;

/// Everything that the listener for metrics serves.
pub fn router(app: Arc<App>) -> Router {
    Router::new().route("/metrics", get(show)).with_state(app)
}

async fn show(State(app): State<Arc<App>>) -> Response {
    let body = app.measurements().await;
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], body).into_response()
}
