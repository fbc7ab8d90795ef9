//! Any text as a bond's options: it is refused with a reason, or prints to what reads back the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use spiderpool_core::net::Bond;

fuzz_target!(|text: &str| {
    match Bond::parse(text) {
        Ok(bond) => {
            reads_back(&bond);
            if let Ok(agreed) = bond.agreed() {
                reads_back(&agreed);
                assert_eq!(agreed.clone().agreed().as_ref(), Ok(&agreed), "agreed twice");
            }
        }
        Err(bad) => assert!(!bad.to_string().is_empty()),
    }
});

/// Every option that is printed can be given again, by its own name and shown value.
fn reads_back(bond: &Bond) {
    let text: Vec<String> = bond
        .options
        .iter()
        .map(|(option, value)| format!("{}={}", option.name(), option.show(value)))
        .collect();
    let text = text.join(";");
    assert_eq!(Bond::parse(&text).as_ref(), Ok(bond), "{text}");
}
