//! Sessions, from the registration to the end.

mod at_once;
mod password;
mod refresh;
mod registration;
mod sign_in;
mod sign_out;
