//! Decision records: what was decided, why, and what it costs. A new one starts from `docs/0000-template.md`.

#[doc = include_str!("../docs/0001-dyn-ports.md")]
pub mod d0001_dyn_ports {}

#[doc = include_str!("../docs/0002-sessions-are-rows.md")]
pub mod d0002_sessions_are_rows {}

#[doc = include_str!("../docs/0003-domain-dependencies.md")]
pub mod d0003_domain_dependencies {}

#[doc = include_str!("../docs/0004-transactions-are-loops.md")]
pub mod d0004_transactions_are_loops {}

#[doc = include_str!("../docs/0005-idempotency-keys.md")]
pub mod d0005_idempotency_keys {}

#[doc = include_str!("../docs/0006-rate-windows.md")]
pub mod d0006_rate_windows {}

#[doc = include_str!("../docs/0007-embedded-queue.md")]
pub mod d0007_embedded_queue {}

#[doc = include_str!("../docs/0008-local-files.md")]
pub mod d0008_local_files {}

#[doc = include_str!("../docs/0009-compute-engine.md")]
pub mod d0009_compute_engine {}

#[doc = include_str!("../docs/0010-causal-reads.md")]
pub mod d0010_causal_reads {}

#[doc = include_str!("../docs/0011-redis-queue.md")]
pub mod d0011_redis_queue {}

#[doc = include_str!("../docs/0012-limits-in-an-outage.md")]
pub mod d0012_limits_in_an_outage {}

#[doc = include_str!("../docs/0013-what-a-read-has-seen.md")]
pub mod d0013_what_a_read_has_seen {}

#[doc = include_str!("../docs/0014-moving-up.md")]
pub mod d0014_moving_up {}

#[doc = include_str!("../docs/0015-deploy.md")]
pub mod d0015_deploy {}

#[doc = include_str!("../docs/0016-traces-and-logs.md")]
pub mod d0016_traces_and_logs {}

#[doc = include_str!("../docs/0017-lifecycle-and-handover.md")]
pub mod d0017_lifecycle_and_handover {}

#[doc = include_str!("../docs/0018-overload.md")]
pub mod d0018_overload {}

#[doc = include_str!("../docs/0019-look-ups-together.md")]
pub mod d0019_look_ups_together {}

#[doc = include_str!("../docs/0021-faults-that-end-otherwise.md")]
pub mod d0021_faults_that_end_otherwise {}

#[doc = include_str!("../docs/0022-unwatched-time.md")]
pub mod d0022_unwatched_time {}
