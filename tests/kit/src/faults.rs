//! Ports that misbehave on cue.
