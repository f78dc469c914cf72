//! The command families, for a glob import: `use redwire::prelude::*;`. Nothing else is in here.

pub use crate::commands::ArrayCommands;
pub use crate::commands::BloomCommands;
pub use crate::commands::ClusterCommands;
pub use crate::commands::ConnectionCommands;
pub use crate::commands::CountMinSketchCommands;
pub use crate::commands::CuckooCommands;
pub use crate::commands::DiagnosticCommands;
pub use crate::commands::GeoCommands;
pub use crate::commands::HashCommands;
pub use crate::commands::HyperLogLogCommands;
pub use crate::commands::JsonCommands;
pub use crate::commands::KeyCommands;
pub use crate::commands::ListCommands;
pub use crate::commands::PublishCommands;
pub use crate::commands::ScriptingCommands;
pub use crate::commands::SearchCommands;
pub use crate::commands::SentinelCommands;
pub use crate::commands::ServerCommands;
pub use crate::commands::SetCommands;
pub use crate::commands::SortedSetCommands;
pub use crate::commands::StreamCommands;
pub use crate::commands::StringCommands;
pub use crate::commands::TDigestCommands;
pub use crate::commands::TimeSeriesCommands;
pub use crate::commands::TopKCommands;
pub use crate::commands::VectorSetCommands;
