//! Templates: YAML to JSON with positions.
