//! The names of the filter's metrics and of their labels.
//!
//! The filter publishes the metrics, and `trafficctl top`, the dashboard and the alert rules read
//! them. All spell the names as they are here.

mod label;
mod metric;
mod stat;

pub use label::{Label, NO_RESPONSE, Part};
pub use metric::{Kind, Metric};
pub use stat::Labels;
