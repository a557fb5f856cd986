//! Rows of an answer, taken in by a thread that has other things to do.

use std::pin::pin;

use futures_util::{Stream, StreamExt};

/// How many rows are taken in at one go: each takes some tens of microseconds.
const AT_ONE_GO: usize = 8;

/// All the rows. In between, the thread does what else is due: nobody else may be there to take in
/// what requests come meanwhile, and they would wait until the last row.
pub(in crate::store) async fn all<T>(
    rows: impl Stream<Item = sqlx::Result<T>>,
) -> sqlx::Result<Vec<T>> {
    let (mut rows, mut all) = (pin!(rows), Vec::new());
    while let Some(row) = rows.next().await {
        all.push(row?);
        if all.len().is_multiple_of(AT_ONE_GO) {
            tokio::task::yield_now().await;
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream;
    use std::cell::Cell;

    #[tokio::test]
    async fn others_have_their_turns_while_rows_that_are_there_are_taken_in() {
        let taken = Cell::new(0);
        let rows = stream::iter(0..10 * AT_ONE_GO).map(|row| {
            taken.set(row + 1);
            Ok(row)
        });
        let other = async {
            let (mut most, mut before) = (taken.get(), taken.get());
            while before < 10 * AT_ONE_GO {
                tokio::task::yield_now().await;
                most = most.max(taken.get() - before);
                before = taken.get();
            }
            most
        };
        let (all, most) = tokio::join!(biased; all(rows), other);
        assert!(all.unwrap().into_iter().eq(0..10 * AT_ONE_GO));
        assert!(most <= AT_ONE_GO, "{most}");
    }

    #[tokio::test]
    async fn an_error_among_them_is_the_answer() {
        let rows = stream::iter([Ok(1), Err(sqlx::Error::PoolTimedOut), Ok(2)]);
        assert!(matches!(all(rows).await, Err(sqlx::Error::PoolTimedOut)));
    }
}
