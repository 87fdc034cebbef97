//! Avatars: what is stored of an upload, what is refused, and who wins.

mod access;
mod forms;
mod gated;
mod hostile;
mod races;
mod reading;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use image::DynamicImage;
use portwright_application::AvatarError;
use portwright_application::avatars::{AvatarForm, Reading, Upload, Uploaded};
use portwright_domain::avatar::{Avatar, PictureKind};
use portwright_domain::ports::{Consistency, ObjectBody};
use portwright_domain::user::{User, UserId};

use crate::world::{Person, World};

const WAIT: Option<Duration> = Some(Duration::from_secs(50));

/// These bytes, said to be of this kind.
fn upload(kind: PictureKind, bytes: &[u8]) -> Upload {
    let body = Box::new(Some(Bytes::copy_from_slice(bytes)));
    Upload { kind, body, expected: None, wait: None, origin: None }
}

/// All that is left of a body.
async fn whole(mut body: Box<dyn ObjectBody>) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Some(part) = body.next().await.expect("it is read") {
        bytes.extend_from_slice(&part);
    }
    bytes
}

impl World {
    /// Gives somebody a picture and does not wait for it.
    async fn send(&self, person: &Person, kind: PictureKind, bytes: &[u8]) -> Result<Uploaded, AvatarError> {
        let (caller, avatars) = (person.principal(), &self.services.avatars);
        let put = avatars.put(caller, person.id(), upload(kind, bytes)).await;
        put.map(|committed| committed.value)
    }

    /// Gives somebody a picture, with a worker beside, and waits for it.
    async fn put(&self, person: &Person, kind: PictureKind, bytes: &[u8]) -> Result<User, AvatarError> {
        let (caller, avatars) = (person.principal(), &self.services.avatars);
        let put = avatars.put(caller, person.id(), Upload { wait: WAIT, ..upload(kind, bytes) });
        match self.served(put).await?.value {
            Uploaded::Shown(user) => Ok(*user),
            Uploaded::Pending(job) => panic!("it is not done yet: {job:?}"),
        }
    }

    async fn avatar(&self, user: UserId) -> Option<Avatar> {
        self.stored_user(user).await.expect("the user is there").avatar
    }

    /// The bytes of one form of somebody's picture.
    async fn form(&self, user: UserId, form: AvatarForm) -> Vec<u8> {
        let reading = self.services.avatars.read(user, form, Consistency::Strong, |_| false).await;
        match reading.expect("there is a picture") {
            Reading::Picture(_, object) => whole(object.body).await,
            Reading::Known(_) => panic!("nobody said so"),
        }
    }

    /// The pixels of one form of somebody's picture.
    async fn drawing(&self, user: UserId, form: AvatarForm) -> DynamicImage {
        image::load_from_memory(&self.form(user, form).await).expect("it is a picture")
    }

    /// Everything in the storage.
    async fn objects(&self) -> BTreeMap<String, Vec<u8>> {
        let mut objects = BTreeMap::new();
        for info in self.storage.list("", None, 1_000).await.expect("listing works") {
            let object = self.storage.get(&info.key).await.expect("reading works").expect("it was listed");
            objects.insert(info.key.to_string(), whole(object.body).await);
        }
        objects
    }

    /// The names of everything in the storage, without what they have in common.
    async fn names(&self) -> Vec<String> {
        let objects = self.objects().await;
        objects.into_keys().filter_map(|key| Some(key.rsplit_once('/')?.1.to_owned())).collect()
    }
}
