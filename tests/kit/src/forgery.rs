//! Tokens that nobody signed: what somebody without the key can make of a genuine one.
//!
//! Every one of them must be refused, by the adapter that checks tokens and by the whole service behind HTTP. What takes
//! a key to make (odd claims under a good signature, the public key as a shared secret) is tested where the keys are.

#![expect(clippy::expect_used, reason = "a token that is not genuine is a mistake in the test")]

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};

use crate::noise::Noise;

/// A token that must be refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forgery {
    /// What was done to the genuine token, for the message of a failure.
    pub how: String,
    /// The result; any text at all.
    pub token: String,
}

impl Forgery {
    /// Whether an HTTP header carries the token as it is: visible ASCII, and no more than servers take.
    #[must_use]
    pub fn fits_a_header(&self) -> bool {
        (1..8192).contains(&self.token.len()) && self.token.bytes().all(|b| b.is_ascii_graphic())
    }
}

/// Thousands of forgeries of a genuine token in JWS compact form (RFC 7515, section 7.1), the same in every run.
/// Panics if the token is not in that form.
#[must_use]
pub fn forgeries(genuine: &str) -> Vec<Forgery> {
    let parts = Parts::of(genuine);
    let mut all = Vec::new();
    headers(&parts, &mut all);
    payloads(&parts, &mut all);
    signatures(&parts, &mut all);
    forms(genuine, &parts, &mut all);
    noise(genuine, &mut all);
    all.retain(|forgery| forgery.token != genuine);
    all
}

struct Parts {
    header: String,
    payload: String,
    signature: Vec<u8>,
    encoded: [String; 3],
}

impl Parts {
    fn of(token: &str) -> Self {
        let encoded: Vec<_> = token.split('.').map(str::to_owned).collect();
        let encoded: [String; 3] = encoded.try_into().expect("a token has three parts");
        let [header, payload, signature] =
            encoded.each_ref().map(|part| URL_SAFE_NO_PAD.decode(part).expect("a part is URL-safe base64"));
        let text = |bytes| String::from_utf8(bytes).expect("a part is UTF-8");
        Self { header: text(header), payload: text(payload), signature, encoded }
    }
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn add(all: &mut Vec<Forgery>, how: impl Into<String>, token: impl Into<String>) {
    all.push(Forgery { how: how.into(), token: token.into() });
}

/// The value of a member as it stands in a flat JSON object without escapes, such as ours.
fn member<'a>(json: &'a str, name: &str) -> &'a str {
    let label = format!("\"{name}\":");
    let start = json.find(&label).expect("the member is there") + label.len();
    let rest = &json[start..];
    &rest[..rest.find([',', '}']).expect("the value ends")]
}

/// `json` with this text as the value of a member, instead of what it is or beside what is there.
fn with_member(json: &str, name: &str, value: &str) -> String {
    if json.contains(&format!("\"{name}\":")) {
        let old = format!("\"{name}\":{}", member(json, name));
        json.replace(&old, &format!("\"{name}\":{value}"))
    } else {
        json.replacen('{', &format!("{{\"{name}\":{value},"), 1)
    }
}

fn without_member(json: &str, name: &str) -> String {
    let pair = format!("\"{name}\":{}", member(json, name));
    json.replace(&format!("{pair},"), "").replace(&format!(",{pair}"), "")
}

/// Values of the wrong kind, for any member.
const ODD: [&str; 12] =
    ["null", "true", "0", "-1", "1.5", "\"\"", "\" \"", "[]", "{}", "[null]", "\"\\u0000\"", "1e999"];

fn headers(parts: &Parts, all: &mut Vec<Forgery>) {
    let mut headers = vec![String::new(), "{}".into(), "null".into(), "[]".into(), "\u{feff}{}".into()];
    let algorithms = [
        "none", "None", "NONE", "nOnE", "none ", "HS256", "HS384", "HS512", "RS256", "RS384", "RS512",
        "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "ES256K", "EdDSA", "eddsa", "Ed25519", "Ed448",
        "HMAC", "dir",
    ];
    let key_ids = [
        "../../../../../dev/null",
        "/dev/null",
        "/proc/self/environ",
        "C:\\\\windows\\\\win.ini",
        "file:///etc/hostname",
        "https://attacker.example/key",
        "' OR '1'='1",
        "x' UNION SELECT 'secret",
        "; DROP TABLE users; --",
        "$(id)",
        "`id`",
        "%00",
        "*",
        "0",
        "\\n",
        "\\u0000",
    ];
    let quoted = |text: &str| format!("\"{text}\"");
    let odd = ODD.map(str::to_owned);
    for (name, values) in [
        ("alg", algorithms.map(quoted).to_vec()),
        ("kid", key_ids.map(quoted).to_vec()),
        ("kid", vec![quoted(&"A".repeat(43)), quoted(&"A".repeat(4000))]),
        ("typ", ["JWT", "jwt", "at+JWT", "rt+jwt", "application/at+jwt"].map(quoted).to_vec()),
        ("alg", odd.to_vec()),
        ("kid", odd.to_vec()),
        ("typ", odd.to_vec()),
    ] {
        headers.extend(values.iter().map(|value| with_member(&parts.header, name, value)));
    }
    for name in ["alg", "kid", "typ"] {
        headers.push(without_member(&parts.header, name));
        // Twice, the second time with something else.
        headers.push(parts.header.replacen('{', &format!("{{\"{name}\":\"none\","), 1));
    }
    // Keys and places of keys that the attacker brings along (RFC 7515, sections 4.1.2 to 4.1.8), and extensions.
    for extra in [
        r#""jwk":{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#,
        r#""jwk":{"kty":"oct","k":"AAAA"}"#,
        r#""jku":"https://attacker.example/jwks.json""#,
        r#""x5u":"https://attacker.example/cert.pem""#,
        r#""x5c":["MIIB"]"#,
        r#""x5t":"AAAA""#,
        r#""x5t#S256":"AAAA""#,
        r#""crit":["exp"]"#,
        r#""crit":[]"#,
        r#""crit":["b64"],"b64":false"#,
        r#""b64":false"#,
        r#""zip":"DEF""#,
        r#""enc":"A256GCM""#,
        r#""cty":"JWT""#,
    ] {
        headers.push(parts.header.replacen('{', &format!("{{{extra},"), 1));
    }
    let zeros = encode(vec![0; parts.signature.len()]);
    for header in &headers {
        for (what, signature) in [("kept", parts.encoded[2].as_str()), ("empty", ""), ("of zeros", &zeros)] {
            let token = format!("{}.{}.{signature}", encode(header), parts.encoded[1]);
            add(all, format!("header {header:.200} and the signature {what}"), token);
        }
    }
}

fn payloads(parts: &Parts, all: &mut Vec<Forgery>) {
    let mut payloads =
        vec![String::new(), "{}".into(), "null".into(), "[]".into(), "{".repeat(500), "[".repeat(5000)];
    for name in ["iss", "aud", "sub", "sid", "jti", "iat", "nbf", "exp"] {
        payloads.push(without_member(&parts.payload, name));
        payloads.push(parts.payload.replacen(
            '{',
            &format!("{{\"{name}\":{},", member(&parts.payload, name)),
            1,
        ));
        payloads.extend(ODD.map(|value| with_member(&parts.payload, name, value)));
    }
    for time in ["iat", "nbf", "exp"] {
        let values = [
            "99999999999",
            "253402300800",
            "9223372036854775807",
            "18446744073709551616",
            "\"99999999999\"",
            "1e10",
        ];
        payloads.extend(values.map(|value| with_member(&parts.payload, time, value)));
    }
    for extra in ["\"role\":\"admin\"", "\"admin\":true", "\"scope\":\"*\"", "\"__proto__\":{}"] {
        payloads.push(parts.payload.replacen('{', &format!("{{{extra},"), 1));
    }
    let somebody = "\"00000000-0000-7000-8000-000000000001\"";
    payloads.extend(["sub", "sid", "jti"].map(|name| with_member(&parts.payload, name, somebody)));
    payloads.push(format!("{} ", parts.payload));

    let unsigned = encode(with_member(&parts.header, "alg", "\"none\""));
    for payload in &payloads {
        let body = encode(payload);
        let how = format!("payload {payload:.200}");
        add(
            all,
            format!("{how} under the old signature"),
            format!("{}.{body}.{}", parts.encoded[0], parts.encoded[2]),
        );
        add(all, format!("{how} without signature"), format!("{}.{body}.", parts.encoded[0]));
        add(all, format!("{how} with alg none"), format!("{unsigned}.{body}."));
        add(
            all,
            format!("{how} with alg none and the old signature"),
            format!("{unsigned}.{body}.{}", parts.encoded[2]),
        );
    }
}

fn signatures(parts: &Parts, all: &mut Vec<Forgery>) {
    let message = format!("{}.{}", parts.encoded[0], parts.encoded[1]);
    for bit in 0..parts.signature.len() * 8 {
        let mut signature = parts.signature.clone();
        signature[bit / 8] ^= 1 << (bit % 8);
        add(all, format!("bit {bit} of the signature flipped"), format!("{message}.{}", encode(signature)));
    }
    for length in 0..=2 * parts.signature.len() {
        let signature: Vec<u8> = parts.signature.iter().copied().cycle().take(length).collect();
        add(all, format!("a signature of {length} bytes"), format!("{message}.{}", encode(signature)));
        add(all, format!("{length} bytes of zeros"), format!("{message}.{}", encode(vec![0; length])));
    }
}

/// The same bytes in another spelling, and another number of parts.
fn forms(genuine: &str, parts: &Parts, all: &mut Vec<Forgery>) {
    let [header, payload, signature] = &parts.encoded;
    for (how, token) in [
        ("no signature part", format!("{header}.{payload}")),
        ("an empty header", format!(".{payload}.{signature}")),
        ("an empty payload", format!("{header}..{signature}")),
        ("four parts", format!("{genuine}.{signature}")),
        ("five parts", format!("{header}.{payload}.{signature}.{header}.{payload}")),
        ("parts in another order", format!("{payload}.{header}.{signature}")),
        ("twice", format!("{genuine}{genuine}")),
        (
            "a JSON serialization",
            format!(r#"{{"protected":"{header}","payload":"{payload}","signature":"{signature}"}}"#),
        ),
        ("padded base64", format!("{header}.{payload}.{}", URL_SAFE.encode(&parts.signature))),
        (
            "base64 with another alphabet",
            format!("{header}.{payload}.{}==", STANDARD.encode(&parts.signature)),
        ),
        ("upper case", genuine.to_uppercase()),
        ("a scheme before it", format!("Bearer {genuine}")),
        ("8 KiB and more", format!("{header}.{}.{signature}", "A".repeat(8 * 1024))),
        ("a megabyte", "A.".repeat(512 * 1024)),
    ] {
        add(all, how, token);
    }
    // Base64 that decodes to the same bytes if nobody looks at the bits that are left over.
    for (at, part) in parts.encoded.iter().enumerate() {
        for last in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".chars() {
            let mut encoded = parts.encoded.clone();
            encoded[at] = format!("{}{last}", &part[..part.len() - 1]);
            add(all, format!("part {at} ends with {last}"), encoded.join("."));
        }
    }
    for white in [" ", "\t", "\n", "\r\n", "\0", "\u{a0}", "\u{feff}"] {
        for token in [
            format!("{white}{genuine}"),
            format!("{genuine}{white}"),
            genuine.replace('.', &format!(".{white}")),
        ] {
            add(all, format!("with {white:?}"), token);
        }
    }
}

fn noise(genuine: &str, all: &mut Vec<Forgery>) {
    for length in 0..genuine.len() {
        add(all, format!("cut after {length}"), &genuine[..length]);
    }
    let mut noise = Noise::new(1);
    for number in 0..1000 {
        let mut bytes = genuine.as_bytes().to_vec();
        for _ in 0..=noise.below(8) {
            let at = noise.below(bytes.len());
            bytes[at] = noise.byte();
        }
        let mut how = format!("noise {number}:");
        bytes.iter().take(8).for_each(|byte| write!(how, " {byte:02x}").unwrap_or_default());
        add(all, how, String::from_utf8_lossy(&bytes));
    }
}
