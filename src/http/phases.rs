//! Many requests at once are answered in phases: each is read, and only then any is decided.

/// Lets whatever else is ready go first. Requests are then read in a row, while the code that reads
/// them is in the processor's nearest caches, and then decided and answered in a row; one after the
/// other from end to end, each would find the caches filled by the other half of its predecessor,
/// and by the tables of its signature above all. Where nothing else is ready this costs next to
/// nothing.
pub(super) async fn others_first() {
    tokio::task::yield_now().await;
}
