//! The durable buffer: journal (truth) and index (rebuildable).
