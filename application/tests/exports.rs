//! Exports: who is in the file, how they are written, and how long it is kept.

use std::sync::Arc;
use std::time::Duration;

use portwright_application::exports::{ExportFormat, ExportOrder, ExportReport, KEPT};
use portwright_application::transfers::TransferError;
use portwright_domain::ErrorKind;
use portwright_domain::access::Role;
use portwright_domain::job::{JobId, JobState, Outcome, Progress};
use portwright_domain::ports::{JobQueue, Object, Store};
use portwright_domain::user::UserFilter;
use portwright_memory::MemoryStore;
use portwright_testkit::faults::{Fault, Flaky, When};
use tokio_util::sync::CancellationToken;

use crate::transfers::{Office, file, file_of};

impl Office {
    async fn order(&self, format: ExportFormat, filter: UserFilter) -> JobId {
        let exports = &self.world.services.exports;
        let order = ExportOrder::of(format, filter);
        exports.begin(self.admin.principal(), None, order).await.expect("it is taken").spec.id
    }

    async fn open(&self, id: JobId) -> Result<(ExportFormat, Object), TransferError> {
        let export = self.world.services.exports.open(self.admin.principal(), id).await;
        export.map(|export| (export.format, export.file))
    }

    /// The report of an export, and what stands in the file.
    async fn export(&self, format: ExportFormat, filter: UserFilter) -> (ExportReport, String) {
        let id = self.order(format, filter).await;
        self.drain().await;
        let report: ExportReport = Self::result(&self.job(id).await);
        assert_eq!((report.format, &*report.href), (format, &*format!("/users/exports/{id}")));
        let (stored, mut file) = self.open(id).await.expect("it is there");
        assert_eq!(stored, format);
        let mut bytes = Vec::new();
        while let Some(part) = file.body.next().await.expect("it is read") {
            bytes.extend_from_slice(&part);
        }
        assert_eq!(file.info.size, bytes.len() as u64);
        (report, String::from_utf8(bytes).expect("text"))
    }
}

fn everybody() -> UserFilter {
    UserFilter::default()
}

fn csv_of(text: &str) -> (Vec<String>, Vec<Vec<String>>) {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let owned = |record: &csv::StringRecord| record.iter().map(str::to_owned).collect::<Vec<_>>();
    let header = owned(reader.headers().expect("a header"));
    (header, reader.records().map(|record| owned(&record.expect("a record"))).collect())
}

#[tokio::test]
async fn everybody_is_in_the_file_once_in_the_order_of_their_creation() {
    let office = Office::new().await;
    office.import(file_of(350)).await;
    let (report, text) = office.export(ExportFormat::Csv, everybody()).await;
    let (header, rows) = csv_of(&text);
    assert_eq!(report.rows, 351);
    assert_eq!(
        header.join(","),
        "id,email,firstName,lastName,role,isActive,isEmailVerified,lastLogin,createdAt,updatedAt,avatarUrl"
    );
    assert_eq!(rows.len(), 351);
    let mut addresses: Vec<&str> = rows.iter().map(|row| row[1].as_str()).collect();
    addresses.sort_unstable();
    addresses.dedup();
    assert_eq!(addresses.len(), 351);

    let (report, text) = office.export(ExportFormat::Jsonl, everybody()).await;
    assert_eq!(report.rows, 351);
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert!(lines.iter().map(|line| line["id"].as_str()).eq(rows.iter().map(|row| Some(row[0].as_str()))));
}

#[tokio::test]
async fn a_user_is_written_as_the_api_answers_it_and_without_the_password() {
    let office = Office::new().await;
    office
        .import(file(&[
            "\"o'brien@example.com\",\"=A1 \"\"x\"\", y\",O'Brien,moderator,granite-otter-37-lagoon",
        ]))
        .await;
    let user = office.user("o'brien@example.com").await.expect("created");
    let filter = UserFilter { email: Some("brien".to_owned()), ..everybody() };

    let (_, text) = office.export(ExportFormat::Jsonl, filter.clone()).await;
    let expected = serde_json::json!({
        "id": user.id, "email": "o'brien@example.com", "firstName": "=A1 \"x\", y", "lastName": "O'Brien",
        "role": "moderator", "isActive": true, "isEmailVerified": false, "lastLogin": null,
        "createdAt": user.created_at, "updatedAt": user.updated_at, "avatarUrl": null,
    });
    assert_eq!(serde_json::from_str::<serde_json::Value>(&text).expect("one line of JSON"), expected);
    assert!(text.ends_with("}\n"), "{text}");

    let (_, csv) = office.export(ExportFormat::Csv, filter).await;
    let created = user.created_at.to_string();
    assert_eq!(
        csv_of(&csv).1,
        [[
            &user.id.to_string(),
            "o'brien@example.com",
            "'=A1 \"x\", y",
            "O'Brien",
            "moderator",
            "true",
            "false",
            "",
            &created,
            &created,
            "",
        ]]
    );
    assert_eq!(csv.matches("\r\n").count(), 2, "a line break of RFC 4180 behind each record");
    for text in [text, csv] {
        assert!(!text.contains(user.password.expose()) && !text.contains("assword"), "{text}");
    }
}

#[tokio::test]
async fn a_filter_is_that_of_the_list() {
    let office = Office::new().await;
    office
        .import(file(&[
            "ada@example.com,Ada,Lovelace,moderator,tango-velvet-harbor-91",
            "grace@example.com,Grace,Hopper,user,tango-velvet-harbor-91",
        ]))
        .await;
    let some = |text: &str| Some(text.to_owned());
    for (filter, expected) in [
        (UserFilter { role: Some(Role::Moderator), ..everybody() }, 1),
        (UserFilter { search: some("LOVE"), ..everybody() }, 2),
        (UserFilter { first_name: some("grace"), last_name: some("hop"), ..everybody() }, 1),
        (UserFilter { is_active: Some(false), ..everybody() }, 0),
    ] {
        let (report, text) = office.export(ExportFormat::Csv, filter.clone()).await;
        assert_eq!((report.rows, csv_of(&text).1.len() as u64), (expected, expected), "{filter:?}");
    }
}

#[tokio::test]
async fn an_export_says_how_far_it_is() {
    let office = Office::new().await;
    office.import(file_of(120)).await;
    let id = office.order(ExportFormat::Csv, everybody()).await;
    office.drain().await;
    let progress = Progress { done: 121, total: Some(121), message: None };
    assert_eq!(office.job(id).await.progress, progress);
}

#[tokio::test]
async fn there_is_no_file_before_it_is_whole_nor_after_a_day() {
    let office = Office::new().await;
    let id = office.order(ExportFormat::Csv, everybody()).await;
    assert!(matches!(office.open(id).await, Err(TransferError::NotFound)));
    office.drain().await;
    office.world.clock.advance(KEPT - Duration::from_secs(1));
    office.world.services.exports.sweep().await.expect("sweeping works");
    office.open(id).await.expect("it is kept for a day");

    office.world.clock.advance(Duration::from_secs(1));
    assert!(matches!(office.open(id).await, Err(TransferError::NotFound)));
    assert_eq!(office.files().await.len(), 1);
    office.world.services.exports.sweep().await.expect("sweeping works");
    assert_eq!(office.files().await, [""; 0]);
}

async fn office_with_store() -> (Office, Arc<Flaky<dyn Store>>) {
    let inner: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let store = Arc::new(Flaky::new(inner));
    let given = store.clone();
    (Office::with(|setup| setup.store = given).await, store)
}

#[tokio::test]
async fn a_try_that_fails_in_the_middle_leaves_no_file_and_is_made_again() {
    let (office, store) = office_with_store().await;
    office.import(file_of(250)).await;
    let id = office.order(ExportFormat::Jsonl, everybody()).await;
    store.cue(When::NthOf("store.read", 3), Fault::Refuse(ErrorKind::Unavailable));
    office.drain().await;
    assert_eq!(office.job(id).await.state, JobState::Scheduled);
    assert!(matches!(office.open(id).await, Err(TransferError::NotFound)));

    office.world.clock.advance(Duration::from_mins(10));
    office.drain().await;
    assert_eq!(Office::result::<ExportReport>(&office.job(id).await).rows, 251);
    office.open(id).await.expect("it is there");
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_export_leaves_no_file() {
    let (office, store) = office_with_store().await;
    office.import(file_of(250)).await;
    let id = office.order(ExportFormat::Jsonl, everybody()).await;
    store.cue(When::NthOf("store.read", 3), Fault::Delay(Duration::from_secs(20)));
    let (worker, soft) = (office.worker("one"), CancellationToken::new());
    let cancelled = async {
        while office.job(id).await.progress.done == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        office.world.queue.cancel(id).await.expect("cancel works");
        let outcome = office.world.queue.outcome(id, Duration::from_mins(2)).await.expect("it answers");
        soft.cancel();
        outcome
    };
    let (_, outcome) = tokio::join!(worker.run(soft.clone(), CancellationToken::new()), cancelled);
    assert_eq!(outcome, Some(Outcome::Cancelled));
    assert!(matches!(office.open(id).await, Err(TransferError::NotFound)));
}
