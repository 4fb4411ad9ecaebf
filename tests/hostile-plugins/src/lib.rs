//! hostile-plugins
