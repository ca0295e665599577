//! What several tests share.

pub mod incidents;
pub mod model_server;
