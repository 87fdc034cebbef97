//! Users that are created, changed, read and deleted, each by one client alone, which so knows what must be there.

use reqwest::Method;
use serde_json::{Value, json};

use crate::client::{Ask, Client, DATABASE, Heard, STUBBORN};
use crate::stage::PASSWORD;

/// Where a client stops making more.
const CROWD: usize = 60;

/// A client, and the users that it has made.
pub(crate) struct People {
    client: Client,
    name: String,
    made: usize,
    present: Vec<Person>,
    /// Addresses of which nobody knows whether they have become a user.
    pub(crate) unsure: Vec<String>,
}

/// A user as it was acknowledged.
struct Person {
    path: String,
    email: String,
    key: String,
    first_name: String,
    etag: String,
    /// Changes of this version of which nobody knows whether they happened.
    maybe: Vec<String>,
    maybe_deleted: bool,
}

impl People {
    /// A client that signs in as the administrator.
    pub(crate) fn new(client: Client, name: &str) -> Self {
        Self { client, name: name.to_owned(), made: 0, present: Vec::new(), unsure: Vec::new() }
    }

    /// Works until it is told to stop.
    pub(crate) async fn work(mut self) -> Self {
        while !self.client.crew.is_stopped() {
            let die = self.client.noise.below(20);
            if self.present.is_empty() || (die < 4 && self.present.len() < CROWD) {
                self.create().await;
            } else {
                let who = self.client.noise.below(self.present.len());
                match die {
                    0..=11 => self.change(who).await,
                    12..=17 => self.read(who).await,
                    18 => self.create_again(who).await,
                    _ => self.delete(who).await,
                }
            }
            self.client.rest(20, 150).await;
        }
        self
    }

    fn creation(&self, email: &str) -> Ask {
        let user = json!({"email": email, "password": PASSWORD, "firstName": "New", "lastName": self.name});
        Ask::new(Method::POST, "/users", DATABASE).json(&user)
    }

    async fn create(&mut self) {
        let number = self.made;
        self.made += 1;
        let (email, key) =
            (format!("{}-{number}@drill.example", self.name), format!("{}-{number}", self.name));
        let creation = self.creation(&email).with("Idempotency-Key", &key).or(&[409]);
        let first = creation.clone().aborted_after(self.client.impatience());
        let mut heard = self.client.ask(&first).await;
        let was_unsure = heard.is_none();
        if was_unsure {
            heard = self.client.insist(&creation, STUBBORN).await;
        }
        match heard {
            Some(heard) if heard.status == 201 => {
                let user = heard.json();
                let path = format!("/users/{}", user["id"].as_str().unwrap_or_default());
                let etag = heard.header("etag").to_owned();
                self.client.count("acknowledged: users");
                let first_name = "New".to_owned();
                let person =
                    Person { path, email, key, first_name, etag, maybe: Vec::new(), maybe_deleted: false };
                self.present.push(person);
            }
            // The claim on the key went with the process that had it, or with the database; the user stayed (record 5).
            Some(_) if was_unsure => {
                self.client.count("creations that were found done");
                self.unsure.push(email);
            }
            Some(heard) => self.client.wrong(format!("{email} is new, and {}", heard.code())),
            None => {
                self.client.count("creations of which nobody knows");
                self.unsure.push(email);
            }
        }
    }

    /// The same request with the same key gets the same answer.
    async fn create_again(&mut self, who: usize) {
        let Person { email, key, path, maybe_deleted, .. } = &self.present[who];
        let (email, path, maybe_deleted) = (email.clone(), path.clone(), *maybe_deleted);
        // After an answer that could not be recorded, the key was free again, or is for a while in nobody's hands.
        let again = self.creation(&email).with("Idempotency-Key", key).or(&[409]);
        let Some(heard) = self.client.ask(&again).await else { return };
        let id = heard.json()["id"].as_str().unwrap_or_default().to_owned();
        if heard.status == 201 && path != format!("/users/{id}") && !maybe_deleted {
            self.client.wrong(format!("{email} was {path}, and was created again as {id}"));
        }
    }

    async fn change(&mut self, who: usize) {
        let person = &self.present[who];
        let name = format!("N{}", self.client.noise.number() % 1_000_000_000);
        let change = Ask::new(Method::PATCH, &person.path, DATABASE)
            .json(&json!({"firstName": name}))
            .with("If-Match", &person.etag)
            .or(&[404, 412]);
        let change = change.aborted_after(self.client.impatience());
        let heard = self.client.ask(&change).await;
        let person = &mut self.present[who];
        match heard {
            Some(heard) if heard.status == 200 => {
                self.client.count("acknowledged: changes");
                heard.header("etag").clone_into(&mut person.etag);
                person.first_name = name;
                // They were of the version before, and come too late now.
                person.maybe.clear();
            }
            None => person.maybe.push(name),
            Some(heard) => {
                if heard.status == 412 && person.maybe.is_empty() {
                    let what = format!("{} was changed by nobody, and {}", person.path, heard.code());
                    self.client.wrong(what);
                }
                self.read(who).await;
            }
        }
    }

    async fn delete(&mut self, who: usize) {
        let deletion = Ask::new(Method::DELETE, &self.present[who].path, DATABASE).or(&[404]);
        let heard = self.client.ask(&deletion).await;
        let person = &mut self.present[who];
        match heard {
            None => person.maybe_deleted = true,
            Some(heard) => {
                if heard.status == 404 && !person.maybe_deleted {
                    self.client.wrong(format!("{} is lost", person.path));
                }
                self.client.count("acknowledged: deletions");
                self.present.swap_remove(who);
            }
        }
    }

    async fn read(&mut self, who: usize) {
        let read = Ask::get(&self.present[who].path, DATABASE).or(&[404]);
        if let Some(heard) = self.client.ask(&read).await {
            self.compare(who, &heard);
        }
    }

    fn compare(&mut self, who: usize, heard: &Heard) {
        let person = &mut self.present[who];
        if heard.status == 404 {
            if person.maybe_deleted {
                self.present.swap_remove(who);
            } else {
                self.client.wrong(format!("{} ({}) is lost", person.path, person.email));
            }
            return;
        }
        let user: Value = heard.json();
        let name = user["firstName"].as_str().unwrap_or_default();
        if name == person.first_name {
            return;
        }
        if person.maybe.iter().any(|maybe| maybe == name) {
            name.clone_into(&mut person.first_name);
            heard.header("etag").clone_into(&mut person.etag);
            person.maybe.clear();
        } else {
            let known = &person.first_name;
            self.client.wrong(format!("{} is {name}, and was changed to {known}", person.path));
        }
    }

    /// Whether everybody who was acknowledged is there as they were left; their addresses.
    pub(crate) async fn verify(&mut self) -> Vec<String> {
        for who in (0..self.present.len()).rev() {
            let read = Ask::get(&self.present[who].path, DATABASE).or(&[404]);
            match self.client.persist(&read).await {
                Some(heard) => self.compare(who, &heard),
                None => self.client.wrong(format!("{} cannot be read", self.present[who].path)),
            }
        }
        self.present.iter().map(|person| person.email.clone()).collect()
    }
}
