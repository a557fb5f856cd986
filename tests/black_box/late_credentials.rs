//! Acts that are under way when the credential they rest on ends: it wins.

use std::sync::Arc;

use reqwest::{Method, StatusCode};
use tenmint::credentials::Denied;
use tenmint::domain::api_key::{KeyFilter, KeyOrder, RevokeReason};
use tenmint::domain::secret::{ApiKeySecret, KeyId};
use tenmint::manage::api_keys::{self, Precondition};
use tenmint::manage::caller::{Actor, Presented};
use tenmint::manage::refusal::Refusal;

use crate::on_both_engines;
use crate::rotation::{post, rotated};
use crate::support::server::{Key, Reply, Server};

on_both_engines!(
    an_act_of_a_secret_that_ended_meanwhile_is_refused,
    an_act_of_a_token_denied_meanwhile_is_refused,
);

async fn actor(server: &Server, presented: Presented<'_>) -> Actor {
    let address = Some("127.0.0.1".parse().unwrap());
    let management = &server.app.management;
    let caller = management
        .caller(presented, address, None, "req_test".to_owned())
        .await;
    Actor::Key(Box::new(caller.unwrap()))
}

/// What an actor that was let in does next.
async fn revoke(server: &Server, actor: &Actor, key: &Key) -> Result<(), Refusal> {
    let id: KeyId = key.id.parse().unwrap();
    let management = Arc::clone(&server.app.management);
    let acme = "acme".parse().unwrap();
    let reason = RevokeReason::Unspecified;
    api_keys::revoke(
        management,
        actor.clone(),
        acme,
        id,
        reason,
        Precondition::None,
    )
    .await
    .map(drop)
}

async fn in_force(server: &Server) -> usize {
    let management = &server.app.management;
    let acme = "acme".parse().unwrap();
    let (actor, filter) = (Actor::CommandLine, KeyFilter::default());
    let order = KeyOrder::default();
    let keys = api_keys::list(management, &actor, &acme, &filter, order, None, 100).await;
    keys.unwrap().rows.len()
}

async fn an_act_of_a_secret_that_ended_meanwhile_is_refused(server: Server) {
    let acme = server.organization("acme").await;
    let victim = server.key_with(&acme, &["read"]).await;
    let clerk = server.key_with(&acme, &["api_keys.revoke"]).await;
    let secret = ApiKeySecret::parse(&clerk.secret).unwrap();
    let under_way = actor(&server, Presented::Key(secret)).await;
    let new = rotated(&server, &acme, &clerk, 600).await;
    // Both count.
    let other = server.key_with(&acme, &["read"]).await;
    revoke(&server, &under_way, &other).await.unwrap();
    post(&server, &acme, &new.id, "rotate/finish")
        .await
        .expect(StatusCode::OK);
    let before = in_force(&server).await;
    let refused = revoke(&server, &under_way, &victim).await.unwrap_err();
    assert!(matches!(refused, Refusal::Key(Denied::WrongSecret)));
    assert_eq!(in_force(&server).await, before);
}

async fn an_act_of_a_token_denied_meanwhile_is_refused(server: Server) {
    let acme = server.organization("acme").await;
    let victim = server.key_with(&acme, &["read"]).await;
    let token = server.management_token(&acme, &[]).await;
    let under_way = actor(&server, Presented::Token(&token)).await;
    let deny = server
        .request(Method::POST, "/oauth/revoke")
        .form(&[("token", &token)])
        .bearer_auth(&acme.secret);
    Reply::of(deny).await.expect(StatusCode::OK);
    let refused = revoke(&server, &under_way, &victim).await.unwrap_err();
    assert!(matches!(refused, Refusal::TokenDenied));
    server.exchange(&victim, &[]).await.expect(StatusCode::OK);
}
