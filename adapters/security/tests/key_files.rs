//! Keys come from files that are made once, are read by their owner only, and never show in a message.

#![cfg(unix)]
#![expect(clippy::expect_used, reason = "a fixture panics where it cannot be made")]

use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Barrier;
use std::thread;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use portwright_domain::ports::TokenIssuer;
use portwright_security::{JwtIssuer, KeyError, SigningKey};
use tempfile::TempDir;

/// The private key of RFC 8037, appendix A, as `openssl genpkey` would write it.
fn published_key() -> Vec<u8> {
    let seed = URL_SAFE_NO_PAD.decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A").expect("base64");
    [&b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20"[..], &seed].concat()
}

fn directory() -> TempDir {
    tempfile::tempdir().expect("a directory")
}

fn write(path: &Path, content: &[u8], mode: u32) {
    fs::write(path, content).expect("written");
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("permissions set");
}

fn files_in(directory: &TempDir) -> Vec<PathBuf> {
    fs::read_dir(directory).expect("listed").map(|entry| entry.expect("an entry").path()).collect()
}

#[test]
fn a_key_has_the_identity_that_the_standard_gives_it() {
    let directory = directory();
    let (der, text) = (directory.path().join("key.der"), directory.path().join("key.pem"));
    write(&der, &published_key(), 0o600);
    write(&text, pem::encode(&pem::Pem::new("PRIVATE KEY", published_key())).as_bytes(), 0o400);
    for path in [&der, &text] {
        let key = SigningKey::load(path).expect("a key");
        // RFC 8037, appendix A.3.
        assert_eq!(key.id(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
        let set = JwtIssuer::new(&key, "issuer", "audience").public_keys();
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&set).expect("JSON"),
            serde_json::json!({ "keys": [{
                "kty": "OKP",
                "crv": "Ed25519",
                "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
                "use": "sig",
                "alg": "EdDSA",
                "kid": "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k",
            }] })
        );
    }
}

#[test]
fn a_shared_secret_is_not_published() {
    let key = SigningKey::from_secret(&[7; 32]).expect("a key");
    assert_eq!(JwtIssuer::new(&key, "issuer", "audience").public_keys(), r#"{"keys":[]}"#);
}

#[test]
fn a_key_is_created_once_and_for_its_owner_only() {
    let directory = directory();
    let path = directory.path().join("signing-key.pem");
    let created = SigningKey::create(&path).expect("created");
    let content = fs::read(&path).expect("the file");
    assert_eq!(fs::metadata(&path).expect("metadata").permissions().mode() & 0o7777, 0o600);
    assert!(content.starts_with(b"-----BEGIN PRIVATE KEY-----\n"));

    assert_eq!(SigningKey::create(&path).expect("loaded").id(), created.id());
    assert_eq!(SigningKey::load(&path).expect("loaded").id(), created.id());
    assert_eq!(fs::read(&path).expect("the file"), content, "an existing file is never changed");
    assert_eq!(files_in(&directory), [path], "nothing else is left behind");
}

#[test]
fn all_who_create_at_once_go_on_with_one_key() {
    const CREATORS: usize = 16;
    let directory = directory();
    let path = directory.path().join("signing-key.pem");
    let together = Barrier::new(CREATORS);
    let ids: Vec<_> = thread::scope(|scope| {
        let creators: Vec<_> = (0..CREATORS)
            .map(|_| {
                scope.spawn(|| {
                    together.wait();
                    SigningKey::create(&path).expect("created").id().to_owned()
                })
            })
            .collect();
        creators.into_iter().map(|creator| creator.join().expect("no panic")).collect()
    });
    let kept = SigningKey::load(&path).expect("loaded");
    assert!(ids.iter().all(|id| id == kept.id()), "{ids:?}");
    assert_eq!(files_in(&directory), [path]);
}

#[test]
fn a_file_that_others_may_touch_is_refused_and_the_message_says_what_to_do() {
    let directory = directory();
    let path = directory.path().join("key.der");
    for mode in [0o604, 0o640, 0o644, 0o620, 0o602, 0o610, 0o601, 0o777] {
        write(&path, &published_key(), mode);
        let error = SigningKey::load(&path).expect_err("refused");
        assert!(matches!(error, KeyError::Exposed { mode: found, .. } if found == mode), "{error:?}");
        assert!(error.to_string().contains(&format!("mode {mode:04o}")), "{error}");
        assert!(error.to_string().ends_with(&format!("run: chmod 600 {}", path.display())), "{error}");
    }
}

#[test]
fn a_mounted_secret_is_a_link_and_its_target_counts() {
    let directory = directory();
    let (target, link) = (directory.path().join("target"), directory.path().join("link"));
    symlink(&target, &link).expect("linked");
    write(&target, &published_key(), 0o400);
    assert!(SigningKey::load(&link).is_ok());
    fs::set_permissions(&target, fs::Permissions::from_mode(0o444)).expect("permissions set");
    assert!(matches!(SigningKey::load(&link), Err(KeyError::Exposed { .. })));
}

#[test]
fn what_is_no_key_is_refused_and_not_shown() {
    let directory = directory();
    let path = directory.path().join("key");
    let public = pem::encode(&pem::Pem::new("PUBLIC KEY", vec![0x30, 0x2a]));
    let encrypted = pem::encode(&pem::Pem::new("ENCRYPTED PRIVATE KEY", published_key()));
    let long = vec![b'x'; 100_000];
    let truncated = &published_key()[..40];
    let contents: [&[u8]; 9] = [
        b"",
        b"hunter2",
        b"\0\0\0\0",
        b"-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----\n",
        b"-----BEGIN PRIVATE KEY-----\n",
        public.as_bytes(),
        encrypted.as_bytes(),
        truncated,
        &long,
    ];
    for content in contents {
        write(&path, content, 0o600);
        let error = SigningKey::load(&path).expect_err("refused");
        assert!(matches!(error, KeyError::NotAKey { .. }), "{error:?}");
        assert!(error.to_string().contains(&path.display().to_string()), "{error}");
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("hunter2"), "{shown}");
    }
    assert!(matches!(SigningKey::load(directory.path()), Err(KeyError::NotAKey { .. })));
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let directory = directory();
    let path = directory.path().join("missing/key.pem");
    let error = SigningKey::load(&path).expect_err("refused");
    assert!(matches!(&error, KeyError::Unreadable { cause, .. } if cause.kind() == io::ErrorKind::NotFound));
    assert!(error.to_string().contains("missing/key.pem: No such file"), "{error}");
    let error = SigningKey::create(&path).expect_err("refused");
    assert!(matches!(&error, KeyError::Unwritable { cause, .. } if cause.kind() == io::ErrorKind::NotFound));
}

#[test]
fn creating_never_goes_over_what_is_there() {
    let directory = directory();
    let path = directory.path().join("key");
    write(&path, b"somebody's notes", 0o600);
    assert!(matches!(SigningKey::create(&path), Err(KeyError::NotAKey { .. })));
    assert_eq!(fs::read(&path).expect("the file"), b"somebody's notes");
}

#[test]
fn a_secret_needs_32_bytes() {
    assert!(SigningKey::from_secret(&[7; 32]).is_ok());
    for length in [0, 1, 31] {
        let error = SigningKey::from_secret(&vec![7; length]).expect_err("refused");
        assert!(matches!(error, KeyError::SecretTooShort { bytes } if bytes == length), "{error}");
    }
}

#[test]
fn a_key_is_never_printed() {
    let key = SigningKey::from_secret(b"hunter2-hunter2-hunter2-hunter2-").expect("a key");
    let issuer = JwtIssuer::new(&key, "issuer", "audience");
    let sealer = portwright_security::AeadSealer::new(&key);
    let shown = format!("{key:?} {issuer:?} {sealer:?}");
    assert!(!shown.contains("hunter2") && !shown.contains("104, 117, 110"), "{shown}");
    assert!(shown.contains(key.id()));
}
