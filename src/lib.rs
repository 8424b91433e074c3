//! Landfall: puts agents on machines. (map to come)
pub mod assets;
pub mod config;
pub mod domain;
pub mod plan;
