//! Records: what a link costs to write and to read back, and to compile for the cache.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use waypost::cache::entry::{Action, Entry};
use waypost::clicks::counter::Counter;
use waypost::clock::Timestamp;
use waypost::log::Position;
use waypost::model::destination::{Destination, LinkType};
use waypost::model::domain::DomainNumber;
use waypost::model::id::Id;
use waypost::model::link::{Link, Options};
use waypost::model::short_code::ShortCode;
use waypost::model::workspace::WorkspaceNumber;
use waypost::table::record::{Cell, LinkAt};

fn link() -> Link {
    let to = Destination::parse_web("url", "https://example.com/some/landing/page/of/sixty/bytes?n=1");
    Link {
        id: Id::from_bits(77),
        workspace: WorkspaceNumber(0),
        domain: DomainNumber::DEFAULT,
        code: ShortCode::parse("c500").expect("a valid code"),
        typed_code: None,
        aliases: Vec::new(),
        created_at: Timestamp::from_millis(1_700_000_000_000),
        updated_at: Timestamp::from_millis(1_700_000_000_000),
        created_by: Some(Id::from_bits(5)),
        options: Options::new(to.expect("a valid URL"), LinkType::Url),
    }
}

fn record(c: &mut Criterion) {
    let link = link();
    let bytes = LinkAt::encode(&link);
    c.bench_function("record: encode a plain link", |b| {
        b.iter(|| assert_eq!(LinkAt::encode(black_box(&link)), bytes));
    });

    c.bench_function("record: decode a plain link", |b| {
        b.iter(|| {
            let read =
                LinkAt::decode(DomainNumber::DEFAULT, "c500", black_box(&bytes)).expect("just encoded");
            assert_eq!(read.id, link.id);
        });
    });

    let cell = Cell { revision: Position(5), replaces: Position::START, value: &bytes };
    let stored = cell.encode(b"key");
    c.bench_function("record: check a cell", |b| {
        b.iter(|| {
            assert_eq!(Cell::decode(b"key", black_box(&stored)).expect("just encoded").revision, Position(5));
        });
    });

    let counter = Arc::new(Counter::new(link.id, 0));
    c.bench_function("record: compile a plain link", |b| {
        b.iter(|| {
            let (link, target) = (black_box(link.clone()), Ok(link.options.target()));
            let entry = Entry::compile(link, Arc::clone(&counter), target);
            assert!(matches!(entry.action, Action::Redirect { .. }));
        });
    });
}

criterion_group!(benches, record);
criterion_main!(benches);
