//! What is wrong with a file as a whole.

use bytes::Bytes;
use portwright_application::imports::{ImportError, ImportReport, MOST_ROWS};

use crate::transfers::{HEADER, Office, file, file_of};

const GOOD: &str = "ada@example.com,Ada,Lovelace,user,tango-velvet-harbor-91";

#[tokio::test]
async fn columns_may_stand_in_any_order_and_case_and_in_quotes() {
    for header in [
        "password,ROLE,lastname,FirstName,EMAIL",
        "\"password\",\"role\",\"lastName\",\"firstName\",\"email\"",
        "\u{feff}password,role,lastName,firstName,email",
        "\u{feff}\"password\", role ,lastName,firstName, email",
        "\n\r\npassword,role,lastName,firstName,email",
    ] {
        let office = Office::new().await;
        let row = "tango-velvet-harbor-91,admin,Lovelace,Ada,ada@example.com";
        let report = office.import(format!("{header}\r\n{row}")).await;
        assert_eq!(report, ImportReport { created: 1, ..ImportReport::default() }, "{header:?}");
        let ada = office.user("ada@example.com").await.expect("she was created");
        assert_eq!((ada.first_name.as_str(), ada.last_name.as_str()), ("Ada", "Lovelace"));
    }
}

#[tokio::test]
async fn a_file_without_rows_creates_nobody() {
    let office = Office::new().await;
    for text in [HEADER.to_owned(), file(&[]), format!("{HEADER}\r\n\r\n  \r\n")] {
        assert_eq!(office.import(text).await, ImportReport::default());
    }
}

#[tokio::test]
async fn a_file_without_the_columns_or_with_others_fails() {
    let office = Office::new().await;
    let missing = |columns: &[&str]| ImportError::MissingColumns {
        columns: columns.iter().map(|column| (*column).to_owned()).collect(),
    };
    let all = missing(&["email", "firstName", "lastName", "role", "password"]);
    for (text, expected) in [
        (String::new(), all.clone()),
        ("\n\n".to_owned(), all.clone()),
        // No header: the first line is a user, and nothing of it is told.
        (GOOD.to_owned(), all.clone()),
        (file(&[GOOD]).replace(',', ";"), all.clone()),
        (format!("{}\n", "x".repeat(100_000)), all),
        (format!("email,firstName,lastName,role\n{GOOD}"), missing(&["password"])),
        (format!("email,name,role,passwort\n{GOOD}"), missing(&["firstName", "lastName", "password"])),
        (format!("{HEADER},isActive\n{GOOD},true"), ImportError::UnknownColumn { position: 6 }),
        (format!("id,{HEADER}\n1,{GOOD}"), ImportError::UnknownColumn { position: 1 }),
        (format!("{HEADER},\n{GOOD},"), ImportError::UnknownColumn { position: 6 }),
        (format!("{HEADER},EMail\n{GOOD}"), ImportError::RepeatedColumn { column: "email".to_owned() }),
    ] {
        assert_eq!(office.refusal(text.clone()).await, expected, "{:?}", text.get(..60));
    }
}

#[tokio::test]
async fn what_is_no_text_fails_wherever_it_stands() {
    let office = Office::new().await;
    let utf16: Vec<u8> = file(&[GOOD]).encode_utf16().flat_map(u16::to_le_bytes).collect();
    let late = [file_of(5_000).as_bytes(), b"caf\xe9@example.com,Ada,L,user,tango-velvet-harbor-91"].concat();
    let cut = [file(&[GOOD]).as_bytes(), b"\xf0\x9f\xa6"].concat();
    let zeros = [file(&[GOOD]).as_bytes(), &[0; 10]].concat();
    for bytes in [utf16, late, cut, zeros, vec![0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a]] {
        assert_eq!(office.refusal(bytes).await, ImportError::NotText);
    }
}

#[tokio::test]
async fn a_quote_that_is_never_closed_fails_and_tells_where() {
    let office = Office::new().await;
    let open = "\"grace@example.com,Grace,Hopper,user,tango-velvet-harbor-91";
    assert_eq!(office.refusal(file(&[GOOD, "", open, GOOD])).await, ImportError::OpenQuote { line: 4 });
    let at_the_end = file(&[GOOD, "grace@example.com,Grace,Hopper,user,\""]);
    assert_eq!(office.refusal(at_the_end.trim_end().to_owned()).await, ImportError::OpenQuote { line: 3 });
}

#[tokio::test]
async fn as_many_rows_as_there_may_be_are_imported_and_one_more_fails() {
    // Rows that are refused cost nothing, and count.
    let mut text = format!("{HEADER}\n");
    text.push_str(&"x,,,,\n".repeat(usize::try_from(MOST_ROWS).expect("few")));
    let office = Office::new().await;
    let report = office.import(text.clone()).await;
    assert_eq!(report.refused_total, Some(MOST_ROWS));
    text.push_str("x,,,,\n");
    assert_eq!(office.refusal(text).await, ImportError::TooManyRows { most: MOST_ROWS });
}

#[tokio::test]
async fn a_record_that_no_user_can_fill_is_refused_alone() {
    let office = Office::new().await;
    let long = format!("a@example.com,{},Lovelace,user,tango-velvet-harbor-91", "x".repeat(1_000_000));
    let many = ",".repeat(10_000);
    let report = office.import(file(&[&long, &many, GOOD])).await;
    let refused: Vec<_> = report.refused.iter().map(|row| (row.line, &*row.code)).collect();
    assert_eq!((report.created, refused), (1, vec![(2, "too-long"), (3, "too-long")]));
}

#[tokio::test]
async fn a_file_that_arrives_byte_by_byte_is_the_same_file() {
    let text = format!(
        "\u{feff}{HEADER}\r\n\r\n\"ädä@example.com\",\"A\"\"d\na\",\"Love,lace\",user,\"tango-velvet-🦀-91\"\r\n{GOOD}"
    );
    let office = Office::new().await;
    let parts = text.as_bytes().iter().map(|byte| Bytes::copy_from_slice(&[*byte])).collect();
    let id = office.submit_in_parts(parts).await;
    office.drain().await;
    let report: ImportReport = Office::result(&office.job(id).await);
    // A line break is no character of a name.
    let refused: Vec<_> = report.refused.iter().map(|row| (row.line, &*row.code)).collect();
    assert_eq!((report.created, refused), (1, vec![(3, "invalid-character")]));
}
