//! Storage on a directory.
