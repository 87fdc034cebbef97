//! Avatars of one user: each upload has a size that no other has, so that what is read back says which one it is.

use std::time::Duration;

use portwright_domain::avatar::PictureKind;
use portwright_testkit::pictures::picture;
use reqwest::Method;
use serde_json::json;

use super::jobs::{ended, path_of, settled};
use crate::client::{Ask, Client, DATABASE, FILES, Heard};
use crate::stage::PASSWORD;

/// The width of the first one; the height tells how often the width has come round.
const FIRST: u32 = 20;
const WIDTHS: usize = 100;

/// A client, and its own pictures.
pub(crate) struct Pictures {
    client: Client,
    email: String,
    path: String,
    sent: usize,
    /// The newest one that was acknowledged, and its job.
    newest: Option<(usize, String)>,
    /// Later ones, and some before, of which nobody knows whether they were taken, and when.
    maybe: Vec<usize>,
}

impl Pictures {
    pub(crate) fn new(client: Client, name: &str) -> Self {
        let email = format!("{name}@drill.example");
        Self { client, email, path: String::new(), sent: 0, newest: None, maybe: Vec::new() }
    }

    /// Works until it is told to stop.
    pub(crate) async fn work(mut self) -> Self {
        let is_in = self.register().await;
        while is_in && !self.client.crew.is_stopped() {
            match self.client.noise.below(3) {
                0 => self.send().await,
                _ => self.read().await,
            }
            self.client.rest(100, 500).await;
        }
        self
    }

    async fn register(&mut self) -> bool {
        let user =
            json!({"email": self.email, "password": PASSWORD, "firstName": "Pat", "lastName": "Drill"});
        let request = Ask::new(Method::POST, "/auth/register", DATABASE).json(&user).or(&[409]);
        self.client.persist(&request).await;
        if !self.client.sign_in(&self.email).await {
            self.client.wrong(format!("{} cannot sign in", self.email));
            return false;
        }
        let Some(me) = self.client.persist(&Ask::get("/auth/me", DATABASE)).await else {
            return false;
        };
        self.path = format!("/users/{}/avatar", me.json()["id"].as_str().unwrap_or_default());
        true
    }

    async fn send(&mut self) {
        let number = self.sent;
        self.sent += 1;
        let (width, height) = size_of(number);
        let upload = Ask::new(Method::PUT, &self.path, FILES)
            .bytes("image/png", picture(PictureKind::Png, width, height))
            .with("Prefer", "respond-async")
            .aborted_after(self.client.impatience());
        let Some(heard) = self.client.ask(&upload).await else { return self.maybe.push(number) };
        self.client.count("acknowledged: pictures");
        self.newest = Some((number, path_of(&heard)));
    }

    async fn read(&mut self) {
        let Some((number, job)) = self.newest.clone() else { return };
        if ended(&mut self.client, &job, Duration::from_secs(2)).await.is_some()
            && let Some(heard) = self.client.ask(&self.original()).await
        {
            self.compare(number, &heard);
        }
    }

    fn original(&self) -> Ask {
        Ask::get(format!("{}?size=original", self.path), FILES).or(&[404])
    }

    /// Says so if another picture is shown than one that may be, now that the job of this one has ended.
    fn compare(&self, number: usize, heard: &Heard) {
        let shown = shown_in(&heard.body);
        let may_be = |candidate: &usize| Some(size_of(*candidate)) == shown;
        // An upload whose client heard nothing may have been recorded before this one, or after it, and is worked on still.
        if !may_be(&number) && !self.maybe.iter().any(may_be) {
            let (path, status) = (&self.path, heard.status);
            self.client.wrong(format!("{path}: {status} shows {shown:?}, and not upload {number}"));
        }
    }

    /// Whether the newest picture that was acknowledged is there, in every form; whose it is.
    pub(crate) async fn verify(&mut self) -> String {
        let Some((number, job)) = self.newest.clone() else { return self.email.clone() };
        if job.starts_with("/jobs/") {
            settled(&mut self.client, &job).await;
        }
        match self.client.persist(&self.original()).await {
            Some(heard) => self.compare(number, &heard),
            None => self.client.wrong(format!("{} cannot be read", self.path)),
        }
        for size in ["64", "256", "512"] {
            let form = Ask::get(format!("{}?size={size}", self.path), FILES);
            if self.client.persist(&form).await.is_none_or(|heard| heard.status != 200) {
                self.client.wrong(format!("{} is not there in size {size}", self.path));
            }
        }
        self.email.clone()
    }
}

fn size_of(number: usize) -> (u32, u32) {
    let (width, height) = (number % WIDTHS, number / WIDTHS);
    (FIRST + u32::try_from(width).expect("few"), FIRST + u32::try_from(height).expect("few"))
}

/// The size in the head of a PNG.
fn shown_in(file: &[u8]) -> Option<(u32, u32)> {
    let number = |at: usize| Some(u32::from_be_bytes(file.get(at..at + 4)?.try_into().ok()?));
    Some((number(16)?, number(20)?))
}
