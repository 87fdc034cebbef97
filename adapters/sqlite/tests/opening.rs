//! A file that cannot be trusted is refused with a reason, and left as it is.

#![expect(clippy::expect_used, reason = "a panic is how a test fails")]

use std::path::Path;

use portwright_domain::ports::Store;
use portwright_domain::{ErrorKind, PortError};
use portwright_sqlite::{SqliteConfig, SqliteStore};
use portwright_testkit::builders::users;

async fn refusal(path: &Path) -> PortError {
    SqliteStore::init(&SqliteConfig::at(path)).await.err().expect("refused")
}

/// The file of a store that was used and closed.
async fn used_file(path: &Path) {
    let store = SqliteStore::init(&SqliteConfig::at(path)).await.expect("a store");
    let mut unit = store.begin().await.expect("begin works");
    for user in users(500) {
        unit.users().insert(&user).await.expect("insert works");
    }
    unit.commit().await.expect("commit works");
    store.close().await;
}

#[tokio::test]
async fn what_is_no_database_is_refused_and_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("test.db");
    let letter = "Dear diary, this is not a database.\n".repeat(200);
    std::fs::write(&path, &letter).expect("written");
    let refused = refusal(&path).await;
    assert_eq!(refused.kind(), ErrorKind::Corrupt);
    assert!(refused.detail().contains("test.db"), "{refused}");
    assert_eq!(std::fs::read_to_string(&path).expect("read"), letter);
}

#[tokio::test]
async fn a_damaged_file_is_refused_and_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("test.db");
    used_file(&path).await;
    let whole = std::fs::read(&path).expect("read");
    for damage in [100..400, whole.len() / 2..whole.len() / 2 + 4096] {
        let mut bytes = whole.clone();
        bytes[damage.clone()].fill(0xa5);
        std::fs::write(&path, &bytes).expect("written");
        let refused = refusal(&path).await;
        assert_eq!(refused.kind(), ErrorKind::Corrupt, "{damage:?}: {refused}");
        assert!(std::fs::read(&path).expect("read") == bytes, "{damage:?}: the file was changed");
    }
    std::fs::write(&path, &whole).expect("written");
    assert!(SqliteStore::init(&SqliteConfig::at(&path)).await.is_ok(), "the backup is as good as ever");
}

#[tokio::test]
async fn a_path_that_leads_nowhere_is_refused_with_its_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let refused = refusal(folder.path()).await;
    assert_eq!(refused.kind(), ErrorKind::Misconfigured);
    assert!(refused.detail().ends_with("a folder, not a file"), "{refused}");

    let file = folder.path().join("file");
    std::fs::write(&file, "").expect("written");
    let refused = refusal(&file.join("test.db")).await;
    assert_eq!(refused.kind(), ErrorKind::Misconfigured);
    assert!(refused.detail().ends_with("file/test.db: the folder cannot be made"), "{refused}");
}

#[tokio::test]
async fn missing_folders_are_made() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("some/where/test.db");
    assert!(SqliteStore::init(&SqliteConfig::at(&path)).await.is_ok());
    assert!(path.is_file());
}

#[cfg(unix)]
#[tokio::test]
async fn a_new_file_and_its_log_are_readable_for_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt;

    let folder = tempfile::tempdir().expect("a folder");
    let _store = SqliteStore::init(&SqliteConfig::at(folder.path().join("test.db"))).await.expect("a store");
    for name in ["test.db", "test.db-wal", "test.db-shm"] {
        let mode = std::fs::metadata(folder.path().join(name)).expect("it exists").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}
