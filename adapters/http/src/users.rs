//! `/users`: list, read, create, change, remove.

pub(crate) mod body;
pub(crate) mod query;

use std::sync::Arc;

use poem::Request;
use poem_openapi::param::Path;
use poem_openapi::{ApiResponse, OpenApi};
use portwright_application::{Committed, Users};
use portwright_domain::page::{PageRequest, Rest};
use portwright_domain::ports::{Sealer, Seen};
use portwright_domain::user::User;

use self::body::{NewUserBody, UserBody, UserChangeBody, UserPage};
use crate::body::JsonBody;
use crate::conditional::{etag, if_match, is_known};
use crate::consistency::{not_found, sealed, sealed_if_any, wanted};
use crate::cursor::{self, Order};
use crate::json::Json;
use crate::link;
use crate::paging::{self, Pagination};
use crate::path_id::PathId;
use crate::principal::Caller;
use crate::refusals::refusals;
use crate::tags::Tag;

/// The operations on users.
pub(crate) struct UsersApi {
    pub(crate) users: Arc<Users>,
    pub(crate) sealer: Arc<dyn Sealer>,
}

#[derive(ApiResponse)]
enum UserPageAnswer {
    /// A page.
    #[oai(status = 200)]
    Page(
        Json<UserPage>,
        /// `first`, `prev`, `next` and `last` page, where they exist.
        #[oai(header = "Link")]
        String,
        #[oai(header = "Consistency-Token")] Option<String>,
        #[oai(header = "Cache-Control")] String,
    ),
}

#[derive(ApiResponse)]
enum UserAnswer {
    /// The user.
    #[oai(status = 200)]
    User(
        Json<UserBody>,
        #[oai(header = "ETag")] String,
        #[oai(header = "Consistency-Token")] Option<String>,
        #[oai(header = "Cache-Control")] String,
    ),
    /// The client has this version already.
    #[oai(status = 304)]
    Known(
        #[oai(header = "ETag")] String,
        #[oai(header = "Consistency-Token")] Option<String>,
        #[oai(header = "Cache-Control")] String,
    ),
}

#[derive(ApiResponse)]
enum ChangedAnswer {
    /// The user as it is now.
    #[oai(status = 200)]
    Changed(
        Json<UserBody>,
        #[oai(header = "ETag")] String,
        #[oai(header = "Consistency-Token")] String,
        #[oai(header = "Cache-Control")] String,
    ),
}

#[derive(ApiResponse)]
enum CreatedAnswer {
    /// The user was created.
    #[oai(status = 201)]
    Created(
        Json<UserBody>,
        #[oai(header = "Location")] String,
        #[oai(header = "ETag")] String,
        #[oai(header = "Consistency-Token")] String,
        #[oai(header = "Cache-Control")] String,
    ),
}

#[derive(ApiResponse)]
enum RemovedAnswer {
    /// The user is gone, and so are its sessions.
    #[oai(status = 204)]
    Removed(#[oai(header = "Consistency-Token")] String),
}

refusals!(ListRefused: BadConsistencyToken, Unauthorized, Forbidden, ValidationFailed);
refusals!(ReadRefused: BadConsistencyToken, Unauthorized, NotFound);
refusals!(CreateRefused: MalformedBody, Unauthorized, Forbidden, EmailTaken, PayloadTooLarge, UnsupportedMediaType,
    ValidationFailed);
refusals!(ChangeRefused: MalformedBody, Unauthorized, Forbidden, NotFound, EmailTaken, LastAdmin, PreconditionFailed,
    PayloadTooLarge, UnsupportedMediaType, ValidationFailed);
refusals!(RemoveRefused: Unauthorized, Forbidden, NotFound, LastAdmin, PreconditionFailed);

/// A shared cache must not keep it, and nobody may use it without asking whether it is still right.
pub(crate) const USER_DATA: &str = "private, no-cache";

#[OpenApi(tag = "Tag::Users")]
impl UsersApi {
    /// List users
    ///
    /// For admins and moderators. By number (`page`), or from row to row (`cursor`), which costs the same at any depth
    /// and meets everybody who stays exactly once, while others come and go.
    #[oai(path = "/users", method = "get", operation_id = "listUsers")]
    async fn list(&self, caller: Caller, request: &Request) -> Result<UserPageAnswer, ListRefused> {
        let listing = query::parse(request, &*self.sealer)?;
        let consistency = wanted(&*self.sealer, request)?;
        let Seen { value: found, token } = self.users.list(caller.0.principal, &listing, consistency).await?;
        let token = sealed_if_any(&*self.sealer, token.as_ref());

        let limit = listing.page.limit();
        let order = Order { filter: &listing.filter, sort: listing.sort, direction: listing.direction };
        let empty = Pagination::walking(limit);
        let (pagination, links) = match (found.rest, &listing.page) {
            (Rest::Total(total), PageRequest::Numbered { page, .. }) => {
                paging::numbered(request, *page, limit, total)
            }
            (Rest::Next(Some(next)), _) => {
                let next = cursor::seal(&*self.sealer, &next, order);
                let links = link::walk(request.uri(), Some(&next));
                (Pagination { next_cursor: Some(next), ..empty }, links)
            }
            (Rest::Next(None) | Rest::Total(_), _) => (empty, link::walk(request.uri(), None)),
        };
        let data = found.rows.into_iter().map(UserBody::from).collect();
        Ok(UserPageAnswer::Page(Json(UserPage { data, pagination }), links, token, USER_DATA.into()))
    }

    /// Create a user
    ///
    /// For admins.
    #[oai(path = "/users", method = "post", operation_id = "createUser")]
    async fn create(
        &self,
        caller: Caller,
        body: JsonBody<NewUserBody>,
    ) -> Result<CreatedAnswer, CreateRefused> {
        let Committed { value: user, token } = self.users.create(caller.0.principal, body.0).await?;
        let (location, tag) = (format!("/users/{}", user.id), etag(&user));
        let token = sealed(&*self.sealer, &token);
        Ok(CreatedAnswer::Created(Json(user.into()), location, tag, token, USER_DATA.into()))
    }

    /// Read a user
    ///
    /// For admins, moderators and the user.
    #[oai(path = "/users/:id", method = "get", operation_id = "readUser")]
    async fn read(
        &self,
        caller: Caller,
        id: Path<PathId>,
        request: &Request,
    ) -> Result<UserAnswer, ReadRefused> {
        let consistency = wanted(&*self.sealer, request)?;
        let Seen { value: user, token } = self.users.get(caller.0.principal, id.0.0, consistency).await?;
        let token = sealed_if_any(&*self.sealer, token.as_ref());
        let user = user.ok_or_else(|| not_found(token.as_deref()))?;
        Ok(conditionally(user, token, request))
    }

    /// Change a user
    ///
    /// For admins; for the user, only e-mail address and names.
    #[oai(path = "/users/:id", method = "patch", operation_id = "changeUser")]
    async fn change(
        &self,
        caller: Caller,
        id: Path<PathId>,
        request: &Request,
        body: JsonBody<UserChangeBody>,
    ) -> Result<ChangedAnswer, ChangeRefused> {
        let expected = if_match(request);
        let Committed { value: user, token } =
            self.users.change(caller.0.principal, id.0.0, body.0, expected).await?;
        let (tag, token) = (etag(&user), sealed(&*self.sealer, &token));
        Ok(ChangedAnswer::Changed(Json(user.into()), tag, token, USER_DATA.into()))
    }

    /// Change a user (as `PATCH`)
    ///
    /// The same as `PATCH`, for clients that only know `PUT`: what is absent stays as it is.
    #[oai(path = "/users/:id", method = "put", operation_id = "putUser")]
    async fn put(
        &self,
        caller: Caller,
        id: Path<PathId>,
        request: &Request,
        body: JsonBody<UserChangeBody>,
    ) -> Result<ChangedAnswer, ChangeRefused> {
        self.change(caller, id, request, body).await
    }

    /// Remove a user
    ///
    /// For admins. The last active admin stays.
    #[oai(path = "/users/:id", method = "delete", operation_id = "removeUser")]
    async fn remove(
        &self,
        caller: Caller,
        id: Path<PathId>,
        request: &Request,
    ) -> Result<RemovedAnswer, RemoveRefused> {
        let expected = if_match(request);
        let Committed { token, .. } = self.users.remove(caller.0.principal, id.0.0, expected).await?;
        Ok(RemovedAnswer::Removed(sealed(&*self.sealer, &token)))
    }
}

fn conditionally(user: User, token: Option<String>, request: &Request) -> UserAnswer {
    let tag = etag(&user);
    if is_known(request, &tag) {
        UserAnswer::Known(tag, token, USER_DATA.into())
    } else {
        UserAnswer::User(Json(user.into()), tag, token, USER_DATA.into())
    }
}
