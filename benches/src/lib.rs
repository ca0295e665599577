//! Ratios against measured floors; not written yet, see CHANGELOG.md.
