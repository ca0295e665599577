//! The children of one kind that live with a router: who is resident, who has undurable records, who makes room.
//!
//! A child is addressed by its slot, found once a record.

use super::delivery::{question, send};
use super::name::{Key, Name, Slots};
use super::report::Row;
use crate::consumer::batch::RecordBatch;
use crate::metrics;
use crate::supervision::chronicle::Chronicle;
use crate::supervision::kind::Kind;
use crate::supervision::mail::{Apply, Birth, Death, Deaths, Describe, Leave, Letter, Life, Placed, TakeSnapshot};
use crate::supervision::view::{Order, Place};
use actix::{Actor, Addr, Context, Handler};
use schema::instrument::{Counter, Histogram};
use slab::Slab;
use smallvec::SmallVec;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::{mpsc, oneshot};

/// A kind of child.
pub trait Child:
    Actor<Context = Context<Self>>
    + Handler<Apply<Self::Record>>
    + Handler<TakeSnapshot<Self::Snapshot>>
    + Handler<Describe<Self::Portrait>>
    + Handler<Leave>
{
    /// Its name in the tree.
    const ACTOR: Kind;
    /// Its name among the labels of metrics.
    const KIND: &'static str;
    /// What it is sent.
    type Record: Placed + Clone + std::fmt::Debug + Send + Sync + 'static;
    /// What it answers at a cut.
    type Snapshot: Send + 'static;
    /// What it shows an operator.
    type Portrait: Send + 'static;
}

struct Resident<C: Child> {
    name: Name,
    address: Option<Addr<C>>,
    generation: u32,
    /// Records of the batch at hand.
    draft: SmallVec<[C::Record; 1]>,
    /// Records of its last letter: the next one will be alike.
    usual: usize,
    /// Letters that no cut contains yet.
    since_cut: Vec<Arc<Letter<C::Record>>>,
    last_used: u64,
    /// The same for an operator; nothing is decided by it.
    used_at: Instant,
}

impl<C: Child> Resident<C> {
    /// What is left of a letter whose records were all taken out need not be sent again. One stays: a child without
    /// letters counts as clean.
    fn drop_empty_letters(&mut self) {
        let full = self.since_cut.iter().filter(|letter| !letter.records.is_empty()).count();
        if full > 0 {
            self.since_cut.retain(|letter| !letter.records.is_empty());
        } else {
            self.since_cut.truncate(1);
        }
    }
}

/// Children by slot.
pub struct Nursery<C: Child> {
    residents: Slab<Resident<C>>,
    slots: Slots,
    touched: Vec<usize>,
    unborn: Vec<usize>,
    dirty: Vec<usize>,
    turn: u64,
    deaths: (Deaths, mpsc::UnboundedReceiver<Death>),
    chronicle: Arc<Chronicle>,
    full_box: Histogram,
    passivated: Counter,
}

impl<C: Child> std::fmt::Debug for Nursery<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Nursery")
            .field("residents", &self.len())
            .field("dirty", &self.dirty.len())
            .finish_non_exhaustive()
    }
}

impl<C: Child> Nursery<C> {
    /// Nobody yet. Births are entered in `chronicle`.
    pub fn new(chronicle: Arc<Chronicle>) -> Self {
        Self {
            residents: Slab::new(),
            slots: Slots::default(),
            touched: Vec::new(),
            unborn: Vec::new(),
            dirty: Vec::new(),
            turn: 0,
            deaths: mpsc::unbounded_channel(),
            chronicle,
            full_box: metrics::mailbox_wait(C::KIND),
            passivated: metrics::passivated(C::KIND),
        }
    }

    /// Puts a record into the draft of the child of this key; a child that is not there is listed as unborn. Returns its
    /// slot.
    pub fn draft(&mut self, project: &str, fingerprint: &str, record: C::Record) -> usize {
        let slot = match self.find(project, fingerprint) {
            Some(slot) => slot,
            None => self.enter(project, fingerprint),
        };
        self.add(slot, record);
        slot
    }

    /// The same for the child of a project, which may still be in this slot.
    pub fn draft_at(&mut self, slot: Option<usize>, project: &str, record: C::Record) -> usize {
        match slot.filter(|slot| self.belongs(*slot, project)) {
            Some(slot) => {
                self.add(slot, record);
                slot
            }
            None => self.draft(project, "", record),
        }
    }

    /// The same if there is such a child; else the record comes back.
    ///
    /// # Errors
    /// The record.
    pub fn draft_known(&mut self, project: &str, fingerprint: &str, record: C::Record) -> Result<(), C::Record> {
        let Some(slot) = self.find(project, fingerprint) else { return Err(record) };
        self.add(slot, record);
        Ok(())
    }

    fn add(&mut self, slot: usize, record: C::Record) {
        let Some(resident) = self.residents.get_mut(slot) else { return };
        if resident.draft.is_empty() {
            self.touched.push(slot);
            resident.draft.reserve_exact(resident.usual);
        }
        resident.draft.push(record);
    }

    fn enter(&mut self, project: &str, fingerprint: &str) -> usize {
        let wanted = self.slots.wanted(project, fingerprint);
        let slot = self.residents.insert(Resident {
            name: self.slots.name(&wanted),
            address: None,
            generation: 0,
            draft: SmallVec::new(),
            usual: 0,
            since_cut: Vec::new(),
            last_used: self.turn,
            used_at: Instant::now(),
        });
        self.slots.enter(&wanted, slot);
        self.unborn.push(slot);
        slot
    }

    /// Takes the slots whose child must be started before anything can be delivered.
    pub fn take_unborn(&mut self) -> Vec<usize> {
        std::mem::take(&mut self.unborn)
    }

    /// The slot of a child that is here.
    pub fn find(&self, project: &str, fingerprint: &str) -> Option<usize> {
        let wanted = self.slots.wanted(project, fingerprint);
        self.slots.find(&wanted, |slot| self.residents.get(slot).map(|resident| &resident.name))
    }

    /// Key of a slot.
    pub fn key(&self, slot: usize) -> Option<Key> {
        self.residents.get(slot).map(|resident| resident.name.key())
    }

    /// Whether the child in a slot is the project's.
    pub fn belongs(&self, slot: usize, project: &str) -> bool {
        self.residents.get(slot).is_some_and(|resident| resident.name.is_of(project))
    }

    /// Starts the child of a slot, in a new life.
    pub fn bear(&mut self, slot: usize, make: impl FnOnce(Birth) -> C) {
        if let Some(resident) = self.residents.get_mut(slot) {
            resident.generation = resident.generation.saturating_add(1);
            let life = Life { slot, generation: resident.generation };
            let birth = Birth::new(life, self.deaths.0.clone(), self.chronicle.birth(C::ACTOR));
            resident.address = Some(make(birth).start());
        }
    }

    /// Sends every draft. Returns the slots whose child turned out to be dead; their letters are kept with the
    /// others since the cut.
    pub async fn deliver(&mut self, batch: &Arc<RecordBatch>) -> Vec<usize> {
        self.turn = self.turn.saturating_add(1);
        let now = Instant::now();
        let mut dead = Vec::new();
        for slot in std::mem::take(&mut self.touched) {
            let Some(resident) = self.residents.get_mut(slot) else { continue };
            resident.usual = resident.draft.len();
            let letter = Arc::new(Letter { batch: Arc::clone(batch), records: std::mem::take(&mut resident.draft) });
            resident.last_used = self.turn;
            resident.used_at = now;
            if resident.since_cut.is_empty() {
                self.dirty.push(slot);
            }
            resident.since_cut.push(Arc::clone(&letter));
            if let Some(address) = &resident.address
                && !send(address, letter, &self.full_box).await
            {
                dead.push(slot);
            }
        }
        dead
    }

    /// Sends a child in its new life what its predecessor had not made durable. False if it is dead again.
    pub async fn repeat(&self, slot: usize) -> bool {
        let Some(resident) = self.residents.get(slot) else { return true };
        let Some(address) = &resident.address else { return true };
        for letter in &resident.since_cut {
            if !send(address, Arc::clone(letter), &self.full_box).await {
                return false;
            }
        }
        true
    }

    /// Asks these children for what has changed. The questions follow the letters through the same boxes, so the
    /// answers are one cut. A slot without an answer has died.
    pub async fn ask(&self, slots: &[usize], is_pressed: bool) -> Vec<(usize, Option<C::Snapshot>)> {
        let mut asked = Vec::with_capacity(slots.len());
        for &slot in slots {
            let (reply, answer) = oneshot::channel();
            if let Some(address) = self.residents.get(slot).and_then(|resident| resident.address.as_ref()) {
                question(address, TakeSnapshot { is_pressed, reply }).await;
            }
            asked.push((slot, answer));
        }
        let mut answers = Vec::with_capacity(asked.len());
        for (slot, answer) in asked {
            answers.push((slot, answer.await.ok()));
        }
        answers
    }

    /// Slots with letters that no cut contains.
    pub fn dirty(&self) -> &[usize] {
        &self.dirty
    }

    /// A cut contains everything that was sent.
    pub fn forget_letters(&mut self) {
        for slot in std::mem::take(&mut self.dirty) {
            if let Some(resident) = self.residents.get_mut(slot) {
                resident.since_cut = Vec::new();
            }
        }
    }

    /// The notices of those that died, in the order of their deaths.
    pub fn take_deaths(&mut self) -> Vec<Death> {
        std::iter::from_fn(|| self.deaths.1.try_recv().ok()).collect()
    }

    /// Takes the record at `offset` out of a child's letters, with its batch and index, so that it is not sent again.
    pub fn remove_record(&mut self, slot: usize, offset: i64) -> Option<(Arc<RecordBatch>, usize)> {
        let resident = self.residents.get_mut(slot)?;
        let letter = resident
            .since_cut
            .iter_mut()
            .find(|letter| letter.records.iter().any(|record| record.offset() == offset))?;
        let index = letter.records.iter().find(|record| record.offset() == offset)?.index();
        let rest = letter.records.iter().filter(|record| record.offset() != offset).cloned().collect();
        let batch = Arc::clone(&letter.batch);
        *letter = Arc::new(Letter { batch: Arc::clone(&batch), records: rest });
        resident.drop_empty_letters();
        Some((batch, index))
    }

    /// Takes all records that `goes` names out of a child's letters, with their batches and indexes.
    pub fn remove_records(
        &mut self,
        slot: usize,
        mut goes: impl FnMut(&RecordBatch, &C::Record) -> bool,
    ) -> Vec<(Arc<RecordBatch>, usize)> {
        let mut removed = Vec::new();
        let Some(resident) = self.residents.get_mut(slot) else { return removed };
        for letter in &mut resident.since_cut {
            let (out, rest): (Vec<_>, Vec<_>) =
                letter.records.iter().cloned().partition(|record| goes(&letter.batch, record));
            if !out.is_empty() {
                removed.extend(out.iter().map(|record| (Arc::clone(&letter.batch), record.index())));
                *letter = Arc::new(Letter { batch: Arc::clone(&letter.batch), records: rest.into() });
            }
        }
        resident.drop_empty_letters();
        removed
    }

    /// Children held now.
    pub fn len(&self) -> usize {
        self.residents.len()
    }

    /// Whether none is held.
    pub fn is_empty(&self) -> bool {
        self.residents.is_empty()
    }

    /// Where each child stands in an order.
    pub fn places(&self, order: Order) -> impl Iterator<Item = Place> {
        self.residents.iter().map(move |(slot, resident)| {
            let key = match order {
                Order::LastUsed => resident.last_used,
                Order::Letters => u64::try_from(resident.since_cut.len()).unwrap_or(u64::MAX),
                Order::Restarts => u64::from(resident.generation),
            };
            Place { key, slot }
        })
    }

    /// What is known of a child without asking it.
    pub fn row(&self, slot: usize) -> Option<Row> {
        let resident = self.residents.get(slot)?;
        // A letter is held here and, until the child has taken it, in its box.
        let waiting = resident.since_cut.iter().filter(|letter| Arc::strong_count(letter) > 1).count();
        Some(Row {
            key: resident.name.key(),
            generation: resident.generation,
            letters: resident.since_cut.len(),
            waiting,
            idle: resident.used_at.elapsed(),
        })
    }

    /// Asks a child for its portrait; none if its box is full or it is dead.
    pub fn describe(&self, slot: usize) -> Option<oneshot::Receiver<C::Portrait>> {
        let (reply, answer) = oneshot::channel();
        let address = self.residents.get(slot)?.address.as_ref()?;
        address.try_send(Describe { reply }).ok().map(|()| answer)
    }

    /// Sends the least recently used clean children away until at most `most` are left. Returns how many went.
    /// To be called when everything sent is durable and nothing is drafted.
    pub async fn make_room(&mut self, most: usize) -> usize {
        let Some(excess) = self.len().checked_sub(most).filter(|excess| *excess > 0) else { return 0 };
        let mut idle: Vec<(u64, usize)> = self
            .residents
            .iter()
            .filter(|(_, resident)| resident.since_cut.is_empty() && resident.draft.is_empty())
            .map(|(slot, resident)| (resident.last_used, slot))
            .collect();
        // A tenth more than needed, so that this is not done again for the next newcomer.
        let wanted = excess.saturating_add(most / 10).min(idle.len());
        if wanted < idle.len() {
            idle.select_nth_unstable(wanted);
        }
        let mut asked = Vec::with_capacity(wanted);
        for &(_, slot) in idle.iter().take(wanted) {
            let (reply, goes) = oneshot::channel();
            if let Some(address) = self.residents.get(slot).and_then(|resident| resident.address.as_ref()) {
                question(address, Leave { reply }).await;
            }
            asked.push((slot, goes));
        }
        let mut gone = 0;
        for (slot, goes) in asked {
            // A child that died meanwhile held nothing undurable either: it was asked because it was clean.
            if goes.await.unwrap_or(true)
                && let Some(resident) = self.residents.try_remove(slot)
            {
                self.slots.leave(&resident.name, slot);
                gone += 1;
            }
        }
        self.slots.tidy();
        self.passivated.increment(u64::try_from(gone).unwrap_or(u64::MAX));
        gone
    }
}
