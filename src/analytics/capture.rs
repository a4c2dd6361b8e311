//! [`Capture`]: what redirects know about their clicks, until the next drain.
//!
//! Each thread has one of a few buffers, so that two threads seldom want the same lock. A buffer is bounded: past the
//! bound the details of a click are dropped, and counted as dropped. The click itself was counted before.

use std::cell::Cell as ThreadCell;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::cell::{COUNTED, OPENED_BY, PREFETCHED};
use super::country::ProxyCountry;
use crate::model::id::Id;
use crate::model::workspace::WorkspaceNumber;

/// Most events of a buffer: 1 MiB. Past it, details are dropped.
const EVENTS_MAX: usize = 16_384;

/// Events of a buffer that start a drain before its time.
const EVENTS_MANY: usize = EVENTS_MAX / 4;

/// Most bytes of texts in a buffer. Past it, the texts of further events are dropped.
const TEXTS_MAX: usize = 512 * 1024;

/// Events and bytes of texts for which each buffer has room from the start: 64 KiB and 16 KiB.
const EVENTS_ROOM: usize = 1_024;
/// See [`EVENTS_ROOM`].
const TEXTS_ROOM: usize = 16 * 1024;

/// Bytes of texts in a buffer that start a drain before its time.
const TEXTS_MANY: usize = TEXTS_MAX / 4;

/// The bit of [`Facts::trigger`] that is set if only coarse details of the visit may be kept. No cell has it.
pub const PRIVATE: u32 = 1 << 5;

/// The bit of [`Facts::trigger`] of a visit that found no link. No cell has it, since such a visit has a path.
const MISS: u32 = 1 << 6;

/// The bit of [`Facts::trigger`] of a click whose destination a rule of the link chose: the choice precedes its texts. No
/// cell has it.
// In the buffer of texts: an event with four more bytes would be larger for all links.
const CHOSEN: u32 = 1 << 7;

/// Bytes of a choice before the texts of an event.
const CHOICE_BYTES: usize = size_of::<u32>();

/// Most visits without a link between two drains. Past it, they are dropped.
const MISSES_MAX: usize = 4_096;

/// The bits of [`Facts::trigger`] that cells have.
const IN_CELLS: u32 = OPENED_BY | COUNTED | PREFETCHED;

/// What is read of a visit beside the usual, as the operator chose.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CaptureSettings {
    /// The name of the header in which trusted proxies report the country.
    pub country_header: Option<String>,
    /// Whether visitors who ask for privacy are [`PRIVATE`].
    pub respects_gpc: bool,
}

/// The length of a text that was not copied, since the buffer has no room.
const DROPPED: u16 = u16::MAX;

/// Most bytes that are copied of a text. A host has at most 253; the rest of a longer text is dropped.
pub const TEXT_MAX: usize = 512;

thread_local! {
    /// The number of this thread, from 1; 0 before its first click.
    static THREAD: ThreadCell<usize> = const { ThreadCell::new(0) };
}

/// The last number that was given to a thread.
static THREADS: AtomicUsize = AtomicUsize::new(0);

/// What a redirect knows about its click. Nothing is parsed yet.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The link.
    pub link: Id,
    /// The workspace of the link.
    pub workspace: WorkspaceNumber,
    /// The visitor's address.
    pub address: IpAddr,
    /// [`UserAgent::bits`](crate::agents::UserAgent::bits).
    pub agent: u16,
    /// A hash of the User-Agent.
    pub agent_hash: u64,
    /// The number of [`Dimension::Trigger`](super::cell::Dimension::Trigger), and [`PRIVATE`].
    pub trigger: u32,
    /// What a trusted proxy reports.
    pub country: ProxyCountry,
    /// The `Accept-Language` as sent.
    pub language: Option<&'a [u8]>,
    /// The `Referer` as sent.
    pub referrer: Option<&'a [u8]>,
    /// The query of the request as sent.
    pub query: Option<&'a str>,
}

/// One click, as the buffer has it.
#[derive(Clone, Copy, Debug)]
pub struct Event {
    /// [`Id::bits`], as bytes: their alignment of 1 saves 16 bytes.
    link: [u8; 16],
    workspace: u32,
    address: IpAddr,
    /// See [`Facts::agent`].
    pub agent: u16,
    /// See [`Facts::agent_hash`].
    pub agent_hash: u64,
    trigger: u8,
    /// See [`Facts::country`].
    pub country: ProxyCountry,
    /// The first two bytes of the `Accept-Language`.
    pub language: [u8; 2],
    texts: TextSpan,
}

impl Event {
    // Inlined, so that the compiler builds the event in the buffer.
    #[inline(always)]
    fn new(facts: &Facts<'_>, trigger: u32, texts: TextSpan) -> Event {
        Event {
            link: facts.link.bits().to_ne_bytes(),
            workspace: facts.workspace.0,
            address: facts.address,
            agent: facts.agent,
            agent_hash: facts.agent_hash,
            trigger: u8::try_from(trigger).expect("a trigger has at most eight bits"),
            country: facts.country,
            language: facts.language.map(letters).unwrap_or_default(),
            texts,
        }
    }

    /// Returns the link.
    pub fn link(&self) -> Id {
        Id::from_bits(u128::from_ne_bytes(self.link))
    }

    /// Returns the workspace of the link.
    pub fn workspace(&self) -> WorkspaceNumber {
        WorkspaceNumber(self.workspace)
    }

    /// Returns the visitor's address.
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// Returns the number of the trigger, as cells have it.
    pub fn trigger(&self) -> u32 {
        u32::from(self.trigger) & IN_CELLS
    }

    /// Returns whether the visit found no link. [`Event::link`] has the number of the domain then, and
    /// [`CapturedEvents::query`] is the path.
    pub fn is_miss(&self) -> bool {
        u32::from(self.trigger) & MISS != 0
    }

    /// Returns whether only coarse details may be kept, and no visitor may be recognized.
    pub fn is_private(&self) -> bool {
        u32::from(self.trigger) & PRIVATE != 0
    }

    /// Returns whether the click is in the total of its link.
    pub fn is_counted(&self) -> bool {
        self.trigger() & COUNTED != 0
    }
}

/// Where the texts of an event are: the referrer, and the query behind it.
#[derive(Clone, Copy, Debug, Default)]
struct TextSpan {
    /// The index of the first byte in [`CapturedEvents::texts`].
    start: u32,
    /// Bytes, 0 without a referrer, [`DROPPED`] if there was no room.
    referrer: u16,
    /// Bytes, like those of the referrer.
    query: u16,
}

/// The events of one buffer.
#[derive(Debug, Default)]
pub struct CapturedEvents {
    /// In the order of their clicks.
    pub events: Vec<Event>,
    /// The texts of all events, one behind the other.
    texts: Vec<u8>,
}

impl CapturedEvents {
    /// Returns the `Referer` of an event, cut at [`TEXT_MAX`]; empty without one, `None` if it was
    /// dropped.
    pub fn referrer(&self, event: &Event) -> Option<&[u8]> {
        self.text(event.texts.start as usize, event.texts.referrer)
    }

    /// Returns the query of an event if it has UTM parameters, cut at [`TEXT_MAX`]; empty without one, `None` if it was
    /// dropped.
    pub fn query(&self, event: &Event) -> Option<&[u8]> {
        let TextSpan { start, referrer, query } = event.texts;
        let before = if referrer == DROPPED { 0 } else { referrer };
        self.text(start as usize + usize::from(before), query)
    }

    /// Returns the number of [`Dimension::Choice`](super::cell::Dimension::Choice).
    pub fn choice(&self, event: &Event) -> u32 {
        let start = event.texts.start as usize;
        let bytes = start.checked_sub(CHOICE_BYTES).and_then(|from| self.texts.get(from..start));
        let is_chosen = u32::from(event.trigger) & CHOSEN != 0;
        bytes.filter(|_| is_chosen).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_ne_bytes)
    }

    fn text(&self, start: usize, length: u16) -> Option<&[u8]> {
        (length != DROPPED).then(|| &self.texts[start..start + usize::from(length)])
    }

    fn with_room() -> CapturedEvents {
        CapturedEvents { events: Vec::with_capacity(EVENTS_ROOM), texts: Vec::with_capacity(TEXTS_ROOM) }
    }

    /// Empties the buffer. Keeps room for twice as much as it had, so that a steady load allocates nothing, and frees
    /// the memory of a burst.
    fn clear(&mut self) {
        // At most `EVENTS_MANY`, since `grow` starts the drain of more.
        let events = (2 * self.events.len()).clamp(EVENTS_ROOM, EVENTS_MANY);
        let texts = (2 * self.texts.len()).clamp(TEXTS_ROOM, TEXTS_MAX);
        self.events.clear();
        self.texts.clear();
        self.events.shrink_to(events);
        self.texts.shrink_to(texts);
        // Here and not in `push`: a drain may wait for the allocator, a redirect should not.
        self.events.reserve_exact(events);
        self.texts.reserve(texts);
    }

    /// Makes room for as many events again. Returns false if there are as many as are allowed.
    fn grow(&mut self) -> bool {
        let more = self.events.capacity().min(EVENTS_MAX - self.events.len());
        // Exactly: a full buffer is what starts the next step.
        self.events.reserve_exact(more);
        more > 0
    }

    /// Copies the texts of an event: the referrer, and the query if it has UTM parameters.
    fn copy_texts(&mut self, referrer: Option<&[u8]>, query: Option<&str>) -> TextSpan {
        let start = u32::try_from(self.texts.len()).expect("at most TEXTS_MAX");
        // The referrer first: `CapturedEvents::query` expects the query behind it.
        let referrer = referrer.map_or(0, |referrer| self.copy(referrer));
        // Most queries have no UTM parameter, and would only fill the buffer.
        let query = query.filter(|query| has_utm(query)).map_or(0, |query| self.copy(query.as_bytes()));
        TextSpan { start, referrer, query }
    }

    /// Copies a text. Returns its length, [`DROPPED`] if there is no room.
    fn copy(&mut self, text: &[u8]) -> u16 {
        let text = &text[..text.len().min(TEXT_MAX)];
        // The event stays without this text: its country and browser are worth keeping.
        if self.texts.len() + text.len() > TEXTS_MAX {
            return DROPPED;
        }
        self.texts.extend_from_slice(text);
        u16::try_from(text.len()).expect("at most TEXT_MAX")
    }
}

/// The buffers of all threads.
#[derive(Debug)]
pub struct Capture {
    buffers: Box<[Mutex<CapturedEvents>]>,
    /// The visits of all threads that found no link. A buffer of their own: a flood of them must not take the room of
    /// clicks.
    misses: Mutex<CapturedEvents>,
    /// Empty buffers for the next drain, so that a redirect allocates none.
    spares: Mutex<Vec<CapturedEvents>>,
    /// Notified when a buffer has [`EVENTS_MANY`] events, or [`TEXTS_MANY`] bytes of texts.
    crowded: Notify,
    dropped: AtomicU64,
    dropped_misses: AtomicU64,
    settings: CaptureSettings,
    /// Whether the settings ask for more than the usual.
    reads_more: bool,
}

impl Capture {
    /// Creates empty buffers for this number of threads.
    pub fn new(threads: usize, settings: CaptureSettings) -> Capture {
        // A power of two, since `push` masks the number of the thread.
        let buffers: Box<_> =
            (0..threads.next_power_of_two()).map(|_| Mutex::new(CapturedEvents::with_room())).collect();
        let spares = Mutex::new(buffers.iter().map(|_| CapturedEvents::with_room()).collect());
        let reads_more = settings.respects_gpc || settings.country_header.is_some();
        Capture {
            buffers,
            misses: Mutex::new(CapturedEvents::with_room()),
            spares,
            crowded: Notify::new(),
            dropped: AtomicU64::new(0),
            dropped_misses: AtomicU64::new(0),
            settings,
            reads_more,
        }
    }

    /// Returns what is read of a visit.
    pub fn settings(&self) -> &CaptureSettings {
        &self.settings
    }

    /// Returns whether the settings ask for more than the usual. One flag for all of them: a plain redirect reads it.
    pub fn reads_more(&self) -> bool {
        self.reads_more
    }

    /// Captures a click. Allocates only while a buffer grows, and never waits for a drain.
    // Inlined, so that the compiler builds the event in the buffer.
    #[inline(always)]
    pub fn push(&self, facts: &Facts<'_>) {
        // Threads beyond the number of buffers share one; the lock is held for a copy only.
        let mut buffer = self.buffers[thread() & (self.buffers.len() - 1)].lock();
        // One comparison for all that is seldom: growth, many events, and too many.
        if buffer.events.len() == buffer.events.capacity() && !self.make_room(&mut buffer) {
            return;
        }
        // Most visits have neither, and skip all that concerns texts.
        let texts = match (facts.referrer, facts.query) {
            (None, None) => TextSpan::default(),
            (referrer, query) => self.copy_texts(&mut buffer, referrer, query),
        };
        buffer.events.push(Event::new(facts, facts.trigger, texts));
    }

    /// Captures a click whose destination a rule of the link chose: see
    /// [`Dimension::Choice`](super::cell::Dimension::Choice).
    // Apart from `push`, which is copied into the code of a plain redirect.
    #[inline(never)]
    pub fn push_chosen(&self, facts: &Facts<'_>, choice: u32) {
        let mut buffer = self.buffers[thread() & (self.buffers.len() - 1)].lock();
        if buffer.events.len() == buffer.events.capacity() && !self.make_room(&mut buffer) {
            return;
        }
        // Without room, the click has no choice, like one whose texts were dropped.
        let has_room = buffer.texts.len() + CHOICE_BYTES <= TEXTS_MAX;
        if has_room {
            buffer.texts.extend_from_slice(&choice.to_ne_bytes());
            // As in `copy_texts`, which sees only the bytes behind these.
            let many = TEXTS_MANY..TEXTS_MANY + CHOICE_BYTES;
            if many.contains(&buffer.texts.len()) {
                self.crowded.notify_one();
            }
        }
        // Also without a text: `choice` finds its bytes by the beginning of the texts.
        let texts = self.copy_texts(&mut buffer, facts.referrer, facts.query);
        let trigger = if has_room { facts.trigger | CHOSEN } else { facts.trigger };
        buffer.events.push(Event::new(facts, trigger, texts));
    }

    /// Makes room in a full buffer, and starts a drain if it has many events. Returns false if it has as many as are
    /// allowed: the details of the click are dropped.
    #[cold]
    fn make_room(&self, buffer: &mut CapturedEvents) -> bool {
        if buffer.events.len() >= EVENTS_MANY {
            self.crowded.notify_one();
        }
        let has_room = buffer.grow();
        // A hostile client may click faster than events are drained, and must not fill the memory.
        if !has_room {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        has_room
    }

    /// Copies the texts of an event, and starts a drain if there are many.
    // Not inlined: most visits have no texts, and would pay for its registers.
    #[inline(never)]
    fn copy_texts(
        &self,
        buffer: &mut CapturedEvents,
        referrer: Option<&[u8]>,
        query: Option<&str>,
    ) -> TextSpan {
        let before = buffer.texts.len();
        let texts = buffer.copy_texts(referrer, query);
        // Once per drain: later clicks find more bytes before them.
        if before < TEXTS_MANY && buffer.texts.len() >= TEXTS_MANY {
            self.crowded.notify_one();
        }
        texts
    }

    /// Captures a visit that found no link at this path. The bits of [`Facts::link`] are the number of the domain. Never
    /// waits for a drain, and starts none.
    pub fn push_miss(&self, facts: &Facts<'_>, path: &str) {
        let mut buffer = self.misses.lock();
        if buffer.events.len() >= MISSES_MAX {
            self.dropped_misses.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let start = u32::try_from(buffer.texts.len()).expect("at most TEXTS_MAX");
        let referrer = facts.referrer.map_or(0, |referrer| buffer.copy(referrer));
        let path = buffer.copy(path.as_bytes());
        let texts = TextSpan { start, referrer, query: path };
        buffer.events.push(Event::new(facts, facts.trigger | MISS, texts));
    }

    /// Waits until a buffer has so many events that the next drain should not wait for its time.
    pub async fn crowded(&self) {
        self.crowded.notified().await;
    }

    /// Takes the events of all buffers. A click whose [`Capture::push`] has returned is among them. The caller gives the
    /// buffers back.
    pub fn take(&self) -> Vec<CapturedEvents> {
        let mut taken = Vec::with_capacity(self.buffers.len() + 1);
        for buffer in self.buffers.iter().chain([&self.misses]) {
            // Allocated before the buffer is locked, so that no redirect waits for the allocator.
            let spare = self.spares.lock().pop().unwrap_or_else(CapturedEvents::with_room);
            taken.push(std::mem::replace(&mut *buffer.lock(), spare));
        }
        taken
    }

    /// Returns a buffer that was taken.
    pub fn give_back(&self, mut drained: CapturedEvents) {
        drained.clear();
        let mut spares = self.spares.lock();
        // Two drains at once need two sets of buffers; a third is not worth its memory.
        if spares.len() < 2 * (self.buffers.len() + 1) {
            spares.push(drained);
        }
    }

    /// Returns the number of clicks whose details were dropped.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Returns the number of visits without a link that were dropped.
    pub fn dropped_misses(&self) -> u64 {
        self.dropped_misses.load(Ordering::Relaxed)
    }
}

/// Returns the number of this thread.
fn thread() -> usize {
    THREAD.with(|thread| match thread.get() {
        0 => {
            // Numbers in sequence spread over the buffers evenly; hashes of thread ids would collide.
            let number = THREADS.fetch_add(1, Ordering::Relaxed) + 1;
            thread.set(number);
            number
        }
        number => number,
    })
}

/// Returns the two letters of the first language in an `Accept-Language`, which browsers begin with the preferred one.
/// Zeros for a language of three letters.
fn letters(header: &[u8]) -> [u8; 2] {
    match header {
        [a, b] => [*a, *b],
        [a, b, c, ..] if !c.is_ascii_alphabetic() => [*a, *b],
        _ => [0, 0],
    }
}

/// Returns whether a query may have a UTM parameter.
fn has_utm(query: &str) -> bool {
    // A value such as `x=utm_1` matches too; the parser rejects it later.
    memchr::memmem::find(query.as_bytes(), b"utm_").is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(link: u128) -> Facts<'static> {
        Facts {
            link: Id::from_bits(link),
            workspace: WorkspaceNumber(7),
            address: IpAddr::from([192, 0, 2, 1]),
            agent: 3,
            agent_hash: 9,
            trigger: 8,
            country: ProxyCountry::NotReported,
            language: None,
            referrer: None,
            query: None,
        }
    }

    fn drained(capture: &Capture) -> Vec<(u128, String, String, [u8; 2])> {
        let mut all = Vec::new();
        for drained in capture.take() {
            let text = |bytes: Option<&[u8]>| {
                bytes
                    .map_or_else(|| "dropped".to_owned(), |bytes| String::from_utf8_lossy(bytes).into_owned())
            };
            all.extend(drained.events.iter().map(|event| {
                let link = event.link().bits();
                (link, text(drained.referrer(event)), text(drained.query(event)), event.language)
            }));
            capture.give_back(drained);
        }
        all
    }

    #[test]
    fn an_event_takes_one_line_of_the_processors_cache() {
        // A byte more, and each event would touch a second line.
        assert_eq!(size_of::<Event>(), 64);
    }

    #[test]
    fn events_keep_their_texts() {
        let capture = Capture::new(1, CaptureSettings::default());
        capture.push(&Facts { referrer: Some(b"https://a.test/"), language: Some(b"de-AT"), ..facts(1) });
        capture.push(&Facts { query: Some("x=1"), language: Some(b"d"), ..facts(2) });
        // Both texts of one event, and an id of more than 64 bits.
        capture.push(&Facts { query: Some("utm_source=x"), referrer: Some(b"b"), ..facts(1 << 100) });
        let row = |link, referrer: &str, query: &str, language| {
            (link, referrer.to_owned(), query.to_owned(), language)
        };
        let want = [
            row(1, "https://a.test/", "", *b"de"),
            row(2, "", "", [0, 0]),
            row(1 << 100, "b", "utm_source=x", [0, 0]),
        ];
        assert_eq!(drained(&capture), want);
        assert!(drained(&capture).is_empty(), "each event is drained once");
    }

    #[test]
    fn the_letters_of_a_language() {
        for (header, want) in [
            (&b"de"[..], *b"de"),
            (b"pt-BR,pt;q=0.9", *b"pt"),
            (b"en;q=0.5", *b"en"),
            // Filipino: its first two letters are the code of Finnish.
            (b"fil-PH", [0, 0]),
            (b"d", [0, 0]),
            (b"", [0, 0]),
        ] {
            assert_eq!(letters(header), want, "{header:?}");
        }
    }

    #[test]
    fn past_their_bounds_details_are_dropped_and_counted() {
        let capture = Capture::new(1, CaptureSettings::default());
        // Twice the limit, so that the bounds of one text and of all texts both apply.
        let long = [b'x'; 2 * TEXT_MAX];
        for n in 0..EVENTS_MAX + 3 {
            capture.push(&Facts { referrer: Some(&long), ..facts(n as u128) });
        }
        assert_eq!(capture.dropped(), 3);
        let all = drained(&capture);
        assert_eq!(all.len(), EVENTS_MAX);
        let with_text = all.iter().filter(|(_, text, ..)| text.len() == TEXT_MAX).count();
        assert_eq!(with_text, TEXTS_MAX / TEXT_MAX);
        // The others say that their referrer is missing: none would be wrong.
        assert_eq!(all.iter().filter(|(_, text, ..)| text == "dropped").count(), EVENTS_MAX - with_text);
    }

    /// A flood of misses takes no room of clicks, and wakes no drain.
    #[tokio::test]
    async fn misses_have_a_bound_of_their_own() {
        let capture = Capture::new(1, CaptureSettings::default());
        let long = format!("/{}", "x".repeat(2 * TEXT_MAX));
        for _ in 0..MISSES_MAX + 7 {
            let facts = Facts { trigger: 0, referrer: Some(b"https://a.test/"), ..facts(5) };
            capture.push_miss(&facts, &long);
        }
        capture.push(&facts(1));
        assert!(tokio::time::timeout(std::time::Duration::ZERO, capture.crowded()).await.is_err());
        let taken = capture.take();
        let (clicks, misses): (Vec<&Event>, Vec<_>) =
            taken.iter().flat_map(|drained| &drained.events).partition(|event| !event.is_miss());
        assert_eq!((clicks.len(), misses.len()), (1, MISSES_MAX));
        assert_eq!((capture.dropped(), capture.dropped_misses()), (0, 7));
        let drained = taken.last().expect("the misses");
        let first = &drained.events[0];
        assert_eq!((first.link().bits(), first.is_counted()), (5, false));
        assert_eq!(drained.referrer(first), Some(&b"https://a.test/"[..]));
        assert_eq!(drained.query(first), Some(&long.as_bytes()[..TEXT_MAX]));
        // Past the room for texts they are counted without a path.
        assert_eq!(drained.query(drained.events.last().expect("many")), None);
    }

    /// Each event is drained exactly once, whichever thread pushes it and whenever the drain comes.
    #[test]
    fn nothing_is_lost_or_doubled_while_draining() {
        // Fewer buffers than threads, so that pushes compete for a lock.
        let capture = Capture::new(2, CaptureSettings::default());
        let mut seen = vec![0; 4 * 10_000];
        std::thread::scope(|scope| {
            let pushers: Vec<_> = (0..4_u128)
                .map(|thread| {
                    let capture = &capture;
                    scope.spawn(move || {
                        for n in 0..10_000 {
                            capture.push(&facts(thread * 10_000 + n));
                        }
                    })
                })
                .collect();
            while !pushers.iter().all(std::thread::ScopedJoinHandle::is_finished) {
                for (link, ..) in drained(&capture) {
                    seen[usize::try_from(link).expect("small")] += 1;
                }
            }
        });
        for (link, ..) in drained(&capture) {
            seen[usize::try_from(link).expect("small")] += 1;
        }
        assert_eq!(seen.iter().sum::<u64>() + capture.dropped(), 4 * 10_000);
        assert!(seen.iter().all(|times| *times <= 1));
    }
}
