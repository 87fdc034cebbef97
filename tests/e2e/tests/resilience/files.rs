//! The storage: uploads are refused while it is away, and everything else goes on.

use std::time::Duration;

use portwright_domain::avatar::PictureKind;
use portwright_testkit::pictures::picture;
use portwright_testkit::servers::{Postgres, S3};
use serde_json::json;

use crate::{draw, expect_unavailable, meanwhile, on, rename, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_storage_uploads_are_refused_and_users_are_served() {
    let (database, files) = (Postgres::primary(), S3::run());
    let app = on(&[&database], Some(&files)).await;
    let admin = app.admin().await;
    let picture = picture(PictureKind::Png, 20, 20);
    draw(&admin, picture.clone()).await.expect(202);
    app.drain_jobs().await;
    let shown = format!("{}/avatar", admin.path());
    admin.get(&shown).await.expect(200);
    let before = admin.get(&admin.path()).await.expect(200);

    meanwhile(|| files.stop());
    for _ in 0..3 {
        expect_unavailable(Duration::from_secs(2), draw(&admin, picture.clone())).await;
        expect_unavailable(Duration::from_secs(2), admin.get(&shown)).await;
    }
    // No row tells of a picture that is not there.
    assert_eq!(admin.get(&admin.path()).await.expect(200), before);
    rename(&admin, "Ada").await.expect(200);
    let health = app.nobody().get("/health").await.json();
    assert_eq!(health["checks"]["database"]["status"], json!("pass"), "{health}");
    app.nobody().get("/health/live").await.expect(200);

    meanwhile(|| files.start());
    let took = until(200, async || admin.get(&shown).await).await;
    assert!(took < Duration::from_secs(2), "files came back after {took:?}");
    draw(&admin, picture).await.expect(202);
    assert_eq!(app.drain_jobs().await, 1);
    admin.get(&shown).await.expect(200);
}
