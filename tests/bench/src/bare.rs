//! The yardstick: what poem and sqlx do alone, in the fewest lines, and as fast as their settings allow.
//!
//! It answers the same JSON from the same tables over as many connections, with as many threads and the same allocator.
//! It has nothing else: no limits, no problems, no log, no metrics, no entity tags. Under `/for-callers` it asks first who
//! is calling, in the way that is usual: the signature of the token, then its session with one query.

use std::path::PathBuf;

use moka::future::Cache;
use poem::error::{InternalServerError, NotFoundError};
use poem::http::StatusCode;
use poem::http::header::AUTHORIZATION;
use poem::web::{Data, Json, Path};
use poem::{Endpoint, EndpointExt, Request, Response, Result, Route, handler};
use portwright_domain::Timestamp;
use portwright_domain::ports::{Clock, TokenIssuer};
use portwright_memory::SystemClock;
use portwright_security::{JwtIssuer, SigningKey};
use serde::Serialize;
use sqlx::postgres::{PgPoolOptions, PgRow};
use sqlx::{PgPool, Row};
use uuid::Uuid;

/// What the server is told.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// The database of the product.
    #[arg(long)]
    database: String,
    /// Connections to it.
    #[arg(long)]
    connections: u32,
    /// The key that the product signs with.
    #[arg(long)]
    key: PathBuf,
    /// The JSON of what it remembers.
    #[arg(long)]
    remembered: String,
}

macro_rules! user_columns {
    () => {
        "id, email, first_name, last_name, role, is_active, is_email_verified, last_login, created_at, updated_at, \
         avatar_id"
    };
}

/// Serves until it is killed; says on its first line where.
pub async fn serve(options: Options) -> anyhow::Result<()> {
    let pool = PgPoolOptions::new()
        .max_connections(options.connections)
        // A ping for every question would make it slower.
        .test_before_acquire(false)
        .connect(&options.database)
        .await?;
    let tokens =
        std::sync::Arc::new(JwtIssuer::new(&SigningKey::load(&options.key)?, "portwright", "portwright"));
    let remembered = Cache::new(1);
    remembered.insert((), options.remembered).await;

    let routes = || {
        Route::new()
            .at("/users/:id", poem::get(user))
            .at("/users", poem::get(users))
            .at("/queues", poem::get(queues))
    };
    let (issuer, sessions) = (tokens.clone(), pool.clone());
    let for_callers = routes().around(move |endpoint, request| {
        let (issuer, sessions) = (issuer.clone(), sessions.clone());
        async move {
            authenticate(&*issuer, &sessions, &request).await?;
            endpoint.call(request).await
        }
    });
    let app = Route::new().nest("/for-callers", for_callers).nest("/", routes()).data(pool).data(remembered);
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    announce(&listener)?;
    let acceptor = poem::listener::TcpAcceptor::from_std(listener)?;
    Ok(poem::Server::new_with_acceptor(acceptor).run(app).await?)
}

#[expect(clippy::print_stdout, reason = "whoever started it wants to know")]
fn announce(listener: &std::net::TcpListener) -> anyhow::Result<()> {
    println!("{}", listener.local_addr()?);
    Ok(())
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct User {
    id: Uuid,
    email: String,
    first_name: String,
    last_name: String,
    role: String,
    is_active: bool,
    is_email_verified: bool,
    last_login: Option<Timestamp>,
    created_at: Timestamp,
    updated_at: Timestamp,
    avatar_url: Option<String>,
}

impl User {
    fn of(row: &PgRow) -> sqlx::Result<Self> {
        let id = row.try_get("id")?;
        Ok(Self {
            id,
            email: row.try_get("email")?,
            first_name: row.try_get("first_name")?,
            last_name: row.try_get("last_name")?,
            role: row.try_get("role")?,
            is_active: row.try_get("is_active")?,
            is_email_verified: row.try_get("is_email_verified")?,
            last_login: row.try_get::<Option<i64>, _>("last_login")?.map(Timestamp::from_unix_micros),
            created_at: Timestamp::from_unix_micros(row.try_get("created_at")?),
            updated_at: Timestamp::from_unix_micros(row.try_get("updated_at")?),
            avatar_url: row.try_get::<Option<Uuid>, _>("avatar_id")?.map(|_| format!("/users/{id}/avatar")),
        })
    }
}

#[handler]
async fn user(Path(id): Path<Uuid>, Data(pool): Data<&PgPool>) -> Result<Json<User>> {
    const SQL: &str = concat!("SELECT ", user_columns!(), " FROM users WHERE id = $1");
    let row = sqlx::query(SQL).bind(id).fetch_optional(pool).await.map_err(InternalServerError)?;
    Ok(Json(User::of(&row.ok_or(NotFoundError)?).map_err(InternalServerError)?))
}

#[derive(Serialize)]
struct Users {
    data: Vec<User>,
    pagination: Pagination,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Pagination {
    page: i64,
    limit: i64,
    total: i64,
    total_pages: i64,
}

/// The first page, with the total from the same statement.
#[handler]
async fn users(Data(pool): Data<&PgPool>) -> Result<Json<Users>> {
    const LIMIT: i64 = 20;
    const SQL: &str = concat!(
        "SELECT total, page.* FROM (SELECT count(*) AS total FROM users) AS counted LEFT JOIN (SELECT ",
        user_columns!(),
        " FROM users ORDER BY created_at DESC, id DESC LIMIT $1) AS page ON true ORDER BY created_at DESC, id DESC"
    );
    let rows = sqlx::query(SQL).bind(LIMIT).fetch_all(pool).await.map_err(InternalServerError)?;
    let total = rows.first().map_or(Ok(0), |row| row.try_get("total")).map_err(InternalServerError)?;
    let data = rows.iter().map(User::of).collect::<Result<_, _>>().map_err(InternalServerError)?;
    let total_pages = (total + LIMIT - 1) / LIMIT;
    Ok(Json(Users { data, pagination: Pagination { page: 1, limit: LIMIT, total, total_pages } }))
}

#[handler]
async fn queues(Data(remembered): Data<&Cache<(), String>>) -> Result<Response> {
    let json = remembered.get(&()).await.ok_or(NotFoundError)?;
    Ok(Response::builder().content_type("application/json; charset=utf-8").body(json))
}

async fn authenticate(tokens: &dyn TokenIssuer, pool: &PgPool, request: &Request) -> Result<()> {
    const SQL: &str = "SELECT users.role FROM sessions JOIN users ON users.id = sessions.user_id \
         WHERE sessions.id = $1 AND users.id = $2 AND users.is_active AND sessions.expires_at > $3";
    let refused = || poem::Error::from_status(StatusCode::UNAUTHORIZED);
    let token = request.header(AUTHORIZATION).and_then(|header| header.strip_prefix("Bearer "));
    let now = SystemClock.now();
    let claims = tokens.verify(token.ok_or_else(refused)?, now).map_err(|_| refused())?;
    let found = sqlx::query(SQL)
        .bind(claims.session_id.0)
        .bind(claims.user_id.0)
        .bind(now.unix_micros())
        .fetch_optional(pool)
        .await
        .map_err(InternalServerError)?;
    let role: String = found.ok_or_else(refused)?.try_get("role").map_err(InternalServerError)?;
    if role == "admin" { Ok(()) } else { Err(poem::Error::from_status(StatusCode::FORBIDDEN)) }
}
