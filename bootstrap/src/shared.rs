//! What processes do together where they can: count requests, and remember what one of them computed.

use std::num::NonZeroU32;
use std::sync::Arc;

use async_trait::async_trait;
use portwright_application::SIGN_IN_POLICIES;
use portwright_domain::ports::{Cache, Clock, Health, HealthProbe, RateLimiter};
use portwright_layers::{Fallback, Layers, Policy as Patience, WhenAway};
use portwright_memory::{MemoryCache, MemoryRateLimiter};
use portwright_redis::{RedisCache, RedisConnection, RedisHealth, RedisRateLimiter};

use crate::config::{Config, Sharing};
use crate::dispensable::dispensable;
use crate::failure::Failure;
use crate::open_queue::{away_from, servers};

/// How many clients a limiter in memory tells apart; the oldest are forgotten beyond that.
const LIMITER_KEYS: usize = 100_000;

/// Passwords may be guessed half as often as usual while nobody counts the guesses of all processes.
const TWICE: NonZeroU32 = NonZeroU32::MIN.saturating_add(1);

/// How large all values of a cache in memory are at most, in bytes.
const CACHE_BYTES: u64 = 32 << 20;

/// Both ports, each behind its layers, and the health of what they stand on.
pub(crate) struct Shared {
    pub(crate) cache: Arc<dyn Cache>,
    pub(crate) limiter: Arc<dyn RateLimiter>,
    pub(crate) health: Arc<dyn HealthProbe>,
}

impl Shared {
    /// Opens what the configuration names.
    pub(crate) async fn open(
        config: &Config,
        clock: &Arc<dyn Clock>,
        layers: &Layers,
    ) -> Result<Self, Failure> {
        let local = Arc::new(MemoryRateLimiter::new(LIMITER_KEYS, clock.clone()));
        match &config.sharing {
            Sharing::Alone => Ok(Self {
                cache: layers.cache(Arc::new(MemoryCache::new(CACHE_BYTES, clock.clone())), Patience::LOCAL),
                limiter: layers.rate_limiter(local, Patience::LOCAL),
                health: Arc::new(NotUsed),
            }),
            Sharing::Redis(redis) => {
                let opened = RedisConnection::init(&servers(redis)?).await;
                let connection = opened.map_err(|error| away_from(redis, &error))?;
                let general = WhenAway::Local(config.servers);
                let guesses = WhenAway::Local(config.servers.saturating_mul(TWICE));
                let fallback = SIGN_IN_POLICIES
                    .into_iter()
                    .fold(Fallback::new(local, general), |fallback, policy| fallback.with(policy, guesses));
                let limiter = Arc::new(RedisRateLimiter::on(&connection));
                Ok(Self {
                    cache: layers.cache(Arc::new(RedisCache::on(&connection)), Patience::CACHE),
                    limiter: layers.shared_rate_limiter(
                        limiter,
                        Patience::rate_limiter(config.limiter_timeout),
                        fallback,
                    ),
                    health: dispensable(RedisHealth::on(&connection)),
                })
            }
        }
    }
}

/// Tells that there is no Redis, and that none is missing.
struct NotUsed;

#[async_trait]
impl HealthProbe for NotUsed {
    fn name(&self) -> &'static str {
        "redis"
    }

    async fn check(&self) -> Health {
        Health::pass().with("use", "not used")
    }
}
