//! Cursors: a place in one order of one filtered list, sealed, so that it can neither be read nor altered nor used for
//! another list.

use portwright_domain::page::{Direction, Position};
use portwright_domain::ports::{Purpose, Sealer};
use portwright_domain::user::{SortKey, UserFilter, UserSort};
use portwright_domain::{Invalid, Timestamp};
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What a cursor belongs to.
#[derive(Clone, Copy)]
pub(crate) struct Order<'a> {
    pub(crate) filter: &'a UserFilter,
    pub(crate) sort: UserSort,
    pub(crate) direction: Direction,
}

impl Order<'_> {
    /// Half a SHA-256 of the order: enough to tell lists apart, and the seal protects it.
    fn fingerprint(self) -> Vec<u8> {
        let text = format!("{:?} {:?} {:?}", self.filter, self.sort, self.direction);
        digest(&SHA256, text.as_bytes()).as_ref()[..16].to_vec()
    }
}

#[derive(Serialize, Deserialize)]
struct Content {
    order: Vec<u8>,
    key: Key,
    id: Uuid,
}

#[derive(Serialize, Deserialize)]
enum Key {
    Time(i64),
    Text(String),
}

/// The cursor of a position in a list.
pub(crate) fn seal(sealer: &dyn Sealer, position: &Position, order: Order<'_>) -> String {
    let key = match &position.key {
        SortKey::Time(time) => Key::Time(time.unix_micros()),
        SortKey::Text(text) => Key::Text(text.clone()),
    };
    let content = Content { order: order.fingerprint(), key, id: position.id };
    // Serializing plain data into memory cannot fail; an empty cursor would start the walk anew, not skip anything.
    sealer.seal(Purpose::Cursor, &serde_json::to_vec(&content).unwrap_or_default())
}

/// The position of a cursor; an empty one starts the walk.
pub(crate) fn open(sealer: &dyn Sealer, cursor: &str, order: Order<'_>) -> Result<Option<Position>, Invalid> {
    if cursor.is_empty() {
        return Ok(None);
    }
    let content =
        sealer.open(Purpose::Cursor, cursor).and_then(|content| serde_json::from_slice(&content).ok());
    let Some(Content { order: made_for, key, id }) = content else {
        return Err(Invalid::new("invalid-cursor", "not a cursor of this service"));
    };
    if made_for != order.fingerprint() {
        return Err(Invalid::new("foreign-cursor", "made for another order or filter"));
    }
    let key = match key {
        Key::Time(micros) => SortKey::Time(Timestamp::from_unix_micros(micros)),
        Key::Text(text) => SortKey::Text(text),
    };
    Ok(Some(Position { key, id }))
}
