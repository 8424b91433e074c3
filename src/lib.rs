//! Landfall: puts agents on machines. (map to come)
pub mod domain;
pub mod packages;
pub mod store;
