//! Idempotency keys in memory.

use async_trait::async_trait;
use portwright_domain::PortError;
use portwright_domain::Timestamp;
use portwright_domain::idempotency::{IdempotencyKey, IdempotencyRecord, Progress};
use portwright_domain::ports::IdempotencyRepository;

use crate::store::{Rows, SWEEP};

#[async_trait]
impl IdempotencyRepository for Rows {
    async fn find(&mut self, key: &IdempotencyKey) -> Result<Option<IdempotencyRecord>, PortError> {
        Ok(self.get().idempotency.get(key).cloned())
    }

    async fn insert(&mut self, record: &IdempotencyRecord) -> Result<(), PortError> {
        if self.get().idempotency.contains_key(&record.key) {
            return Err(PortError::conflict("idempotency.insert", "idempotency.key"));
        }
        self.change().idempotency.insert(record.key.clone(), record.clone());
        Ok(())
    }

    async fn update(
        &mut self,
        key: &IdempotencyKey,
        progress: &Progress,
        expires_at: Timestamp,
    ) -> Result<bool, PortError> {
        let Some(record) = self.change().idempotency.get_mut(key) else {
            return Ok(false);
        };
        record.progress = progress.clone();
        record.expires_at = expires_at;
        Ok(true)
    }

    async fn remove(&mut self, key: &IdempotencyKey) -> Result<bool, PortError> {
        Ok(self.change().idempotency.remove(key).is_some())
    }

    async fn remove_expired(&mut self, now: Timestamp) -> Result<u64, PortError> {
        let records = &mut self.change().idempotency;
        Ok(records.extract_if(|_, record| record.expires_at <= now).take(SWEEP).count() as u64)
    }
}
