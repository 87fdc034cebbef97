//! [`Rows`]: what the records of a file mean.
//!
//! An empty cell is a value that is not given. Everything else is as in the body of a new user.

use portwright_domain::Invalid;
use portwright_domain::access::{Role, RoleUnknown};
use portwright_domain::password::NewPassword;
use portwright_domain::ports::ObjectBody;
use portwright_domain::user::{Email, PersonName};

use super::error::ImportError;
use super::records::{Fields, Record, Records};
use super::report::RowRefused;
use crate::users::NewUser;

/// The columns of a file, in the order in which their mistakes are told.
const COLUMNS: [&str; 5] = ["email", "firstName", "lastName", "role", "password"];

/// The rows of a file behind its header.
pub(super) struct Rows {
    records: Records,
    columns: Columns,
}

/// Where each of [`COLUMNS`] stands.
struct Columns([usize; COLUMNS.len()]);

/// A row that has a cell for every column. Holds a password, so it has no `Debug`.
pub(super) struct Row {
    pub(super) line: u64,
    cells: [String; COLUMNS.len()],
}

impl Rows {
    /// Reads the header.
    ///
    /// # Errors
    /// If it does not name exactly the columns that there are.
    pub(super) async fn of(body: Box<dyn ObjectBody>) -> Result<Self, ImportError> {
        let mut records = Records::of(body).await?;
        let columns = match records.next().await? {
            Some(Record { fields: Some(header), .. }) => Columns::of(&header)?,
            Some(Record { fields: None, .. }) | None => return Err(missing([false; COLUMNS.len()])),
        };
        Ok(Self { records, columns })
    }

    /// The next row, unless it has no cells to be looked at; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Result<Row, RowRefused>>, ImportError> {
        let Some(Record { line, fields }) = self.records.next().await? else { return Ok(None) };
        let Some(fields) = fields else {
            return Ok(Some(Err(RowRefused::new(line, "too-long", "the record is longer than any user"))));
        };
        if fields.len() != COLUMNS.len() {
            let detail = format!("there are {} fields, not {}", fields.len(), COLUMNS.len());
            return Ok(Some(Err(RowRefused::new(line, "wrong-number-of-fields", detail))));
        }
        let cells = self.columns.0.map(|place| fields.get(place).to_owned());
        Ok(Some(Ok(Row { line, cells })))
    }
}

impl Columns {
    fn of(header: &Fields<'_>) -> Result<Self, ImportError> {
        let mut places = [None; COLUMNS.len()];
        let mut unknown = None;
        for (place, name) in header.iter().enumerate() {
            let known = COLUMNS.iter().position(|column| column.eq_ignore_ascii_case(name.trim()));
            match known {
                Some(column) if places[column].is_some() => {
                    return Err(ImportError::RepeatedColumn { column: COLUMNS[column].to_owned() });
                }
                Some(column) => places[column] = Some(place),
                None => unknown = unknown.or(Some(place as u64 + 1)),
            }
        }
        if places.contains(&None) {
            return Err(missing(places.map(|place| place.is_some())));
        }
        match unknown {
            Some(position) => Err(ImportError::UnknownColumn { position }),
            None => Ok(Self(places.map(Option::unwrap_or_default))),
        }
    }
}

fn missing(found: [bool; COLUMNS.len()]) -> ImportError {
    let missing = COLUMNS.iter().zip(found).filter(|(_, found)| !found);
    ImportError::MissingColumns { columns: missing.map(|(column, _)| (*column).to_owned()).collect() }
}

impl Row {
    /// The address, which says whether the rest is looked at.
    pub(super) fn email(&self) -> Result<Email, RowRefused> {
        let [email, ..] = &self.cells;
        self.read("email", email, Email::parse)
    }

    /// The user that the row describes.
    pub(super) fn user(&self, email: Email) -> Result<NewUser, RowRefused> {
        let [_, first_name, last_name, role_name, password] = &self.cells;
        Ok(NewUser {
            email,
            first_name: self.read("firstName", first_name, PersonName::parse)?,
            last_name: self.read("lastName", last_name, PersonName::parse)?,
            role: if role_name.is_empty() { Role::User } else { self.read("role", role_name, role)? },
            password: self.read("password", password, NewPassword::parse)?,
            is_active: true,
        })
    }

    fn read<T>(
        &self,
        column: &str,
        cell: &str,
        parse: impl FnOnce(&str) -> Result<T, Invalid>,
    ) -> Result<T, RowRefused> {
        let given = if cell.is_empty() { Err(Invalid::new("required", "is required")) } else { parse(cell) };
        given.map_err(|invalid| RowRefused::field(self.line, column, &invalid))
    }
}

fn role(name: &str) -> Result<Role, Invalid> {
    name.parse().map_err(|unknown: RoleUnknown| Invalid::new("unknown-role", unknown.to_string()))
}
