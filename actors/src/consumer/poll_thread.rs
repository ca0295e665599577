//! The one blocking thread that touches librdkafka's consumer.
//!
//! A thread and not a task: the rebalance callbacks run inside `poll` and wait for the database.

use super::batch::RecordBatch;
use super::rebalance::Tenures;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::topic_partition_list::TopicPartitionList;
use schema::names::{KIND_COMMAND, KIND_HEADER};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

const IDLE: Duration = Duration::from_millis(100);
const STALLED: Duration = Duration::from_millis(1);

/// A batch under way, bound to the tenure that was current when its first record came.
struct Bound {
    inbox: mpsc::Sender<RecordBatch>,
    batch: RecordBatch,
    is_paused: bool,
}

/// Polls until `stop`; then every tenure ends with a last flush and the group is left.
pub fn run(consumer: &BaseConsumer<Tenures>, topic: &str, most: usize, stop: &AtomicBool) {
    let mut held: HashMap<i32, Bound> = HashMap::new();
    while !stop.load(Ordering::Relaxed) {
        let mut caught_up = false;
        for polled in 0..most {
            let patience = if polled > 0 {
                Duration::ZERO
            } else if held.is_empty() {
                IDLE
            } else {
                STALLED
            };
            match consumer.poll(patience) {
                Some(Ok(message)) => take(consumer, &mut held, &message),
                Some(Err(error)) => tracing::warn!(%error, "the log answers with an error"),
                None => {
                    caught_up = true;
                    break;
                }
            }
        }
        deliver(consumer, topic, &mut held, caught_up);
    }
    consumer.context().end(None);
    consumer.unsubscribe();
}

fn take(consumer: &BaseConsumer<Tenures>, held: &mut HashMap<i32, Bound>, message: &BorrowedMessage<'_>) {
    let partition = message.partition();
    if held.get(&partition).is_none_or(|bound| bound.inbox.is_closed()) {
        let Some(inbox) = consumer.context().inbox(partition) else { return };
        held.insert(partition, Bound { inbox, batch: RecordBatch::default(), is_paused: false });
    }
    if let Some(bound) = held.get_mut(&partition) {
        bound.batch.push(message.offset(), is_command(message), message.payload().unwrap_or_default());
    }
}

fn is_command(message: &BorrowedMessage<'_>) -> bool {
    message.headers().is_some_and(|headers| {
        headers.iter().any(|header| header.key == KIND_HEADER && header.value == Some(KIND_COMMAND))
    })
}

/// Hands every batch over; one that a full inbox refuses is kept and its partition paused meanwhile.
fn deliver(consumer: &BaseConsumer<Tenures>, topic: &str, held: &mut HashMap<i32, Bound>, caught_up: bool) {
    let mut kept = HashMap::new();
    for (partition, mut bound) in held.drain() {
        bound.batch.caught_up = caught_up;
        let was_paused = bound.is_paused;
        match bound.inbox.try_send(bound.batch) {
            Ok(()) | Err(TrySendError::Closed(_)) if !was_paused => {}
            Ok(()) | Err(TrySendError::Closed(_)) => switch(consumer, topic, partition, false),
            Err(TrySendError::Full(batch)) => {
                if !was_paused {
                    switch(consumer, topic, partition, true);
                }
                kept.insert(partition, Bound { inbox: bound.inbox, batch, is_paused: true });
            }
        }
    }
    *held = kept;
}

fn switch(consumer: &BaseConsumer<Tenures>, topic: &str, partition: i32, pause: bool) {
    let mut list = TopicPartitionList::new();
    list.add_partition(topic, partition);
    let switched = if pause { consumer.pause(&list) } else { consumer.resume(&list) };
    if let Err(error) = switched {
        tracing::warn!(partition, pause, %error, "cannot pause or resume a partition");
    }
}
