//! What strangers may send at its worst: long paths, codes written oddly, JSON that is deep, wide or
//! full of escapes. The work is to grow no faster than the input, and to end at the limits.
//!
//! What is asserted is counted work (allocations, and bytes of them), since times differ from run
//! to run; the times are shown per byte, so that a bend is seen as well. Every answer is asserted.

use std::hint::black_box;

use allocation_counter::measure;
use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use http_body_util::Empty;
use hyper::header::HOST;
use hyper::service::Service as _;
use hyper::{Request, StatusCode};
use waypost::http::host;
use waypost::json;
use waypost::model::short_code::{MAX_CHARS, canonical};

mod support;

use self::support::Fixture;

/// How much more work twice the input may be, in tenths: twice, and a vector's growth on top.
const DOUBLE: u64 = 26;

/// Work that does not depend on the input: the same few allocations for any.
const FIXED: u64 = 4_096;

/// Inputs by size, and what becomes of each.
struct Evaluation {
    name: &'static str,
    sizes: [usize; 4],
    make: fn(usize) -> String,
    /// Asserts the answer.
    take: fn(&str, usize),
}

const CASES: &[Evaluation] = &[
    Evaluation {
        name: "path: long",
        sizes: [1_000, 2_000, 4_000, 8_000],
        make: |n| "a".repeat(n),
        take: |text, _| assert_eq!(canonical(text), None),
    },
    Evaluation {
        name: "code: escaped",
        sizes: [16, 32, 64, 128],
        make: |n| "%61".repeat(n),
        take: |text, n| assert_eq!(canonical(text).map(|code| code.len()), Some(n)),
    },
    Evaluation {
        name: "code: decomposed",
        sizes: [16, 32, 64, 128],
        make: |n| "e%CC%81".repeat(n),
        take: |text, n| assert_eq!(canonical(text).map(|code| code.chars().count()), Some(n)),
    },
    Evaluation {
        name: "code: emoji in one row",
        sizes: [16, 32, 64, 128],
        make: |n| "%F0%9F%9A%80".repeat(n),
        take: |text, n| assert_eq!(canonical(text).map(|code| code.chars().count()), Some(n)),
    },
    Evaluation {
        name: "code: marks upon marks, too long",
        sizes: [300, 600, 1_200, 2_400],
        make: |n| format!("e{}", "%CC%81".repeat(n)),
        take: |text, _| assert_eq!(canonical(text), None),
    },
    Evaluation {
        name: "code: broken escapes",
        sizes: [300, 600, 1_200, 2_400],
        make: |n| "%zz".repeat(n),
        take: |text, _| assert_eq!(canonical(text), None),
    },
    Evaluation {
        name: "host: dots",
        sizes: [1_000, 2_000, 4_000, 8_000],
        make: |n| "a.".repeat(n),
        take: |text, _| assert!(host::parse(text).is_err()),
    },
    Evaluation {
        name: "json: deep lists",
        sizes: [8_000, 16_000, 32_000, 64_000],
        make: |n| "[".repeat(n),
        take: |text, _| assert!(json::parse(text.as_bytes()).is_err()),
    },
    Evaluation {
        name: "json: deep objects",
        sizes: [1_000, 2_000, 4_000, 8_000],
        make: |n| "{\"a\":".repeat(n),
        take: |text, _| assert!(json::parse(text.as_bytes()).is_err()),
    },
    Evaluation {
        name: "json: a wide list",
        sizes: [4_000, 8_000, 16_000, 32_000],
        make: |n| format!("[{}0]", "0,".repeat(n)),
        take: |text, _| assert!(json::parse(text.as_bytes()).is_ok()),
    },
    Evaluation {
        name: "json: many names",
        sizes: [1_000, 2_000, 4_000, 8_000],
        make: |n| {
            let names: Vec<String> = (0..n).map(|n| format!("\"{n}\":0")).collect();
            format!("{{{}}}", names.join(","))
        },
        take: |text, _| assert!(json::parse(text.as_bytes()).is_ok()),
    },
    Evaluation {
        name: "json: a name twice",
        sizes: [1_000, 2_000, 4_000, 8_000],
        make: |n| format!("{{{}\"a\":0}}", "\"a\":0,".repeat(n)),
        take: |text, _| assert!(json::parse(text.as_bytes()).is_err()),
    },
    Evaluation {
        name: "json: escapes",
        sizes: [4_000, 8_000, 16_000, 32_000],
        make: |n| format!("\"{}\"", "\\u00e9".repeat(n)),
        take: |text, _| assert!(json::parse(text.as_bytes()).is_ok()),
    },
];

fn inputs(c: &mut Criterion) {
    for case in CASES {
        let mut group = c.benchmark_group(case.name);
        let mut before = None;
        for size in case.sizes {
            let input = (case.make)(size);
            let counted = measure(|| (case.take)(black_box(&input), size));
            if let Some((count, bytes)) = before {
                let bound = |before: u64| before * DOUBLE / 10 + FIXED;
                let name = case.name;
                assert!(
                    counted.count_total <= bound(count),
                    "{name}, {size}: {} after {count}",
                    counted.count_total
                );
                assert!(
                    counted.bytes_total <= bound(bytes),
                    "{name}, {size}: {} after {bytes}",
                    counted.bytes_total
                );
            }
            before = Some((counted.count_total, counted.bytes_total));
            group.throughput(Throughput::Bytes(input.len() as u64));
            group.bench_function(size.to_string(), |b| b.iter(|| (case.take)(black_box(&input), size)));
        }
        group.finish();
    }
}

/// Past a limit the input is not even looked at.
fn limits(_: &mut Criterion) {
    let too_long = "%61".repeat(MAX_CHARS * 100);
    assert_eq!(measure(|| assert_eq!(canonical(&too_long), None)).count_total, 0);
    let deep = |n: usize| {
        let input = "[".repeat(n);
        measure(|| assert!(json::parse(input.as_bytes()).is_err())).bytes_total
    };
    assert_eq!(deep(1_000), deep(1_000_000), "the depth allowed is a constant");
    let fixture = Fixture::new(1);
    let status = |path: &str| {
        let request = Request::get(path).header(HOST, "localhost").body(Empty::<Bytes>::new());
        let answer = fixture.connect().call(request.expect("a valid request"));
        fixture.runtime.block_on(answer).expect("infallible").status()
    };
    assert_eq!(status("/c0"), StatusCode::FOUND);
    assert_eq!(status(&format!("/{}", "a".repeat(8_000))), StatusCode::NOT_FOUND);
    assert_eq!(status(&format!("/{}", "a".repeat(9_000))), StatusCode::URI_TOO_LONG);
    assert_eq!(status(&format!("/{}", "a/".repeat(4_000))), StatusCode::NOT_FOUND);
    fixture.close();
}

criterion_group!(benches, inputs, limits);
criterion_main!(benches);
