//! Files: each is streamed over, read back, and compared with what was read of the source.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use portwright_domain::PortError;
use portwright_domain::ports::{ObjectBody, ObjectInfo, ObjectKey, Storage};
use ring::digest::{Context, SHA256};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::Tally;
use super::digest::{Countable, Fields};
use crate::exit::Exit;
use crate::failure::{Failure, Problem};

/// Files that are on their way at a time; of each, a few parts are in memory.
const AT_ONCE: usize = 8;
/// Names that are asked for at a time.
const PAGE: u32 = 500;
/// What probes put and remove again.
const PROBES: &str = ".health/";

/// The files of a storage, to be carried to another one.
pub(super) struct Carriage {
    from: Arc<dyn Storage>,
    to: Arc<dyn Storage>,
}

/// A file that was compared.
struct Compared {
    key: ObjectKey,
    size: u64,
    digest: Vec<u8>,
}

impl Countable for Compared {
    fn feed(&self, fields: &mut Fields<'_>) {
        fields.bytes(self.key.as_str().as_bytes());
        fields.bytes(&self.digest);
    }
}

impl Carriage {
    pub(super) fn new(from: Arc<dyn Storage>, to: Arc<dyn Storage>) -> Self {
        Self { from, to }
    }

    /// Makes sure that the target has no files of somebody else's, unless there is nothing to carry.
    pub(super) async fn require_room(&self) -> Result<(), Failure> {
        let first = async |storage: &Arc<dyn Storage>| {
            let some = storage.list("", None, PAGE).await?;
            Ok::<_, PortError>(some.into_iter().find(is_file))
        };
        match (first(&self.from).await?, first(&self.to).await?) {
            (Some(_), Some(there)) => {
                let what = format!("the storage to move to has files already, such as {}", there.key);
                Err(Failure::new(Exit::Config, Problem::new(what).fix("move to an empty bucket or folder")))
            }
            _ => Ok(()),
        }
    }

    /// Carries all files; what is there already is only compared.
    pub(super) async fn carry(&self) -> Result<Tally, Failure> {
        let (mut tally, mut bytes) = (Tally::of("files"), 0);
        let mut after: Option<ObjectKey> = None;
        loop {
            let page = self.from.list("", after.as_ref(), PAGE).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.key.clone());
            let (mut compared, mut under_way) = (Vec::with_capacity(page.len()), JoinSet::new());
            for file in page.into_iter().filter(is_file) {
                if under_way.len() >= AT_ONCE
                    && let Some(done) = under_way.join_next().await
                {
                    compared.push(finished(done)?);
                }
                under_way.spawn(carry_one(self.from.clone(), self.to.clone(), file));
            }
            while let Some(done) = under_way.join_next().await {
                compared.push(finished(done)?);
            }
            compared.sort_by(|a, b| a.key.cmp(&b.key));
            for file in &compared {
                tally.add(file);
                bytes += file.size;
            }
        }
        tally.note = Some(format!("{} KiB", bytes.div_ceil(1 << 10)));
        Ok(tally)
    }
}

fn is_file(info: &ObjectInfo) -> bool {
    !info.key.as_str().starts_with(PROBES)
}

fn finished(done: Result<Result<Compared, Failure>, tokio::task::JoinError>) -> Result<Compared, Failure> {
    done.unwrap_or_else(|error| Err(Failure::new(Exit::Bug, Problem::new(error.to_string()))))
}

async fn carry_one(
    from: Arc<dyn Storage>,
    to: Arc<dyn Storage>,
    file: ObjectInfo,
) -> Result<Compared, Failure> {
    let key = file.key;
    let gone = || Failure::new(Exit::Failed, Problem::new(format!("the file {key} was removed meanwhile")));
    let object = from.get(&key).await?.ok_or_else(gone)?;
    // Of all keys that begin with this one, it is the first.
    let there = to.list(key.as_str(), None, 1).await?.pop().filter(|it| it.key == key);
    let digest = if there.is_some_and(|it| it.size == object.info.size) {
        digest_of(object.body).await?
    } else {
        let (tell, told) = oneshot::channel();
        let body = Watched { body: object.body, digest: Some((Context::new(&SHA256), tell)) };
        to.put(&key, Box::new(body)).await?;
        told.await.map_err(|_| gone())?
    };
    let read_back = match to.get(&key).await? {
        Some(object) => Some(digest_of(object.body).await?),
        None => None,
    };
    if read_back.as_ref() != Some(&digest) {
        let what = format!("the file {key} is not read back as it was carried");
        let fix = "remove it there, and begin again; the source is as it was";
        return Err(Failure::new(Exit::Failed, Problem::new(what).fix(fix)));
    }
    Ok(Compared { size: file.size, key, digest })
}

async fn digest_of(mut body: Box<dyn ObjectBody>) -> Result<Vec<u8>, PortError> {
    let mut digest = Context::new(&SHA256);
    while let Some(part) = body.next().await? {
        digest.update(&part);
    }
    Ok(digest.finish().as_ref().to_vec())
}

/// A body whose digest is told once it has ended.
struct Watched {
    body: Box<dyn ObjectBody>,
    digest: Option<(Context, oneshot::Sender<Vec<u8>>)>,
}

#[async_trait]
impl ObjectBody for Watched {
    async fn next(&mut self) -> Result<Option<Bytes>, PortError> {
        let part = self.body.next().await?;
        match (&part, &mut self.digest) {
            (Some(part), Some((digest, _))) => digest.update(part),
            (None, told) => {
                if let Some((digest, tell)) = told.take() {
                    // Who does not listen any more has given up.
                    let _ = tell.send(digest.finish().as_ref().to_vec());
                }
            }
            (Some(_), None) => {}
        }
        Ok(part)
    }
}

#[cfg(test)]
mod tests {
    use portwright_memory::MemoryStorage;
    use portwright_testkit::ManualClock;

    use super::*;

    fn storage() -> Arc<dyn Storage> {
        Arc::new(MemoryStorage::new(Arc::new(ManualClock::default())))
    }

    async fn put(storage: &Arc<dyn Storage>, key: &str, text: &'static str) {
        let key = ObjectKey::parse(key).expect("a key");
        storage.put(&key, Box::new(Some(Bytes::from(text)))).await.expect("put works");
    }

    #[tokio::test]
    async fn files_are_carried_once_and_compared_every_time() {
        let (from, to) = (storage(), storage());
        for number in 0..700 {
            put(&from, &format!("avatars/{number}"), "picture").await;
        }
        put(&from, ".health/probe", "left behind").await;
        let carriage = Carriage::new(from, to.clone());
        carriage.require_room().await.expect("empty");
        let first = carriage.carry().await.expect("carried");
        assert_eq!((first.count, to.list("", None, 1_000).await.expect("listed").len()), (700, 700));
        let again = carriage.carry().await.expect("nothing to do");
        assert_eq!(first.digest(), again.digest());

        put(&to, "avatars/99", "picturE").await;
        let failure = carriage.carry().await.expect_err("changed");
        assert_eq!(failure.exit(), Exit::Failed);
        assert!(failure.to_string().contains("avatars/99"), "{failure}");
        assert_eq!(carriage.require_room().await.expect_err("in use").exit(), Exit::Config);
    }
}
