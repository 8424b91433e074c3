//! How each step is done on a host. One file per subject; `host_task` decides when.
//!
//! A step gets the host task, does its one thing, and says how it went. It never decides what follows.

pub(super) mod choose_access_point;
pub(super) mod connect;
pub(super) mod files;
pub(super) mod finish;
pub(super) mod gateway_role;
pub(super) mod plugins;
pub(super) mod probe;
pub(super) mod retire;
pub(super) mod script;
pub(super) mod switch_back;
pub(super) mod upload;
pub(super) mod verify;
