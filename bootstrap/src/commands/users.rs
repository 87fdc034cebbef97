//! `portwright users`: what an operator does where nobody is signed in.
//!
//! It works beside a running server: the same database, no lock on the directory.

use portwright_application::Operators;
use portwright_application::users::{NewUser, UserError};
use portwright_domain::access::Role;
use portwright_domain::password::NewPassword;
use portwright_domain::user::{PersonName, User};
use serde_json::{Value, json};

use super::confirm::confirm;
use super::password;
use crate::cli::{NewPasswordFrom, Users};
use crate::config::{Config, Sharing};
use crate::exit::Exit;
use crate::failure::{Failure, Problem};
use crate::wiring::{Backstage, Program, wire};
use crate::{output, passphrase};

/// Does what was asked.
pub(super) async fn run(config: &Config, command: Users) -> Result<Exit, Failure> {
    // Nothing is counted or remembered here, so Redis may be away.
    let config = &Config { sharing: Sharing::Alone, ..config.clone() };
    let app = wire(config, Program::product(), Backstage::unasked(config), false).await?;
    let done = carry_out(&app.services.operators, command).await;
    app.store.close().await;
    done.map(|()| Exit::Done)
}

async fn carry_out(operators: &Operators, command: Users) -> Result<(), Failure> {
    match command {
        Users::CreateAdmin { account, password, json } => {
            let (password, made_up) = new_password(password)?;
            let new = NewUser {
                email: account.email,
                password,
                first_name: name("New")?,
                last_name: name("Admin")?,
                role: Role::Admin,
                is_active: true,
            };
            let user = operators.create(new).await.map_err(refused)?;
            tell(&user, "created", made_up.as_deref(), json)
        }
        Users::SetPassword { account, password, json } => {
            let (password, made_up) = new_password(password)?;
            let user = operators.set_password(&account.email, &password).await.map_err(refused)?;
            tell(&user, "has a new password, and no session any more", made_up.as_deref(), json)
        }
        Users::SetRole { account, role, json } => {
            let user = operators.set_role(&account.email, role).await.map_err(refused)?;
            tell(&user, &format!("has the role {role}"), None, json)
        }
        Users::Lock { account, undo, yes, json } => {
            if !undo && !yes {
                let question = format!("Lock {} and end all sessions?", account.email.as_str());
                confirm(&question, "this ends all sessions of the user")?;
            }
            let user = operators.set_active(&account.email, undo).await.map_err(refused)?;
            tell(
                &user,
                if undo { "may sign in again" } else { "is locked, and has no session any more" },
                None,
                json,
            )
        }
        Users::List { json } => list(operators, json).await,
    }
}

async fn list(operators: &Operators, json: bool) -> Result<(), Failure> {
    let mut last: Option<User> = None;
    loop {
        let (users, more) = operators.list(last.as_ref()).await.map_err(refused)?;
        let lines = users.iter().map(|user| {
            if json {
                return format!("{}\n", as_json(user, None));
            }
            let state = if user.is_active { "active" } else { "locked" };
            format!("{}  {:<9}  {state:<6}  {}\n", user.id, user.role.as_str(), user.email.as_str())
        });
        output::print(&lines.collect::<String>())?;
        last = users.into_iter().next_back();
        if !more || last.is_none() {
            return Ok(());
        }
    }
}

/// The password that the operator gives, or a new one, which is told.
fn new_password(from: NewPasswordFrom) -> Result<(NewPassword, Option<String>), Failure> {
    if !from.password_stdin {
        let text = passphrase::generate()?;
        return Ok((parse_password(&text)?, Some(text)));
    }
    Ok((parse_password(password::from_stdin()?.expose())?, None))
}

fn parse_password(text: &str) -> Result<NewPassword, Failure> {
    NewPassword::parse(text).map_err(|invalid| {
        Failure::new(Exit::Usage, Problem::new(format!("the password is refused ({invalid})")))
    })
}

fn name(text: &str) -> Result<PersonName, Failure> {
    PersonName::parse(text).map_err(|invalid| Failure::new(Exit::Bug, Problem::new(invalid.to_string())))
}

fn tell(user: &User, what: &str, password: Option<&str>, json: bool) -> Result<(), Failure> {
    if json {
        return output::print(&format!("{}\n", as_json(user, password)));
    }
    let password =
        password.map(|password| format!("  password  {password} (shown once)\n")).unwrap_or_default();
    output::print(&format!("{} {what}\n{password}", user.email.as_str()))
}

fn as_json(user: &User, password: Option<&str>) -> Value {
    let mut value = json!({
        "id": user.id.to_string(),
        "email": user.email.as_str(),
        "firstName": user.first_name.as_str(),
        "lastName": user.last_name.as_str(),
        "role": user.role.as_str(),
        "isActive": user.is_active,
        "createdAt": user.created_at.to_string(),
    });
    if let Some(password) = password {
        value["password"] = password.into();
    }
    value
}

fn refused(error: UserError) -> Failure {
    match error {
        UserError::Port(error) => error.into(),
        error => Failure::new(Exit::Failed, Problem::new(error.to_string())),
    }
}
