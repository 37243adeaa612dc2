use super::*;

/// A little BTF section: types and strings written by hand (Documentation/bpf/btf.rst).
#[derive(Default)]
struct Section {
    types: Vec<u8>,
    strings: Vec<u8>,
}

const INT: u32 = 1;
const STRUCT: u32 = 4;
const UNION: u32 = 5;

impl Section {
    fn new() -> Self {
        Self {
            types: Vec::new(),
            strings: vec![0],
        }
    }

    fn name(&mut self, name: &str) -> u32 {
        if name.is_empty() {
            return 0;
        }
        let at = u32::try_from(self.strings.len()).unwrap();
        self.strings.extend(name.bytes().chain([0]));
        at
    }

    fn words(&mut self, words: &[u32]) {
        self.types
            .extend(words.iter().flat_map(|word| word.to_ne_bytes()));
    }

    fn int(&mut self) {
        let name = self.name("int");
        self.words(&[name, INT << 24, 4, 32]);
    }

    /// Members are name, type and offset in bits.
    fn composite(&mut self, kind: u32, name: &str, members: &[(&str, u32, u32)]) {
        let name = self.name(name);
        self.words(&[name, kind << 24 | u32::try_from(members.len()).unwrap(), 64]);
        for (member, id, bits) in members {
            let member = self.name(member);
            self.words(&[member, *id, *bits]);
        }
    }

    fn parse(self) -> Btf {
        let types = u32::try_from(self.types.len()).unwrap();
        let strings = u32::try_from(self.strings.len()).unwrap();
        let mut bytes = 0xeb9fu16.to_ne_bytes().to_vec();
        bytes.extend([1, 0]);
        bytes.extend(
            [24, 0, types, types, strings]
                .iter()
                .flat_map(|word: &u32| word.to_ne_bytes()),
        );
        bytes.extend(self.types);
        bytes.extend(self.strings);
        Btf::from_bytes(bytes).unwrap()
    }
}

fn sample() -> Btf {
    let mut section = Section::new();
    section.int(); // 1
    section.composite(STRUCT, "", &[("a", 1, 0), ("deep", 1, 32)]); // 2
    section.composite(UNION, "", &[("", 2, 0), ("b", 1, 0)]); // 3
    section.composite(STRUCT, "inner", &[("hidden", 1, 0)]); // 4
    section.composite(
        STRUCT,
        "sock",
        &[("first", 1, 0), ("", 3, 64), ("named", 4, 128)],
    ); // 5
    section.parse()
}

#[test]
fn follows_anonymous_structs_and_unions() {
    let types = sample();
    assert_eq!(offset(&types, "sock", "first").unwrap(), Some(0));
    assert_eq!(offset(&types, "sock", "b").unwrap(), Some(8));
    assert_eq!(offset(&types, "sock", "deep").unwrap(), Some(12));
    assert_eq!(offset(&types, "sock", "named").unwrap(), Some(16));
}

#[test]
fn a_missing_field_and_one_of_a_named_member_are_not_found() {
    assert_eq!(offset(&sample(), "sock", "nowhere").unwrap(), None);
    assert_eq!(offset(&sample(), "sock", "hidden").unwrap(), None);
}

#[test]
fn the_running_kernel_has_all_fields() {
    let path = Path::new(KERNEL_TYPES);
    if !path.exists() {
        return;
    }
    let offsets = offsets(path).unwrap();
    let zero: Vec<_> = offsets.iter().filter(|offset| offset.bytes == 0).collect();
    assert!(zero.is_empty(), "{zero:?}");
}

#[test]
fn a_damaged_section_is_an_error() {
    for bytes in [vec![], vec![0; 64], 0xeb9fu16.to_ne_bytes().to_vec()] {
        assert!(Btf::from_bytes(bytes).is_err());
    }
    let whole = sample();
    let mut cut = whole;
    cut.cut_strings();
    assert!(offset(&cut, "sock", "first").is_err());
}
