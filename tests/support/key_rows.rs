//! Keys by the thousand, as SQL that runs on both engines: nobody holds their secrets.

/// What the id of the `number`th key is.
#[allow(
    dead_code,
    reason = "each test binary uses its own part of the support"
)]
pub fn id(number: u32) -> String {
    format!("key_{number:026}")
}

/// Inserts `count` keys into an organization, older than any other, numbered from 1 behind `from`.
///
/// Of ten, one was revoked, one was disabled, five have an end; names repeat.
pub fn insert(organization: &str, from: u32, count: u32) -> String {
    let (first, last) = (from + 1, from + count);
    let numbers = format!(
        "WITH RECURSIVE n (i) AS (SELECT {first} UNION ALL SELECT i + 1 FROM n WHERE i < {last})"
    );
    let id = "'key_000000000000000000' || substr('00000000', 1, 8 - length(CAST(i AS TEXT)))
              || CAST(i AS TEXT)";
    format!(
        "INSERT INTO api_keys
         (id, organization_id, name, scopes, allowed_ip_cidrs, metadata, created_at,
          external_id, created_by, expires_at, disabled_at, revoked_at, revoke_reason)
         {numbers}
         SELECT {id}, '{organization}', 'Name ' || CAST((i * 7919) % 3000 AS TEXT),
                '[\"read\"]', '[\"0.0.0.0/0\",\"::/0\"]',
                '{{\"n\":\"' || CAST(i AS TEXT) || '\"}}', 1000 + i,
                'e' || CAST(i % 50 AS TEXT), 'key_00000000000000000000000001',
                CASE WHEN i % 2 = 0 THEN 4000000000 + (i * 7919) % 1000 END,
                CASE WHEN i % 10 = 1 THEN 2000 END,
                CASE WHEN i % 10 = 3 THEN 2000 END, CASE WHEN i % 10 = 3 THEN 'unused' END
         FROM n;
         INSERT INTO api_key_secrets (api_key_id, fingerprint, hash, root_key, created_at)
         {numbers} SELECT {id}, 'f', 'h', 'r', 1000 FROM n"
    )
}
