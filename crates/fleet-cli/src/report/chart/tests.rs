//! The picture as a text: what stands where.

use super::*;
use crate::journal::GaveUp;

fn bar(generation: u64, times: (u64, u64, u64), ending: Ending) -> Bar {
    let (waited, begun, ended) = times;
    // A Sunday noon, somewhere.
    let at = |offset: u64| 1_777_809_600_000 + offset;
    Bar {
        generation: Some(generation),
        pid: 4700 + u32::try_from(generation).expect("small"),
        command: "fleet restart <a> & \"b\"".to_owned(),
        waited_from: (waited < begun).then(|| at(waited)),
        begun: at(begun),
        took_over: None,
        steps: Vec::new(),
        last_sign: at(ended),
        ended: at(ended),
        ending,
    }
}

/// Every text of the picture: where it begins, where it ends, its height, and its words.
fn texts(picture: &str) -> Vec<(f64, f64, f64, String)> {
    let mut found = Vec::new();
    for part in picture.split("<text ").skip(1) {
        let (attributes, rest) = part.split_once('>').expect("an element");
        let words = rest.split('<').next().expect("its text").trim().to_owned();
        let number = |name: &str| -> f64 {
            let (_, rest) = attributes.split_once(&format!(" {name}=\"")).unwrap_or_else(|| {
                attributes.split_once(&format!("{name}=\"")).expect("the attribute")
            });
            rest.split('"').next().expect("a value").parse().expect("a number")
        };
        let width = words.chars().count() as f64 * number("font-size") * 0.602;
        let x = number("x");
        let left = match attributes {
            a if a.contains("text-anchor=\"middle\"") => x - width / 2.0,
            a if a.contains("text-anchor=\"end\"") => x - width,
            _ => x,
        };
        found.push((left, left + width, number("y"), words));
    }
    found
}

fn many() -> Vec<Bar> {
    (0_u64..200)
        .map(|n| {
            // Bursts, with hours between them.
            let begun = n / 25 * 7_200_000 + n % 25 * 9_000;
            let times = (begun.saturating_sub(n % 4 * 2_000), begun, begun + 1_000 + n * 37);
            let ending = match n % 9 {
                7 => Ending::Died(Reason::OwnerDied),
                8 => Ending::TakenOver(Reason::Silent),
                3 => Ending::Released(Some(1)),
                _ => Ending::Released(Some(0)),
            };
            bar(n + 1000, times, ending)
        })
        .collect()
}

#[test]
fn no_text_overlaps_another_or_leaves_the_picture() {
    let few = [
        bar(1, (0, 0, 3_000), Ending::Released(Some(0))),
        bar(2, (500, 3_000, 9_000), Ending::TakenOver(Reason::TimedOut)),
        Bar { generation: None, ..bar(3, (100, 8_000, 8_000), Ending::GaveUp(GaveUp::MutexHeld)) },
    ];
    for bars in [&few[..], &many(), &[]] {
        let picture = draw(Utf8Path::new("/run/x.lock"), bars);
        let texts = texts(&picture);
        assert!(texts.len() >= 3 * bars.len() && texts.len() > 4, "they were found");
        for (index, one) in texts.iter().enumerate() {
            assert!(one.0 >= 0.0 && one.1 <= WIDTH, "{one:?} leaves the picture");
            for other in texts.iter().skip(index + 1) {
                let apart = one.1 <= other.0 || other.1 <= one.0;
                assert!(apart || (one.2 - other.2).abs() >= 10.0, "{one:?} and {other:?} overlap");
            }
        }
    }
}

#[test]
fn words_of_others_do_not_break_the_picture() {
    let bars = [Bar {
        command: "</text>\u{1b}[31m & <script>".to_owned(),
        ..bar(1, (0, 0, 5), Ending::Held)
    }];
    let picture = draw(Utf8Path::new("/run/<x>.lock"), &bars);
    assert!(!picture.contains("<script") && !picture.contains('\u{1b}'), "{picture}");
    assert!(picture.contains("&lt;/text&gt;?[31m &amp; &lt;script&gt;"), "{picture}");
}

#[test]
fn every_ending_has_its_words() {
    let endings = [
        Ending::Released(None),
        Ending::Released(Some(3)),
        Ending::Failed,
        Ending::Died(Reason::OwnerDied),
        Ending::Died(Reason::Rebooted),
        Ending::TakenOver(Reason::TimedOut),
        Ending::TakenOver(Reason::Silent),
        Ending::Broken,
        Ending::Lost,
        Ending::Held,
        Ending::Unknown,
        Ending::GaveUp(GaveUp::Busy),
        Ending::Waiting,
    ];
    let lines: Vec<_> = endings
        .map(|ending| {
            let drawn = bar(1, (1_000, 2_500, 5_600), ending);
            let marks = (Style::of(&drawn), Style::is_cut(&drawn));
            format!("{} | {marks:?}", outcome(&drawn))
        })
        .into();
    insta::assert_snapshot!(lines.join("\n"));
}
