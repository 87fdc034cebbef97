//! Somebody who signs in, refreshes the session, signs out, and begins again.

use reqwest::Method;
use serde_json::{Value, json};

use crate::client::{Ask, Client, DATABASE};
use crate::fault::NODES;
use crate::stage::PASSWORD;

/// A client, and its account.
pub(crate) struct Sessions {
    client: Client,
    email: String,
}

impl Sessions {
    pub(crate) fn new(client: Client, name: &str) -> Self {
        Self { client, email: format!("{name}@drill.example") }
    }

    /// Works until it is told to stop.
    pub(crate) async fn work(mut self) -> Self {
        let user =
            json!({"email": self.email, "password": PASSWORD, "firstName": "Ses", "lastName": "Drill"});
        let request = Ask::new(Method::POST, "/auth/register", DATABASE).json(&user).or(&[409]);
        self.client.persist(&request).await;
        while !self.client.crew.is_stopped() {
            self.visit().await;
            self.client.rest(100, 400).await;
        }
        self
    }

    async fn visit(&mut self) {
        self.client.access.clear();
        let credentials = json!({"email": self.email, "password": PASSWORD});
        let login = Ask::new(Method::POST, "/auth/login", DATABASE).json(&credentials);
        let Some(mut session) = self.begin(&login).await else { return };
        for _ in 0..=self.client.noise.below(4) {
            self.expect_signed_in().await;
            // A session that may or may not have been refreshed is left alone: using its token twice would end it.
            let refresh = Ask::new(Method::POST, "/auth/refresh", DATABASE).json(&token_of(&session));
            let Some(next) = self.begin(&refresh).await else { return };
            session = next;
            self.client.rest(50, 300).await;
        }
        let logout = Ask::new(Method::POST, "/auth/logout", DATABASE).json(&token_of(&session));
        if self.client.ask(&logout).await.is_some_and(|heard| heard.status == 204) {
            self.client.count("acknowledged: sign-outs");
            for node in 0..NODES {
                let me = Ask::get("/auth/me", DATABASE).at(node).or(&[401]);
                if self.client.ask(&me).await.is_some_and(|heard| heard.status == 200) {
                    self.client.wrong(format!("{} has signed out, and is let in", self.email));
                }
            }
        }
    }

    async fn begin(&mut self, ask: &Ask) -> Option<Value> {
        let heard = self.client.ask(ask).await?;
        self.client.count("acknowledged: sessions");
        let session = heard.json();
        self.client.take_session(&session).then_some(session)
    }

    async fn expect_signed_in(&mut self) {
        // Whoever is not is a mistake that the client notices.
        self.client.ask(&Ask::get("/auth/me", DATABASE)).await;
    }

    /// Whether the account is there.
    pub(crate) async fn verify(&mut self) -> String {
        if !self.client.sign_in(&self.email).await {
            self.client.wrong(format!("{} cannot sign in", self.email));
        }
        self.email.clone()
    }
}

fn token_of(session: &Value) -> Value {
    json!({"refreshToken": session["refreshToken"]})
}
