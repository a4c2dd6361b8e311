//! [`AgentClass`]: device, system and browser of a person, by the User-Agent.
//!
//! Ordered texts, and no versions: browsers send a frozen version of their system (User-Agent reduction,
//! <https://www.chromium.org/updates/ua-reduction/>), and an iPad calls itself a Macintosh in its default setting, which
//! no header tells from a Mac.

use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, AhoCorasickKind};

/// Column, number, name, text. Lines with `#` are comments.
const ROWS: &str = include_str!("classes.tsv");

static CLASSES: LazyLock<Classes> = LazyLock::new(|| Classes::compile(ROWS));

/// Device, system and browser, as 13 bits. 0 in each field is unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct AgentClass(u16);

/// A field of an [`AgentClass`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClassField {
    /// Three bits.
    Device,
    /// Four bits.
    Os,
    /// Six bits.
    Browser,
}

impl ClassField {
    /// All fields.
    pub const ALL: [ClassField; 3] = [ClassField::Device, ClassField::Os, ClassField::Browser];

    fn name(self) -> &'static str {
        match self {
            ClassField::Device => "device",
            ClassField::Os => "os",
            ClassField::Browser => "browser",
        }
    }

    fn shift(self) -> u32 {
        match self {
            ClassField::Device => 0,
            ClassField::Os => 3,
            ClassField::Browser => 7,
        }
    }

    fn mask(self) -> u16 {
        match self {
            ClassField::Device => 0b111,
            ClassField::Os => 0b1111,
            ClassField::Browser => 0b11_1111,
        }
    }

    /// Returns all names, in the order of their numbers.
    pub fn names(self) -> Vec<&'static str> {
        (1..=self.mask()).filter_map(|number| self.name_of(number)).collect()
    }

    /// Returns the name of a number, `None` if it has none: 0, and those of later versions.
    pub fn name_of(self, number: u16) -> Option<&'static str> {
        CLASSES.rows.iter().find(|row| row.field == self && row.number == number).map(|row| row.name)
    }

    /// Returns the number of a name in any case.
    pub fn number_of(self, name: &str) -> Option<u16> {
        let is_it = |row: &&ClassRow| row.field == self && row.name.eq_ignore_ascii_case(name);
        CLASSES.rows.iter().find(is_it).map(|row| row.number)
    }
}

impl AgentClass {
    /// Number of bits.
    pub const BITS: u32 = 13;

    /// Returns the class of a User-Agent.
    pub fn of(user_agent: &[u8]) -> AgentClass {
        CLASSES.of(user_agent)
    }

    /// Returns the class of these bits.
    pub fn from_bits(bits: u16) -> AgentClass {
        AgentClass(bits & ((1 << AgentClass::BITS) - 1))
    }

    /// Returns its bits.
    pub fn bits(self) -> u16 {
        self.0
    }

    /// Returns the number of a field.
    pub fn get(self, field: ClassField) -> u16 {
        self.0 >> field.shift() & field.mask()
    }

    /// Returns the class with one field alone.
    #[must_use]
    pub fn only(self, field: ClassField) -> AgentClass {
        AgentClass::default().with(field, self.get(field))
    }

    /// Returns the class with another number in one field.
    #[must_use]
    pub fn with(self, field: ClassField, number: u16) -> AgentClass {
        let others = self.0 & !(field.mask() << field.shift());
        AgentClass(others | (number & field.mask()) << field.shift())
    }
}

struct ClassRow {
    field: ClassField,
    number: u16,
    name: &'static str,
}

struct Classes {
    texts: AhoCorasick,
    /// One row for each text, by its number.
    rows: Vec<ClassRow>,
}

impl Classes {
    fn compile(table: &'static str) -> Classes {
        let (mut texts, mut rows) = (Vec::new(), Vec::new());
        for line in table.lines() {
            let mut fields = line.split('\t');
            let (Some(field), Some(number), Some(name), Some(text)) =
                (fields.next(), fields.next(), fields.next(), fields.next())
            else {
                continue;
            };
            // A wrong row is skipped here; the test of the table counts the rows.
            let field = ClassField::ALL.into_iter().find(|known| known.name() == field);
            if let (Some(field), Ok(number)) = (field, number.parse()) {
                texts.push(text);
                rows.push(ClassRow { field, number, name });
            }
        }
        // As the list of bots: small, and fast enough for one match for each User-Agent.
        let texts = AhoCorasick::builder()
            .kind(Some(AhoCorasickKind::ContiguousNFA))
            .build(&texts)
            .expect("the texts are few and short");
        Classes { texts, rows }
    }

    fn of(&self, user_agent: &[u8]) -> AgentClass {
        // The first row and not the first text: nearly all browsers name others before themselves.
        let mut first = [usize::MAX; ClassField::ALL.len()];
        // Overlapping, so that no text hides another one that begins within it.
        for found in self.texts.find_overlapping_iter(user_agent) {
            let row = found.pattern().as_usize();
            let best = &mut first[self.rows[row].field as usize];
            *best = row.min(*best);
        }
        let found = first.into_iter().filter_map(|row| self.rows.get(row));
        found.fold(AgentClass::default(), |class, row| class.with(row.field, row.number))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn names(user_agent: &str) -> [Option<&'static str>; 3] {
        let class = AgentClass::of(user_agent.as_bytes());
        assert_eq!(AgentClass::from_bits(class.bits()), class);
        ClassField::ALL.map(|field| field.name_of(class.get(field)))
    }

    #[test]
    fn the_table_is_whole() {
        let lines = ROWS.lines().filter(|line| !line.starts_with('#')).count();
        assert_eq!(CLASSES.rows.len(), lines, "a row has a wrong column or number");
        let mut names = BTreeMap::new();
        for row in &CLASSES.rows {
            // 0 is unknown, and a larger number would change the next field.
            assert!((1..=row.field.mask()).contains(&row.number), "{}", row.name);
            let name = *names.entry((row.field as u8, row.number)).or_insert(row.name);
            assert_eq!(name, row.name, "a number has one name");
            assert_eq!(
                row.field.number_of(&row.name.to_uppercase()),
                Some(row.number),
                "and a name one number"
            );
        }
    }

    #[test]
    fn the_classes_of_user_agents() {
        const SAFARI: &str = "AppleWebKit/605.1.15 (KHTML, like Gecko)";
        const CHROME: &str = "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0";
        let rows = [
            (format!("Mozilla/5.0 (Windows NT 10.0; Win64; x64) {CHROME} Safari/537.36"), ["desktop", "Windows", "Chrome"]),
            // Edge and Opera name Chrome and Safari as well.
            (format!("Mozilla/5.0 (Windows NT 10.0; Win64; x64) {CHROME} Safari/537.36 Edg/131.0.0.0"), ["desktop", "Windows", "Edge"]),
            (format!("Mozilla/5.0 (Windows NT 10.0; Win64; x64) {CHROME} Safari/537.36 OPR/116.0.0.0"), ["desktop", "Windows", "Opera"]),
            ("Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:133.0) Gecko/20100101 Firefox/133.0".into(), ["desktop", "Windows", "Firefox"]),
            // Windows with a component for tablets is a desktop.
            ("Mozilla/5.0 (Windows NT 10.0; WOW64; Trident/7.0; Tablet PC 2.0; rv:11.0) like Gecko".into(), ["desktop", "Windows", "Internet Explorer"]),
            (format!("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {SAFARI} Version/18.1 Safari/605.1.15"), ["desktop", "macOS", "Safari"]),
            (format!("Mozilla/5.0 (X11; Linux x86_64) {CHROME} Safari/537.36"), ["desktop", "Linux", "Chrome"]),
            ("Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0".into(), ["desktop", "Linux", "Firefox"]),
            (format!("Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) {CHROME} Safari/537.36"), ["desktop", "ChromeOS", "Chrome"]),
            (format!("Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) {SAFARI} Version/18.1 Mobile/15E148 Safari/604.1"), ["mobile", "iOS", "Safari"]),
            // On iOS, other browsers are Safari with another name beside it.
            (format!("Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) {SAFARI} CriOS/131.0 Mobile/15E148 Safari/604.1"), ["mobile", "iOS", "Chrome"]),
            (format!("Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) {SAFARI} FxiOS/133.0 Mobile/15E148 Safari/605.1.15"), ["mobile", "iOS", "Firefox"]),
            (format!("Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) {SAFARI} Mobile/22B83 Instagram 358.0"), ["mobile", "iOS", "Instagram"]),
            (format!("Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) {SAFARI} Mobile/22B83 [FBAN/FBIOS;FBAV/490]"), ["mobile", "iOS", "Facebook"]),
            (format!("Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) {SAFARI} Mobile/15E148"), ["mobile", "iOS", "WebKit"]),
            (format!("Mozilla/5.0 (iPad; CPU OS 18_1 like Mac OS X) {SAFARI} Version/18.1 Mobile/15E148 Safari/604.1"), ["tablet", "iPadOS", "Safari"]),
            (format!("Mozilla/5.0 (Linux; Android 10; K) {CHROME} Mobile Safari/537.36"), ["mobile", "Android", "Chrome"]),
            // The same as the phone before it, without `Mobile`.
            (format!("Mozilla/5.0 (Linux; Android 10; K) {CHROME} Safari/537.36"), ["tablet", "Android", "Chrome"]),
            ("Mozilla/5.0 (Android 14; Tablet; rv:133.0) Gecko/133.0 Firefox/133.0".into(), ["tablet", "Android", "Firefox"]),
            ("Mozilla/5.0 (Linux; Android 14; SM-S921B) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/27.0 Chrome/125.0.0.0 Mobile Safari/537.36".into(), ["mobile", "Android", "Samsung Internet"]),
            (format!("Mozilla/5.0 (Linux; Android 14; SM-S921B Build/UP1A; wv) {CHROME} Mobile Safari/537.36"), ["mobile", "Android", "Android WebView"]),
            (format!("Mozilla/5.0 (Linux; Android 14; SM-S921B; wv) {CHROME} Mobile Safari/537.36 musical_ly_2023"), ["mobile", "Android", "TikTok"]),
            (format!("Mozilla/5.0 (Linux; Android 14; V2; wv) {CHROME} Mobile Safari/537.36 MicroMessenger/8.0.50"), ["mobile", "Android", "WeChat"]),
            // A stick of a television, which has `Mobile` as phones do.
            (format!("Mozilla/5.0 (Linux; Android 9; AFTMM Build/PS7) {CHROME} Mobile Safari/537.36"), ["tv", "Android", "Chrome"]),
            (format!("Mozilla/5.0 (SMART-TV; LINUX; Tizen 7.0) {CHROME} TV Safari/537.36"), ["tv", "Tizen", "Chrome"]),
            (format!("Mozilla/5.0 (Web0S; Linux/SmartTV) {CHROME} Safari/537.36"), ["tv", "webOS", "Chrome"]),
            // A console whose system calls itself Windows.
            (format!("Mozilla/5.0 (Windows NT 10.0; Win64; x64; Xbox; Xbox Series X) {CHROME} Safari/537.36 Edg/131.0"), ["console", "Xbox", "Edge"]),
            ("Mozilla/5.0 (PlayStation 5/SmartTV) AppleWebKit/605.1.15 (KHTML, like Gecko)".into(), ["console", "PlayStation", "WebKit"]),
            (format!("Mozilla/5.0 (X11; Linux x86_64; Quest 3) {CHROME} OculusBrowser/35 VR Safari/537.36"), ["headset", "Linux", "Chrome"]),
        ];
        for (user_agent, want) in rows {
            assert_eq!(names(&user_agent), want.map(Some), "{user_agent}");
        }
        // A script has no device: an unknown field is empty, and not the most common value.
        assert_eq!(names("curl/8.5.0"), [None, None, Some("curl")]);
        assert_eq!(names("PostmanRuntime/7"), [None, None, None]);
    }
}
