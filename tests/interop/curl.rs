//! curl, as quickstart and the README have it: the API key alone, kept out of the process list.

use serde_json::{Value, json};

use crate::obtain::{Client, a_client_obtains_tokens};
use crate::on_both_engines;
use crate::readme;
use crate::runtime::{Runtime, shell_with_curl};
use crate::support::server::Server;

on_both_engines!(curl_obtains_tokens_and_is_told_why_not);

async fn curl_obtains_tokens_and_is_told_why_not(server: Server) {
    let Some(shell) = shell_with_curl() else {
        return;
    };
    let acme = server.organization("acme").await;
    for issuer in ["", "/orgs/acme"] {
        a_client_obtains_tokens(&server, issuer, &acme, async |clients| {
            let mut outcomes = Vec::new();
            for client in clients {
                outcomes.push(json!({ "bearer": obtain(&shell, client).await }));
            }
            outcomes.into()
        })
        .await;
    }
}

async fn obtain(shell: &Runtime, client: &Client) -> Value {
    let mut inputs = vec![
        ("TENMINT_API_KEY", &*client.key.secret),
        ("URL", &client.issuer),
    ];
    let mut line = line_of_the_readme();
    if let Some(scope) = client.scope {
        inputs.push(("SCOPE", scope));
        line.push_str(r#" -d "scope=$SCOPE""#);
    }
    let printed = shell.run_text(&line, &inputs).await;
    serde_json::from_str(&printed).unwrap_or_else(|why| panic!("{why}: {printed}"))
}

/// The line that quickstart prints, less the secret that it exports first.
fn line_of_the_readme() -> String {
    let transcript = readme::block("text", "export TENMINT_API_KEY=");
    let line = transcript.lines().find(|line| line.contains("curl"));
    let (_, exchange) = line.unwrap().split_once("; ").unwrap();
    exchange.replace(readme::BASE, "$URL")
}
