//! Programs that guard a service with tokens and ask the mint nothing: `docs/resource-servers/envoy`.

use std::path::Path;

use serde_json::{Value, json};

use crate::gateways::{Gateway, envoy, run_envoy, service};
use crate::resource_servers::{DOCS, Mint, checks_tokens};
use crate::runtime::lua;
use crate::support::server::Reply;

#[tokio::test(flavor = "multi_thread")]
async fn envoy_lets_through_what_a_resource_server_should() {
    let Some(envoy) = envoy() else { return };
    let mint = Mint::start().await;
    let start = |folder: &Path, config: &dyn Fn(&str) -> String| {
        let here = |said: String| {
            assert!(said.contains("/etc/envoy/"));
            said.replace("/etc/envoy/", &format!("{}/", folder.display()))
        };
        let from = Path::new(DOCS).join("resource-servers/envoy");
        let script = std::fs::read_to_string(from.join("tenmint.lua")).unwrap();
        std::fs::write(folder.join("tenmint.lua"), here(script)).unwrap();
        let helper = "tenmint_scopes.lua";
        std::fs::copy(from.join(helper), folder.join(helper)).unwrap();
        let path = folder.join("envoy.yaml");
        let said = config("../resource-servers/envoy/envoy.yaml");
        std::fs::write(&path, here(said)).unwrap();
        run_envoy(&envoy, &path)
    };
    let gateway = Gateway::start(mint.server.address(), service().await, start).await;
    checks_tokens(&mint, &gateway.url).await;

    // What the service is told is not the client's to say.
    let token = mint.server.token(&mint.key, &[]).await;
    let names = ["key-id", "org", "scope", "external-id"];
    let lying = names.iter().fold(
        reqwest::Client::new().get(format!("{}/whoami", gateway.url)),
        |request, name| request.header(format!("X-Tenmint-{name}"), "evil"),
    );
    let reply = Reply::of(lying.bearer_auth(&token)).await;
    let seen = &reply.body["headers"];
    assert!(!reply.text.contains("evil"), "{}", reply.text);
    assert_eq!(seen["x-tenmint-org"], json!(["acme"]));
    assert_eq!(seen["x-tenmint-key-id"], json!([mint.key.id]));
}

#[tokio::test]
async fn the_helper_for_lua_holds_the_shared_vectors() {
    let Some(lua) = lua() else { return };
    let read = |name| -> Value {
        let text = std::fs::read_to_string(Path::new(DOCS).join(name)).unwrap();
        serde_json::from_str(&text).unwrap()
    };
    let folder = tempfile::tempdir().unwrap();
    let vectors = json!({
        "scopes": read("scope-vectors.json"), "networks": read("network-vectors.json"),
    });
    let path = folder.path().join("vectors.lua");
    std::fs::write(&path, format!("return {}", in_lua(&vectors))).unwrap();
    let helpers = format!("{DOCS}/resource-servers/envoy");
    let inputs = [("HELPERS", &*helpers), ("VECTORS", path.to_str().unwrap())];
    let report = lua.run("check_vectors.lua", &inputs).await;
    assert_eq!(report["wrong"], json!([]));
    assert!(report["count"].as_u64() > Some(250));
}

/// JSON as Lua writes it. For null, which Lua would take as nothing, stands false.
fn in_lua(value: &Value) -> String {
    match value {
        Value::Null => "false".to_owned(),
        Value::String(text) => {
            let bytes = text.bytes().map(|byte| format!("\\{byte:03}"));
            format!("\"{}\"", bytes.collect::<String>())
        }
        Value::Array(values) => {
            let values: Vec<_> = values.iter().map(in_lua).collect();
            format!("{{{}}}", values.join(","))
        }
        Value::Object(members) => {
            let member = |(name, value): (&String, &Value)| {
                let name = in_lua(&Value::String(name.clone()));
                format!("[{name}]={}", in_lua(value))
            };
            let members: Vec<_> = members.iter().map(member).collect();
            format!("{{{}}}", members.join(","))
        }
        plain => plain.to_string(),
    }
}
