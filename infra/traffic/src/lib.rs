//! Synthetic traffic and its verification; not written yet, see CHANGELOG.md.
