//! The adapters keep the promises of their ports, with either kind of key.

#![expect(clippy::expect_used, reason = "a fixture panics where it cannot be made")]
#![expect(clippy::unused_async, reason = "a fixture is made by an async function")]

use std::sync::Arc;
use std::time::Duration;

use portwright_security::{AeadSealer, Argon2Hasher, Capacity, Cost, JwtIssuer, SigningKey};
use portwright_testkit::contract::security::{Hashers, Issuers, Sealers};

async fn fresh_hashers() -> Hashers {
    let hasher = |cost| {
        let capacity = Capacity { patience: Duration::from_secs(20), ..Capacity::default() };
        Arc::new(Argon2Hasher::try_new(cost, capacity).expect("the hasher starts"))
    };
    Hashers { today: hasher(Cost { memory_kib: 64, ..Cost::NEGLIGIBLE }), weaker: hasher(Cost::NEGLIGIBLE) }
}

portwright_testkit::password_hasher_contract!(fresh_hashers);

fn generated() -> SigningKey {
    SigningKey::generate().expect("a key")
}

fn shared(byte: u8) -> SigningKey {
    SigningKey::from_secret(&[byte; 32]).expect("a key")
}

fn issuers(ours: &SigningKey, stranger: &SigningKey) -> Issuers {
    let issuer = |key, audience| Arc::new(JwtIssuer::new(key, "https://portwright.example", audience));
    Issuers {
        ours: issuer(ours, "portwright"),
        elsewhere: issuer(ours, "another-service"),
        stranger: issuer(stranger, "portwright"),
    }
}

fn sealers(ours: &SigningKey, stranger: &SigningKey) -> Sealers {
    let sealer = |key| Arc::new(AeadSealer::new(key));
    Sealers { ours: sealer(ours), double: sealer(ours), stranger: sealer(stranger) }
}

mod with_a_key_pair {
    use super::*;

    async fn fresh_issuers() -> Issuers {
        issuers(&generated(), &generated())
    }

    async fn fresh_sealers() -> Sealers {
        sealers(&generated(), &generated())
    }

    portwright_testkit::token_issuer_contract!(fresh_issuers);
    portwright_testkit::sealer_contract!(fresh_sealers);
}

mod with_a_shared_secret {
    use super::*;

    async fn fresh_issuers() -> Issuers {
        issuers(&shared(1), &shared(2))
    }

    async fn fresh_sealers() -> Sealers {
        sealers(&shared(1), &shared(2))
    }

    portwright_testkit::token_issuer_contract!(fresh_issuers);
    portwright_testkit::sealer_contract!(fresh_sealers);
}
