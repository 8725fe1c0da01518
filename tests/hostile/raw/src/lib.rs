//! A normalizer whose replies are not what the types promise: it writes the reply's bytes itself.
//!
//! Layouts are those of the component model's canonical ABI for `wit/`.

#[allow(dead_code)]
mod bindings {
    wit_bindgen::generate!({ path: "../../../wit", world: "normalizer" });
}

/// An event's size and the place of its body's pointer and length, in words of four bytes.
const BODY: usize = 15;

/// A record of up to eight words.
static mut REPLY: [u32; 8] = [0; 8];
static mut LIST: [u32; 8] = [0; 8];

fn reply(words: &[u32]) -> *const u32 {
    // SAFETY: a guest has one thread, and the host reads a reply before it calls again.
    unsafe {
        let place = &raw mut REPLY as *mut u32;
        for (i, word) in words.iter().enumerate() {
            place.add(i).write(*word);
        }
        place
    }
}

fn list(words: [u32; 8]) -> u32 {
    // SAFETY: as above.
    unsafe {
        (&raw mut LIST).write(words);
        &raw const LIST as u32
    }
}

#[unsafe(export_name = "concord:plugin/normalize@0.1.0#describe")]
extern "C" fn describe() -> *const u32 {
    let text = |text: &'static str| [text.as_ptr() as u32, text.len() as u32];
    let ([name, name_len], [version, version_len]) = (text("raw"), text("1.0.0"));
    reply(&[name, name_len, version, version_len, 4, 0, 4, 0])
}

#[unsafe(export_name = "concord:plugin/normalize@0.1.0#split")]
extern "C" fn split(_: u32, _: u32, _: u32, _: u32, _: u32, _: u32, _: u32, _: u32) -> *const u32 {
    // A result that is neither ok nor err.
    reply(&[9, 0, 0])
}

#[unsafe(export_name = "concord:plugin/normalize@0.1.0#normalize")]
extern "C" fn normalize(_: u32, _: u32, events: *const u32, _: u32) -> *const u32 {
    // SAFETY: the host wrote at least one event there.
    let body = unsafe { std::slice::from_raw_parts(*events.add(BODY) as *const u8, *events.add(BODY + 1) as usize) };
    // An outcome: index, result (discriminant, then a string for `err`), padding.
    let rejected = |text: u32, length: u32| list([0, 1, text, length, 0, 0, 0, 0]);
    let bad: &'static [u8] = &[0xff, 0xfe];
    match body {
        b"discriminant" => reply(&[list([0, 7, 0, 0, 0, 0, 0, 0]), 1]),
        b"beyond" => reply(&[0xffff_0000, 1]),
        b"endless" => reply(&[8, u32::MAX]),
        b"text beyond" => reply(&[rejected(0xffff_0000, 100), 1]),
        b"utf8" => reply(&[rejected(bad.as_ptr() as u32, 2), 1]),
        b"crooked" => 0x11 as *const u32,
        _ => reply(&[rejected(0, 0), 1]),
    }
}
