//! What PostgreSQL must be, so that nothing that was acknowledged is lost, and revocations are heard.

use super::finding::Finding;
use crate::store::Store;
use crate::store::health::Durability;

/// Looks at a PostgreSQL server; at SQLite, at nothing.
pub(super) async fn look(store: &Store) -> Vec<Finding> {
    let durability = match store.durability().await {
        Ok(Some(durability)) => durability,
        Ok(None) => return vec![],
        Err(why) => return vec![Finding::problem("durability", why.to_string())],
    };
    let mut findings = vec![durable(&durability), replicated(&durability)];
    findings.push(match store.hears_itself().await {
        Ok(true) => Finding::ok("notifications", "LISTEN and NOTIFY work"),
        Ok(false) => Finding::problem(
            "notifications",
            "nothing that is notified is heard, as behind a pooler that shares out connections: \
             without it servers hear late of revocations, and ask the database each time. Connect \
             to PostgreSQL itself, or let the pooler keep a session",
        ),
        Err(why) => Finding::problem("notifications", why.to_string()),
    });
    findings
}

fn durable(durability: &Durability) -> Finding {
    const CHECK: &str = "durability";
    let off = |setting: &str| ["off", "local"].contains(&setting);
    if durability.in_recovery {
        return Finding::problem(
            CHECK,
            "this server is a standby, which takes no writes: name the primary in DATABASE_URL",
        );
    }
    let switched_off: Vec<_> = [
        ("fsync", off(&durability.fsync)),
        ("full_page_writes", off(&durability.full_page_writes)),
        ("synchronous_commit", durability.synchronous_commit == "off"),
    ]
    .into_iter()
    .filter_map(|(name, off)| off.then_some(name))
    .collect();
    if !switched_off.is_empty() {
        let names = switched_off.join(", ");
        return Finding::problem(
            CHECK,
            format!(
                "{names} is off: a crash can lose what was acknowledged, revocations too; switch \
                 it on"
            ),
        );
    }
    Finding::ok(CHECK, "what is committed is on the disk")
}

fn replicated(durability: &Durability) -> Finding {
    const CHECK: &str = "replication";
    if durability.synchronous_standby_names.is_empty() {
        return Finding::warning(
            CHECK,
            "no standby is synchronous: after a failover the last acts, revocations among them, \
             may be gone. Set synchronous_standby_names, or treat a failover as a restore",
        );
    }
    if durability.synchronous_commit == "local" {
        return Finding::warning(
            CHECK,
            "synchronous_commit is local, so the synchronous standbys are not waited for: set it \
             to on",
        );
    }
    Finding::ok(
        CHECK,
        format!("commits wait for {}", durability.synchronous_standby_names),
    )
}

#[cfg(test)]
mod tests {
    use super::super::finding::Verdict;
    use super::*;

    fn as_it_should_be() -> Durability {
        let on = || "on".to_owned();
        Durability {
            fsync: on(),
            full_page_writes: on(),
            synchronous_commit: on(),
            synchronous_standby_names: "ANY 1 (a, b)".to_owned(),
            in_recovery: false,
        }
    }

    #[test]
    fn whatever_lets_an_acknowledged_act_be_lost_is_found() {
        let good = as_it_should_be();
        assert_eq!(durable(&good).verdict, Verdict::Ok);
        assert_eq!(replicated(&good).verdict, Verdict::Ok);
        let breaks: [fn(&mut Durability); 4] = [
            |d| d.fsync = "off".to_owned(),
            |d| d.full_page_writes = "off".to_owned(),
            |d| d.synchronous_commit = "off".to_owned(),
            |d| d.in_recovery = true,
        ];
        for spoil in breaks {
            let mut bad = as_it_should_be();
            spoil(&mut bad);
            assert_eq!(durable(&bad).verdict, Verdict::Problem, "{bad:?}");
        }
        let breaks: [fn(&mut Durability); 2] = [
            |d| d.synchronous_standby_names.clear(),
            |d| d.synchronous_commit = "local".to_owned(),
        ];
        for spoil in breaks {
            let mut bad = as_it_should_be();
            spoil(&mut bad);
            assert_eq!(replicated(&bad).verdict, Verdict::Warning, "{bad:?}");
        }
    }
}
