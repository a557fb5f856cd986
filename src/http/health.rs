//! Whether this node is alive, and whether to send it requests.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::json;

use super::json::answer as answer_json;
use crate::app::App;

/// The process runs. Restart it if this does not answer.
pub async fn alive() -> Response {
    answer(StatusCode::OK, "alive")
}

/// The database answers and no shutdown has begun. Send requests elsewhere otherwise.
pub async fn ready(State(app): State<Arc<App>>) -> Response {
    if app.is_ready().await {
        answer(StatusCode::OK, "ready")
    } else {
        answer(StatusCode::SERVICE_UNAVAILABLE, "not ready")
    }
}

fn answer(status: StatusCode, word: &'static str) -> Response {
    answer_json(status, &json!({ "status": word }))
}
