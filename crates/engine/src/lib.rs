//! The event loop of riata as a machine.
