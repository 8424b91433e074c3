//! Landfall: puts agents on machines. (map to come)
pub mod assets;
pub mod config;
pub mod domain;
pub mod engine;
pub mod packages;
pub mod plan;
pub mod service;
pub mod store;
pub mod transport;
