//! stub
pub mod bucket; pub mod cancel; pub mod clock; pub mod limits; pub mod progress; pub mod retry;
