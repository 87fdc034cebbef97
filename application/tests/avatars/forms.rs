//! What is stored of a picture.

use image::{DynamicImage, GenericImageView, ImageBuffer, Rgba, RgbaImage};
use portwright_application::avatars::AvatarForm;
use portwright_domain::access::Role;
use portwright_domain::avatar::PictureKind;
use portwright_domain::ports::Clock;
use portwright_testkit::pictures::{CORNERS, PLACE, contains, file, picture, taken_at_a_place};

use crate::world::{Person, World};

async fn world_of_ada() -> (World, Person) {
    let world = World::new();
    let ada = world.person("ada", Role::User).await;
    (world, ada)
}

/// The sizes of the stored forms, as in [`AvatarForm::ALL`].
async fn sizes(world: &World, person: &Person) -> Vec<(u32, u32)> {
    let mut sizes = Vec::new();
    for form in AvatarForm::ALL {
        sizes.push(world.drawing(person.id(), form).await.dimensions());
    }
    sizes
}

/// The colours in the middle of the four quarters.
fn corners(drawing: &DynamicImage) -> [[u8; 3]; 4] {
    let (width, height) = drawing.dimensions();
    let middles = [(1, 1), (3, 1), (1, 3), (3, 3)];
    middles.map(|(x, y)| {
        let [red, green, blue, alpha] = drawing.get_pixel(width * x / 4, height * y / 4).0;
        assert_eq!(alpha, 255);
        [red, green, blue]
    })
}

#[track_caller]
fn assert_alike(found: [[u8; 3]; 4], wanted: [[u8; 3]; 4], what: &str) {
    let far = found.concat().into_iter().zip(wanted.concat()).any(|(a, b)| a.abs_diff(b) > 12);
    assert!(!far, "{what}: {found:?} instead of {wanted:?}");
}

#[tokio::test]
async fn a_picture_is_stored_in_every_size_and_as_what_it_is() {
    for kind in PictureKind::ALL {
        let (world, ada) = world_of_ada().await;
        let before = world.stored_user(ada.id()).await.expect("ada is there");
        let user = world.put(&ada, kind, &picture(kind, 1_000, 500)).await.expect("it is a picture");
        let avatar = user.avatar.expect("there is a picture");
        assert_eq!((avatar.kind, user.avatar_upload), (kind, None));
        assert!(user.version > before.version);
        assert_eq!(user.updated_at, world.clock.now());

        assert_eq!(sizes(&world, &ada).await, [(64, 32), (256, 128), (512, 256), (1_000, 500)], "{kind:?}");
        for form in AvatarForm::ALL {
            let bytes = world.form(ada.id(), form).await;
            let format = image::guess_format(&bytes).expect("a picture");
            assert_eq!(format.to_mime_type(), kind.media_type(), "{form:?}");
            assert_alike(corners(&world.drawing(ada.id(), form).await), CORNERS, form.as_str());
        }
        assert_eq!(world.names().await, ["256", "512", "64", "original"], "and nothing else");
    }
}

#[tokio::test]
async fn a_small_picture_stays_small() {
    let (world, ada) = world_of_ada().await;
    for kind in PictureKind::ALL {
        world.put(&ada, kind, &picture(kind, 40, 30)).await.expect("it is a picture");
        assert_eq!(sizes(&world, &ada).await, [(40, 30); 4]);
        world.put(&ada, kind, &picture(kind, 100, 300)).await.expect("it is a picture");
        assert_eq!(sizes(&world, &ada).await, [(21, 64), (85, 256), (100, 300), (100, 300)]);
        world.put(&ada, kind, &picture(kind, 1, 1)).await.expect("it is a picture");
        assert_eq!(sizes(&world, &ada).await, [(1, 1); 4]);
    }
}

#[tokio::test]
async fn a_line_of_many_pixels_is_drawn_in_little_memory() {
    let (world, ada) = world_of_ada().await;
    let line = file(PictureKind::Png, &DynamicImage::new_luma8(2_000_000, 1));
    world.put(&ada, PictureKind::Png, &line).await.expect("it is a picture");
    assert_eq!(sizes(&world, &ada).await, [(64, 1), (256, 1), (512, 1), (2_000_000, 1)]);
}

#[tokio::test]
async fn how_the_camera_was_held_is_applied_and_where_it_was_is_dropped() {
    let [red, green, blue, grey] = CORNERS;
    for kind in PictureKind::ALL {
        let (world, ada) = world_of_ada().await;
        for (orientation, seen) in [
            (1, [red, green, blue, grey]),
            (3, [grey, blue, green, red]),
            (5, [red, blue, green, grey]),
            (6, [blue, red, grey, green]),
            (8, [green, grey, red, blue]),
        ] {
            let photograph = taken_at_a_place(kind, 800, 400, orientation);
            world.put(&ada, kind, &photograph).await.expect("it is a picture");
            let is_turned = orientation >= 5;
            for form in AvatarForm::ALL {
                let drawing = world.drawing(ada.id(), form).await;
                assert_eq!(drawing.height() > drawing.width(), is_turned, "{kind:?} {orientation}");
                assert_alike(corners(&drawing), seen, &format!("{kind:?} held as {orientation}"));
            }
            for (name, bytes) in world.objects().await {
                for trace in [PLACE, "Exif", "EXIF", "eXIf", "ICC", "http"] {
                    assert!(!contains(&bytes, trace.as_bytes()), "{kind:?}: {name} has {trace}");
                }
            }
        }
    }
}

#[tokio::test]
async fn nothing_behind_the_picture_is_stored() {
    let (world, ada) = world_of_ada().await;
    for kind in PictureKind::ALL {
        let polyglot = [&picture(kind, 300, 300)[..], b"PK\x03\x04<script>alert(1)</script>"].concat();
        world.put(&ada, kind, &polyglot).await.expect("it is a picture");
        for (name, bytes) in world.objects().await {
            assert!(!contains(&bytes, b"<script>"), "{kind:?}: {name}");
        }
    }
}

#[tokio::test]
async fn the_colour_of_what_is_invisible_does_not_show_at_the_edges() {
    let (world, ada) = world_of_ada().await;
    let disc = RgbaImage::from_fn(900, 900, |x, y| {
        let (x, y) = (i64::from(x) - 450, i64::from(y) - 450);
        if x * x + y * y < 400 * 400 { Rgba([255, 0, 0, 255]) } else { Rgba([0, 255, 0, 0]) }
    });
    for kind in [PictureKind::Png, PictureKind::WebP] {
        world.put(&ada, kind, &file(kind, &disc.clone().into())).await.expect("it is a picture");
        for form in AvatarForm::ALL {
            let drawing = world.drawing(ada.id(), form).await.into_rgba8();
            let visible: Vec<_> = drawing.pixels().filter(|pixel| pixel[3] > 8).collect();
            assert!(visible.len() > 64 * 64 / 2);
            for Rgba([red, green, _, alpha]) in visible {
                assert!(*red > 200 && *green < 40, "{form:?}: {red} red, {green} green, {alpha} alpha");
            }
            assert_eq!(drawing.get_pixel(0, 0)[3], 0, "the corner stays transparent");
        }
    }
}

#[tokio::test]
async fn every_kind_of_pixel_is_read() {
    let (world, ada) = world_of_ada().await;
    let wide = ImageBuffer::from_pixel(300, 200, Rgba([40_000_u16, 1_000, 0, 65_535]));
    let wide = DynamicImage::ImageRgba16(wide);
    for drawing in [
        wide.clone(),
        DynamicImage::ImageRgb16(wide.to_rgb16()),
        DynamicImage::ImageLuma16(wide.to_luma16()),
        DynamicImage::ImageLumaA16(wide.to_luma_alpha16()),
        DynamicImage::ImageLumaA8(wide.to_luma_alpha8()),
        DynamicImage::ImageLuma8(wide.to_luma8()),
    ] {
        let bytes = file(PictureKind::Png, &drawing);
        world.put(&ada, PictureKind::Png, &bytes).await.expect("it is a picture");
        assert_eq!(sizes(&world, &ada).await, [(64, 43), (256, 171), (300, 200), (300, 200)]);
        let original = world.drawing(ada.id(), AvatarForm::Original).await;
        assert_eq!(original.color(), drawing.color(), "it is stored as it was");
    }
}
