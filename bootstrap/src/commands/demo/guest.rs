//! Who takes the demo: an address and a password, and the session that they begin.

use serde_json::json;

use super::client::{Answer, Ask, Client};
use super::server::Server;
use super::{no_answer, refused};
use crate::commands::password;
use crate::config::Secret;
use crate::exit::Exit;
use crate::failure::{Failure, Problem};
use crate::first_run_file::{NAME, read_first_run};

/// What it takes to sign in.
#[derive(Debug, Clone)]
pub(super) struct Credentials {
    pub(super) email: String,
    pub(super) password: Secret,
}

impl Credentials {
    /// Those of this address, whose password is asked for; else those of the administrator that the first start made.
    pub(super) async fn find(server: &Server, email: Option<String>) -> Result<Self, Failure> {
        if let Some(email) = email.filter(|_| !server.is_own()) {
            let password = password::ask(&format!("Password of {email}: ")).await?;
            return Ok(Self { email, password });
        }
        let found = read_first_run(&server.data_dir);
        found.map(|(email, password)| Self { email, password }).ok_or_else(|| {
            let file = server.data_dir.join(NAME);
            let problem = Problem::new(format!("nobody can be signed in without {}", file.display()));
            Failure::new(Exit::Failed, problem.fix("say who signs in: `portwright demo --email ADDRESS`"))
        })
    }

    /// The request that signs in.
    pub(super) fn ask(&self) -> Ask {
        Ask::post("/auth/login", json!({"email": self.email, "password": self.password.expose()}))
    }
}

/// A session that was begun.
#[derive(Debug, Clone)]
pub(super) struct Session {
    /// The id of the user.
    pub(super) user: String,
    pub(super) role: String,
    refresh: Secret,
}

impl Session {
    /// The session that a sign-in answered; from now on the client is signed in.
    pub(super) fn begin(
        client: &mut Client,
        credentials: &Credentials,
        answer: &Answer,
    ) -> Result<Self, Failure> {
        if answer.status.as_u16() == 401 {
            let what = format!("the password of {} is not the right one", credentials.email);
            let fix = "has it been changed? `portwright demo --email ADDRESS` asks for another, \
                       `portwright users set-password` gives a new one";
            return Err(Failure::new(Exit::Failed, Problem::new(what).fix(fix)));
        }
        let secret = |pointer| answer.text(pointer).map(|text| Secret::new(text.to_owned()));
        let tokens = secret("/accessToken").zip(secret("/refreshToken"));
        let (Some((access, refresh)), Some(user), Some(role)) =
            (tokens, answer.text("/user/id"), answer.text("/user/role"))
        else {
            return Err(refused("sign in", answer));
        };
        client.token = Some(access);
        Ok(Self { user: user.to_owned(), role: role.to_owned(), refresh })
    }

    /// Signs in without words.
    pub(super) async fn quietly(client: &mut Client, credentials: &Credentials) -> Result<Self, Failure> {
        let answer = client.send(credentials.ask()).await.map_err(|error| no_answer("sign in", &error))?;
        Self::begin(client, credentials, &answer)
    }

    /// The request that ends it.
    pub(super) fn end(&self) -> Ask {
        Ask::post("/auth/logout", json!({"refreshToken": self.refresh.expose()}))
    }
}
