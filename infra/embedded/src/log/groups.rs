//! Consumer groups at the start of the log.

use super::LogError;
use tansu_storage::{GroupDetail, GroupState, Storage, UpdateError};

/// A group whose first member decides everything. The default of the type has an empty protocol name, which no
/// member's would match.
const UNDECIDED: GroupState = GroupState::Forming { protocol_type: None, protocol_name: None, leader: None };

/// Takes the members out of every group; committed offsets stay.
///
/// All members live in this process, so at its start they are those of a dead one. Without this, a new member would
/// wait for the dead leader until its session times out.
pub(super) async fn forget_members(storage: &impl Storage) -> Result<(), LogError> {
    for group in storage.list_groups(None).await? {
        let empty = GroupDetail { state: UNDECIDED, ..GroupDetail::default() };
        let Err(update) = storage.update_group(&group.group_id, empty.clone(), None).await else { continue };
        let UpdateError::Outdated { version, .. } = update else { return Err(refusal(update)) };
        storage.update_group(&group.group_id, empty, Some(version)).await.map_err(refusal)?;
    }
    Ok(())
}

fn refusal(error: UpdateError<GroupDetail>) -> LogError {
    match error {
        UpdateError::Error(error) => error.into(),
        other => tansu_broker::Error::Message(format!("cannot reset a consumer group: {other:?}")).into(),
    }
}
