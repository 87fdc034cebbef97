//! What becomes of each row.

use portwright_application::imports::ImportReport;
use portwright_domain::access::Role;
use portwright_domain::job::{JobState, Progress};
use portwright_domain::password::NewPassword;
use portwright_domain::ports::{PasswordHasher, Verdict};

use crate::transfers::{Office, file, file_of};
use crate::world::{PASSWORD, typed};

fn refusals(report: &ImportReport) -> Vec<(u64, &str, &str)> {
    report.refused.iter().map(|row| (row.line, &*row.code, row.detail.as_str())).collect()
}

#[tokio::test]
async fn a_good_row_is_a_user_who_can_sign_in() {
    let office = Office::new().await;
    let report = office
        .import(file(&[
            "Ada@Example.com,Ada,Lovelace,moderator,granite-otter-lagoon-37",
            "grace@example.com, Grace ,Hopper,,tango-velvet-harbor-91",
        ]))
        .await;
    assert_eq!(report, ImportReport { created: 2, ..ImportReport::default() });

    let ada = office.user("ada@example.com").await.expect("she was created");
    assert_eq!(ada.email.as_str(), "Ada@Example.com");
    assert_eq!((ada.first_name.as_str(), ada.last_name.as_str()), ("Ada", "Lovelace"));
    assert_eq!((ada.role, ada.is_active, ada.is_email_verified), (Role::Moderator, true, false));
    assert_eq!(ada.id.0.get_version_num(), 7);
    let password = typed("granite-otter-lagoon-37");
    let verdict = office.world.hasher.verify(&password, &ada.password).await.expect("verifying works");
    assert_eq!(verdict, Verdict::Match);

    let grace = office.user("grace@example.com").await.expect("she was created");
    assert_eq!(
        (grace.role, grace.first_name.as_str()),
        (Role::User, "Grace"),
        "an empty role is the usual one"
    );
    office.world.try_sign_in("grace", PASSWORD).await.expect("she signs in");
}

#[tokio::test]
async fn a_bad_row_is_refused_by_the_rules_for_a_new_user_and_the_others_are_created() {
    let office = Office::new().await;
    let report = office
        .import(file(&[
            "no-address,Ada,Lovelace,user,tango-velvet-harbor-91",
            "a@example.com,Ada,Lovelace,user,short",
            "b@example.com,Ada,Lovelace,user,password123",
            "c@example.com,Ada,Lovelace,root,tango-velvet-harbor-91",
            "d@example.com,,Lovelace,user,tango-velvet-harbor-91",
            "e@example.com,Ada,   ,user,tango-velvet-harbor-91",
            ",Ada,Lovelace,user,tango-velvet-harbor-91",
            "f@example.com,Ada,Lovelace,user,",
            "g@example.com,Ada,Lovelace,user",
            "h@example.com,Ada,Lovelace,user,tango-velvet-harbor-91,more",
            "good@example.com,Ada,Lovelace,user,tango-velvet-harbor-91",
        ]))
        .await;
    assert_eq!((report.created, report.unchanged, report.refused_total), (1, 0, None));
    assert_eq!(
        refusals(&report),
        [
            (2, "invalid-email", "email: not an e-mail address: there is no @"),
            (3, "too-short", "password: at least 8 characters"),
            (4, "common-password", "password: one of the most common passwords; choose another"),
            (5, "unknown-role", "role: a role is one of user, moderator, admin"),
            (6, "required", "firstName: is required"),
            (7, "required", "lastName: must not be empty"),
            (8, "required", "email: is required"),
            (9, "required", "password: is required"),
            (10, "wrong-number-of-fields", "there are 4 fields, not 5"),
            (11, "wrong-number-of-fields", "there are 6 fields, not 5"),
        ]
    );
    assert_eq!(office.world.hasher.take_counts().0, 1, "only who is created is hashed");
}

#[tokio::test]
async fn an_address_that_exists_is_unchanged_in_any_case_and_whatever_else_stands_there() {
    let office = Office::new().await;
    let before = office.user("admin@example.com").await;
    let report = office
        .import(file(&[
            "ADMIN@example.com,Other,Name,user,another-password-77",
            "ada@example.com,Ada,Lovelace,user,tango-velvet-harbor-91",
            "Ada@EXAMPLE.com,Second,Ada,admin,tango-velvet-harbor-92",
            "admin@example.com,,,nonsense,",
        ]))
        .await;
    assert_eq!(report, ImportReport { created: 1, unchanged: 3, ..ImportReport::default() });
    assert_eq!(office.user("admin@example.com").await, before);
    assert_eq!(office.user("ada@example.com").await.expect("created").first_name.as_str(), "Ada");
    assert_eq!(office.world.hasher.take_counts().0, 1);
}

#[tokio::test]
async fn a_row_that_was_refused_does_not_take_its_address() {
    let office = Office::new().await;
    let lines = [
        "ada@example.com,Ada,Lovelace,user,short",
        "ada@example.com,Ada,Lovelace,user,tango-velvet-harbor-91",
    ];
    let report = office.import(file(&lines)).await;
    assert_eq!((report.created, report.unchanged, report.refused.len()), (1, 0, 1));
}

#[tokio::test]
async fn the_same_file_twice_creates_nobody_twice() {
    let office = Office::new().await;
    let first = office.import(file_of(250)).await;
    assert_eq!(first, ImportReport { created: 250, ..ImportReport::default() });
    let again = office.import(file_of(250)).await;
    assert_eq!(again, ImportReport { unchanged: 250, ..ImportReport::default() });
    assert_eq!(office.population().await, 251);
    assert_eq!(office.world.hasher.take_counts().0, 250, "nobody is hashed again");
}

#[tokio::test]
async fn an_import_says_how_far_it_is_and_ends_at_the_number_of_rows() {
    let office = Office::new().await;
    let mut text = file_of(120);
    text.push_str("no-address,Ada,Lovelace,user,tango-velvet-harbor-91\n\n\n");
    let id = office.submit(text).await;
    office.drain().await;
    let job = office.job(id).await;
    assert_eq!(job.state, JobState::Succeeded);
    assert_eq!(job.progress, Progress { done: 121, total: Some(121), message: None });
}

#[tokio::test]
async fn of_many_refused_rows_the_first_are_listed_and_all_are_counted() {
    let office = Office::new().await;
    let bad = "no-address,Ada,Lovelace,user,tango-velvet-harbor-91\n".repeat(1_500);
    let report = office.import(format!("{}{bad}", file(&[]))).await;
    assert_eq!((report.refused.len(), report.refused_total), (ImportReport::MOST_REFUSED, Some(1_500)));
    let lines: Vec<u64> = report.refused.iter().map(|row| row.line).collect();
    assert!(lines.iter().copied().eq(2..=1_001));
}

#[tokio::test]
async fn no_password_shows_in_the_job() {
    let office = Office::new().await;
    let secret = "harbor-lantern-walrus-5";
    assert!(NewPassword::parse(secret).is_ok());
    let id = office
        .submit(file(&[
            &format!("ada@example.com,Ada,Lovelace,user,{secret}"),
            &format!("no-address,Ada,Lovelace,user,{secret}"),
            &format!("b@example.com,Ada,Lovelace,{secret},tango-velvet-harbor-91"),
        ]))
        .await;
    office.drain().await;
    let job = office.job(id).await;
    assert_eq!(job.state, JobState::Succeeded);
    let text = format!("{job:?}");
    assert!(!text.contains(secret), "{text}");
    let bytes = format!("{:?}", secret.as_bytes());
    assert!(!text.contains(bytes.trim_matches(['[', ']'])), "{text}");
}
