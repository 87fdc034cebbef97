//! What an operator wants to know of a bucket when something is wrong. Nothing is changed by asking.

use std::error::Error;
use std::time::Duration;

use opendal::options::ListOptions;
use portwright_domain::ports::Obstacle;

use crate::s3::{S3Config, refusal};

/// A server that takes longer than this for a list of one object is not there.
const ANSWER: Duration = Duration::from_secs(4);

/// Asks for one object's name, which takes the right server, keys and bucket.
///
/// # Errors
/// What stands in the way.
pub async fn look(config: &S3Config) -> Result<(), Obstacle> {
    match look_at(config).await {
        // So it looks if nobody speaks plainly there; who says nothing at all is not asked twice.
        Err(Obstacle::HungUp | Obstacle::Other(_)) if takes_only_tls(config).await => Err(Obstacle::OnlyTls),
        found => found,
    }
}

/// Whether a server that was asked without TLS understands us with it. What servers say to the former is a matter of taste.
async fn takes_only_tls(config: &S3Config) -> bool {
    let Some(place) = config.endpoint.as_deref().and_then(|url| url.strip_prefix("http://")) else {
        return false;
    };
    let over_tls = S3Config { endpoint: Some(format!("https://{place}")), ..config.clone() };
    look_at(&over_tls).await.err().is_none_or(|obstacle| obstacle.is_understood())
}

async fn look_at(config: &S3Config) -> Result<(), Obstacle> {
    // Names were judged where they were read; the authorities that vouch for servers are read here.
    let operator = config.operator().map_err(|error| Obstacle::Tls(error.detail().to_owned()))?;
    let one = ListOptions { limit: Some(1), ..ListOptions::default() };
    match tokio::time::timeout(ANSWER, operator.list_options("", one)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(obstacle(&error)),
        Err(_elapsed) => Err(Obstacle::Silent),
    }
}

fn obstacle(error: &opendal::Error) -> Obstacle {
    let mut cause: Option<&(dyn Error + 'static)> = error.source();
    while let Some(deeper) = cause {
        if let Some(obstacle) = deeper.downcast_ref::<Obstacle>() {
            return obstacle.clone();
        }
        cause = deeper.source();
    }
    refusal::obstacle(error).unwrap_or_else(|| Obstacle::Other(error.message().to_owned()))
}
