//! JWT: what is accepted, and all that is not.

use crate::server::{Answer, Api, TestFile, serve_with, settings};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode, get_current_timestamp, jwk::Jwk};
use pgtasker_api::ApiSettings;
use pgtasker_tests::{WebServer, engine::Engine, eventually};
use rstest::rstest;
use serde_json::{Value, json};
use std::time::Duration;
use uuid::Uuid;

const RSA: &str = include_str!("rsa_of_the_tests.pem");

fn jwk(key: &EncodingKey, algorithm: Algorithm, id: &str) -> Value {
    let mut jwk = Jwk::from_encoding_key(key, algorithm).unwrap();
    jwk.common.key_id = Some(id.to_owned());
    serde_json::to_value(jwk).unwrap()
}

/// A new Ed25519 key, in the PKCS #8 form without its public half.
fn edwards() -> EncodingKey {
    const HEAD: [u8; 16] = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
    let der = [&HEAD[..], Uuid::new_v4().as_bytes(), Uuid::new_v4().as_bytes()].concat();
    EncodingKey::from_ed_der(&der)
}

fn claims() -> Value {
    json!({
        "sub": "ana",
        "iss": "https://issuer",
        "aud": ["tasker"],
        "exp": get_current_timestamp() + 60,
        "scope": "openid system:read",
    })
}

fn token(key: &EncodingKey, algorithm: Algorithm, id: &str, claims: &Value) -> String {
    encode(&Header { kid: Some(id.to_owned()), ..Header::new(algorithm) }, claims, key).unwrap()
}

async fn api(engine: &Engine, jwks: &str) -> Api {
    let settings = ApiSettings {
        jwks: Some(jwks.to_owned()),
        jwt_issuer: Some("https://issuer".to_owned()),
        jwt_audience: Some("tasker".to_owned()),
        ..settings()
    };
    serve_with(engine.pool(), settings).await
}

async fn ask(api: &mut Api, token: String) -> Answer {
    api.key = Some(token);
    api.get("/v1/queues").await
}

#[tokio::test]
async fn tokens_of_both_algorithms_open_what_they_allow() {
    let engine = Engine::new().await;
    let (ed, rsa) = (edwards(), EncodingKey::from_rsa_pem(RSA.as_bytes()).unwrap());
    let set = json!({
        "keys": [
            jwk(&ed, Algorithm::EdDSA, "ed"),
            jwk(&rsa, Algorithm::RS256, "rsa"),
            {"kty": "oct", "k": "AA"},
        ],
    });
    let file = TestFile::new(&set.to_string());
    let mut api = api(&engine, file.0.to_str().unwrap()).await;
    for (key, algorithm, id) in [(&ed, Algorithm::EdDSA, "ed"), (&rsa, Algorithm::RS256, "rsa")] {
        assert_eq!(ask(&mut api, token(key, algorithm, id, &claims())).await.status, 200, "{id}");
        assert_eq!(api.get("/v1/tasks").await.problem(), (403, "forbidden".to_owned()));
        let mut more = claims();
        more["permissions"] = json!(["tasks:read"]);
        assert_eq!(ask(&mut api, token(key, algorithm, id, &more)).await.status, 200);
        assert_eq!(api.get("/v1/tasks").await.status, 200);
    }
}

/// RFC 7519, 2: a time may have a fraction.
#[tokio::test]
async fn the_times_of_a_token_may_have_fractions() {
    let engine = Engine::new().await;
    let key = edwards();
    let file = TestFile::new(&json!({"keys": [jwk(&key, Algorithm::EdDSA, "ed")]}).to_string());
    let mut api = api(&engine, file.0.to_str().unwrap()).await;
    let now = get_current_timestamp() as f64;
    for (exp, nbf, status) in [
        (now + 60.5, now - 60.25, 200),
        (now - 60.5, now - 99.5, 401),
        (now + 99.5, now + 60.5, 401),
    ] {
        let mut claims = claims();
        (claims["exp"], claims["nbf"]) = (json!(exp), json!(nbf));
        let answer = ask(&mut api, token(&key, Algorithm::EdDSA, "ed", &claims)).await;
        assert_eq!(answer.status, status, "{claims}");
    }
}

#[rstest]
#[case(Value::Null)]
#[case(json!(""))]
#[tokio::test]
async fn who_brings_a_token_without_a_name_cannot_take_another_one_in_the_audit(
    #[case] sub: Value,
) {
    let engine = Engine::new().await;
    engine.apply_flow(&[("a", &[])]).await;
    let id = engine.enqueue(json!({})).await;
    let key = edwards();
    let file = TestFile::new(&json!({"keys": [jwk(&key, Algorithm::EdDSA, "ed")]}).to_string());
    let mut api = api(&engine, file.0.to_str().unwrap()).await;
    let mut claims = claims();
    (claims["sub"], claims["scope"]) = (sub, json!("*"));
    api.key = Some(token(&key, Algorithm::EdDSA, "ed", &claims));
    assert_eq!(api.post(&format!("/v1/tasks/{id}/cancel"), json!({"by": "ci"})).await.status, 200);
    let told =
        "select reason from tasker.task_transitions where task_id = $1 and to_state = 'cancelled'";
    assert_eq!(engine.text(told, id).await, "cancelled by ci (token) (login postgres)");
}

#[rstest]
#[case("/exp", json!(1_000_000), "expired")]
#[case("/exp", Value::Null, "lacks a claim")]
#[case("/nbf", json!(99_999_999_999_u64), "not valid yet")]
#[case("/iss", json!("https://other"), "issuer")]
#[case("/iss", Value::Null, "lacks a claim")]
#[case("/aud", json!(["other"]), "audience")]
#[case("/aud", Value::Null, "lacks a claim")]
#[tokio::test]
async fn a_token_with_a_wrong_claim_is_refused(
    #[case] claim: &str,
    #[case] value: Value,
    #[case] said: &str,
) {
    let engine = Engine::new().await;
    let key = edwards();
    let file = TestFile::new(&json!({"keys": [jwk(&key, Algorithm::EdDSA, "ed")]}).to_string());
    let mut api = api(&engine, file.0.to_str().unwrap()).await;
    let mut claims = claims();
    match value {
        Value::Null => drop(claims.as_object_mut().unwrap().remove(&claim[1..])),
        value => claims[&claim[1..]] = value,
    }
    let answer = ask(&mut api, token(&key, Algorithm::EdDSA, "ed", &claims)).await;
    assert_eq!(answer.problem(), (401, "unauthorized".to_owned()));
    assert!(answer.json()["detail"].as_str().unwrap().contains(said), "{answer:?}");
}

#[tokio::test]
async fn a_token_that_is_not_signed_by_its_key_is_refused() {
    let engine = Engine::new().await;
    let rsa = EncodingKey::from_rsa_pem(RSA.as_bytes()).unwrap();
    let public = jwk(&rsa, Algorithm::RS256, "rsa");
    let file = TestFile::new(&json!({"keys": [public]}).to_string());
    let mut api = api(&engine, file.0.to_str().unwrap()).await;
    let good = token(&rsa, Algorithm::RS256, "rsa", &claims());
    assert_eq!(ask(&mut api, good.clone()).await.status, 200);
    let payload = good.split('.').nth(1).unwrap();
    // {"alg":"none","kid":"rsa"}
    let none = format!("eyJhbGciOiJub25lIiwia2lkIjoicnNhIn0.{payload}.");
    // The public key taken for a secret, in the form that attackers have it.
    let hmac = EncodingKey::from_secret(public["n"].as_str().unwrap().as_bytes());
    // It demands an extension that must not be passed over (RFC 7515, 4.1.11).
    let critical = Header {
        kid: Some("rsa".to_owned()),
        crit: Some(vec!["exp".to_owned()]),
        ..Header::new(Algorithm::RS256)
    };
    let forged = [
        none,
        encode(&critical, &claims(), &rsa).unwrap(),
        token(&hmac, Algorithm::HS256, "rsa", &claims()),
        token(&rsa, Algorithm::RS512, "rsa", &claims()),
        token(&edwards(), Algorithm::EdDSA, "rsa", &claims()),
        token(&rsa, Algorithm::RS256, "other", &claims()),
        format!("{}A", good),
        "a.b.c".to_owned(),
    ];
    for token in forged {
        assert_eq!(
            ask(&mut api, token.clone()).await.problem(),
            (401, "unauthorized".to_owned()),
            "{token}"
        );
    }
}

#[tokio::test]
async fn keys_that_the_issuer_has_withdrawn_are_not_accepted_even_where_none_is_left() {
    let engine = Engine::new().await;
    let key = edwards();
    let set = json!({"keys": [jwk(&key, Algorithm::EdDSA, "ed")]}).to_string();
    let file = TestFile::new(&set);
    let mut api = api(&engine, file.0.to_str().unwrap()).await;
    let good = token(&key, Algorithm::EdDSA, "ed", &claims());
    assert_eq!(ask(&mut api, good.clone()).await.status, 200);
    std::fs::write(&file.0, r#"{"keys": []}"#).unwrap();
    // An unknown key makes it look, though not at once.
    let unknown = token(&key, Algorithm::EdDSA, "new", &claims());
    eventually("the keys are read again", Duration::from_secs(30), async || {
        ask(&mut api, unknown.clone()).await.status == 503
    })
    .await;
    assert_eq!(ask(&mut api, good).await.problem(), (503, "jwks_unavailable".to_owned()));
}

#[tokio::test]
async fn a_jwks_is_fetched_from_loopback_but_elsewhere_by_https_only() {
    let engine = Engine::new().await;
    let key = edwards();
    let set: &'static str = json!({"keys": [jwk(&key, Algorithm::EdDSA, "ed")]}).to_string().leak();
    let web = WebServer::start(vec![(200, set)].leak()).await;
    let mut api = api(&engine, &format!("http://{}/jwks", web.address)).await;
    assert_eq!(ask(&mut api, token(&key, Algorithm::EdDSA, "ed", &claims())).await.status, 200);
    for _ in 0..5 {
        assert_eq!(
            ask(&mut api, token(&key, Algorithm::EdDSA, "new", &claims())).await.status,
            401
        );
    }
    assert_eq!(web.requests().len(), 1, "unknown keys do not make it ask again at once");
    let breaker =
        pgtasker_core::breaker::Breaker::new(engine.pool(), pgtasker_core::health::Health::new());
    let plain = ApiSettings { jwks: Some("http://issuer.example/jwks".to_owned()), ..settings() };
    let refused =
        pgtasker_api::Server::bind(&plain, engine.pool(), breaker, None, Default::default()).await;
    assert!(refused.unwrap_err().to_string().contains("https"));
}
