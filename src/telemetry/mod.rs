//! One struct per fact that emits both log and metric.
