//! Pictures to upload: with known pixels, and with secrets in them.

use std::io::Cursor;

use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngEncoder;
use image::codecs::webp::WebPEncoder;
use image::{DynamicImage, ImageEncoder, ImageFormat, Rgb, RgbImage};
use portwright_domain::avatar::PictureKind;

/// Stands in the EXIF of [`taken_at_a_place`], and nowhere else.
pub const PLACE: &str = "Unter den Linden 77";

/// The colours of the corners of [`pixels`]: top left, top right, bottom left, bottom right.
pub const CORNERS: [[u8; 3]; 4] = [[200, 0, 0], [0, 200, 0], [0, 0, 200], [200, 200, 200]];

/// A picture of this size whose quarters have the colours of [`CORNERS`].
#[must_use]
pub fn pixels(width: u32, height: u32) -> DynamicImage {
    let quarter =
        |x: u32, y: u32| usize::from(x >= width.div_ceil(2)) + 2 * usize::from(y >= height.div_ceil(2));
    RgbImage::from_fn(width, height, |x, y| Rgb(CORNERS[quarter(x, y)])).into()
}

/// [`pixels`] as a file.
#[must_use]
pub fn picture(kind: PictureKind, width: u32, height: u32) -> Vec<u8> {
    file(kind, &pixels(width, height))
}

/// A picture as a file.
#[must_use]
pub fn file(kind: PictureKind, pixels: &DynamicImage) -> Vec<u8> {
    let format = match kind {
        PictureKind::Png => ImageFormat::Png,
        PictureKind::Jpeg => ImageFormat::Jpeg,
        PictureKind::WebP => ImageFormat::WebP,
    };
    let mut file = Cursor::new(Vec::new());
    pixels.write_to(&mut file, format).expect("it is encoded");
    file.into_inner()
}

/// [`pixels`] as a camera stores them that was held in this way (1–8, as EXIF counts), with the place in the EXIF.
#[must_use]
pub fn taken_at_a_place(kind: PictureKind, width: u32, height: u32, orientation: u16) -> Vec<u8> {
    let (pixels, exif, mut file) = (pixels(width, height), exif(orientation), Vec::new());
    match kind {
        PictureKind::Png => with_exif(PngEncoder::new(&mut file), &pixels, exif),
        PictureKind::Jpeg => with_exif(JpegEncoder::new(&mut file), &pixels, exif),
        PictureKind::WebP => with_exif(WebPEncoder::new_lossless(&mut file), &pixels, exif),
    }
    assert!(contains(&file, PLACE.as_bytes()), "the secret is not in the file");
    file
}

fn with_exif(mut encoder: impl ImageEncoder, pixels: &DynamicImage, exif: Vec<u8>) {
    encoder.set_exif_metadata(exif).expect("it takes EXIF");
    pixels.write_with_encoder(encoder).expect("it is encoded");
}

/// Whether bytes stand in others.
#[must_use]
pub fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}

/// The head of a PNG that claims to have this size, and no pixels at all.
#[must_use]
pub fn claimed_png(width: u32, height: u32) -> Vec<u8> {
    let mut file = picture(PictureKind::Png, 1, 1);
    file[16..24].copy_from_slice(&[width, height].map(u32::to_be_bytes).concat());
    file
}

/// A TIFF of two entries, in the order of little-endian machines: the orientation, and a description.
fn exif(orientation: u16) -> Vec<u8> {
    let entry = |tag: u16, ty: u16, count: usize, value: u32| {
        let count = u32::try_from(count).expect("few");
        [&tag.to_le_bytes()[..], &ty.to_le_bytes(), &count.to_le_bytes(), &value.to_le_bytes()].concat()
    };
    let mut exif = b"II*\0\x08\0\0\0\x02\0".to_vec();
    exif.extend(entry(0x0112, 3, 1, u32::from(orientation)));
    // Behind this table, which ends with the offset of the next one.
    exif.extend(entry(0x010e, 2, PLACE.len(), 8 + 2 + 2 * 12 + 4));
    exif.extend([0; 4]);
    exif.extend(PLACE.as_bytes());
    exif
}
