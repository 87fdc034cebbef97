//! From an upload to the forms in which it is stored. Pure, and heavy: runs where it holds up nobody.
//!
//! - Every form is of the kind that was uploaded: a photograph stays small as JPEG, a drawing stays sharp and keeps its
//!   transparency as PNG or WebP, and the row needs to know one media type alone.
//! - Every form is drawn anew from pixels, so that nothing else that was in the file gets into it: no EXIF with the place
//!   where it was taken, no colour profile, no text, and nothing behind the end of the picture. The way the camera was
//!   held is applied to the pixels first.
//! - Of a moving picture, the first frame stays.
//! - The same upload gives the same bytes.

use std::io::Cursor;

use bytes::Bytes;
use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::{CompressionType, FilterType as PngFilter, PngEncoder};
use image::codecs::webp::WebPEncoder;
use image::imageops::FilterType;
use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits, RgbaImage};
use portwright_domain::avatar::PictureKind;

use super::header::{Likeness, is_whole_jpeg};
use super::objects::AvatarForm;
use super::{MAX_BYTES, MAX_PIXELS};

/// What decoding may allocate: every pixel in the widest kind that there is (16 bits of four channels), and the file.
const MAX_ALLOCATED: u64 = MAX_PIXELS * 8 + 4 * MAX_BYTES;
/// Where nobody sees the difference any more.
const ORIGINAL_QUALITY: u8 = 90;
/// Small pictures are shown large.
const SMALL_QUALITY: u8 = 85;

/// Why there are no forms.
#[derive(Debug, thiserror::Error)]
pub(super) enum Undrawn {
    /// The upload cannot be decoded.
    #[error("{0}")]
    NoPicture(String),
    /// Nobody wants them any more.
    #[error("told to stop")]
    Stopped,
}

impl From<ImageError> for Undrawn {
    fn from(error: ImageError) -> Self {
        Self::NoPicture(error.to_string())
    }
}

/// What was made of an upload.
pub(super) struct Drawn {
    /// What all forms are.
    pub(super) kind: PictureKind,
    /// Every form, the smallest first.
    pub(super) forms: [(AvatarForm, Bytes); 4],
}

/// Makes the forms of an upload; asks between the steps whether somebody still `wants` them.
pub(super) fn draw(upload: &[u8], wanted: impl Fn() -> bool) -> Result<Drawn, Undrawn> {
    let go_on = || if wanted() { Ok(()) } else { Err(Undrawn::Stopped) };
    let Likeness::Picture(kind) = Likeness::of(upload) else {
        return Err(Undrawn::NoPicture("it begins like no picture".to_owned()));
    };
    let picture = decode(kind, upload)?;
    go_on()?;
    let original = encode(kind, &picture, ORIGINAL_QUALITY)?;
    go_on()?;
    let large = shrunk(&Canvas::of(picture), 512);
    go_on()?;
    let medium = shrunk(&large, 256);
    let small = shrunk(&medium, 64);
    let [small, medium, large] =
        [small, medium, large].map(|form| encode(kind, &form.into_picture(), SMALL_QUALITY));
    let forms = [
        (AvatarForm::Small, small?),
        (AvatarForm::Medium, medium?),
        (AvatarForm::Large, large?),
        (AvatarForm::Original, original),
    ];
    Ok(Drawn { kind, forms })
}

fn decode(kind: PictureKind, upload: &[u8]) -> Result<DynamicImage, Undrawn> {
    let format = match kind {
        PictureKind::Png => ImageFormat::Png,
        PictureKind::Jpeg => ImageFormat::Jpeg,
        PictureKind::WebP => ImageFormat::WebP,
    };
    if kind == PictureKind::Jpeg && !is_whole_jpeg(upload) {
        return Err(Undrawn::NoPicture("it ends too early".to_owned()));
    }
    let mut limits = Limits::default();
    limits.max_alloc = Some(MAX_ALLOCATED);
    let mut reader = ImageReader::with_format(Cursor::new(upload), format);
    reader.limits(limits.clone());
    let mut decoder = reader.into_decoder()?;
    let (width, height) = decoder.dimensions();
    if !(1..=MAX_PIXELS).contains(&(u64::from(width) * u64::from(height))) {
        return Err(Undrawn::NoPicture(format!("it has {width} x {height} pixels")));
    }
    limits.reserve(decoder.total_bytes())?;
    let orientation = decoder.orientation()?;
    let mut picture = DynamicImage::from_decoder(decoder)?;
    picture.apply_orientation(orientation);
    Ok(picture)
}

fn encode(kind: PictureKind, picture: &DynamicImage, quality: u8) -> Result<Bytes, ImageError> {
    let mut bytes = Vec::new();
    match kind {
        PictureKind::Png => {
            let (compression, filter) = (CompressionType::Default, PngFilter::Adaptive);
            picture.write_with_encoder(PngEncoder::new_with_quality(&mut bytes, compression, filter))
        }
        PictureKind::Jpeg => picture.write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, quality)),
        PictureKind::WebP => picture.write_with_encoder(WebPEncoder::new_lossless(&mut bytes)),
    }?;
    Ok(bytes.into())
}

/// A picture whose pixels may be mixed: eight bits per channel, and colours that count as much as they can be seen, or
/// the colour of what is invisible would show at the edges.
struct Canvas(DynamicImage);

impl Canvas {
    fn of(picture: DynamicImage) -> Self {
        Self(match picture {
            opaque if !opaque.color().has_alpha() => {
                if opaque.color().has_color() {
                    opaque.into_rgb8().into()
                } else {
                    opaque.into_luma8().into()
                }
            }
            transparent => each_pixel(transparent.into_rgba8(), |channel, alpha| {
                // At most 255 * 255.
                ((channel * alpha + 127) / 255).min(255)
            }),
        })
    }

    fn into_picture(self) -> DynamicImage {
        match self.0 {
            DynamicImage::ImageRgba8(pixels) => each_pixel(pixels, |channel, alpha| {
                ((channel * 255 + alpha / 2).checked_div(alpha)).unwrap_or(0).min(255)
            }),
            opaque => opaque,
        }
    }
}

/// Changes the colours of each pixel, given its alpha.
fn each_pixel(mut pixels: RgbaImage, change: impl Fn(u32, u32) -> u32) -> DynamicImage {
    for pixel in pixels.pixels_mut() {
        let [colour @ .., alpha] = &mut pixel.0;
        if *alpha < u8::MAX {
            for channel in colour {
                let changed = change(u32::from(*channel), u32::from(*alpha));
                *channel = u8::try_from(changed).unwrap_or(u8::MAX);
            }
        }
    }
    pixels.into()
}

/// The picture within a square of this edge; one that fits stays as it is.
fn shrunk(Canvas(picture): &Canvas, edge: u32) -> Canvas {
    let longest = picture.width().max(picture.height());
    if longest <= edge {
        return Canvas(picture.clone());
    }
    // What is much larger is brought down by averages first: the good filter takes the more memory the wider a picture
    // is, and after this it cannot be wide.
    if longest > 4 * edge {
        return shrunk(&Canvas(picture.thumbnail(2 * edge, 2 * edge)), edge);
    }
    Canvas(picture.resize(edge, edge, FilterType::Lanczos3))
}
