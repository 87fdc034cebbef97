//! The first start on an empty database: somebody must be able to sign in.

use portwright_application::Operators;
use portwright_application::users::{NewUser, UserError};
use portwright_domain::access::Role;
use portwright_domain::password::NewPassword;
use portwright_domain::user::{Email, PersonName};

use crate::config::{Config, FirstAdmin, Secret};
use crate::exit::Exit;
use crate::failure::{Failure, Problem};
use crate::first_run_file::write_first_run;
use crate::passphrase;

/// The administrator that this start made.
#[derive(Debug)]
pub struct NewAdmin {
    /// The address to sign in with.
    pub email: Email,
    /// The password, if it was made up here.
    pub made_up: Option<Secret>,
}

/// Makes the administrator that the configuration asks for, if there is no user yet.
pub async fn ensure_admin(config: &Config, operators: &Operators) -> Result<Option<NewAdmin>, Failure> {
    if operators.has_users().await.map_err(refused)? {
        return Ok(None);
    }
    match &config.first_admin {
        FirstAdmin::ByCommand => Ok(None),
        FirstAdmin::Given { email, password } => {
            create(operators, email, password.clone()).await?;
            Ok(Some(NewAdmin { email: email.clone(), made_up: None }))
        }
        FirstAdmin::Generated { email } => {
            let text = passphrase::generate()?;
            let password = NewPassword::parse(&text).map_err(|invalid| bug(&invalid.to_string()))?;
            // Written first: a crash in between leaves a file too many, not an administrator whom nobody can be.
            write_first_run(&config.data_dir, email.as_str(), &text)?;
            create(operators, email, password).await?;
            Ok(Some(NewAdmin { email: email.clone(), made_up: Some(Secret::new(text)) }))
        }
    }
}

async fn create(operators: &Operators, email: &Email, password: NewPassword) -> Result<(), Failure> {
    let name = |text| PersonName::parse(text).map_err(|invalid| bug(&invalid.to_string()));
    let new = NewUser {
        email: email.clone(),
        password,
        first_name: name("First")?,
        last_name: name("Admin")?,
        role: Role::Admin,
        is_active: true,
    };
    match operators.create(new).await {
        // Two processes started on one empty database; the other one was faster.
        Ok(_) | Err(UserError::EmailTaken) => Ok(()),
        Err(error) => Err(refused(error)),
    }
}

fn refused(error: UserError) -> Failure {
    match error {
        UserError::Port(error) => error.into(),
        error => bug(&error.to_string()),
    }
}

fn bug(what: &str) -> Failure {
    Failure::new(Exit::Bug, Problem::new(format!("cannot make the first administrator ({what})")))
}
