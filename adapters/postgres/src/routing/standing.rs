//! [`Standings`]: what is known of the servers, and whom that makes eligible. Pure.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use crate::lsn::{Lsn, Place};

/// So many looks in a row find a server well before it is trusted again that was away.
const TRUSTED: u32 = 3;

/// How long positions of the primary are remembered, to tell how old the state of a replica is.
const MEMORY: Duration = Duration::from_secs(90);

/// What one server was when it was last looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// It does not answer.
    Away,
    /// It takes writes, and its log is on its disk up to here.
    Primary(Place),
    /// It follows, and shows what is before here. Of a standby that was never seen to follow anybody, the timeline is 0.
    Standby(Place),
}

/// All servers, and where the primary has been.
#[derive(Debug, Clone)]
pub(crate) struct Standings {
    pub(crate) roles: Vec<Role>,
    /// When each server was what its role says, at least.
    as_of: Vec<Option<Instant>>,
    /// In how many looks in a row each server was well. At first, all are trusted.
    well: Vec<u32>,
    /// Positions of the newest primary with the time when it was first seen there, oldest first.
    trail: VecDeque<(Instant, Place)>,
    /// Since when nobody is known to be the primary; `None` if somebody is, or nobody has looked.
    headless: Option<Instant>,
}

impl Standings {
    pub(crate) fn unknown(servers: usize) -> Self {
        Self {
            roles: vec![Role::Away; servers],
            as_of: vec![None; servers],
            well: vec![TRUSTED; servers],
            trail: VecDeque::new(),
            headless: None,
        }
    }

    /// Notes what a server was in a look that began `now`; true if anybody has to know.
    pub(crate) fn saw(&mut self, server: usize, role: Role, now: Instant) -> bool {
        let role = self.on_its_timeline(server, role);
        if let (Some(as_of), Some(well)) = (self.as_of.get_mut(server), self.well.get_mut(server)) {
            *as_of = Some(now);
            *well = if role == Role::Away { 0 } else { well.saturating_add(1) };
        }
        if let Role::Primary(place) = role {
            if self.trail.back().is_none_or(|(_, last)| last.timeline != place.timeline) {
                self.trail.clear();
            }
            if self.trail.back().is_none_or(|(_, last)| last.lsn < place.lsn) {
                self.trail.push_back((now, place));
            }
            // The newest stays, however long ago it was written.
            while self.trail.len() > 1 && self.trail.front().is_some_and(|(at, _)| now - *at > MEMORY) {
                self.trail.pop_front();
            }
        }
        let is_news = match self.roles.get_mut(server) {
            Some(known) if *known != role => {
                *known = role;
                true
            }
            _ => false,
        };
        let is_headless = self.primaries().next().is_none();
        self.headless = is_headless.then(|| self.headless.unwrap_or(now));
        is_news
    }

    /// What a server was in the last look; `None` if nobody has looked at it.
    pub(crate) fn last_seen(&self, server: usize) -> Option<Role> {
        self.as_of.get(server).copied().flatten().and_then(|_| self.roles.get(server).copied())
    }

    /// Since when nobody is known to be the primary; `None` if somebody is, or nobody has looked.
    pub(crate) const fn headless_since(&self) -> Option<Instant> {
        self.headless
    }

    /// A standby whose primary has gone stays on the timeline that it followed, until it follows somebody again: it still
    /// shows every commit that it showed.
    fn on_its_timeline(&self, server: usize, role: Role) -> Role {
        match (self.roles.get(server), role) {
            (Some(Role::Standby(before)), Role::Standby(shown)) if shown.timeline == 0 => {
                Role::Standby(Place { timeline: before.timeline, ..shown })
            }
            _ => role,
        }
    }

    /// Notes that a replica had come this far when it was asked `now`; true if that is news.
    pub(crate) fn replayed(&mut self, server: usize, lsn: Lsn, now: Instant) -> bool {
        match (self.roles.get_mut(server), self.as_of.get_mut(server)) {
            (Some(Role::Standby(place)), Some(as_of)) if place.lsn < lsn => {
                (place.lsn, *as_of) = (lsn, Some(now));
                true
            }
            _ => false,
        }
    }

    /// Whether a connection that was opened then leads to what is known of its server. One that is younger may lead to a
    /// server that was restarted since and shows less, until it has replayed that again.
    pub(crate) fn is_known_through(&self, server: usize, opened: Instant) -> bool {
        self.as_of.get(server).copied().flatten().is_some_and(|as_of| opened <= as_of)
    }

    /// The timeline that a standby follows; 0 if that is unknown.
    pub(crate) fn followed_by(&self, server: usize) -> u32 {
        match self.roles.get(server) {
            Some(Role::Standby(place)) => place.timeline,
            _ => 0,
        }
    }

    /// The primary, if there is exactly one.
    pub(crate) fn writable(&self) -> Result<usize, &'static str> {
        let mut primaries = self.primaries();
        match (primaries.next(), primaries.next()) {
            (Some((server, _)), None) => Ok(server),
            (Some(_), Some(_)) => Err("two servers take writes, so neither is written to"),
            (None, _) => Err("no server is the primary"),
        }
    }

    /// The primary of the newest timeline.
    pub(crate) fn newest_primary(&self) -> Result<usize, &'static str> {
        let newest = self.primaries().max_by_key(|(_, place)| place.timeline);
        newest.map(|(server, _)| server).ok_or("no server is the primary")
    }

    fn primaries(&self) -> impl Iterator<Item = (usize, Place)> {
        self.roles.iter().enumerate().filter_map(|(server, role)| match role {
            Role::Primary(place) => Some((server, *place)),
            Role::Away | Role::Standby(_) => None,
        })
    }

    /// How old the state is that a replica shows; `None` if that is unknown.
    pub(crate) fn age(&self, shown: Place, now: Instant) -> Option<Duration> {
        let (_, newest) = self.trail.back()?;
        if shown.lsn >= newest.lsn {
            return Some(Duration::ZERO);
        }
        if shown.timeline != newest.timeline {
            return None;
        }
        let overtaken = self.trail.iter().find(|(_, place)| place.lsn > shown.lsn);
        overtaken.map(|(at, _)| now - *at)
    }

    /// The bytes of log that a replica has not replayed.
    pub(crate) fn behind(&self, shown: Place) -> Option<u64> {
        self.trail.back().map(|(_, newest)| newest.lsn.0.saturating_sub(shown.lsn.0))
    }

    /// A replica for a read that must show `place`, if any, and is trusted and at most `max_lag` old, if that matters; and
    /// whether it shows that place already. One that does comes before one that might soon; among equals, everybody has
    /// a turn.
    pub(crate) fn replica(
        &self,
        place: Option<Place>,
        max_lag: Option<Duration>,
        turn: usize,
        now: Instant,
    ) -> Option<(usize, bool)> {
        let eligible: Vec<(usize, Place)> = self
            .roles
            .iter()
            .enumerate()
            .filter_map(|(server, role)| match role {
                Role::Standby(shown) => Some((server, *shown)),
                Role::Away | Role::Primary(_) => None,
            })
            .filter(|(_, shown)| {
                place.is_none_or(|place| place.timeline != 0 && place.timeline == shown.timeline)
            })
            .filter(|(server, shown)| {
                let is_trusted = self.well.get(*server).is_some_and(|well| *well >= TRUSTED);
                let age = self.age(*shown, now);
                max_lag.is_none_or(|max| is_trusted && age.is_some_and(|age| age <= max))
            })
            .collect();
        let shows = |(_, shown): &&(usize, Place)| place.is_none_or(|place| shown.lsn >= place.lsn);
        let current: Vec<_> = eligible.iter().filter(shows).collect();
        if let Some((server, _)) = turn.checked_rem(current.len()).and_then(|turn| current.get(turn)) {
            return Some((*server, true));
        }
        let furthest = eligible.iter().max_by_key(|(_, shown)| shown.lsn);
        furthest.map(|(server, _)| (*server, false))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(timeline: u32, lsn: u64) -> Place {
        Place { timeline, lsn: Lsn(lsn) }
    }

    fn standings(roles: &[Role], now: Instant) -> Standings {
        let mut standings = Standings::unknown(roles.len());
        for (server, role) in roles.iter().enumerate() {
            standings.saw(server, *role, now);
        }
        standings
    }

    const LAG: Option<Duration> = Some(Duration::from_secs(5));

    #[test]
    fn a_replica_that_shows_everything_is_current_however_old_that_is() {
        let now = Instant::now();
        let standings = standings(&[Role::Primary(at(1, 100)), Role::Standby(at(1, 100))], now);
        assert_eq!(standings.replica(None, LAG, 0, now + Duration::from_hours(1)), Some((1, true)));
    }

    #[test]
    fn who_was_never_looked_at_was_nothing_before() {
        let mut standings = Standings::unknown(2);
        assert_eq!(standings.last_seen(0), None);
        standings.saw(0, Role::Away, Instant::now());
        assert_eq!((standings.last_seen(0), standings.last_seen(1)), (Some(Role::Away), None));
    }

    #[test]
    fn a_replica_is_behind_since_the_primary_went_on() {
        let start = Instant::now();
        let mut standings = standings(&[Role::Primary(at(1, 100)), Role::Standby(at(1, 100))], start);
        let went_on = start + Duration::from_mins(1);
        standings.saw(0, Role::Primary(at(1, 200)), went_on);
        let just_in_time = went_on + Duration::from_secs(5);
        assert_eq!(standings.age(at(1, 100), just_in_time), LAG);
        assert_eq!(standings.replica(None, LAG, 0, just_in_time), Some((1, true)));
        let too_late = just_in_time + Duration::from_millis(1);
        assert_eq!(standings.replica(None, LAG, 0, too_late), None);
        assert_eq!(standings.replica(None, None, 0, too_late), Some((1, true)), "better than nobody");
        assert_eq!(standings.behind(at(1, 100)), Some(100));
    }

    #[test]
    fn a_replica_without_its_primary_still_shows_what_it_showed() {
        let now = Instant::now();
        let mut standings = standings(&[Role::Primary(at(1, 300)), Role::Standby(at(1, 200))], now);
        standings.saw(0, Role::Away, now);
        standings.saw(1, Role::Standby(at(0, 300)), now);
        assert_eq!(standings.replica(Some(at(1, 300)), LAG, 0, now), Some((1, true)));
        assert_eq!(standings.replica(Some(at(2, 300)), None, 0, now), None);
        // After it was away, nobody knows whom it followed meanwhile.
        standings.saw(1, Role::Away, now);
        standings.saw(1, Role::Standby(at(0, 300)), now);
        assert_eq!(standings.replica(Some(at(1, 300)), None, 0, now), None);
    }

    #[test]
    fn a_read_after_a_commit_prefers_who_shows_it_and_else_who_is_closest() {
        let now = Instant::now();
        let roles = [
            Role::Primary(at(1, 300)),
            Role::Standby(at(1, 100)),
            Role::Standby(at(1, 200)),
            Role::Standby(at(1, 300)),
        ];
        let standings = standings(&roles, now);
        for turn in 0..4 {
            assert_eq!(standings.replica(Some(at(1, 250)), LAG, turn, now), Some((3, true)));
            let either = standings.replica(Some(at(1, 150)), LAG, turn, now);
            assert_eq!(either, Some((2 + turn % 2, true)));
        }
        assert_eq!(standings.replica(Some(at(1, 301)), LAG, 0, now), Some((3, false)));
    }

    #[test]
    fn positions_of_different_timelines_are_not_compared() {
        let now = Instant::now();
        let promoted = standings(&[Role::Primary(at(2, 300)), Role::Standby(at(1, 900))], now);
        assert_eq!(promoted.replica(Some(at(2, 100)), LAG, 0, now), None);
        let following_nobody = standings(&[Role::Primary(at(1, 300)), Role::Standby(at(0, 300))], now);
        assert_eq!(following_nobody.replica(Some(at(1, 100)), LAG, 0, now), None);
    }

    #[test]
    fn a_replica_that_was_away_is_trusted_after_three_good_looks() {
        let now = Instant::now();
        let mut standings = standings(&[Role::Primary(at(1, 100)), Role::Standby(at(1, 100))], now);
        assert_eq!(standings.replica(None, LAG, 0, now), Some((1, true)));
        standings.saw(1, Role::Away, now);
        for looks in 0..4 {
            let trusted = (looks >= 3).then_some((1, true));
            assert_eq!(standings.replica(None, LAG, 0, now), trusted, "after {looks}");
            standings.saw(1, Role::Standby(at(1, 100)), now);
            assert_eq!(standings.replica(None, None, 0, now), Some((1, true)), "better than nobody");
        }
    }

    #[test]
    fn what_is_known_of_a_server_says_nothing_of_a_younger_connection() {
        let looked = Instant::now();
        let standings = standings(&[Role::Primary(at(1, 100)), Role::Standby(at(1, 100))], looked);
        assert!(standings.is_known_through(1, looked));
        assert!(!standings.is_known_through(1, looked + Duration::from_millis(1)));
        assert!(!Standings::unknown(2).is_known_through(1, looked));
    }

    #[test]
    fn a_place_of_an_unknown_timeline_is_shown_by_no_replica() {
        let now = Instant::now();
        let standings = standings(&[Role::Primary(at(1, 300)), Role::Standby(at(0, 300))], now);
        assert_eq!(standings.replica(Some(at(0, 100)), LAG, 0, now), None);
        assert_eq!(standings.followed_by(1), 0);
    }

    #[test]
    fn since_when_there_is_no_primary_is_known() {
        let start = Instant::now();
        let later = |seconds| start + Duration::from_secs(seconds);
        let mut standings = standings(&[Role::Primary(at(1, 100)), Role::Standby(at(1, 100))], start);
        assert_eq!(standings.headless_since(), None);
        standings.saw(0, Role::Away, later(1));
        standings.saw(1, Role::Standby(at(1, 100)), later(2));
        assert_eq!(standings.headless_since(), Some(later(1)));
        standings.saw(1, Role::Primary(at(2, 100)), later(3));
        assert_eq!(standings.headless_since(), None);
    }

    #[test]
    fn two_primaries_are_none() {
        let now = Instant::now();
        let roles = [Role::Primary(at(1, 300)), Role::Away, Role::Primary(at(2, 100))];
        let split = standings(&roles, now);
        assert!(split.writable().is_err_and(|why| why.contains("two servers")));
        assert_eq!(split.newest_primary(), Ok(2));
        assert_eq!(standings(&[Role::Away], now).writable(), Err("no server is the primary"));
    }
}
