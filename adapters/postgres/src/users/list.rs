//! The list of users: the only query that is put together at run time.

use portwright_domain::page::{Direction, Page, PageRequest, Position, Rest};
use portwright_domain::user::{SortKey, User, UserFilter, UserSort, folded};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Postgres, QueryBuilder, Row};
use uuid::Uuid;

use super::{user_at, user_columns};
use crate::seen::place_now;

/// The rows of one page, and what lies around it, from a single statement and so from a single state. Each begins with the
/// place and the total, which is not counted for a walk. An empty page is one row that has nothing else.
pub(super) async fn rows(
    connection: &mut PgConnection,
    filter: &UserFilter,
    sort: UserSort,
    direction: Direction,
    page: &PageRequest,
) -> Result<Vec<PgRow>, sqlx::Error> {
    let order = Order::of(sort, direction);
    let mut question = match page {
        PageRequest::Numbered { page, limit } => numbered(filter, order, *page, limit.get()),
        PageRequest::Walk { after, limit } => walk(filter, order, after.as_ref(), limit.get()),
    };
    question.build().fetch_all(connection).await
}

/// The page in its [`rows`].
pub(super) fn page(rows: &[PgRow], sort: UserSort, page: &PageRequest) -> Result<Page<User>, sqlx::Error> {
    let mut users = Vec::with_capacity(rows.len());
    for row in rows {
        if row.try_get::<Option<Uuid>, _>(2)?.is_some() {
            users.push(user_at(row, 2)?);
        }
    }
    let rest = match page {
        PageRequest::Numbered { .. } => {
            Rest::Total(rows.first().map_or(Ok(0), |row| row.try_get::<i64, _>(1))?.unsigned_abs())
        }
        PageRequest::Walk { limit, .. } => {
            let wanted = limit.get() as usize;
            let goes_on = users.len() > wanted;
            users.truncate(wanted);
            let last = users.last().filter(|_| goes_on);
            Rest::Next(last.map(|user| Position { key: sort.key_of(user), id: user.id.0 }))
        }
    };
    Ok(Page { rows: users, rest })
}

/// An order in the words of SQL.
#[derive(Clone, Copy)]
struct Order {
    column: &'static str,
    direction: &'static str,
    /// Compares what lies behind a place with that place.
    behind: &'static str,
}

impl Order {
    const fn of(sort: UserSort, direction: Direction) -> Self {
        let column = match sort {
            UserSort::CreatedAt => "created_at",
            UserSort::UpdatedAt => "updated_at",
            UserSort::Email => "email_key",
            UserSort::FirstName => "first_name_key",
            UserSort::LastName => "last_name_key",
        };
        match direction {
            Direction::Ascending => Self { column, direction: "ASC", behind: ">" },
            Direction::Descending => Self { column, direction: "DESC", behind: "<" },
        }
    }
}

/// The total and a user per row. The join keeps the total where the page is empty.
fn numbered(filter: &UserFilter, order: Order, page: u32, limit: u32) -> QueryBuilder<Postgres> {
    let Order { column, direction, .. } = order;
    let offset = i64::from(page.saturating_sub(1)) * i64::from(limit);
    let mut sql = QueryBuilder::new(concat!("SELECT * FROM ", place_now!(), " AS seen CROSS JOIN "));
    sql.push("(SELECT count(*) FROM users");
    push_conditions(&mut sql, filter);
    sql.push(concat!(") AS total LEFT JOIN (SELECT ", user_columns!()));
    sql.push(format_args!(", {column} AS place_in_order FROM users"));
    push_conditions(&mut sql, filter);
    sql.push(format_args!(" ORDER BY {column} {direction}, id {direction} LIMIT "));
    sql.push_bind(i64::from(limit)).push(" OFFSET ").push_bind(offset);
    sql.push(format_args!(") AS page ON true ORDER BY place_in_order {direction}, id {direction}"));
    sql
}

/// The users behind a position, one more than the limit if the walk goes on after them.
fn walk(filter: &UserFilter, order: Order, after: Option<&Position>, limit: u32) -> QueryBuilder<Postgres> {
    let Order { column, direction, behind } = order;
    let mut sql = QueryBuilder::new(concat!("SELECT * FROM ", place_now!(), " AS seen CROSS JOIN "));
    sql.push(concat!("(SELECT NULL::bigint) AS total LEFT JOIN (SELECT ", user_columns!()));
    sql.push(format_args!(", {column} AS place_in_order FROM users"));
    push_conditions(&mut sql, filter);
    if let Some(Position { key, id }) = after {
        sql.push(format_args!(" AND ({column}, id) {behind} ("));
        match key {
            SortKey::Time(time) => sql.push_bind(time.unix_micros()),
            SortKey::Text(text) => sql.push_bind(text.clone()),
        };
        sql.push(", ").push_bind(*id).push(")");
    }
    sql.push(format_args!(" ORDER BY {column} {direction}, id {direction} LIMIT "))
        .push_bind(i64::from(limit) + 1)
        .push(format_args!(") AS page ON true ORDER BY place_in_order {direction}, id {direction}"));
    sql
}

/// The meaning of [`UserFilter::matches`].
fn push_conditions(sql: &mut QueryBuilder<Postgres>, filter: &UserFilter) {
    sql.push(" WHERE true");
    for (column, wanted) in [
        ("email_key", &filter.email),
        ("first_name_key", &filter.first_name),
        ("last_name_key", &filter.last_name),
    ] {
        if let Some(wanted) = wanted {
            // `strpos` knows no wildcards.
            sql.push(format_args!(" AND strpos({column}, ")).push_bind(folded(wanted)).push(") > 0");
        }
    }
    if let Some(wanted) = &filter.search {
        let wanted = folded(wanted);
        sql.push(" AND (strpos(email_key, ").push_bind(wanted.clone());
        sql.push(") > 0 OR strpos(first_name_key, ").push_bind(wanted.clone());
        sql.push(") > 0 OR strpos(last_name_key, ").push_bind(wanted).push(") > 0)");
    }
    if let Some(role) = filter.role {
        sql.push(" AND role = ").push_bind(role.as_str());
    }
    if let Some(active) = filter.is_active {
        sql.push(" AND is_active = ").push_bind(active);
    }
}
