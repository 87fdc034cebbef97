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
    let operator = config.operator().map_err(|error| Obstacle::Other(error.detail().to_owned()))?;
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
