//! Uploads that are not what they should be: refused, and nothing of them stays.

use async_trait::async_trait;
use bytes::Bytes;
use image::{DynamicImage, Rgb, RgbImage};
use portwright_application::AvatarError;
use portwright_application::avatars::{AvatarForm, MAX_BYTES, Upload};
use portwright_domain::access::Role;
use portwright_domain::avatar::PictureKind;
use portwright_domain::ports::{JobQueue, ObjectBody};
use portwright_domain::{ErrorKind, PortError};
use portwright_testkit::Noise;
use portwright_testkit::pictures::{claimed_png, file, picture};

use crate::world::{Person, World};

const PNG: PictureKind = PictureKind::Png;

/// Panics unless this is refused before anything is made of it.
async fn assert_refused(
    world: &World,
    ada: &Person,
    (kind, bytes): (PictureKind, &[u8]),
    as_wanted: impl Fn(&AvatarError) -> bool,
) {
    let before = world.stored_user(ada.id()).await;
    let refused = world.send(ada, kind, bytes).await.expect_err("it is refused");
    let begins: String = String::from_utf8_lossy(bytes).chars().take(40).collect();
    assert!(as_wanted(&refused), "{begins:?} as {kind:?}: {refused:?}");
    assert_eq!(world.objects().await.len(), 0, "{begins:?} as {kind:?} is stored");
    assert_eq!(world.stored_user(ada.id()).await, before);
    assert_eq!(world.queue.queues().await.expect("the queue answers").len(), 0, "a job was made");
}

#[tokio::test]
async fn what_is_not_what_it_was_said_to_be_is_refused() {
    let world = World::new();
    let ada = world.person("ada", Role::User).await;
    let svg =
        br#"<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>"#;
    let others: [&[u8]; 7] = [
        svg,
        b"\xef\xbb\xbf\n  <!doctype html><img src=x onerror=alert(1)>",
        b"GIF89a\x01\0\x01\0\0\0\0;",
        b"BM\x1e\0\0\0\0\0\0\0\x1a\0\0\0",
        b"%PDF-1.7\n1 0 obj",
        b"PK\x03\x04\x14\0\0\0\x08\0\0\0",
        b"\0\0\0\x1cftypavif\0\0\0\0",
    ];
    for kind in PictureKind::ALL {
        for other in PictureKind::ALL.into_iter().filter(|other| *other != kind) {
            let bytes = picture(other, 20, 20);
            assert_refused(&world, &ada, (kind, &bytes), |error| matches!(error, AvatarError::OtherKind))
                .await;
        }
        for other in others {
            assert_refused(&world, &ada, (kind, other), |error| matches!(error, AvatarError::OtherKind))
                .await;
        }
    }
}

#[tokio::test]
async fn what_is_no_picture_or_too_large_a_one_is_refused_before_it_is_decoded() {
    let world = World::new();
    let ada = world.person("ada", Role::User).await;
    let frame =
        |height: u8| [&b"\xff\xd8\xff\xc0\0\x0b\x08\x20"[..], &[height], b"\x20\0\x01\x01\x11\0"].concat();
    let invalid = |error: &AvatarError| matches!(error, AvatarError::InvalidImage);
    for (kind, bytes) in [
        (PNG, b"".to_vec()),
        (PNG, b"no picture at all".to_vec()),
        (PNG, vec![0; 100]),
        (PNG, claimed_png(60_000, 60_000)),
        (PNG, claimed_png(5_001, 4_000)),
        (PNG, claimed_png(u32::MAX, u32::MAX)),
        (PNG, claimed_png(0, 1)),
        (PNG, b"\x89PNG\r\n\x1a\n\0\0\0\x0dIDAT\0\0\0\x01\0\0\0\x01".to_vec()),
        (PictureKind::Jpeg, frame(0)),
        (PictureKind::Jpeg, b"\xff\xd8\xff\xd9\0\0\0\0\0\0\0\0\0\0".to_vec()),
        (PictureKind::WebP, b"RIFF\x16\0\0\0WEBPVP8L\x0a\0\0\0\x2f\xff\xff\xff\x0f\0\0\0\0\0".to_vec()),
        (PictureKind::WebP, b"RIFF\x16\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff".to_vec()),
        (PictureKind::WebP, b"RIFF\x16\0\0\0WEBPJUNK\x0a\0\0\0\0\0\0\0\0\0\0\0\0\0".to_vec()),
    ] {
        assert_refused(&world, &ada, (kind, &bytes), invalid).await;
    }
}

#[tokio::test]
async fn five_mebibytes_are_enough_and_one_byte_more_is_too_much() {
    let world = World::new();
    let ada = world.person("ada", Role::User).await;
    let mut bytes = picture(PNG, 20, 20);
    bytes.resize(usize::try_from(MAX_BYTES).expect("few") + 1, 0);
    assert_refused(&world, &ada, (PNG, &bytes), |error| matches!(error, AvatarError::TooLarge)).await;
    bytes.pop();
    world.put(&ada, PNG, &bytes).await.expect("it fits");
}

/// A body that breaks off.
struct BrokenOff(Option<Bytes>);

#[async_trait]
impl ObjectBody for BrokenOff {
    async fn next(&mut self) -> Result<Option<Bytes>, PortError> {
        match self.0.take() {
            None => Err(PortError::new(ErrorKind::Unavailable, "upload", "the client went away")),
            part => Ok(part),
        }
    }
}

#[tokio::test]
async fn an_upload_that_breaks_off_leaves_nothing() {
    let world = World::new();
    let ada = world.person("ada", Role::User).await;
    let body = Box::new(BrokenOff(Some(picture(PNG, 20, 20).into())));
    let broken_off = Upload { body, ..super::upload(PNG, b"") };
    let put = world.services.avatars.put(ada.principal(), ada.id(), broken_off);
    let refused = put.await.expect_err("it is not whole");
    assert!(matches!(refused, AvatarError::Interrupted), "{refused:?}");
    assert_eq!(world.objects().await.len(), 0);
}

/// Panics unless the worker finds that this cannot be decoded, and clears it away.
async fn assert_undecodable(world: &World, ada: &Person, kind: PictureKind, bytes: &[u8], what: &str) {
    let before = world.stored_user(ada.id()).await.expect("ada is there");
    let refused = world.put(ada, kind, bytes).await;
    assert!(matches!(refused, Err(AvatarError::InvalidImage)), "{what}: {refused:?}");
    let after = world.stored_user(ada.id()).await.expect("ada is there");
    assert_eq!((after.avatar, after.avatar_upload), (before.avatar, None), "{what}");
    assert_eq!(after.updated_at, before.updated_at, "nobody sees a difference");
    assert!(!world.names().await.iter().any(|name| name == "upload"), "{what} is still there");
}

#[tokio::test]
async fn a_picture_that_is_cut_off_is_none() {
    let world = World::new();
    let ada = world.person("ada", Role::User).await;
    let mut noise = Noise::new(7);
    let photograph = RgbImage::from_fn(200, 200, |_, _| Rgb([noise.byte(), noise.byte(), 0])).into();
    for kind in PictureKind::ALL {
        let bytes = file(kind, &photograph);
        for share in [20, 60, 95] {
            let cut = &bytes[..bytes.len() * share / 100];
            assert_undecodable(&world, &ada, kind, cut, &format!("{share} % of {kind:?}")).await;
        }
    }
}

#[tokio::test]
async fn a_refused_picture_leaves_the_one_before() {
    let world = World::new();
    let ada = world.person("ada", Role::User).await;
    world.put(&ada, PNG, &picture(PNG, 30, 30)).await.expect("a picture");
    let before = world.objects().await;
    let bytes = picture(PictureKind::Jpeg, 300, 300);
    assert_undecodable(&world, &ada, PictureKind::Jpeg, &bytes[..bytes.len() - 2], "without its end").await;
    assert_eq!(world.objects().await, before);
}

#[tokio::test]
async fn a_bomb_within_the_limits_is_defused() {
    let world = World::new();
    let ada = world.person("ada", Role::User).await;
    let bomb = file(PNG, &DynamicImage::new_rgba8(5_000, 3_800));
    assert!(bomb.len() < 500_000, "{} bytes are no bomb", bomb.len());
    world.put(&ada, PNG, &bomb).await.expect("it is within the limits");
    assert_eq!(world.drawing(ada.id(), AvatarForm::Large).await.width(), 512);
}

#[tokio::test]
async fn whatever_is_done_to_a_picture_it_is_drawn_or_refused() {
    let world = World::new();
    let ada = world.person("ada", Role::User).await;
    let (mut noise, mut drawn, mut refused) = (Noise::new(4), 0, 0);
    for kind in PictureKind::ALL {
        let whole = picture(kind, 40, 40);
        for _ in 0..60 {
            let mut bytes = whole.clone();
            for _ in 0..=noise.below(6) {
                let at = noise.below(bytes.len());
                bytes[at] = noise.byte();
            }
            match world.put(&ada, kind, &bytes).await {
                Ok(_) => drawn += 1,
                Err(AvatarError::InvalidImage | AvatarError::OtherKind) => refused += 1,
                Err(other) => panic!("{kind:?}: {other:?}"),
            }
        }
    }
    assert!(drawn > 10 && refused > 10, "{drawn} drawn, {refused} refused");
    assert!(!world.names().await.iter().any(|name| name == "upload"));
}
