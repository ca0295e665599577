//! The id of an incident: the same log gives the same id (G9).

use chrono::{DateTime, Utc};
use ulid::Ulid;

/// ULID of the first event's time and of its place in the log.
pub fn incident_id(occurred_at: DateTime<Utc>, topic: &str, partition: i32, offset: i64) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(topic.as_bytes());
    hasher.update(&[0]);
    hasher.update(&partition.to_le_bytes());
    hasher.update(&offset.to_le_bytes());
    let mut random = [0; 16];
    hasher.finalize_xof().fill(&mut random);
    let millis = u64::try_from(occurred_at.timestamp_millis()).unwrap_or(0);
    Ulid::from_parts(millis, u128::from_le_bytes(random)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeZone;

    #[test]
    fn the_same_place_gives_the_same_id_and_another_place_another() {
        let at = Utc.timestamp_opt(1_790_000_000, 0).unwrap();
        let id = incident_id(at, "t", 1, 2);
        assert_eq!(id, incident_id(at, "t", 1, 2));
        assert_ne!(id, incident_id(at, "t", 1, 3));
        assert_ne!(id, incident_id(at, "t", 2, 2));
        assert_eq!(id.len(), 26);
    }
}
