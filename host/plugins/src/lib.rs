//! cairn-plugins
