//! What somebody does who can write to the database: `tenmint audit verify` finds each of it.

use super::audit_verification::{EDITED, faults, holds, seven};
use crate::on_both_engines;
use crate::support::server::Server;

on_both_engines!(every_change_to_a_chain_is_found);

/// What somebody does who can write to the database, and what is said of it.
const DEEDS: [(&str, &str); 24] = [
    ("UPDATE audit_events SET at = at + 1 WHERE {3}", EDITED),
    (
        "UPDATE audit_events SET actor = 'command line' WHERE {3}",
        EDITED,
    ),
    (
        "UPDATE audit_events SET acting_for = 'bo' WHERE {3}",
        EDITED,
    ),
    (
        "UPDATE audit_events SET acting_for = NULL WHERE {3}",
        EDITED,
    ),
    (
        "UPDATE audit_events SET address = '192.0.2.1' WHERE {3}",
        EDITED,
    ),
    (
        "UPDATE audit_events SET request_id = NULL WHERE {3}",
        EDITED,
    ),
    (
        "UPDATE audit_events SET action = 'api_key.revoke' WHERE {3}",
        EDITED,
    ),
    ("UPDATE audit_events SET target = 'other' WHERE {3}", EDITED),
    ("UPDATE audit_events SET details = '{}' WHERE {3}", EDITED),
    ("UPDATE audit_events SET salt = digest WHERE {3}", EDITED),
    ("UPDATE audit_events SET salt = NULL WHERE {3}", EDITED),
    ("UPDATE audit_events SET digest = salt WHERE {3}", EDITED),
    ("UPDATE audit_events SET digest = NULL WHERE {3}", EDITED),
    ("UPDATE audit_events SET mac = digest WHERE {3}", EDITED),
    (
        "UPDATE audit_events SET address = NULL, acting_for = NULL, salt = NULL, details = '{}'
           WHERE {3}",
        "entry 3 was emptied, and no later entry says that an act erased it",
    ),
    ("DELETE FROM audit_events WHERE {3}", "entry 3 is missing"),
    (
        "DELETE FROM audit_events WHERE organization_id = 'acme' AND sequence = 1",
        "entry 1 is missing",
    ),
    // The rest moved up.
    (
        "DELETE FROM audit_events WHERE {3};
         UPDATE audit_events SET sequence = 1000 + sequence
             WHERE organization_id = 'acme' AND sequence > 3;
         UPDATE audit_events SET sequence = sequence - 1001
             WHERE organization_id = 'acme' AND sequence > 1000",
        EDITED,
    ),
    // Two in the other order.
    (
        "UPDATE audit_events SET sequence = 1000 WHERE {3};
         UPDATE audit_events SET sequence = 3
             WHERE organization_id = 'acme' AND sequence = 4;
         UPDATE audit_events SET sequence = 4
             WHERE organization_id = 'acme' AND sequence = 1000",
        EDITED,
    ),
    // A copy, behind the last and before the first.
    (
        "INSERT INTO audit_events
           SELECT organization_id, 8, at, actor, address, request_id, action, target, details, mac,
                  acting_for, salt, digest
           FROM audit_events WHERE {3}",
        "entry 8 is not as it was written",
    ),
    (
        "INSERT INTO audit_events
           SELECT organization_id, 0, at, actor, address, request_id, action, target, details, mac,
                  acting_for, salt, digest
           FROM audit_events WHERE {3}",
        "entry 0 was put in",
    ),
    (
        "DELETE FROM audit_events WHERE organization_id = 'acme' AND sequence > 5",
        "it ends with entry 5, and the organization counts 7: the end was cut off",
    ),
    (
        "UPDATE organizations SET audit_sequence = 6 WHERE id = 'acme'",
        "entry 7 was put in",
    ),
    (
        "UPDATE organizations SET audit_mac =
             (SELECT mac FROM audit_events
              WHERE organization_id = 'acme' AND sequence = 6)
           WHERE id = 'acme'",
        "the organization's row does not name entry 7, the last, as its head",
    ),
];

async fn every_change_to_a_chain_is_found(server: Server) {
    let database = seven(&server).await;
    for keep in [
        "CREATE TABLE kept AS SELECT * FROM audit_events",
        "CREATE TABLE kept_heads AS SELECT id, audit_sequence, audit_mac FROM organizations",
    ] {
        database.run(keep, &[]).await;
    }
    for (text, fault) in DEEDS {
        let third = "organization_id = 'acme' AND sequence = 3";
        let text = text.replace("{3}", third);
        server.place().execute(&text).await;
        faults(&server, &[], fault);
        for restore in [
            "DELETE FROM audit_events",
            "INSERT INTO audit_events SELECT * FROM kept",
            "UPDATE organizations SET
               audit_sequence = (SELECT k.audit_sequence FROM kept_heads k
                                 WHERE k.id = organizations.id),
               audit_mac = (SELECT k.audit_mac FROM kept_heads k WHERE k.id = organizations.id)",
        ] {
            database.run(restore, &[]).await;
        }
    }
    holds(&server, &[], "acme: verified 7 entries");
    // PostgreSQL stores no such text.
    if server.place().is_sqlite() {
        let text = "UPDATE audit_events SET target = CAST(x'ff' AS TEXT)
                    WHERE organization_id = 'acme' AND sequence = 3";
        database.run(text, &[]).await;
        faults(&server, &[], "what follows entry 0 cannot be read");
    }
}
