//! The texts by which keys are listed. Each is read along an index of its own order: what it is
//! found by, in which state, and how it is sorted are in the text, not among its parameters.

use super::super::row::{columns, secrets_and_uses};

/// One order. Keys are chosen before their secrets and roles are looked up.
macro_rules! list {
    ($from:tt, $found:tt, $state:tt, $behind:expr, $inner:expr, $outer:expr) => {
        concat!(
            "SELECT ",
            columns!(),
            " FROM (
                 SELECT k.* FROM ",
            $from,
            "
                 WHERE k.organization_id = $1",
            $found,
            $state,
            "
                   AND (lower(k.name) LIKE $4 ESCAPE '!' OR lower(k.id) LIKE $5 ESCAPE '!')
                   AND k.metadata LIKE $6 ESCAPE '!'
                   AND COALESCE(k.expires_at, 253402300800) < $7
                   AND k.created_at < $14
                   AND NOT EXISTS (SELECT 1 FROM secret_uses u
                                   WHERE u.api_key_id = k.id AND u.last_used_at >= $14)
                   AND ",
            $behind,
            "
                 ORDER BY ",
            $inner,
            " LIMIT $8
             ) k ",
            secrets_and_uses!(),
            "
             ORDER BY ",
            $outer
        )
    };
}

/// Every order of `KeyOrder`, in its order. SQLite finds no place in an index of expressions by a
/// pair of values: the first of them is said again by itself.
macro_rules! orders {
    ($from:tt, $id:tt, $found:tt, $state:tt) => {
        [
            list!(
                $from,
                $found,
                $state,
                concat!($id, " < $12"),
                concat!($id, " DESC"),
                "k.id DESC"
            ),
            list!($from, $found, $state, concat!($id, " > $12"), $id, "k.id"),
            list!(
                $from,
                $found,
                $state,
                "lower(k.name) >= $10 AND (lower(k.name), k.id) > ($10, $12)",
                "lower(k.name), k.id",
                "lower(k.name), k.id"
            ),
            list!(
                $from,
                $found,
                $state,
                "lower(k.name) <= $10 AND (lower(k.name), k.id) < ($10, $12)",
                "lower(k.name) DESC, k.id DESC",
                "lower(k.name) DESC, k.id DESC"
            ),
            list!(
                $from,
                $found,
                $state,
                "COALESCE(k.expires_at, 253402300800) >= $11
                 AND (COALESCE(k.expires_at, 253402300800), k.id) > ($11, $12)",
                "COALESCE(k.expires_at, 253402300800), k.id",
                "COALESCE(k.expires_at, 253402300800), k.id"
            ),
            list!(
                $from,
                $found,
                $state,
                "COALESCE(k.expires_at, 253402300800) <= $11
                 AND (COALESCE(k.expires_at, 253402300800), k.id) < ($11, $12)",
                "COALESCE(k.expires_at, 253402300800) DESC, k.id DESC",
                "COALESCE(k.expires_at, 253402300800) DESC, k.id DESC"
            ),
        ]
    };
}

/// Whatever their state, those that were revoked, those that were not.
macro_rules! states {
    ($from:tt, $id:tt, $found:tt) => {
        [
            orders!($from, $id, $found, ""),
            orders!($from, $id, $found, " AND k.revoked_at IS NOT NULL"),
            orders!(
                $from,
                $id,
                $found,
                " AND k.revoked_at IS NULL
                  AND ($3 = 'unrevoked'
                       OR ($3 = 'active' AND k.disabled_at IS NULL
                           AND COALESCE(k.expires_at, 253402300800) > $2)
                       OR ($3 = 'disabled' AND k.disabled_at IS NOT NULL
                           AND COALESCE(k.expires_at, 253402300800) > $2)
                       OR ($3 = 'expired' AND k.expires_at <= $2))"
            ),
        ]
    };
}

/// By what keys are found, in which state, in which order: of all drives, states and orders.
///
/// The parameters are: the organization, now, the status, patterns for name, id and metadata, the
/// instant before which keys end, how many rows, what they are found by; behind which name, end
/// and id; the maker that is to be among what it made; since when
/// they were not used.
pub const LISTS: [[[&str; 6]; 3]; 5] = [
    // Every key.
    states!("api_keys k", "k.id", ""),
    // Those of an external id.
    states!("api_keys k", "k.id", " AND k.external_id = $9"),
    // Those of a maker.
    states!(
        "api_keys k",
        "k.id",
        " AND CASE substr(k.created_by, 1, 9)
              WHEN 'operator:' THEN 'operator' ELSE k.created_by END = $9"
    ),
    // Those of a maker, of what it made, and so on; also itself.
    states!(
        "api_keys k",
        "k.id",
        " AND (k.id = $13 OR k.id IN (
              WITH RECURSIVE made (id) AS (
                  SELECT m.id FROM api_keys m
                  WHERE m.organization_id = $1
                    AND CASE substr(m.created_by, 1, 9)
                        WHEN 'operator:' THEN 'operator' ELSE m.created_by END = $9
                  UNION
                  SELECT m.id FROM made
                  JOIN api_keys m ON m.organization_id = $1
                    AND CASE substr(m.created_by, 1, 9)
                        WHEN 'operator:' THEN 'operator' ELSE m.created_by END = made.id
              ) SELECT made.id FROM made))"
    ),
    // Those that hold a role.
    states!(
        "api_key_roles a JOIN api_keys k ON k.id = a.api_key_id",
        "a.api_key_id",
        " AND a.organization_id = $1 AND a.role = $9"
    ),
];
