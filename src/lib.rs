//! Landfall: puts agents on machines. (map to come)
pub mod domain;
pub mod store;
