//! Imports: what becomes of each row and of the file as a whole, and that it may start over.

mod again;
mod files;
mod rows;
mod sweeping;
