//! Every field of a new API key: what is not acceptable is named, and changes nothing.

use reqwest::Method;
use serde_json::json;

use crate::on_both_engines;
use crate::support::database::Database;
use crate::support::server::{Reply, Server};

on_both_engines!(each_unacceptable_value_is_named_and_changes_nothing,);

/// Where the fault lies, and a raw member of an otherwise acceptable body.
const UNACCEPTABLE: &str = r#"
# Wrong types.
/name                  "name": 5
/name                  "name": null
/name                  "name": ["x"]
/description           "description": false
/scopes                "scopes": "read"
/scopes                "scopes": null
/scopes                "scopes": {"action":"read"}
/scopes/1              "scopes": ["a", 5]
/scopes/1              "scopes": ["a", ["b"]]
/allowed_ip_cidrs      "allowed_ip_cidrs": "203.0.113.0/24"
/allowed_ip_cidrs      "allowed_ip_cidrs": {}
/allowed_ip_cidrs/1    "allowed_ip_cidrs": ["203.0.113.0/24", 10]
/allowed_ip_cidrs/0    "allowed_ip_cidrs": [null]
/expires_at            "expires_at": 1893456000
/expires_at            "expires_at": {}
/external_id           "external_id": 42
/metadata              "metadata": null
/metadata              "metadata": []
/metadata              "metadata": "plan=pro"
/metadata/plan         "metadata": {"plan": 1}
/metadata/plan         "metadata": {"plan": null}
/metadata/plan         "metadata": {"a": "b", "plan": {"c": "d"}}
/metadata/a~1b~0c      "metadata": {"a/b~c": 1}
# Null would open or prolong what a variable that nobody set was to restrict.
/allowed_ip_cidrs      "allowed_ip_cidrs": null
/expires_in_days       "expires_in_days": null
# Out of range.
/name                  "name": ""
/name                  "name": " \t "
/description           "description": ""
/external_id           "external_id": " "
/scopes                "scopes": []
/scopes/1              "scopes": ["a", ""]
/scopes/0              "scopes": ["Read"]
/scopes/1              "scopes": ["a", "b c"]
/scopes/0              "scopes": ["a\"b"]
/scopes/0              "scopes": ["read:a/../b"]
/scopes/0              "scopes": ["read:"]
/scopes/0/action       "scopes": [{"resource": "x"}]
/scopes/0/resource     "scopes": [{"action": "a", "resource": null}]
/scopes/0/action       "scopes": [{"action": 1}]
/scopes/1/extra        "scopes": ["a", {"action": "a", "extra": 1}]
/allowed_ip_cidrs      "allowed_ip_cidrs": []
/allowed_ip_cidrs/0    "allowed_ip_cidrs": ["10.0.0.0/33"]
/allowed_ip_cidrs/1    "allowed_ip_cidrs": ["::/0", "::/129"]
/allowed_ip_cidrs/1    "allowed_ip_cidrs": ["::/0", "1", "2"]
/allowed_ip_cidrs/0    "allowed_ip_cidrs": ["localhost"]
/allowed_ip_cidrs/0    "allowed_ip_cidrs": [" 10.0.0.1"]
/expires_at            "expires_at": ""
/expires_at            "expires_at": "tomorrow"
/expires_at            "expires_at": "2099-01-31"
/expires_at            "expires_at": "2099-01-31T09:00:00"
/expires_at            "expires_at": "2099-02-30T09:00:00Z"
/expires_at            "expires_at": "1969-12-31T23:59:59Z"
/expires_at            "expires_at": "2001-01-01T00:00:00Z"
/expires_at            "expires_at": "10000-01-01T00:00:00Z"
/expires_at            "expires_at": "9999-12-31T23:59:59-01:00"
/expires_in_days       "expires_in_days": 0
/expires_in_days       "expires_in_days": -0
/expires_in_days       "expires_in_days": -1
/expires_in_days       "expires_in_days": 36501
/expires_in_days       "expires_in_days": 1.5
/expires_in_days       "expires_in_days": 90.0
/expires_in_days       "expires_in_days": 1e308
/expires_in_days       "expires_in_days": 1e400
/expires_in_days       "expires_in_days": 9223372036854775808
/expires_in_days       "expires_in_days": -9223372036854775809
/expires_in_days       "expires_in_days": 18446744073709551706
/expires_in_days       "expires_in_days": "90"
/expires_in_days       "expires_in_days": true
/expires_in_days       "expires_in_days": [90]
/expires_in_days       "expires_at": "2099-01-31T09:00:00Z", "expires_in_days": 90
/metadata/             "metadata": {"": "x"}
# Unicode tricks: what would hide or reorder its neighbours, or look like nothing.
/name                  "name": "a\u0000b"
/name                  "name": "a\nb"
/name                  "name": "a\u202eb"
/name                  "name": "a\u2066b"
/name                  "name": "a\u061cb"
/name                  "name": "a\u200bb"
/name                  "name": "\u2060"
/name                  "name": "\u3164"
/name                  "name": "a\u00adb"
/name                  "name": "a\ufeffb"
/name                  "name": "a\ufff9b"
/name                  "name": "a\udb40\udc41b"
/name                  "name": "\ud800"
/description           "description": "two\nlines"
/external_id           "external_id": "a\u0085b"
/metadata/plan         "metadata": {"plan": "a\u2028b"}
/scopes/0              "scopes": ["re\u0430d"]
/scopes/0              "scopes": ["read\u0000"]
/allowed_ip_cidrs/0    "allowed_ip_cidrs": ["\u0661\u0660.0.0.1"]
/expires_at            "expires_at": "\u0662\u0660\u0669\u0669-01-31T09:00:00Z"
# Given twice: which counts is not ours to guess.
/name                  "name": "x", "name": "y"
/scopes                "scopes": ["a"], "scopes": ["b"]
/expires_at            "expires_at": null, "expires_at": null
/description           "description": "a", "descr\u0069ption": "b"
/metadata/a            "metadata": {"a": "1", "a": "2"}
/scopes/0/action       "scopes": [{"action": "a", "action": "b"}]
# Unknown, misspelt, or not the caller's to say.
/nmae                  "nmae": "x"
/Name                  "Name": "x"
/expiresInDays         "expiresInDays": 90
/id                    "id": "key_00000000000000000000000000"
/organization          "organization": "other"
/created_by            "created_by": null
/secret                "secret": "x"
/status                "status": "active"
/__proto__             "__proto__": {}
/a~1b~0c               "a/b~c": 1
/                      "": 1
/na`me                 "na`me": 1
"#;

/// A raw body of a new key in which `member` replaces what it names.
pub fn body(member: &str) -> String {
    let mut body = String::from("{");
    for (name, rest) in [("\"name\"", r#": "x", "#), ("\"scopes\"", r#": ["a"], "#)] {
        if !member.starts_with(name) {
            body.push_str(name);
            body.push_str(rest);
        }
    }
    body + member + "}"
}

pub async fn send(server: &Server, body: String) -> Reply {
    let request = server
        .request(Method::POST, "/v1/organizations/acme/api-keys")
        .bearer_auth(&server.operator)
        .header("content-type", "application/json")
        .body(body);
    Reply::of(request).await
}

async fn each_unacceptable_value_is_named_and_changes_nothing(server: Server) {
    server.organization("acme").await;
    let database = Database::of(&server).await;
    let before = database.contents().await;
    let long = [
        (
            r#""metadata": {"pl\u200ban": "x"}"#.to_owned(),
            "/metadata/pl\u{200b}an",
        ),
        (format!(r#""name": "{}""#, "é".repeat(101)), "/name"),
        (
            format!(r#""description": "{}""#, "x".repeat(1001)),
            "/description",
        ),
        (
            format!(r#""external_id": "{}""#, "x".repeat(256)),
            "/external_id",
        ),
        (
            format!(r#""scopes": ["a", "{}"]"#, "b".repeat(201)),
            "/scopes/1",
        ),
        (
            format!(r#""metadata": {{"plan": "{}"}}"#, "x".repeat(501)),
            "/metadata/plan",
        ),
        (
            format!(r#""metadata": {{"{}": "x"}}"#, "n".repeat(41)),
            "/metadata/nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn",
        ),
        (
            format!(r#""expires_at": "{}""#, "2".repeat(60_000)),
            "/expires_at",
        ),
        (
            format!(r#""name": {}5{}"#, "[".repeat(9_000), "]".repeat(9_000)),
            "/name",
        ),
        (
            format!(r#""scopes": {}{}"#, "[".repeat(9_000), "]".repeat(9_000)),
            "/scopes/0",
        ),
        (
            format!(r#""expires_in_days": {}"#, "9".repeat(60_000)),
            "/expires_in_days",
        ),
    ];
    let long = long.iter().map(|(member, pointer)| (&**member, *pointer));
    let mut wrong = Vec::new();
    let table = UNACCEPTABLE.lines().filter(|line| line.starts_with('/'));
    let table = table.map(|line| {
        let (pointer, member) = line.split_once(' ').unwrap();
        (member.trim_start(), pointer)
    });
    assert!(table.clone().count() > 100);
    for (member, pointer) in table.chain(long) {
        let refused = send(&server, body(member)).await;
        let told = (
            refused.status.as_u16(),
            &refused.body["code"],
            &refused.body["pointer"],
        );
        let detail = refused.body["detail"].as_str().unwrap_or_default();
        // No word of how the program is written, and nothing endless.
        let plain = !["struct", "Body", "enum", "visitor"]
            .iter()
            .any(|word| detail.contains(word));
        if told != (422, &json!("invalid_field"), &json!(pointer)) || !plain || detail.len() > 600 {
            let member: String = member.chars().take(80).collect();
            wrong.push(format!("{member}\n    {pointer}: {}", refused.text));
        }
    }
    for missing in ["name", "scopes"] {
        let mut rest = json!({ "name": "x", "scopes": ["a"] });
        rest.as_object_mut().unwrap().remove(missing);
        let refused = send(&server, rest.to_string()).await;
        if refused.body["pointer"] != format!("/{missing}") {
            wrong.push(format!("without {missing}: {}", refused.text));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert_eq!(database.contents().await, before);
}
