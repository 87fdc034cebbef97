//! What is no token of ours is refused, for the right reason, and nothing makes the issuer panic.
//!
//! Half of the corpus is made without the key ([`forgeries`]). The other half is signed with it, so that a good
//! signature does not hide that a header or a claim is odd.

#![expect(clippy::expect_used, reason = "a fixture panics where it cannot be made")]

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use portwright_domain::Timestamp;
use portwright_domain::ports::{TokenIssuer, TokenRejected};
use portwright_domain::session::{Claims, SessionId};
use portwright_domain::user::UserId;
use portwright_security::{JwtIssuer, SigningKey};
use portwright_testkit::forgery::forgeries;
use serde_json::{Map, Value, json};
use uuid::Uuid;

const ISSUER: &str = "https://portwright.example";
const AUDIENCE: &str = "portwright";
const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
const BEGIN: i64 = 1_795_000_000;
const END: i64 = BEGIN + 900;

/// An issuer, and its key in the hands of the test.
struct Forge {
    issuer: JwtIssuer,
    algorithm: Algorithm,
    key: EncodingKey,
    id: String,
}

impl Forge {
    fn with_a_key_pair() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("key.pem");
        let key = SigningKey::create(&path).expect("a key");
        let der = pem::parse(std::fs::read(&path).expect("the file")).expect("PEM").into_contents();
        Self::new(&key, Algorithm::EdDSA, EncodingKey::from_ed_der(&der))
    }

    fn with_a_secret() -> Self {
        let key = SigningKey::from_secret(SECRET).expect("a key");
        Self::new(&key, Algorithm::HS256, EncodingKey::from_secret(SECRET))
    }

    fn both() -> [Self; 2] {
        [Self::with_a_key_pair(), Self::with_a_secret()]
    }

    fn new(ours: &SigningKey, algorithm: Algorithm, key: EncodingKey) -> Self {
        Self { issuer: JwtIssuer::new(ours, ISSUER, AUDIENCE), algorithm, key, id: ours.id().to_owned() }
    }

    fn header(&self) -> Map<String, Value> {
        object(&json!({ "alg": self.algorithm, "typ": "at+jwt", "kid": self.id }))
    }

    /// Signs this text as it is, with the genuine key.
    fn sign(&self, header: &str, payload: &str) -> String {
        sign(header, payload, &self.key, self.algorithm)
    }

    fn sign_header(&self, header: &Map<String, Value>) -> String {
        self.sign(&json!(header).to_string(), &json!(payload()).to_string())
    }

    fn sign_payload(&self, payload: &str) -> String {
        self.sign(&json!(self.header()).to_string(), payload)
    }

    fn verify(&self, token: &str) -> Result<Claims, TokenRejected> {
        self.issuer.verify(token, second(BEGIN))
    }

    #[track_caller]
    fn refuses(&self, token: &str, why: TokenRejected, what: &str) {
        assert_eq!(self.verify(token), Err(why), "{:?}: {what:.300}", self.algorithm);
    }
}

fn sign(header: &str, payload: &str, key: &EncodingKey, algorithm: Algorithm) -> String {
    let message = [header, payload].map(|part| URL_SAFE_NO_PAD.encode(part)).join(".");
    let signature = crypto::sign(message.as_bytes(), key, algorithm).expect("the key signs");
    format!("{message}.{signature}")
}

fn object(value: &Value) -> Map<String, Value> {
    value.as_object().expect("an object").clone()
}

fn payload() -> Map<String, Value> {
    let id = Uuid::from_u128(1);
    object(&json!({
        "iss": ISSUER, "aud": AUDIENCE, "sub": id, "sid": id, "jti": id, "iat": BEGIN, "nbf": BEGIN, "exp": END,
    }))
}

/// The payload with one member replaced by this text.
fn payload_with(name: &str, value: &str) -> String {
    let mut payload = payload();
    payload.remove(name);
    json!(payload).to_string().replacen('{', &format!("{{\"{name}\":{value},"), 1)
}

fn second(seconds: i64) -> Timestamp {
    Timestamp::from_unix_micros(seconds * 1_000_000)
}

fn claims() -> Claims {
    let id = Uuid::from_u128(1);
    Claims {
        user_id: UserId(id),
        session_id: SessionId(id),
        token_id: id,
        issued_at: second(BEGIN),
        expires_at: second(END),
    }
}

#[test]
fn what_the_test_signs_is_accepted_unless_something_is_odd() {
    for forge in Forge::both() {
        assert_eq!(forge.verify(&forge.sign_header(&forge.header())), Ok(claims()));
        let newer = payload_with("a_claim_of_the_next_version", "true");
        assert_eq!(forge.verify(&forge.sign_payload(&newer)), Ok(claims()));
    }
}

#[test]
fn nothing_that_is_made_without_the_key_is_accepted() {
    for forge in Forge::both() {
        let genuine = forge.issuer.issue(&claims()).expect("issuing works");
        assert_eq!(forge.verify(genuine.expose()), Ok(claims()));
        let forgeries = forgeries(genuine.expose());
        assert!(forgeries.len() > 2500, "only {} forgeries", forgeries.len());
        for forgery in forgeries {
            assert!(forge.verify(&forgery.token).is_err(), "{}: {} was accepted", forgery.how, forgery.token);
        }
    }
}

#[test]
fn the_public_key_is_no_shared_secret() {
    let forge = Forge::with_a_key_pair();
    let published = forge.issuer.public_keys();
    let set: Value = serde_json::from_str(&published).expect("JSON");
    let jwk = &set["keys"][0];
    let x = jwk["x"].as_str().expect("the public key");
    let raw = URL_SAFE_NO_PAD.decode(x).expect("base64");
    // SubjectPublicKeyInfo (RFC 8410), as `openssl pkey -pubout` writes it.
    let spki = [&b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00"[..], &raw].concat();
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(&spki));
    let secrets: [&[u8]; 8] = [
        &raw,
        &spki,
        pem.as_bytes(),
        pem.trim_end().as_bytes(),
        x.as_bytes(),
        b"",
        &[0; 32],
        published.as_bytes(),
    ];
    for secret in secrets {
        for algorithm in [Algorithm::HS256, Algorithm::EdDSA] {
            let header = json!({ "alg": algorithm, "typ": "at+jwt", "kid": forge.id }).to_string();
            let key = EncodingKey::from_secret(secret);
            let token = sign(&header, &json!(payload()).to_string(), &key, Algorithm::HS256);
            forge.refuses(&token, TokenRejected::BadSignature, &header);
        }
    }
}

#[test]
fn a_key_of_another_kind_does_not_sign_in_the_name_of_ours() {
    let [pair, secret] = Forge::both();
    for (forge, other) in [(&pair, &secret), (&secret, &pair)] {
        let payload = json!(payload()).to_string();
        for id in [&forge.id, &other.id] {
            for algorithm in [forge.algorithm, other.algorithm] {
                let header = json!({ "alg": algorithm, "typ": "at+jwt", "kid": id }).to_string();
                forge.refuses(&other.sign(&header, &payload), TokenRejected::BadSignature, &header);
            }
        }
    }
}

#[test]
fn only_the_key_id_of_a_known_key_selects_it() {
    for forge in Forge::both() {
        let ids = [
            "",
            "0",
            "../../../../dev/null",
            "/dev/null",
            "' OR '1'='1",
            "x' UNION SELECT 'k",
            "https://a/key",
            "\0",
        ];
        let mut header = forge.header();
        for id in ids.into_iter().chain([&*forge.id.to_lowercase(), &*format!("{} ", forge.id)]) {
            header.insert("kid".into(), id.into());
            forge.refuses(&forge.sign_header(&header), TokenRejected::BadSignature, id);
        }
        header.remove("kid");
        forge.refuses(&forge.sign_header(&header), TokenRejected::BadSignature, "no kid");
    }
}

#[test]
fn the_algorithm_is_the_one_of_the_key() {
    let all = ["HS256", "HS384", "HS512", "RS256", "RS512", "PS256", "ES256", "ES384", "EdDSA"];
    for forge in Forge::both() {
        let mut header = forge.header();
        let own = header["alg"].clone();
        for other in all.into_iter().filter(|name| own != *name) {
            header.insert("alg".into(), other.into());
            forge.refuses(&forge.sign_header(&header), TokenRejected::BadSignature, other);
        }
        for unknown in ["none", "None", "nOnE", "NONE", "", "ES512", "eddsa", "Ed25519"] {
            header.insert("alg".into(), unknown.into());
            forge.refuses(&forge.sign_header(&header), TokenRejected::Malformed, unknown);
        }
        header.remove("alg");
        forge.refuses(&forge.sign_header(&header), TokenRejected::Malformed, "no alg");
    }
}

#[test]
fn another_type_of_token_is_foreign() {
    for forge in Forge::both() {
        let mut header = forge.header();
        for other in ["JWT", "at+JWT", "AT+JWT", "application/at+jwt", "rt+jwt", "id+jwt", ""] {
            header.insert("typ".into(), other.into());
            forge.refuses(&forge.sign_header(&header), TokenRejected::Foreign, other);
        }
        header.remove("typ");
        forge.refuses(&forge.sign_header(&header), TokenRejected::Foreign, "no typ");
    }
}

#[test]
fn a_header_says_nothing_but_algorithm_type_and_key_id() {
    let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" });
    for forge in Forge::both() {
        for (name, value) in [
            ("jwk", jwk.clone()),
            ("jku", json!("https://attacker.example/jwks.json")),
            ("x5u", json!("https://attacker.example/cert.pem")),
            ("x5c", json!(["MIIB"])),
            ("x5t", json!("AAAA")),
            ("x5t#S256", json!("AAAA")),
            ("crit", json!(["exp"])),
            ("crit", json!([])),
            ("b64", json!(false)),
            ("zip", json!("DEF")),
            ("enc", json!("A256GCM")),
            ("cty", json!("JWT")),
            ("url", json!("https://attacker.example")),
            ("nonce", json!("x")),
            ("anything", json!(null)),
        ] {
            let mut header = forge.header();
            header.insert(name.into(), value);
            forge.refuses(&forge.sign_header(&header), TokenRejected::Malformed, name);
        }
        for name in ["alg", "typ", "kid"] {
            let header = forge.header();
            let twice =
                json!(header).to_string().replacen('{', &format!("{{\"{name}\":{},", header[name]), 1);
            let token = forge.sign(&twice, &json!(payload()).to_string());
            forge.refuses(&token, TokenRejected::Malformed, &twice);
        }
    }
}

#[test]
fn every_claim_is_required_once_and_of_its_type() {
    let odd = ["null", "true", "[]", "{}", "-1", "1.0", "1.5", "1e3", "1e400", "99999999999999999999"];
    for forge in Forge::both() {
        for name in ["iss", "aud", "sub", "sid", "jti", "iat", "nbf", "exp"] {
            for value in odd {
                let token = forge.sign_payload(&payload_with(name, value));
                forge.refuses(&token, TokenRejected::Malformed, &format!("{name}: {value}"));
            }
            let mut without = payload();
            without.remove(name);
            let token = forge.sign_payload(&json!(without).to_string());
            forge.refuses(&token, TokenRejected::Malformed, &format!("no {name}"));

            let twice =
                json!(payload()).to_string().replacen('{', &format!("{{\"{name}\":{},", payload()[name]), 1);
            forge.refuses(&forge.sign_payload(&twice), TokenRejected::Malformed, &twice);
        }
        for name in ["sub", "sid", "jti"] {
            for value in ["\"\"", "\"admin\"", "\"00000000-0000-0000-0000-00000000000\"", "1"] {
                let token = forge.sign_payload(&payload_with(name, value));
                forge.refuses(&token, TokenRejected::Malformed, &format!("{name}: {value}"));
            }
        }
        for payload in ["", "null", "[]", "\"text\"", "{", "{}{}", &"[".repeat(5000), &"{\"a\":".repeat(800)]
        {
            forge.refuses(&forge.sign_payload(payload), TokenRejected::Malformed, payload);
        }
    }
}

#[test]
fn times_are_whole_seconds_that_a_timestamp_can_hold() {
    for forge in Forge::both() {
        for name in ["iat", "nbf", "exp"] {
            for value in [
                "\"1795000900\"",
                "253402300800",
                "9223372036854775807",
                "9223372036854775808",
                "-9223372036854775808",
            ] {
                let token = forge.sign_payload(&payload_with(name, value));
                forge.refuses(&token, TokenRejected::Malformed, &format!("{name}: {value}"));
            }
        }
        let last = forge.sign_payload(&payload_with("exp", "253402300799"));
        assert_eq!(forge.verify(&last).map(|claims| claims.expires_at), Ok(second(253_402_300_799)));
    }
}

#[test]
fn another_issuer_or_audience_is_foreign() {
    for forge in Forge::both() {
        for (name, value) in [
            ("iss", ""),
            ("iss", "https://portwright.example/"),
            ("iss", "HTTPS://PORTWRIGHT.EXAMPLE"),
            ("iss", AUDIENCE),
            ("aud", ""),
            ("aud", "portwright "),
            ("aud", "another-service"),
            ("aud", ISSUER),
        ] {
            let token = forge.sign_payload(&payload_with(name, &json!(value).to_string()));
            forge.refuses(&token, TokenRejected::Foreign, &format!("{name}: {value}"));
        }
        for (name, value) in [("iss", json!([ISSUER])), ("aud", json!([AUDIENCE, "another-service"]))] {
            let token = forge.sign_payload(&payload_with(name, &value.to_string()));
            forge.refuses(&token, TokenRejected::Malformed, &format!("{name}: {value}"));
        }
    }
}

#[test]
fn a_beginning_is_forgiven_the_skew_of_clocks_and_an_end_is_not() {
    for forge in Forge::both() {
        let token = forge.sign_header(&forge.header());
        let verify = |now| forge.issuer.verify(&token, now);
        let earliest = second(BEGIN).minus(JwtIssuer::CLOCK_SKEW);
        assert_eq!(verify(earliest), Ok(claims()));
        assert_eq!(verify(earliest.minus(Duration::from_micros(1))), Err(TokenRejected::Expired));
        assert_eq!(verify(second(END).minus(Duration::from_micros(1))), Ok(claims()));
        assert_eq!(verify(second(END)), Err(TokenRejected::Expired));

        let later = payload_with("nbf", &(BEGIN + 3600).to_string());
        forge.refuses(&forge.sign_payload(&later), TokenRejected::Malformed, "iat and nbf differ");
    }
}

#[test]
fn a_longer_token_than_any_of_ours_is_refused_unread() {
    for forge in Forge::both() {
        let padded =
            |length: usize| forge.sign_payload(&payload_with("pad", &format!("\"{}\"", "x".repeat(length))));
        let short = padded(5000);
        assert!(short.len() < JwtIssuer::MAX_TOKEN_BYTES);
        assert_eq!(forge.verify(&short), Ok(claims()));
        let long = padded(6000);
        assert!(long.len() > JwtIssuer::MAX_TOKEN_BYTES);
        forge.refuses(&long, TokenRejected::Malformed, "too long");
    }
}
