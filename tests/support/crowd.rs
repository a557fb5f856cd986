//! Many requests at the same time.

use reqwest::RequestBuilder;

use super::server::Reply;

/// Sends them all at once, each from a task of its own; the answers in the order of the requests.
pub async fn at_once(requests: impl IntoIterator<Item = RequestBuilder>) -> Vec<Reply> {
    let tasks: Vec<_> = requests
        .into_iter()
        .map(|request| tokio::spawn(Reply::of(request)))
        .collect();
    let mut replies = Vec::with_capacity(tasks.len());
    for task in tasks {
        replies.push(task.await.unwrap());
    }
    replies
}
