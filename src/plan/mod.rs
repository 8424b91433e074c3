//! Which steps a host gets, and with what. Pure: values in, a [`crate::domain::plan::Plan`] or a failure out.
//!
//! ```text
//! job kind ──outline──► steps (stored with the job)
//! outline + facts + package ──settle──► Plan (stored before the first change)
//! Plan ──render──► files and parameters for the target
//! ```
//! Never here: waiting, reading packages, asking hosts. To add a job kind: its list in [`outline`], its work in [`settle`].

pub mod by_hand;
pub mod choose;
pub mod describe;
pub mod examine;
pub mod nearest;
pub mod outline;
pub mod params;
pub mod plugins;
pub mod render;
pub mod settle;
pub mod task;
