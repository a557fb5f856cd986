//! What tenmint's role may do on PostgreSQL.

use super::finding::Finding;
use crate::store::Store;
use crate::store::privileges::Privileges;

const CHECK: &str = "privileges";

/// Looks at a PostgreSQL role; at SQLite, at nothing.
pub(super) async fn look(store: &Store) -> Option<Finding> {
    match store.privileges().await.transpose()? {
        Ok(privileges) => Some(judge(&privileges)),
        Err(why) => Some(Finding::problem(CHECK, why.to_string())),
    }
}

fn judge(privileges: &Privileges) -> Finding {
    let Privileges { role, schema, .. } = privileges;
    if !privileges.closed.is_empty() {
        let tables = named(&privileges.closed);
        return Finding::problem(
            CHECK,
            format!(
                "role {role} may not read and write {tables}: GRANT SELECT, INSERT, UPDATE, DELETE \
                 ON ALL TABLES IN SCHEMA {schema} TO {role}"
            ),
        );
    }
    if !privileges.rewrites {
        return Finding::problem(
            CHECK,
            format!(
                "role {role} does not own the table signing_keys, so that private halves that were \
                 destroyed stay in the database's files: ALTER TABLE signing_keys OWNER TO {role}, \
                 or from PostgreSQL 17 on GRANT MAINTAIN ON signing_keys TO {role}"
            ),
        );
    }
    if !privileges.creates || !privileges.foreign.is_empty() {
        let mut lacks = Vec::new();
        if !privileges.creates {
            lacks.push(format!("may not make tables in schema {schema}"));
        }
        if !privileges.foreign.is_empty() {
            lacks.push(format!("does not own {}", named(&privileges.foreign)));
        }
        let lacks = lacks.join(" and ");
        return Finding::warning(
            CHECK,
            format!(
                "role {role} {lacks}: a server of the next version could not migrate. Upgrade by \
                 `tenmint migrate` as the owner of all tables, or give them to {role}"
            ),
        );
    }
    Finding::ok(CHECK, format!("role {role} may do what tenmint does"))
}

/// The first few.
fn named(tables: &[String]) -> String {
    let shown = tables[..tables.len().min(3)].join(", ");
    match tables.len() - tables.len().min(3) {
        0 => shown,
        more => format!("{shown} and {more} more tables"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Verdict;
    use super::*;

    #[test]
    fn what_a_role_lacks_is_found_and_the_worst_first() {
        let good = Privileges {
            role: "tenmint".to_owned(),
            schema: "public".to_owned(),
            creates: true,
            rewrites: true,
            ..Privileges::default()
        };
        assert_eq!(judge(&good).verdict, Verdict::Ok);
        let mut bad = Privileges {
            creates: false,
            ..good.clone()
        };
        let found = judge(&bad);
        assert_eq!(found.verdict, Verdict::Warning);
        assert!(found.text.contains("may not make tables in schema public:"));
        bad.foreign = ["a", "b", "c", "d"].map(str::to_owned).into();
        let found = judge(&bad);
        assert_eq!(found.verdict, Verdict::Warning);
        let said = "and does not own a, b, c and 1 more tables";
        assert!(found.text.contains(said), "{}", found.text);
        bad.rewrites = false;
        assert_eq!(judge(&bad).verdict, Verdict::Problem);
        bad.closed = vec!["roles".to_owned()];
        let found = judge(&bad);
        assert!(found.text.contains("read and write roles"));
    }
}
